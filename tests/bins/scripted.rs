//! `llem` with one device whose power is written down, so that energies depend on nothing but the times that an engine
//! states.

use std::process::ExitCode;

use llem_meter::{Instruments, Scripted};

/// Watts, all the time.
const POWER: f64 = 250.0;

fn main() -> ExitCode {
    let device = || Scripted { id: "GPU-scripted".to_owned(), power: vec![(0, POWER)] };
    llem::main_with(&|| (Instruments::scripted(vec![device()]), Vec::new()))
}
