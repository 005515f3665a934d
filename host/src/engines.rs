//! Engines that are linked into this binary, by name; they always run as subprocesses of it.
//!
//! The only list of them: a plugin names one in a launch plan, and nothing else here matches on it.

use std::{ffi::OsString, process::ExitCode};

use crate::{diagnostics::Failure, exit::ExitStatus};

type Main = fn(Vec<OsString>) -> ExitCode;

const LINKED: &[(&str, Main)] = &[
    ("candle", |args| llem_candle::main(args.into_iter())),
    // Generates nothing: what a plugin's author tries a first study on.
    ("fake", |args| llem_fake_engine::main(args.into_iter())),
];

/// Runs a linked engine: its name, then its arguments.
pub(crate) fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter();
    let name = args.next().unwrap_or_default();
    if let Some((_, main)) = LINKED.iter().find(|(it, _)| *it == name) {
        // An engine's own first argument is its name, as for any program.
        return main(std::iter::once(name).chain(args).collect());
    }
    let error = format!("this build has no engine `{}` linked into it", name.to_string_lossy());
    Failure::message(ExitStatus::Environment, error).print();
    ExitStatus::Environment.into()
}
