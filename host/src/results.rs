//! Results of a run, read back: what the commands show, compare and export, and what a program that
//! links this crate works with.
//!
//! Reads only; runs nothing and writes nothing. A directory that an interrupted run left is read as
//! well as a finished one.
//!
//! ```
//! use llem::results::ResultSet;
//!
//! # let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/h100/pytorch-batch");
//! let results = ResultSet::open(directory)?;
//! let energies: Vec<f64> =
//!     results.trials().filter_map(|trial| trial.figure("energy_per_output_token_joules")).collect();
//! assert!(energies.iter().all(|it| *it > 0.0));
//! # Ok::<(), llem::results::ResultsError>(())
//! ```

mod boards;
mod columns;
mod comparison;
mod effects;
mod front;
mod inference;
mod objective;
mod parameters;
mod schema;
mod set;
mod summary;

pub use boards::Boards;
pub use columns::{Column, column};
pub use comparison::{Comparison, Difference, Ratio, compare};
pub use effects::{Effect, Interaction, Level};
pub use front::{FRONT, Front, FrontPoint, LeftOut, front};
pub use inference::{Contrast, Sensitivity};
pub use objective::{JudgedExperiment, Judgement, judge_again};
pub use parameters::{Parameter, Setting, parameters};
pub use schema::schema;
pub use set::{ResultSet, Trial};
pub use summary::{ExperimentSummary, FigureSummary, Summary};

pub use crate::store::{Header, JournalError, RawError, ResultsError};
// What exported files are made of.
pub(crate) use crate::store::{Column as Cells, Table};
// For what makes up results to test readers with.
#[doc(hidden)]
pub use crate::store::{write_requests, write_series};
