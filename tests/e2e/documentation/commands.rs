//! Every command block of the documentation is run; what can't run here is at least what the command line takes.

use std::{fs, net::TcpListener, os::unix::process::CommandExt as _, path::Path, process::Command};

use llem_tests::{
    Answer, Workspace,
    fake_slurm::{State, install, see},
    path_with,
};

use super::{
    blocks::{self, Block, Remark, commands},
    pages, root, text,
};
use crate::workspace;

/// Pages whose blocks are run.
const RUN: [&str; 2] = ["README.md", "docs"];

/// Pages beyond those whose command lines are parsed.
const PARSED: [&str; 6] =
    ["BENCHMARKS.md", "SECURITY.md", "examples", "packaging", "plugins", "sdk"];

#[test]
fn every_command_block_of_the_documentation_runs_as_it_stands() {
    // Each page has a directory of its own; what takes long is waiting for engines and windows.
    std::thread::scope(|scope| {
        for page in pages(&RUN) {
            scope.spawn(move || {
                let blocks = blocks::of(&text(&page));
                if blocks.iter().any(|it| it.kind == "console" && not_run(it).is_none()) {
                    run(&page, &blocks);
                }
            });
        }
    });
}

#[test]
fn a_block_that_is_not_run_says_why_and_is_what_the_command_line_takes() {
    let mut parsed = 0;
    for page in pages(&[&RUN[..], &PARSED[..]].concat()) {
        for block in blocks::of(&text(&page)) {
            let place = format!("{page}:{}", block.line);
            assert!(!matches!(&*block.kind, "sh" | "bash" | "shell"), "{place}: say `console`");
            assert!(not_run(&block).is_none_or(|it| it.len() > 10), "{place}: why not?");
            if block.kind != "console" {
                continue;
            }
            let lines = commands(&block);
            assert!(!lines.is_empty(), "{place}: no line begins with `$ `");
            for arguments in lines.iter().flat_map(|it| invocations(it)) {
                let found = llem::command().try_get_matches_from(&arguments);
                let faults = found.err().filter(clap_error);
                assert!(faults.is_none(), "{place}: {arguments:?}: {}", faults.expect("is some"));
                parsed += 1;
            }
        }
    }
    assert!(parsed > 60, "{parsed} command lines");
}

/// Help and version come as errors.
fn clap_error(error: &clap::Error) -> bool {
    error.use_stderr()
}

fn not_run(block: &Block) -> Option<&str> {
    block.remarks.iter().find_map(|it| match it {
        Remark::NotRun(reason) => Some(&**reason),
        _ => None,
    })
}

/// Runs the blocks of a page, one after the other, in a fresh directory with the files that it shows.
fn run(page: &str, blocks: &[Block]) {
    let workspace = workspace();
    fs::create_dir(workspace.path().join("tools")).expect("writable");
    std::os::unix::fs::symlink(
        env!("CARGO_BIN_EXE_llem-under-test"),
        workspace.path().join("tools/llem"),
    )
    .expect("writable");
    // Pages name the port that engines use as a rule; here it may be anybody's.
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("bound").port().to_string();
    drop(free);
    for block in blocks {
        let place = format!("{page}:{}", block.line);
        if let Some(name) = block.remarks.iter().find_map(|it| match it {
            Remark::File(name) => Some(name),
            _ => None,
        }) {
            workspace.write(name, &block.text);
        }
        if block.kind != "console" || not_run(block).is_some() {
            continue;
        }
        let script = commands(block).join("\n").replace("8000", &port);
        let mut ends = 0;
        let mut shell = shell(&workspace, &script);
        for remark in &block.remarks {
            match remark {
                Remark::Given(paths) => paths.iter().for_each(|(path, folder)| {
                    copy(&root().join(folder), &workspace.path().join(path));
                }),
                Remark::Slurm => {
                    if !workspace.path().join("bin").exists() {
                        let stand_in = env!("CARGO_BIN_EXE_fake-slurm");
                        install(workspace.path(), stand_in, &State::new(1, 0.1, false))
                            .expect("writable");
                    }
                    see(&mut shell, workspace.path());
                    let places = ["bin", "tools"].map(|it| workspace.path().join(it));
                    shell.env("PATH", path_with(&places));
                }
                Remark::Ends(code) => ends = *code,
                Remark::NotRun(_) | Remark::File(_) => (),
            }
        }
        let answer = Answer::of(&shell.output().expect("`sh` starts"));
        assert_eq!(
            answer.code,
            Some(ends),
            "{place}:\n{script}\n{}\n{}",
            answer.stdout,
            answer.stderr
        );
    }
}

/// A shell that stops at the first command that fails, and leaves nothing running.
fn shell(workspace: &Workspace, script: &str) -> Command {
    let mut shell = Command::new("sh");
    let end = "end() { code=$?; trap '' TERM; kill 0; exit $code; }";
    let script = format!("set -eu\n{end}\ntrap end EXIT\n{script}\n");
    shell.args(["-c", &script]).current_dir(workspace.path()).process_group(0);
    for (name, value) in workspace.command(&[]).get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    let tools = workspace.path().join("tools");
    shell.env("PATH", path_with(&[tools])).env("HOME", workspace.path());
    shell
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("writable");
    let is_archive = from.extension().is_some_and(|it| it == "gz");
    let status = if is_archive {
        let mut tar = Command::new("tar");
        tar.args(["xz", "--strip-components=1", "-C"]).arg(to).arg("-f").arg(from).status()
    } else {
        Command::new("cp").arg("-r").args([&from.join("."), to]).status()
    };
    assert!(status.expect("it starts").success(), "{} to {}", from.display(), to.display());
}

/// Arguments of each `llem` that a command line starts, be it by cargo.
fn invocations(line: &str) -> Vec<Vec<String>> {
    let words = shlex::split(line).unwrap_or_else(|| panic!("quotes do not match: {line}"));
    let ends = |it: &String| matches!(&**it, "|" | "||" | "&&" | ";" | "&" | ">" | ">>" | "2>");
    let mut found = Vec::new();
    for command in words.split(ends) {
        let by_cargo = command.starts_with(&["cargo".to_owned(), "run".to_owned()])
            && command.windows(2).any(|it| it == ["-p", "llem"]);
        let start = if by_cargo {
            command.iter().position(|it| it == "--")
        } else {
            let named = |it: &String| it == "llem" || it.ends_with("/llem");
            command.first().filter(|it| named(it)).map(|_| 0)
        };
        let Some(start) = start else { continue };
        let arguments = &command[start + 1..];
        // The engine's own arguments are not those of the command line.
        if arguments.first().is_none_or(|it| it != "engine") {
            found.push(
                std::iter::once("llem".to_owned()).chain(arguments.iter().cloned()).collect(),
            );
        }
    }
    found
}

#[test]
fn invocations_are_found_wherever_they_stand() {
    let of = |line: &str| invocations(line).iter().map(|it| it[1..].join(" ")).collect::<Vec<_>>();
    assert_eq!(
        of("llem init > study.toml && llem plan 'a b.toml' # or not"),
        ["init", "plan a b.toml"]
    );
    assert_eq!(of("cargo run --release -p llem -- doctor --json | jq ."), ["doctor --json"]);
    assert!(of("llem engine fake 8000 &").is_empty() && of("echo llem run").is_empty());
}
