//! What an engine is kept within: its own port, its own processors, and a group that ends with it.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use llem_core::backend::{
    ArgPart, Command, Drive, GpuNeed, Limits, Network, PlanFile, Probe, Program, Readiness, Role,
    Runner, Step, Stop, StopSignal, Subject,
};
use llem_launch::{HostEnvironment, NotReady, Programs, Running, Site};
use llem_tests::{Workspace, processes_with};
use rustix::process::{Pid, Signal, kill_process};

use crate::{small_study, workspace};

/// An engine that is this Python.
fn python(code: &str, probe: Probe) -> Step {
    let drive = Drive::Http {
        protocol: "openai-completions".into(),
        base_path: "/v1".into(),
        served_model: "m".into(),
        body: Vec::new(),
        reports_usage: true,
    };
    let file = "engine.py".to_owned();
    Step {
        id: "serve".into(),
        title: "Engine".into(),
        role: Role::Subject(Subject { drive, metrics: None, inspections: Vec::new() }),
        runner: Runner::Process,
        image: None,
        command: Command {
            program: Program::Named("python3".into()),
            args: vec![vec![ArgPart::File(file.clone())], vec![ArgPart::Port]],
        },
        env: Vec::new(),
        mounts: Vec::new(),
        files: vec![PlanFile { name: file, contents: code.into(), executable: false }],
        gpus: GpuNeed::default(),
        network: Network::Local,
        shm_mib: None,
        readiness: Readiness { probes: vec![probe], interval_ms: 10, deadline_ms: 60_000 },
        signals: Vec::new(),
        limits: Limits::default(),
        stop: Stop { signal: StopSignal::Term, grace_ms: 500 },
    }
}

fn started(step: &Step, place: &Path, port: u16) -> Running {
    let site = Site {
        supervisor: env!("CARGO_BIN_EXE_llem-under-test").into(),
        scratch_parent: place.to_owned(),
        model: "m".into(),
        port,
        artefacts: std::collections::BTreeMap::new(),
        log_file: None,
    };
    let path = std::env::var("PATH").ok();
    let programs = Programs::new(&[], path.as_deref());
    let variables = [("CARGO_REGISTRY_TOKEN".to_owned(), "of the user".to_owned())].into();
    let host = HostEnvironment { variables, ..HostEnvironment::default() };
    Running::start(step, &site, &programs, &host).expect("it starts")
}

#[test]
fn an_engine_is_not_ready_while_another_program_answers_at_its_port() {
    let workspace = workspace();
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = other.local_addr().expect("it is bound").port();
    let step = python("import time\ntime.sleep(60)\n", Probe::Tcp);
    let mut running = started(&step, workspace.path(), port);
    let error = running.wait_ready(&|| false).expect_err("another one answers");
    assert!(matches!(&error, NotReady::Stranger { port: found, .. } if *found == port), "{error}");
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    running.stop();

    // The same with a port of its own, which a descendant of the engine has.
    let step = python(
        "import os, socket, sys, time\nif os.fork():\n    time.sleep(60)\n\
         server = socket.create_server(('127.0.0.1', int(sys.argv[1])))\ntime.sleep(60)\n",
        Probe::Tcp,
    );
    let mut running = started(&step, workspace.path(), Site::free_port().expect("one is free"));
    running.wait_ready(&|| false).expect("it is the engine's own");
    running.stop();
}

/// What an engine is started with: the environment's names, its session and group, its parent's session, and two limits.
const TELLS: &str = "import json, os, resource, time\n\
    told = dict(names=sorted(os.environ), home=os.environ['HOME'], session=os.getsid(0), group=os.getpgid(0),\n\
        parent=os.getsid(os.getppid()), core=resource.getrlimit(resource.RLIMIT_CORE),\n\
        processes=resource.getrlimit(resource.RLIMIT_NPROC), stdin=os.readlink('/proc/self/fd/0'))\n\
    open('partial', 'w').write(json.dumps(told))\nos.rename('partial', 'told')\ntime.sleep(60)\n";

#[test]
fn an_engine_has_an_environment_from_nothing_a_session_of_its_own_and_limits() {
    let workspace = workspace();
    let mut running = started(&python(TELLS, Probe::File("told".into())), workspace.path(), 0);
    running.wait_ready(&|| false).expect("it tells");
    let text = fs::read_to_string(running.scratch().join("told")).expect("it was written");
    let told: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let names = told["names"].as_array().expect("a list").iter().filter_map(|it| it.as_str());
    let foreign: Vec<&str> = names.filter(|it| it.starts_with("CARGO")).collect();
    assert_eq!(foreign, [""; 0], "cargo gives this test many, and the host's has one");
    let home = running.scratch().join("home");
    assert_eq!(told["home"].as_str(), home.to_str());
    // From /proc: where a container's process was started from outside, its session has no number here, which is 0.
    let own = fs::read_to_string("/proc/self/stat").expect("Linux says so");
    let own = own
        .rsplit(')')
        .next()
        .and_then(|it| it.split_whitespace().nth(3))
        .expect("the fourth after the name");
    let own: u32 = own.parse().expect("a number");
    assert_ne!(told["session"], own, "a session of its own: no terminal reaches it");
    assert_eq!(told["session"], told["parent"], "its supervisor's");
    assert_eq!(told["group"], running.pid());
    assert_eq!(told["core"], serde_json::json!([0, 0]));
    assert!(told["processes"][0].as_u64() <= Some(32_768), "{told:#}");
    assert_eq!(told["stdin"], "/dev/null");
    running.stop();
}

/// Whether control groups of the second version can be made here; nothing else ends what outlives its supervisor.
fn has_groups() -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let root = mounts.lines().find(|it| it.contains(" - cgroup2 "));
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own.lines().find_map(|it| it.strip_prefix("0::/").map(str::to_owned));
    let (Some(root), Some(own)) = (root.and_then(|it| it.split(' ').nth(4)), own) else {
        return false;
    };
    let probe = Path::new(root).join(own).join(format!("probe-{}", std::process::id()));
    fs::create_dir(&probe).and_then(|()| fs::remove_dir(&probe)).is_ok()
}

#[test]
fn what_an_engine_forked_ends_even_when_its_supervisor_was_killed() {
    if has_groups() {
        forks_and_loses_its_supervisor(false);
        forks_and_loses_its_supervisor(true);
    }
}

fn forks_and_loses_its_supervisor(by_the_next_run: bool) {
    let workspace = workspace();
    let code = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    open('forked', 'w')\n    \
                time.sleep(600)\ntime.sleep(600)\n";
    let step = python(code, Probe::File("forked".into()));
    let mut running = started(&step, workspace.path(), 0);
    running.wait_ready(&|| false).expect("it forks");
    let stat = fs::read_to_string(format!("/proc/{}/stat", running.pid())).expect("it runs");
    let parent = stat.rsplit(')').next().and_then(|it| it.split_whitespace().nth(1));
    let supervisor = parent.and_then(|it| it.parse().ok()).and_then(Pid::from_raw);
    kill_process(supervisor.expect("a number"), Signal::KILL).expect("it is ours");
    let place = workspace.path().display().to_string();
    thread::sleep(Duration::from_millis(200));
    // What was forked is nobody's child any more. A run that another test starts may have ended it by now.
    assert!(processes_with(&place).len() <= 1, "the engine itself ends with its supervisor");
    if by_the_next_run {
        // As where the host was killed as well.
        llem_launch::end_orphans();
    } else {
        running.stop();
    }
    assert_eq!(processes_with(&place), Vec::<u32>::new());
}

fn allowed(pid: u32) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|it| it.strip_prefix("Cpus_allowed_list:"))?;
    Some(line.trim().to_owned())
}

/// Whether the processors can be divided into the first and the others: with one, or without the first, they can't.
pub(crate) fn has_two_processors() -> bool {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let own = allowed(std::process::id()).expect("Linux says so");
    all >= 2 && (own.starts_with("0-") || own.starts_with("0,"))
}

/// Where the engine of a running study may run, as soon as there is one. Of the engine alone: its supervisor is the host's.
pub(crate) fn processors_of_engine(workspace: &Workspace) -> String {
    let deadline = Instant::now() + Duration::from_mins(2);
    let place = workspace.path().display().to_string();
    let is_engine = |pid: &u32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.split(|it| *it == 0).nth(1) == Some(b"engine")
    };
    loop {
        let engine = processes_with(&place).into_iter().find(is_engine);
        if let Some(found) = engine.and_then(allowed) {
            return found;
        }
        assert!(Instant::now() < deadline, "an engine runs within two minutes");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn engines_are_kept_away_from_the_hosts_processors() {
    let workspace = workspace();
    workspace.write("study.toml", &small_study("").replace("repeats = 1", "repeats = 3"));
    let with = |cores: &str| {
        let mut command = workspace.command(&["run", "study.toml", "--quiet"]);
        command.env("LLEM_HOST_CORES", cores);
        command
    };
    let wrong = with("0-1").output().expect("it starts");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("found `0-1`"));
    if !has_two_processors() {
        return;
    }
    let mut run = with("0").spawn().expect("it starts");
    let seen = processors_of_engine(&workspace);
    assert_eq!(allowed(run.id()).as_deref(), Some("0"));
    assert!(seen.split([',', '-']).all(|it| it != "0"), "{seen}");
    assert!(run.wait().expect("it is ours").success());
    let text = fs::read_to_string(workspace.results().join("environment.json")).expect("written");
    let environment: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(environment["host_cores"], serde_json::json!([0]));
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    assert_eq!(environment["engine_cores"].as_array().map(Vec::len), Some(all - 1));
}
