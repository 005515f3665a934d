//! Studies on a real Slurm cluster of one node. `tests/slurm/run` installs what it takes and starts them.

mod faults;
mod study;

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use llem_tests::{Answer, Workspace, slurm::Cluster};

/// A cluster, and a workspace whose `llem` submits to it.
struct Site {
    cluster: Cluster,
    workspace: Workspace,
}

impl Site {
    fn new() -> Self {
        let cluster = Cluster::start();
        Self { cluster, workspace: Workspace::new(env!("CARGO_BIN_EXE_llem-under-test")) }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.workspace.command(args);
        command.env("SLURM_CONF", self.cluster.configuration());
        command
    }

    fn llem(&self, args: &[&str]) -> Answer {
        Answer::of(&self.command(args).output().expect("the program under test starts"))
    }

    /// Waits for a condition; says what the cluster did where it does not come.
    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_mins(8);
        while !holds() {
            assert!(
                Instant::now() < deadline,
                "{what}\n{}\n{}",
                self.cluster.slurm("squeue", &["--array", "--states=all"]),
                self.cluster.logs()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Records that tasks have written so far, merged or not.
    fn recorded(&self) -> usize {
        let root = self.workspace.path().join("results");
        let journals = walk(&root).into_iter().filter(|it| it.contains("/shards/"));
        let text = journals.map(|it| std::fs::read_to_string(it).unwrap_or_default());
        text.map(|it| it.matches("\"entry\":\"record\"").count()).sum()
    }
}

/// All journals below a directory.
fn walk(root: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else if path.ends_with("journal.jsonl") {
            found.push(path.display().to_string());
        }
    }
    found
}
