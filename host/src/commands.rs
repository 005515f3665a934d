//! Answers of the command line, one file a subcommand.

mod doctor;
mod import;
mod params;
mod plan;
mod plugin;
mod plugins;
mod run;
mod show;
mod write;

use std::io::Write;

use clap::CommandFactory;

use crate::{
    cli::{Cli, Command},
    diagnostics::Failure,
    exit::ExitStatus,
};

/// Runs a subcommand.
pub(crate) fn run(command: Command) -> Result<ExitStatus, Failure> {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Params(args) => params::run(&args),
        Command::Show(args) => show::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Init(args) => write::init(&args),
        Command::Schema => write::schema(),
        Command::Import(args) => import::run(&args),
        Command::Plugins(args) => plugins::run(&args),
        Command::Plugin(command) => plugin::run(&command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "llem", &mut script);
            output(&String::from_utf8_lossy(&script))
        }
    }
}

/// Data goes to standard output; a reader that went away is no failure.
fn output(text: &str) -> Result<ExitStatus, Failure> {
    let written = std::io::stdout().lock().write_all(text.as_bytes());
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(ExitStatus::Environment, &error))
        }
        Ok(()) | Err(_) => Ok(ExitStatus::Success),
    }
}

fn output_json(value: &impl serde::Serialize) -> Result<ExitStatus, Failure> {
    let text = serde_json::to_string_pretty(value).expect("what llem prints has string keys only");
    output(&format!("{text}\n"))
}
