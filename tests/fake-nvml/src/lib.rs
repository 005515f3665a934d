//! A management library for GPUs that do not exist: `libnvidia-ml.so.1` for tests.
//!
//! Built as a C library it serves any client that loads that name; its GPUs follow a script of power
//! whose energy is known exactly, publish it as an H100 does, and can be given faults. Time is real or
//! virtual. Linked as a Rust library it describes such GPUs ([`Config`]) and controls a loaded copy
//! ([`Fake`]).
//!
//! A process that loads the library by itself configures it by `LLEM_FAKE_NVML`: a JSON document, or
//! the path of one, which is read again whenever it changes.
//!
//! What clients set — power limits, locked clocks — it keeps in a file where the configuration names one ([`Settings`]),
//! so that a test sees what is in force after the processes that set it are dead.
//!
//! It imitates publication, caching and read times as measured on an H100 with driver 580; it says
//! nothing about how well a real sensor covers a load.

mod client;
mod config;
mod exports;
mod gpu;
mod profile;
mod replay;
mod settings;
mod state;

pub use client::{Fake, library_path};
pub use config::{Config, Faults, GpuConfig, Time};
pub use profile::{Profile, Random};
pub use replay::Replay;
pub use settings::Settings;
