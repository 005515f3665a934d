//! Windows: which interval a figure holds for.
//!
//! How the energy in a window is estimated is decided elsewhere.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Seconds;

/// A half-open interval (begin, end] on `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Window {
    /// Where it begins; an event at this very time lies before it.
    pub begin_ns: u64,
    /// Where it ends; an event at this very time lies in it.
    pub end_ns: u64,
}

impl Window {
    /// The interval's length.
    pub fn duration(self) -> Seconds {
        Seconds::between(self.begin_ns, self.end_ns)
    }

    /// Whether an event at this time is counted.
    ///
    /// ```
    /// use llem_core::energy::Window;
    /// let window = Window { begin_ns: 10, end_ns: 20 };
    /// assert!(!window.contains(10) && window.contains(20));
    /// ```
    pub const fn contains(self, at_ns: u64) -> bool {
        self.begin_ns < at_ns && at_ns <= self.end_ns
    }
}

/// What surrounds a window, which decides how its edges are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A window cut out of a running load: it is moved to publications of the counter.
    Running,
    /// A job that starts and ends with the device idle: it is enclosed by idle guards.
    Isolated,
}
