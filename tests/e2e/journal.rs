//! Journals and disks in every bad state: a clear error or a clean recovery, and no record lost.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use llem_tests::Workspace;
use serde_json::Value;

use crate::fake::{ENGINES, bench, study};

fn finished() -> (Workspace, Vec<Value>) {
    let workspace = bench("");
    workspace.write("study.toml", &study("1", ENGINES));
    let answer = workspace.llem(&["run", "study.toml"]);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let records = workspace.records();
    assert_eq!(records.len(), 2);
    (workspace, records)
}

#[test]
fn a_journal_that_was_cut_loses_only_what_was_cut() {
    let (workspace, before) = finished();
    let path = workspace.results().join("journal.jsonl");
    let whole = fs::read(&path).expect("readable");
    // In the middle of the last record.
    fs::write(&path, &whole[..whole.len() - 500]).expect("writable");
    let answer = workspace.llem(&["run", "study.toml", "--resume"]);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let records = workspace.records();
    assert_eq!(records.len(), 2, "the second trial ran again");
    assert_eq!(records[0], before[0], "the first did not");
    assert_eq!(records[1]["trial"], before[1]["trial"]);
    assert_ne!(records[1]["started_at"], before[1]["started_at"]);
}

#[test]
fn a_flipped_bit_is_named_with_its_line_and_changes_nothing() {
    let (workspace, _) = finished();
    let path = workspace.results().join("journal.jsonl");
    let whole = fs::read(&path).expect("readable");
    let third = whole.split_inclusive(|it| *it == b'\n').take(2).map(<[u8]>::len).sum::<usize>();
    // In the header, and in the first record.
    for (at, line) in [(40, "line 1"), (third + 300, "line 3")] {
        let mut flipped = whole.clone();
        flipped[at] ^= 4;
        fs::write(&path, &flipped).expect("writable");
        for args in [&["run", "study.toml", "--resume"][..], &["show", "results"]] {
            let mut args: Vec<&str> = args.to_vec();
            let results = workspace.results();
            if args[0] == "show" {
                args[1] = results.to_str().expect("a plain name");
            }
            let answer = workspace.llem(&args);
            assert_eq!(answer.code, Some(3), "{args:?}: {}", answer.stderr);
            for part in [line, "is damaged", "journal.jsonl", "hint:"] {
                assert!(answer.stderr.contains(part), "`{part}` is not in {}", answer.stderr);
            }
        }
        assert_eq!(fs::read(&path).expect("readable"), flipped, "it is as it was");
    }
}

/// Whether this user may mount file systems of its own, as a container may forbid.
fn may_mount() -> bool {
    let mounted = Command::new("unshare")
        .args(["-rm", "sh", "-c", "mount -t tmpfs none /mnt"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    mounted.is_ok_and(|it| it.success())
}

/// A shell script in file systems of its own.
fn contained(workspace: &Workspace, script: &str) -> Command {
    let llem = workspace.command(&[]);
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", script]).current_dir(workspace.path());
    command.env("LLEM", llem.get_program());
    for (name, value) in llem.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command
}

/// The first journal below a directory that has a record.
fn journal_with_record(results: &Path) -> Option<PathBuf> {
    let paths = fs::read_dir(results).ok()?.flatten().map(|it| it.path().join("journal.jsonl"));
    let has_record =
        |it: &PathBuf| fs::read_to_string(it).is_ok_and(|it| it.contains("\"entry\":\"record\""));
    paths.into_iter().find(has_record)
}

#[test]
fn a_full_disk_ends_the_run_clearly_and_room_lets_it_go_on() {
    if !may_mount() {
        return;
    }
    let workspace = bench("");
    workspace.write("study.toml", &study("2", ENGINES));
    fs::create_dir(workspace.path().join("results")).expect("writable");
    let script = "mount -t tmpfs -o size=4m none results
        \"$LLEM\" run study.toml --quiet 2> full.txt; echo $? > full.code
        rm -f results/filler; cp -r results kept
        \"$LLEM\" run study.toml --quiet --resume 2> again.txt; echo $? > again.code
        cp -r results done";
    let mut shell = contained(&workspace, script).spawn().expect("unshare starts");
    let inside = format!("/proc/{}/root{}", shell.id(), workspace.path().display());
    let results = Path::new(&inside).join("results");
    let deadline = Instant::now() + Duration::from_mins(2);
    while journal_with_record(&results).is_none() {
        assert!(Instant::now() < deadline, "a first record within two minutes");
        thread::sleep(Duration::from_millis(20));
    }
    let mut filler = OpenOptions::new()
        .create(true)
        .append(true)
        .open(results.join("filler"))
        .expect("there is room for a name");
    // The last bytes one by one: nothing is left for anybody.
    for size in [65_536, 1_024, 1] {
        while filler.write_all(&vec![0; size]).is_ok() {}
    }
    // Its blocks are free once it is removed and nobody has it open.
    drop(filler);
    assert!(shell.wait().expect("it was started").success());
    let text =
        |name: &str| fs::read_to_string(workspace.path().join(name)).expect("the script wrote it");
    assert_eq!(text("full.code"), "3\n", "{}", text("full.txt"));
    for part in ["No space left", "hint:", "--resume"] {
        assert!(text("full.txt").contains(part), "`{part}` is not in {}", text("full.txt"));
    }
    assert_eq!(text("again.code"), "0\n", "{}", text("again.txt"));
    let records = |name: &str| -> Vec<String> {
        let path = journal_with_record(&workspace.path().join(name)).expect("it has records");
        let text = fs::read_to_string(path).expect("readable");
        text.lines().filter(|it| it.contains("\"entry\":\"record\"")).map(str::to_owned).collect()
    };
    let (before, after) = (records("kept"), records("done"));
    assert!((1..4).contains(&before.len()), "{} records when it was full", before.len());
    assert_eq!(after.len(), 4, "all trials");
    assert_eq!(after[..before.len()], before[..], "finished records are as they were");
}

#[test]
fn a_directory_that_may_not_be_written_is_named() {
    if !may_mount() {
        return;
    }
    let (workspace, before) = finished();
    let script = "mount --bind results results && mount -o remount,ro,bind results
        \"$LLEM\" run study.toml --quiet 2> new.txt; echo $? > new.code
        \"$LLEM\" run study.toml --quiet --resume 2> again.txt; echo $? > again.code";
    let status = contained(&workspace, script).status().expect("unshare starts");
    assert!(status.success());
    let text =
        |name: &str| fs::read_to_string(workspace.path().join(name)).expect("the script wrote it");
    for run in ["new", "again"] {
        let said = text(&format!("{run}.txt"));
        assert_eq!(text(&format!("{run}.code")), "3\n", "{said}");
        for part in ["results", "Read-only file system", "hint:"] {
            assert!(said.contains(part), "{run}: `{part}` is not in {said}");
        }
    }
    assert_eq!(workspace.records(), before);
}
