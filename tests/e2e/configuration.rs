//! Every key of the configuration has an effect, by the file and by its variable, and the variable takes precedence.
//!
//! A new key without a probe here fails, as does one whose probe sees nothing.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixListener,
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use llem_fake_nvml::{Config, GpuConfig, Profile};
use llem_tests::{Answer, Workspace};
use serde_json::Value;

use crate::{energy::Bench, small_study, workspace};

/// What one value makes `llem` do, as a text; two values must make it do different things.
type Probe = fn(&Case) -> String;

/// A key with a value, by one way or the other.
struct Case {
    bench: Bench,
    key: String,
    variable: String,
    value: String,
    by_file: bool,
}

impl Case {
    fn new(key: &str, variable: &str, value: &str, by_file: bool) -> Self {
        let gpu = GpuConfig { power: Profile::constant(200.0), ..GpuConfig::default() };
        let bench = Bench::with(&Config { gpus: vec![gpu], ..Config::default() });
        let (key, variable, value) = (key.to_owned(), variable.to_owned(), value.to_owned());
        Self { bench, key, variable, value, by_file }
    }

    fn workspace(&self) -> &Workspace {
        &self.bench.workspace
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.workspace().path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.bench.command(args);
        let value = self.value.replace('@', &self.workspace().path().display().to_string());
        command.env_remove(&self.variable);
        if self.by_file {
            let (table, name) = self.key.split_once('.').expect("keys have a table");
            self.workspace().write("none.toml", &format!("[{table}]\n{name} = \"{value}\"\n"));
        } else {
            self.workspace().write("none.toml", "");
            command.env(&self.variable, value);
        }
        command
    }

    fn run(&self, args: &[&str]) -> Answer {
        Answer::of(&self.command(args).output().expect("the program under test starts"))
    }

    fn json(&self, args: &[&str]) -> Value {
        let answer = self.run(args);
        serde_json::from_str(&answer.stdout).unwrap_or_else(|_| panic!("{args:?}: {answer:?}"))
    }

    /// Runs a study over HTTP and gives its directory, wherever it is.
    fn study(&self) -> Answer {
        self.workspace().write("study.toml", &small_study("[traffic]\nconcurrency = 1\n"));
        let answer = self.run(&["run", "study.toml"]);
        assert_eq!(answer.code, Some(0), "{}", answer.stderr);
        answer
    }

    /// What `llem doctor` says of something.
    fn doctor(&self, subject: &str) -> String {
        let found = self.json(&["doctor", "--json"]);
        let lines = found.as_array().expect("a list").iter();
        let lines = lines.filter(|it| it["subject"] == subject);
        lines.map(|it| it["message"].to_string()).collect::<Vec<_>>().join("\n")
    }

    /// Those of these paths that are there, as names.
    fn there(&self, names: [&str; 2]) -> String {
        names.into_iter().filter(|it| self.path(it).exists()).collect::<Vec<_>>().join(" ")
    }
}

/// A probe of each key, with two values; `@` is the directory of the test.
fn probes() -> BTreeMap<&'static str, (Probe, [&'static str; 2])> {
    let run: Probe = |case| {
        case.study();
        let requests = fs::read_dir(case.workspace().results().join("requests"));
        let requests =
            requests.expect("they are kept").next().expect("one trial").expect("readable");
        let text = fs::read(requests.path()).expect("readable");
        let notes = String::from_utf8_lossy(&text).into_owned();
        let start = notes.find("the load generator ran").unwrap_or(notes.len());
        notes[start..].chars().take(60).collect()
    };
    let cache: Probe = |case| {
        case.run(&["params", "candle"]);
        case.there(["one", "two"])
    };
    BTreeMap::from([
        ("cache.directory", (cache, ["@/one", "@/two"])),
        (
            "cache.limit_gib",
            (
                |case| case.json(&["cache", "--json"])["artefact_limit_bytes"].to_string(),
                ["3", "4"],
            ),
        ),
        ("client.cores", (run, ["0", "1"])),
        ("client.priority", (run, ["0", "1"])),
        ("containers.engine", (|case| case.doctor("engine"), ["unix:///no/one", "unix:///no/two"])),
        ("containers.network", (network, ["bridge", "host"])),
        (
            "data.directory",
            (
                |case| {
                    let component = include_bytes!("../../host/plugin/tests/hostile.wasm");
                    fs::write(case.path("x.wasm"), component).expect("writable");
                    let added = case.run(&["plugin", "add", "./x.wasm", "--allow", "program:true"]);
                    assert_eq!(added.code, Some(0), "{}", added.stderr);
                    case.there(["one", "two"])
                },
                ["@/one", "@/two"],
            ),
        ),
        (
            "host.cores",
            (
                |case| {
                    case.workspace().write("study.toml", &small_study(""));
                    let answer = case.run(&["run", "study.toml"]);
                    format!("{:?} {}", answer.code, answer.stderr.contains("no processor 4095"))
                },
                ["0", "4095"],
            ),
        ),
        (
            "instruments.nvml_library",
            (|case| case.doctor("nvml"), ["@/libnvidia-ml.so.1", "@/no.so"]),
        ),
        (
            "instruments.sysfs",
            (
                |case| {
                    let zone = case.path("sys/class/powercap/intel-rapl:0");
                    fs::create_dir_all(&zone).expect("writable");
                    let files = [
                        ("name", "package-0"),
                        ("max_energy_range_uj", "65536000000"),
                        ("energy_uj", "1"),
                    ];
                    for (file, text) in files {
                        fs::write(zone.join(file), text).expect("writable");
                    }
                    let stop = AtomicBool::new(false);
                    thread::scope(|scope| {
                        scope.spawn(|| {
                            for microjoules in (1_000..).step_by(20_000) {
                                fs::write(zone.join("next"), microjoules.to_string())
                                    .expect("writable");
                                fs::rename(zone.join("next"), zone.join("energy_uj"))
                                    .expect("writable");
                                thread::sleep(Duration::from_millis(1));
                                if stop.load(Ordering::Relaxed) {
                                    break;
                                }
                            }
                        });
                        let said = case.doctor("rapl");
                        stop.store(true, Ordering::Relaxed);
                        said
                    })
                },
                ["@/sys", "@/nothing"],
            ),
        ),
        ("instruments.watts_per_thread", (|case| case.doctor("cpu"), ["3", "5"])),
        (
            "locks.directory",
            (
                |case| {
                    case.study();
                    case.there(["one", "two"])
                },
                ["@/one", "@/two"],
            ),
        ),
        (
            "plugins.path",
            (
                |case| {
                    fs::create_dir_all(case.path("one")).expect("writable");
                    fs::create_dir_all(case.path("two")).expect("writable");
                    let component = include_bytes!("../../host/plugin/tests/hostile.wasm");
                    fs::write(case.path("two/another.wasm"), component).expect("writable");
                    case.run(&["plugin", "list"]).stdout.contains("hostile").to_string()
                },
                ["@/one", "@/two"],
            ),
        ),
        (
            "results.directory",
            (
                |case| {
                    case.study();
                    case.there(["one", "two"])
                },
                ["@/one", "@/two"],
            ),
        ),
    ])
}

/// The network that a container engine is asked for: it is all answers, and no container ever starts.
fn network(case: &Case) -> String {
    let asked = Arc::new(Mutex::new(String::new()));
    let socket = case.path("engine.sock");
    serve(&socket, &asked);
    let study = small_study(
        "runner = \"container\"\nimage = \"llem-candle:1\"\n[traffic]\nconcurrency = 1\n",
    );
    case.workspace().write("study.toml", &study);
    let mut command = case.command(&["run", "study.toml"]);
    command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
    let answer = Answer::of(&command.output().expect("the program under test starts"));
    let asked = asked.lock().expect("nobody panicked").clone();
    assert!(asked.contains("NetworkMode"), "{asked}\n{}", answer.stderr);
    let mode = asked.split("\"NetworkMode\":\"").nth(1).and_then(|it| it.split('"').next());
    mode.unwrap_or_default().to_owned()
}

fn serve(socket: &Path, asked: &Arc<Mutex<String>>) {
    let listener = UnixListener::bind(socket).expect("the path is short");
    let asked = Arc::clone(asked);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, asked) = (stream.expect("it is local"), Arc::clone(&asked));
            thread::spawn(move || {
                let mut request = vec![0_u8; 1 << 16];
                while let Ok(length @ 1..) = stream.read(&mut request) {
                    let text = String::from_utf8_lossy(&request[..length]).into_owned();
                    let path = text.split(' ').nth(1).unwrap_or_default();
                    let (status, body) = match path {
                        it if it.contains("/containers/create") => {
                            ("500 No", r#"{"message":"no"}"#)
                        }
                        it if it.contains("/containers/json") => ("200 OK", "[]"),
                        it if it.contains("/networks/") => ("200 OK", r#"{"Name":"bridge"}"#),
                        it if it.contains("/images/") => ("200 OK", r#"{"Id":"sha256:1"}"#),
                        _ => ("200 OK", r#"{"Version":"28.1.1","ApiVersion":"1.44"}"#),
                    };
                    if path.contains("/containers/create") || text.contains("NetworkMode") {
                        asked.lock().expect("nobody panicked").push_str(&text);
                    }
                    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json");
                    let length = body.len();
                    drop(write!(stream, "{head}\r\ncontent-length: {length}\r\n\r\n{body}"));
                }
            });
        }
    });
}

#[test]
fn every_key_has_an_effect_by_the_file_and_by_its_variable() {
    let listed = workspace().llem(&["config", "--json"]);
    let listed: Value = serde_json::from_str(&listed.stdout).expect("it is JSON");
    let keys = listed["keys"].as_array().expect("a list");
    let probes = probes();
    assert!(keys.len() >= probes.len(), "each probe is of a key");
    thread::scope(|scope| {
        for line in keys {
            let (key, variable) = (line["key"].as_str(), line["variable"].as_str());
            let (key, variable) = key.zip(variable).expect("both are texts");
            let (probe, values) = probes[key];
            for by_file in [true, false] {
                scope.spawn(move || {
                    let seen = values.map(|it| probe(&Case::new(key, variable, it, by_file)));
                    assert!(
                        seen[0] != seen[1],
                        "{key} by file: {by_file} changes nothing: {seen:?}"
                    );
                });
            }
        }
    });
}

#[test]
fn the_command_line_is_before_the_environment_and_that_before_the_file() {
    let workspace = workspace();
    workspace.write("config.toml", "[results]\ndirectory = \"by-file\"\n");
    workspace.write("study.toml", &small_study(""));
    let run = |args: &[&str], variable: &str| {
        let mut command = workspace.command(&[&["run", "study.toml"], args].concat());
        command.env("LLEM_CONFIG", workspace.path().join("config.toml"));
        let output = command.env("LLEM_RESULTS", variable).output().expect("it starts");
        assert!(output.status.success(), "{}", Answer::of(&output).stderr);
    };
    let is_there = |name: &str| workspace.path().join(name).is_dir();
    run(&["--results", "by-option"], "by-variable");
    assert!(is_there("by-option") && !is_there("by-variable") && !is_there("by-file"));
    run(&[], "by-variable");
    assert!(is_there("by-variable") && !is_there("by-file"));
    run(&[], "");
    assert!(is_there("by-file") && !is_there("results"));
}

#[test]
fn config_says_who_set_what() {
    let workspace = workspace();
    let path = workspace.path().join("config.toml");
    let show = |text: &str, args: &[&str]| {
        workspace.write("config.toml", text);
        let mut command = workspace.command(&[&["config"], args].concat());
        command.env("LLEM_CONFIG", &path).env("LLEM_CLIENT_CORES", "1");
        Answer::of(&command.output().expect("it starts"))
    };
    let shown =
        show("[cache]\nlimit_gib = 7\n[carbon]\ngrams_per_kilowatt_hour = 310\n", &[]).stdout;
    for expected in [
        "cache.limit_gib = 7\n    what built artefacts may have together, GiB\n    from the file",
        "client.cores = 1\n",
        "from LLEM_CLIENT_CORES",
        "client.priority = 0\n",
        "default; LLEM_CLIENT_PRIORITY would set it",
        "electricity: 310 g/kWh",
    ] {
        assert!(shown.contains(expected), "`{expected}` in\n{shown}");
    }
    let wrong = show("[cache]\nlimits = 7\n", &["--json"]);
    assert_eq!((wrong.code, wrong.stdout.as_str()), (Some(2), ""));
    assert!(
        wrong.stderr.contains("no key `cache.limits`; there are `cache.directory`"),
        "{}",
        wrong.stderr
    );
    let mut command = workspace.command(&["plan", "study.toml"]);
    command.env("LLEM_CACHE_LIMIT_GIB", "much");
    let wrong = Answer::of(&command.output().expect("it starts"));
    assert!(
        wrong.stderr.contains("`LLEM_CACHE_LIMIT_GIB` must be a whole number"),
        "{}",
        wrong.stderr
    );
}
