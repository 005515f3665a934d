//! Answers of the command line, one file a subcommand.

mod cache;
mod cluster;
mod compare;
mod config;
mod doctor;
mod export;
mod import;
mod load;
mod params;
mod plan;
pub(crate) mod plugin;
mod recompute;
mod report;
mod rerun;
mod run;
mod show;
mod slo;
mod write;

use std::{io::Write, path::Path};

use clap::CommandFactory;
use llem_core::study::Experiment;

use crate::{
    Discover,
    cli::{Cli, Command},
    diagnostics::Failure,
    exit::ExitStatus,
    results::ResultSet,
};

/// Runs a subcommand.
pub(crate) fn run(command: Command, instruments: Discover<'_>) -> Result<ExitStatus, Failure> {
    // The doctor finds a configuration that makes no sense like anything else that is wrong.
    if !matches!(command, Command::Doctor(_) | Command::Completions { .. }) {
        crate::config::check()?;
    }
    match command {
        Command::Run(args) => run::run(&args, instruments),
        Command::Plan(args) => plan::run(&args),
        Command::Params(args) => params::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Rerun(args) => rerun::run(&args, instruments),
        Command::Recompute(args) => recompute::run(&args),
        Command::Show(args) => show::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Slo(args) => slo::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Init(args) => write::init(&args),
        Command::Schema { of } => write::schema(of),
        Command::Import(args) => import::run(&args),
        Command::Plugin(command) => plugin::run(&command),
        Command::Cache(args) => cache::run(&args),
        Command::Man { directory } => clap_mangen::generate_to(Cli::command(), &directory)
            .map(|()| ExitStatus::Success)
            .map_err(|error| unwritten(&directory, &error)),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "llem", &mut script);
            output(&String::from_utf8_lossy(&script))
        }
    }
}

/// Data goes to standard output; a reader that went away is no failure.
fn output(text: &str) -> Result<ExitStatus, Failure> {
    output_bytes(text.as_bytes())
}

fn output_bytes(bytes: &[u8]) -> Result<ExitStatus, Failure> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
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

/// Writes a file whole or not at all; a device or pipe is written to, not replaced.
fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if path.metadata().is_ok_and(|it| !it.is_file() && !it.is_dir()) {
        return std::fs::write(path, bytes).map_err(|error| unwritten(path, &error));
    }
    let parent = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(parent)
        .and_then(|mut file| file.write_all(bytes).map(|()| file))
        .and_then(|file| file.persist(path).map_err(|it| it.error));
    written.map(drop).map_err(|error| unwritten(path, &error))
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    let message = format!("failed to write `{}`: {error}", path.display());
    Failure::message(ExitStatus::Environment, message)
}

/// The one experiment of some results that a text names by id, start of the id, or label.
fn experiment<'a>(results: &'a ResultSet, wanted: &str) -> Result<&'a Experiment, Failure> {
    match results.find(wanted)[..] {
        [one] => Ok(one),
        [] => Err(Failure::message(
            ExitStatus::Usage,
            format!("`{}` has no experiment `{wanted}`", results.path().display()),
        )
        .hint("`llem show RESULTS` lists ids and labels")),
        ref several => {
            let ids: Vec<String> = several.iter().take(5).map(|it| it.id.to_string()).collect();
            Err(Failure::message(
                ExitStatus::Usage,
                format!("{} experiments match `{wanted}`: {}", several.len(), ids.join(", ")),
            )
            .hint("give more of the id"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, os::unix::fs::FileTypeExt};

    use super::*;

    #[test]
    fn a_pipe_is_written_to_and_a_file_is_replaced() {
        let folder = tempfile::tempdir().expect("a directory");
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.expect("`mkfifo` starts").success());
        let reader = {
            let pipe = pipe.clone();
            std::thread::spawn(move || {
                let mut text = String::new();
                std::fs::File::open(pipe)?.read_to_string(&mut text).map(|_| text)
            })
        };
        write_file(&pipe, b"figures").map_err(drop).expect("it is writable");
        assert_eq!(reader.join().expect("it ends").expect("it reads"), "figures");
        assert!(pipe.metadata().expect("it is there").file_type().is_fifo());
        let file = folder.path().join("file");
        for text in ["one", "two"] {
            write_file(&file, text.as_bytes()).map_err(drop).expect("it is writable");
            assert_eq!(std::fs::read_to_string(&file).expect("it is there"), text);
        }
    }
}
