//! A circuit breaker: so many failures in a row pause a study for one probe, and a failed probe ends it.
//!
//! Counts; knows no clock and runs nothing.

use std::num::NonZeroU32;

/// Whether trials may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// They may.
    Closed,
    /// Too many failed in a row: one probe may run after a pause.
    Open,
    /// The probe runs.
    HalfOpen,
    /// The probe failed as well.
    Broken,
}

/// Counts failures in a row.
///
/// ```
/// use llem_core::breaker::{Breaker, Circuit};
/// let mut breaker = Breaker::new(std::num::NonZeroU32::new(2));
/// breaker.add(false);
/// assert_eq!(breaker.circuit(), Circuit::Closed);
/// breaker.add(false);
/// assert_eq!(breaker.circuit(), Circuit::Open);
/// breaker.probe();
/// breaker.add(true);
/// assert_eq!(breaker.circuit(), Circuit::Closed);
/// ```
#[derive(Clone, Debug)]
pub struct Breaker {
    limit: Option<NonZeroU32>,
    failures: u32,
    circuit: Circuit,
}

impl Breaker {
    /// Opens after `limit` failures in a row; without one, never.
    pub fn new(limit: Option<NonZeroU32>) -> Self {
        Self { limit, failures: 0, circuit: Circuit::Closed }
    }

    /// Whether trials may run.
    pub fn circuit(&self) -> Circuit {
        self.circuit
    }

    /// Failures in a row so far.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The probe of an open circuit begins.
    pub fn probe(&mut self) {
        if self.circuit == Circuit::Open {
            self.circuit = Circuit::HalfOpen;
        }
    }

    /// Counts a trial that completed or failed.
    pub fn add(&mut self, completed: bool) {
        if completed {
            (self.failures, self.circuit) = (0, Circuit::Closed);
            return;
        }
        self.failures += 1;
        self.circuit = match (self.circuit, self.limit) {
            (Circuit::HalfOpen, _) => Circuit::Broken,
            (Circuit::Closed, Some(limit)) if self.failures >= limit.get() => Circuit::Open,
            (circuit, _) => circuit,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_probe_breaks_the_circuit_and_no_limit_never_opens_it() {
        let mut breaker = Breaker::new(NonZeroU32::new(1));
        breaker.add(false);
        breaker.probe();
        breaker.add(false);
        assert_eq!((breaker.circuit(), breaker.failures()), (Circuit::Broken, 2));
        let mut never = Breaker::new(None);
        for _ in 0..100 {
            never.add(false);
        }
        assert_eq!(never.circuit(), Circuit::Closed);
    }
}
