//! Raw data of a trial on disk: energy series and request logs as Parquet, so that every figure can be
//! computed again, here or by other tools.
//!
//! Times are nanoseconds of `CLOCK_MONOTONIC`. Columns are named after the fields that they hold; a
//! missing cell is null. What is not tabular is TOML in the files' metadata under the key `llem`,
//! because that keeps every bit of a number.

mod requests;
mod series;
mod table;

use std::path::{Path, PathBuf};

use llem_core::record::TrialId;

pub(crate) use requests::read_requests;
pub use requests::write_requests;
pub(crate) use series::read_series;
pub use series::write_series;
pub(crate) use table::{Column, Table};

/// Why raw data can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RawError {
    /// Reading or writing failed.
    #[error("failed to use the raw data at `{}`", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is no Parquet file, or a damaged one.
    #[error("`{}` can't be used as a Parquet file", path.display())]
    Parquet {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// The file lacks something that this version writes.
    #[error("`{}` has no usable `{what}`", path.display())]
    Missing {
        /// Where.
        path: PathBuf,
        /// What.
        what: String,
    },
}

/// Directories of raw data; their entries are named after trials.
pub(crate) const RAW: [&str; 4] = ["logs", "requests", "series", "server"];

/// How raw data of a trial is called, whatever follows: a merge finds it by that.
pub(crate) fn raw_name(trial: &TrialId) -> String {
    format!("{}-{}", trial.experiment, trial.repeat)
}

/// Directory of a trial's energy series.
fn series_of(results: &Path, trial: &TrialId) -> PathBuf {
    results.join("series").join(raw_name(trial))
}

/// File of a trial's request log.
fn requests_of(results: &Path, trial: &TrialId) -> PathBuf {
    results.join("requests").join(raw_name(trial) + ".parquet")
}
