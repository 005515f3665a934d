//! `llem plugin remove`: forgets an added plugin and everything that it was allowed.

use crate::{
    cli::PluginRemoveArgs, commands::output, diagnostics::Failure, exit::ExitStatus, grants::Book,
    plugins::Store,
};

/// Removes plugins.
pub(crate) fn run(args: &PluginRemoveArgs) -> Result<ExitStatus, Failure> {
    let mut store = Store::open()?;
    for id in &args.ids {
        let Some(removed) = store.remove(id)? else {
            let message = format!("no added plugin `{id}`");
            return Err(Failure::message(ExitStatus::Usage, message)
                .hint("`llem plugin list` lists them; built-in ones stay"));
        };
        let mut book = Book::open()?;
        book.remove(&removed.sha256);
        book.write()?;
        output(&format!("removed {} {}\n", removed.id, removed.version))?;
    }
    Ok(ExitStatus::Success)
}
