//! Runs launch steps as isolated processes: checks them against a grant, builds their environment
//! from nothing, starts them under a supervisor, waits until they are ready, stops them and makes
//! sure that nothing is left.
//!
//! It knows nothing of studies, energy or engines: a step is data.

mod environment;
mod error;
mod grant;
mod logs;
mod policy;
mod process;
mod programs;
mod readiness;
mod render;
mod scratch;
mod supervisor;

pub use environment::HostEnvironment;
pub use error::LaunchError;
pub use grant::Grant;
pub use logs::LogSummary;
pub use policy::{Violation, check};
pub use process::{Ended, Running, Site};
pub use programs::{ProgramError, Programs};
pub use readiness::NotReady;
pub use scratch::Scratch;
pub use supervisor::main as supervise;
