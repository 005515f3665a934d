//! The meter on simulated GPUs: accuracy and coverage, faults, replays of a real GPU, allocations.

mod accuracy;
mod faults;
mod simulation;
mod trials;
