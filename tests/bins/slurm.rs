//! The stand-in for Slurm's commands, under whichever of their names it is called; the cluster is in `LLEM_FAKE_SLURM`.

use std::{io::Write, path::Path, process::ExitCode};

use llem_tests::fake_slurm::command;

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let program = arguments.next().unwrap_or_default();
    let program =
        Path::new(&program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some(directory) = std::env::var_os("LLEM_FAKE_SLURM") else { return ExitCode::from(2) };
    let rest: Vec<String> = arguments.collect();
    match command(Path::new(&directory), &program, &rest)
        .and_then(|it| std::io::stdout().write_all(it.as_bytes()))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "{program}: {error}"));
            ExitCode::FAILURE
        }
    }
}
