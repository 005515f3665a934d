//! The llem host: everything that touches the world.
//!
//! `commands` answer the command line; `planning` turns a study file into trials; `runner` carries
//! them out with `llem-plugin`, `llem-launch`, `llem-load` and `llem-meter`; `store` keeps records;
//! `report` shows them. Runner and report meet only in `llem_core::event` and `llem_core::record`.

mod artefacts;
mod cli;
mod cluster;
mod commands;
mod config;
mod diagnostics;
mod engines;
mod exit;
mod gpus;
mod grants;
mod locks;
mod machine;
mod models;
mod planning;
mod plugins;
mod report;
pub mod results;
mod runner;
mod store;

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory, Parser};
use llem_meter::{Finding, Instruments};

pub use llem_core as core;

use crate::exit::ExitStatus;

/// Where a run's instruments come from, with what was found and what is missing.
pub type Discover<'a> = &'a dyn Fn() -> (Instruments, Vec<Finding>);

/// The command line as data, for those who check what is written about it.
pub fn command() -> clap::Command {
    cli::Cli::command()
}

/// Runs the command line; the binary and the tests both call it.
pub fn main() -> ExitCode {
    main_with(&|| Instruments::discover(&config::meter_options()))
}

/// The same with other instruments, such as those of a test whose power is written down.
pub fn main_with(instruments: Discover<'_>) -> ExitCode {
    let mut args = std::env::args_os();
    let program = args.next().unwrap_or_default();
    let rest: Vec<OsString> = args.collect();
    // Supervisor and engines take another program's arguments as they are, so they are not clap's.
    match rest.first().and_then(|it| it.to_str()) {
        Some("supervise") => return llem_launch::supervise(rest.into_iter().skip(1)),
        Some("guard") => return gpus::guard(rest.into_iter().skip(1)),
        Some("compile") if rest.len() == 2 => return commands::plugin::compile(&rest[1]),
        Some("container") => return llem_launch::attend(rest.into_iter().skip(1)),
        Some("engine") => return engines::main(rest.into_iter().skip(1)),
        _ => (),
    }
    let cli = match cli::Cli::try_parse_from(std::iter::once(program).chain(rest)) {
        Ok(cli) => cli,
        Err(error) => {
            drop(error.print());
            return if error.use_stderr() { ExitStatus::Usage } else { ExitStatus::Success }.into();
        }
    };
    match commands::run(cli.command, instruments) {
        Ok(status) => status.into(),
        Err(failure) => {
            failure.print();
            failure.status().into()
        }
    }
}
