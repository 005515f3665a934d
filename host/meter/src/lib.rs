//! Instruments that record energy: NVIDIA GPUs, processor packages and their memory.
//!
//! [`Instruments::discover`] finds the best instruments of this machine and says in [`Finding`]s what
//! is missing and how to mend it. [`Instruments::start`] begins a [`Recording`]: one OS thread per
//! device on `CLOCK_MONOTONIC`, which neither allocates nor locks while it records. A recording can be
//! looked at while it runs ([`Recording::snapshot`], [`Recording::latest`]) and gives one
//! [`Series`](llem_core::energy::Series) per device in the end. What the series mean in joules is
//! computed by [`llem_core::energy`], not here; nothing here knows an engine, a study or a window.
//!
//! ```no_run
//! use llem_core::energy::{Mode, Request, Settings, Window, baseline, measure};
//! use llem_meter::{Instruments, MeterOptions, now_ns};
//!
//! let (instruments, findings) = Instruments::discover(&MeterOptions::default());
//! for finding in &findings {
//!     assert!(!finding.message.is_empty());
//! }
//! let recording = instruments.start(None); // one recording may span a whole trial
//! recording.set_subject(1234); // the engine's process, once it runs
//! let begin_ns = now_ns();
//! // … idle with the engine loaded …
//! let idle = Window { begin_ns, end_ns: now_ns() };
//! let context = baseline(&recording.snapshot()[0], idle);
//! // … load …
//! let request = Request { begin_ns, end_ns: now_ns(), mode: Mode::Running };
//! let series = recording.snapshot_covering(request.end_ns); // samples and averages come later
//! let measurement = measure(&series, request, &Settings::default());
//! // Count tokens in `measurement.window`; then one reading per device:
//! for reading in measurement.readings {
//!     println!("{}: {:?} by {:?}", reading.device, reading.energy_joules, reading.method);
//! }
//! # drop(context);
//! ```
//!
//! An isolated job ([`Mode::Isolated`](llem_core::energy::Mode)) needs the device idle for
//! [`GUARD`] before its begin and after its end, within the recording.

mod calibrate;
mod clock;
mod control;
mod cpu;
mod discover;
mod finding;
mod follow;
mod health;
mod nvml;
mod occupied;
mod options;
mod poll;
mod process;
mod rapl;
mod recording;
mod rehearsal;
mod scripted;
mod sensor;
mod simulated;
mod store;

pub use clock::{Clock, GUARD, now_ns};
pub use control::{Control, ControlError};
pub use discover::Instruments;
pub use finding::{Finding, Level};
pub use occupied::Occupied;
pub use options::{Gpus, MeterOptions};
pub use recording::{LONGEST_WAIT, Latest, Recording};
pub use scripted::Scripted;
pub use simulated::Simulated;
