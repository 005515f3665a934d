//! The meter on simulated GPUs: accuracy and coverage, faults, replays of a real GPU, allocations.

mod accuracy;
mod baselines;
mod faults;
mod phases;
mod replay;
mod simulation;
mod trials;
