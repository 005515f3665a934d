//! A native inference engine for llama-family models on the CPU: an OpenAI-compatible server and a batch worker.
//!
//! It loads weights, decodes with continuous batching and answers over HTTP or over the batch protocol. It
//! measures no energy, reads no study and knows nothing of the program that starts it.

mod arithmetic;
mod chat;
mod cli;
mod clock;
mod engine;
mod error;
mod loading;
mod memory;
mod model;
mod sampling;
mod scheduler;
mod server;
mod settings;
mod threads;
mod tokenizer;
mod weights;
mod worker;

use std::{ffi::OsString, process::ExitCode};

use clap::Parser;

/// Runs the engine with the given arguments, the program's name first.
///
/// Call it before the process starts any thread: it fixes the number of compute threads, which candle reads
/// from the environment. Exit codes are 0 for a clean end, 2 for a bad parameter, 3 for a missing model, 4 for
/// an unusable one, 5 where memory does not suffice, 6 where the address can't be used, 7 for a broken
/// protocol and 70 for a failure of the engine itself.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments = match cli::Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(refusal) => {
            // Help and version go to stdout, mistakes to stderr; a closed stream leaves nobody to tell.
            drop(refusal.print());
            return ExitCode::from(if refusal.use_stderr() { 2 } else { 0 });
        }
    };
    threads::keep_candle_single_threaded();
    let outcome = match arguments.mode {
        cli::Mode::Serve(serve) => server::run(serve),
        cli::Mode::Batch(batch) => worker::run(&batch),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error::report(&error);
            ExitCode::from(error.exit_code())
        }
    }
}
