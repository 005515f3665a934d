//! Runs launch steps as isolated processes: checks them against a grant, builds their environment
//! from nothing, starts them under a supervisor, waits until they are ready, stops them and makes
//! sure that nothing is left.
//!
//! It knows nothing of studies, energy or engines: a step is data.

mod attach;
mod capture;
mod cgroup;
mod container;
mod environment;
mod error;
pub mod forbidden;
mod grant;
mod logs;
mod policy;
mod process;
mod processes;
mod programs;
mod readiness;
mod render;
mod scratch;
mod secrets;
mod supervisor;

pub use attach::{AttachError, Attached};
pub use capture::output_of;
pub use cgroup::end_orphans;
pub use container::{
    ContainerEngine, Image, ImageError, containers_are_reachable, find_image, main as attend,
};
pub use environment::{HostEnvironment, secret_variable};
pub use error::LaunchError;
pub use grant::Grant;
pub use logs::LogSummary;
pub use policy::{Violation, check, leaks};
pub use process::{Ended, Running, Site};
pub use processes::{Listener, listener, named as process_name};
pub use programs::{ProgramError, Programs};
pub use readiness::NotReady;
pub use scratch::Scratch;
pub use secrets::Secrets;
pub use supervisor::main as supervise;
