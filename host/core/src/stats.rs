//! Statistics of repeated measurements: estimates with intervals, comparisons, effects.
//!
//! Every function takes plain numbers and a seed where it draws; nothing here knows energy, studies
//! or how results are shown.

pub mod boards;
pub mod compare;
pub mod confidence;
pub mod drift;
pub mod effects;
mod linear;
pub mod pareto;
mod resample;
mod sample;
pub mod sobol;
#[cfg(test)]
mod tests;

pub use compare::{Comparison, holm, paired};
pub use confidence::{Estimate, Interval};
pub use sample::{Outlier, Sample, SampleError, Summary};
