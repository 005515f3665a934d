//! A large cluster, simulated by stand-ins for Slurm's commands: nothing is lost or doubled, whatever tasks do, and the
//! controller stays small.
//!
//! `LLEM_TEST_NODES` and `LLEM_TEST_EXPERIMENTS` (four trials each) say how large, `LLEM_TEST_SHARDS` in how many tasks (as many
//! as experiments where it is not said), `LLEM_TEST_TASK_SECONDS` how long a task takes, and `LLEM_TEST_LLEM` which program is
//! measured; BENCHMARKS.md has figures.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use llem_tests::{
    Answer, Workspace,
    fake_slurm::{State, install, see},
};

fn setting(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|it| it.parse().ok()).unwrap_or(otherwise)
}

/// A workspace with a cluster that nobody has.
struct Simulation {
    workspace: Workspace,
    experiments: usize,
}

impl Simulation {
    fn new(faults: bool) -> Self {
        let llem = std::env::var("LLEM_TEST_LLEM");
        let llem = llem.unwrap_or_else(|_| env!("CARGO_BIN_EXE_llem-under-test").to_owned());
        let workspace = Workspace::new(&llem);
        let seconds = Duration::from_millis(
            u64::try_from(setting("LLEM_TEST_TASK_SECONDS", 1)).expect("few") * 1_000,
        );
        let nodes = setting("LLEM_TEST_NODES", 20);
        let cluster = State::new(nodes, seconds.as_secs_f64(), faults);
        let stand_in = env!("CARGO_BIN_EXE_fake-slurm");
        install(workspace.path(), stand_in, &cluster).expect("writable");
        let experiments = setting("LLEM_TEST_EXPERIMENTS", 40);
        let study = format!(
            "name = \"simulated\"\n[model]\nid = \"random:tiny-llama-15m\"\n[measure]\nrepeats = 4\n\
             [plugin.candle]\n[sweep]\n\"candle.engine.context_length\" = \
             {{ linear = [512, {}], points = {experiments} }}\n\
             [executor]\nkind = \"slurm\"\nshards = {}\n",
            511 + experiments,
            setting("LLEM_TEST_SHARDS", experiments)
        );
        workspace.write("study.toml", &study);
        Self { workspace, experiments }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.workspace.command(args);
        see(&mut command, self.workspace.path());
        command
    }

    fn state(&self) -> State {
        let text = fs::read(self.workspace.path().join("state.json")).expect("it is there");
        serde_json::from_slice(&text).expect("it is whole")
    }

    /// Runs to the end; gives the answer, processor seconds and the greatest memory of the controller itself in MiB.
    fn measured(&self, args: &[&str]) -> (Answer, f64, f64) {
        let output = self.workspace.path().join("stderr");
        let stderr = fs::File::create(&output).expect("writable");
        let mut child = self
            .command(args)
            .stderr(stderr)
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("the program under test starts");
        let process = PathBuf::from(format!("/proc/{}", child.id()));
        let (mut seconds, mut memory) = (0.0_f64, 0.0_f64);
        let status = loop {
            seconds = seconds.max(processor_seconds(&process).unwrap_or(0.0));
            memory = memory.max(peak_mib(&process).unwrap_or(0.0));
            if let Some(status) = child.try_wait().expect("it was started") {
                break status;
            }
            thread::sleep(Duration::from_millis(5));
        };
        let stderr = fs::read_to_string(output).expect("it was written");
        (Answer { code: status.code(), stdout: String::new(), stderr }, seconds, memory)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let text = serde_json::to_vec(&state).expect("plain data");
        fs::write(self.workspace.path().join("state.json"), text).expect("writable");
    }

    /// Until nothing waits or runs in the cluster.
    fn wait(&self) {
        let deadline = Instant::now() + Duration::from_mins(10);
        while !self.state().is_idle() {
            assert!(Instant::now() < deadline, "the cluster comes to its end");
            let squeue = self.workspace.path().join("bin/squeue");
            Command::new(squeue)
                .env("LLEM_FAKE_SLURM", self.workspace.path())
                .output()
                .expect("the stand-in starts");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// The limit is for studies of up to 10,000 trials: records are held in memory.
    fn check_memory(&self, mib: f64) {
        assert!(mib < 200.0 || 4 * self.experiments > 10_000, "{mib} MiB");
    }

    /// Each trial has one record, with raw data beside it.
    fn check_complete(&self, answer: &Answer) {
        assert_eq!(answer.code, Some(0), "{}", answer.stderr);
        let records = self.workspace.records();
        let trials: BTreeSet<String> = records.iter().map(|it| it["trial"].to_string()).collect();
        assert_eq!((records.len(), trials.len()), (4 * self.experiments, 4 * self.experiments));
        let count =
            |kind: &str| fs::read_dir(self.workspace.results().join(kind)).map(Iterator::count);
        assert_eq!(count("series").expect("it is there"), 4 * self.experiments);
        // No block spans two boards.
        let places: BTreeSet<(u64, String)> = records
            .iter()
            .map(|it| {
                (it["site"]["block"].as_u64().expect("a block"), it["site"]["boards"].to_string())
            })
            .collect();
        let blocks: BTreeSet<u64> = places.iter().map(|it| it.0).collect();
        assert_eq!(blocks.len(), places.len());
    }
}

/// Processor time of a process without its children.
fn processor_seconds(process: &Path) -> Option<f64> {
    let text = fs::read_to_string(process.join("stat")).ok()?;
    let fields: Vec<&str> = text.rsplit(')').next()?.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().ok()? + fields[12].parse::<f64>().ok()?;
    Some(ticks / 100.0)
}

fn peak_mib(process: &Path) -> Option<f64> {
    let text = fs::read_to_string(process.join("status")).ok()?;
    let line = text.lines().find_map(|it| it.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").trim().parse::<f64>().ok()? / 1024.0)
}

#[expect(clippy::print_stderr, reason = "figures for BENCHMARKS.md")]
fn tell(text: &str) {
    eprintln!("{text}");
}

#[test]
fn a_cluster_whose_tasks_and_nodes_fail_loses_and_doubles_nothing() {
    let simulation = Simulation::new(true);
    let (answer, seconds, memory) = simulation.measured(&["run", "study.toml", "--poll", "0.2"]);
    simulation.check_complete(&answer);
    for part in ["ended unfinished (NODE_FAIL); try 2 of 5", "is not used any more", "run twice"] {
        assert!(answer.stderr.contains(part), "{part} in {}", answer.stderr);
    }
    simulation.check_memory(memory);
    let results = simulation.workspace.results().display().to_string();
    let shown = simulation.workspace.llem(&["show", &results]);
    for part in [" boards of ", "between boards"] {
        assert!(shown.stdout.contains(part), "{part} in {}", shown.stdout);
    }
    let polls = simulation.state().polls;
    tell(&format!("followed: {seconds} s of processor time, {memory:.0} MiB, {polls} polls"));
}

#[test]
fn what_ran_while_nobody_followed_is_merged_at_once() {
    let simulation = Simulation::new(false);
    let answer = Answer::of(
        &simulation.command(&["run", "study.toml", "--detach"]).output().expect("it starts"),
    );
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    simulation.wait();
    let started = Instant::now();
    let (answer, seconds, memory) =
        simulation.measured(&["run", "study.toml", "--resume", "--quiet"]);
    let took = started.elapsed().as_secs_f64();
    simulation.check_complete(&answer);
    simulation.check_memory(memory);
    let journal = fs::metadata(simulation.workspace.results().join("journal.jsonl"));
    let megabytes = journal.expect("it is there").len() / 1_000_000;
    tell(&format!(
        "reopened: merged in {took:.1} s, {seconds} s of processor time, {memory:.0} MiB; a journal of {megabytes} MB"
    ));
}

#[test]
fn what_failed_is_tried_again_by_whoever_follows_and_nothing_else_is() {
    let simulation = Simulation::new(false);
    let trials = 4 * simulation.experiments;
    let run = |args: &[&str]| {
        let all = [&["run", "study.toml", "--quiet", "--poll", "0.2"], args].concat();
        Answer::of(&simulation.command(&all).output().expect("it starts"))
    };
    simulation.change(|it| it.failing = true);
    let answer = run(&[]);
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    let is_failed = |it: &&serde_json::Value| it["outcome"]["status"] == "failed";
    let before = simulation.workspace.records();
    let failed = before.iter().filter(is_failed).count();
    assert!(before.len() == trials && failed > 0 && failed < trials / 2, "{failed} failed");
    // Submitted by one controller, followed by another that knows of it from the ledger alone.
    simulation.change(|it| it.failing = false);
    let answer = run(&["--resume", "--retry-failed", "--detach"]);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    simulation.wait();
    let answer = run(&["--resume"]);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let after = simulation.workspace.records();
    assert_eq!(after.len(), trials + failed, "only what failed has run again");
    let again: BTreeSet<String> =
        after[trials..].iter().map(|it| it["trial"].to_string()).collect();
    let failed: BTreeSet<String> =
        before.iter().filter(is_failed).map(|it| it["trial"].to_string()).collect();
    assert_eq!(again, failed);
    assert_eq!(after[trials..].iter().filter(is_failed).count(), 0);
    let series = fs::read_dir(simulation.workspace.results().join("series"));
    assert_eq!(series.expect("it is there").count(), trials);
    // Nothing is left to do, for either command.
    for args in [&["--resume"][..], &["--resume", "--retry-failed"]] {
        let answer = run(args);
        assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    }
    assert_eq!(simulation.workspace.records().len(), trials + again.len());
}
