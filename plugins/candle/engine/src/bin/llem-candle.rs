//! The engine as a program of its own, for its tests and for use without llem.

use std::process::ExitCode;

fn main() -> ExitCode {
    llem_candle::main(std::env::args_os())
}
