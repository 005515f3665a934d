//! `llem plugin`: backends from their first line to their use.

mod add;
mod inspect;
mod list;
mod new;
mod remove;
mod test;
mod verify;

pub(crate) use add::compile;
pub(super) use list::run as list_all;

use crate::{cli::PluginCommand, diagnostics::Failure, exit::ExitStatus};

/// Runs a subcommand.
pub(crate) fn run(command: &PluginCommand) -> Result<ExitStatus, Failure> {
    match command {
        PluginCommand::List(args) => list::run(args),
        PluginCommand::Add(args) => add::run(args),
        PluginCommand::Inspect(args) => inspect::run(args),
        PluginCommand::Remove(args) => remove::run(args),
        PluginCommand::Verify(args) => verify::run(args),
        PluginCommand::New(args) => new::run(args),
        PluginCommand::Test(args) => test::run(args),
    }
}
