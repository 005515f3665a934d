//! `llem plugin`: backends from their first line to their use.

mod new;
mod test;

use crate::{cli::PluginCommand, diagnostics::Failure, exit::ExitStatus};

/// Runs a subcommand.
pub(crate) fn run(command: &PluginCommand) -> Result<ExitStatus, Failure> {
    match command {
        PluginCommand::New(args) => new::run(args),
        PluginCommand::Test(args) => test::run(args),
    }
}
