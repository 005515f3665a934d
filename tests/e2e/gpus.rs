//! Power limits and clocks of a study's GPUs, on GPUs that do not exist: what is set holds while it is measured, and is
//! put back whatever becomes of the study.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use llem_fake_nvml::{Config, Faults, GpuConfig, Settings};
use llem_tests::{Answer, processes_with};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{energy::Bench, small_study};

const UUID: &str = "GPU-00000000-0000-0000-0000-000000000000";
const OTHER: &str = "GPU-11111111-0000-0000-0000-000000000000";
const ALLOWED: [&str; 2] = ["--allow", "gpu:power_limit"];
const BOTH: [&str; 4] = ["--allow", "gpu:power_limit", "--allow", "gpu:sm_clock"];

/// A machine whose GPUs keep what is set on them in a file.
struct Machine {
    bench: Bench,
    file: PathBuf,
}

impl Machine {
    fn new(gpus: Vec<GpuConfig>) -> Self {
        let bench = Bench::with(&Config::default());
        let file = bench.workspace.path().join("set.json");
        bench.workspace.write("none.toml", "");
        let machine = Self { bench, file };
        machine.configure(gpus);
        machine
    }

    fn configure(&self, gpus: Vec<GpuConfig>) {
        let config = Config { gpus, settings: Some(self.file.clone()), ..Config::default() };
        let text = serde_json::to_string(&config).expect("plain data");
        self.bench.workspace.write("gpus.json", &text);
    }

    fn of(faults: Faults) -> Self {
        Self::new(vec![GpuConfig { faults, ..GpuConfig::default() }])
    }

    fn run(&self, study: &str, args: &[&str]) -> Answer {
        let mut command = self.started(study, args);
        Answer::of(&command.output().expect("the program under test starts"))
    }

    fn started(&self, study: &str, args: &[&str]) -> std::process::Command {
        self.bench.workspace.write("study.toml", study);
        self.bench.command(&[&["run", "study.toml", "--quiet"], args].concat())
    }

    /// A study that goes on for a minute, once it has set the limit.
    fn running(&self) -> Child {
        let study =
            small_study("[traffic]\nconcurrency = 2\n[gpu]\npower_limit = 300\nsm_clock = 1410\n");
        let mut command =
            self.started(&study.replace("window = \"1s\"", "window = \"60s\""), &BOTH);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        self.wait(Duration::from_mins(2), Some(300), Some(1410));
        child
    }

    fn set(&self) -> BTreeMap<String, Settings> {
        Settings::read(&self.file)
    }

    /// Waits until the first GPU has this limit in watts and this locked clock.
    fn wait(&self, longest: Duration, watts: Option<u32>, clock: Option<u32>) {
        let deadline = Instant::now() + longest;
        loop {
            let found = self.set().get(UUID).copied().unwrap_or_default();
            let locked = clock.map(|it| (it, it));
            if found.limit_milliwatts == watts.map(|it| it * 1_000)
                && found.locked_megahertz == locked
            {
                return;
            }
            assert!(Instant::now() < deadline, "{watts:?} W, {clock:?} MHz: it is {found:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The processes that guard GPUs of this machine.
    fn guards(&self) -> Vec<u32> {
        let here = self.bench.workspace.path().to_str().expect("a plain name").to_owned();
        let is_guard = |pid: &u32| {
            let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
            command.is_ok_and(|it| it.split('\0').nth(1) == Some("guard"))
        };
        processes_with(&here).into_iter().filter(is_guard).collect()
    }

    fn kill_guard(&self) {
        let guards = self.guards();
        assert_eq!(guards.len(), 1, "one guard");
        kill(guards[0], Signal::KILL);
    }
}

fn kill(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("small")).expect("not 0");
    kill_process(pid, signal).expect("it runs");
}

fn limited(further: &str) -> String {
    small_study(&format!("[gpu]\npower_limit = 300\n{further}"))
}

#[test]
fn a_swept_power_limit_is_set_read_back_recorded_and_put_back() {
    let other = GpuConfig { uuid: OTHER.to_owned(), limit_watts: 650.0, ..GpuConfig::default() };
    let machine = Machine::new(vec![GpuConfig::default(), other]);
    let study = small_study(
        "[traffic]\nconcurrency = 2\n[gpu]\nsm_clock = 1410\n[sweep]\n\"gpu.power_limit\" = [300, 400]\n",
    )
    .replace("repeats = 1", "repeats = 2");
    machine.bench.workspace.write("study.toml", &study);
    let plan = machine.bench.command(&["plan", "study.toml"]).output().expect("it starts");
    let plan = Answer::of(&plan).stdout;
    for expected in [
        "power_limit=300",
        "power_limit=400",
        "[gpu]\nsm_clock = 1410",
        "--allow gpu:power_limit --allow gpu:sm_clock",
    ] {
        assert!(plan.contains(expected), "`{expected}` in {plan}");
    }

    let answer = machine.run(&study, &BOTH);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let records = machine.bench.workspace.records();
    assert_eq!(records.len(), 4);
    for (record, watts) in records.iter().zip([300.0, 400.0, 300.0, 400.0]) {
        assert_eq!(record["engine"]["shared"], Value::Null, "each limit has its engine");
        for (setting, (gpu, before)) in record["gpu_settings"]
            .as_array()
            .expect("a list")
            .iter()
            .zip([(UUID, 700.0), (OTHER, 650.0)])
        {
            assert_eq!(setting["gpu"], gpu);
            let expected =
                json!({"asked_watts": watts, "in_force_watts": watts, "before_watts": before});
            assert_eq!(setting["power_limit"], expected, "{setting:#}");
            assert_eq!(setting["sm_clock"]["observed_megahertz"], 1410, "{setting:#}");
        }
    }
    let set = machine.set();
    assert_eq!(set[UUID].limit_milliwatts, Some(700_000));
    assert_eq!(set[OTHER].limit_milliwatts, Some(650_000));
    assert!(set.values().all(|it| it.locked_megahertz.is_none()), "{set:?}");
    assert_eq!(machine.guards(), Vec::<u32>::new());

    let results = machine.bench.workspace.results();
    let results = results.to_str().expect("a plain name");
    let answer = |args: &[&str]| {
        Answer::of(&machine.bench.command(args).output().expect("it starts")).stdout
    };
    let table = answer(&["export", results, "--format", "csv"]);
    assert!(table.lines().next().is_some_and(|it| it.contains("set.gpu.power_limit")), "{table}");
    let summary: Value = serde_json::from_str(&answer(&["show", "--json", results])).expect("JSON");
    assert!(summary["effects"].to_string().contains("gpu.power_limit"), "{summary:#}");
    answer(&["report", results]);
    let report = std::fs::read_to_string(format!("{results}/report.html")).expect("it was written");
    assert!(report.contains("gpu.power_limit") && report.contains("1410 MHz"));
}

#[test]
fn nothing_is_set_without_being_allowed() {
    let machine = Machine::new(vec![GpuConfig::default()]);
    let refused = machine.run(&limited("sm_clock = 1410\n"), &ALLOWED);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("not allowed: gpu:sm_clock"), "{}", refused.stderr);
    assert!(refused.stderr.contains("add --allow gpu:sm_clock"), "{}", refused.stderr);
    let submitted = machine.run(&limited(""), &["--executor", "slurm", "--dry-run"]);
    assert_eq!(submitted.code, Some(2), "{}", submitted.stderr);
    let allowed = [&["--executor", "slurm", "--dry-run"], &ALLOWED[..]].concat();
    let submitted = machine.run(&limited(""), &allowed);
    assert!(
        submitted.stdout.contains("gpu:power_limit"),
        "{}{}",
        submitted.stdout,
        submitted.stderr
    );
    // What is allowed and not asked for is left alone as well.
    let ordinary = machine.run(&small_study(""), &BOTH);
    assert_eq!(ordinary.code, Some(0), "{}", ordinary.stderr);
    assert!(!machine.file.exists(), "{:?}", machine.set());
}

#[test]
fn what_a_gpu_does_not_take_and_who_may_not_is_refused_before_anything_runs() {
    let gpu = GpuConfig::default;
    let no = Faults::default;
    let with = |faults| GpuConfig { faults, ..gpu() };
    let beyond =
        "[sweep]\n\"gpu.power_limit\" = [100, 300, 900]\n\"gpu.sm_clock\" = [1400, 1410]\n";
    let plain = "[gpu]\npower_limit = 300\n";
    let clock = "[gpu]\nsm_clock = 1410\n";
    let cases: Vec<(Vec<GpuConfig>, &str, i32, &[&str])> = vec![
        (
            vec![gpu()],
            beyond,
            2,
            &[
                "`gpu.power_limit` of 100 W: GPU-00000000-0000-0000-0000-000000000000 takes 200 to 700 W",
                "`gpu.power_limit` of 900 W",
                "`gpu.sm_clock` of 1400 MHz: nearest is 1395 MHz or 1410 MHz",
            ],
        ),
        (
            vec![with(Faults { settings_denied: true, ..no() })],
            plain,
            3,
            &[
                "this user may not change GPU-",
                "sudo llem run STUDY --allow gpu:power_limit",
                "-pl 300",
            ],
        ),
        (
            vec![with(Faults { settings_denied: true, ..no() })],
            clock,
            3,
            &["this user may not change GPU-", "--allow gpu:sm_clock", "-lgc 1410"],
        ),
        (
            vec![with(Faults { no_power_limit: true, ..no() })],
            plain,
            3,
            &["can't tell which power limits it has"],
        ),
        (
            vec![with(Faults { no_locked_clocks: true, ..no() })],
            clock,
            3,
            &["can't let its SM clock go"],
        ),
        (
            vec![GpuConfig { slices: vec!["MIG-1111".into()], ..gpu() }],
            plain,
            3,
            &["which MIG divides", "-mig 0"],
        ),
        (Vec::new(), plain, 3, &["this machine shows none"]),
    ];
    for (gpus, further, code, expected) in cases {
        let machine = Machine::new(gpus);
        let answer = machine.run(&small_study(further), &BOTH);
        assert_eq!(answer.code, Some(code), "{}", answer.stderr);
        for expected in expected {
            assert!(answer.stderr.contains(expected), "`{expected}` in {}", answer.stderr);
        }
        let is_untouched = machine.set().values().all(|it| it.calls == 0);
        assert!(is_untouched, "{:?}", machine.set());
        assert!(!machine.bench.workspace.path().join("results").exists());
    }
}

#[test]
fn a_study_that_is_killed_leaves_gpus_as_they_were() {
    let machine = Machine::new(vec![GpuConfig::default()]);
    let mut study = machine.running();
    study.kill().expect("it runs");
    machine.wait(Duration::from_secs(5), Some(700), None);
    study.wait().expect("it is ours");
}

#[test]
fn a_study_that_is_killed_with_its_guard_is_cleaned_up_after_by_the_next() {
    let machine = Machine::new(vec![GpuConfig::default()]);
    let mut study = machine.running();
    machine.kill_guard();
    study.kill().expect("it runs");
    study.wait().expect("it is ours");
    thread::sleep(Duration::from_millis(500));
    machine.wait(Duration::ZERO, Some(300), Some(1410));

    let doctor = || {
        let answer = machine.bench.command(&["doctor", "--json"]).output().expect("it starts");
        let found: Vec<Value> = serde_json::from_slice(&answer.stdout).expect("it is JSON");
        let is_left =
            |it: &&Value| it["message"].as_str().is_some_and(|it| it.contains("was killed"));
        found.iter().find(is_left).cloned()
    };
    let warning = doctor().expect("it is found");
    let fix = warning["fix"].as_str().expect("there is one");
    assert!(fix.contains(&format!("sudo nvidia-smi -i {UUID} -pl 700")), "{fix}");
    assert!(fix.contains("-rgc"), "{fix}");

    // Who may not put it back is told how somebody else does.
    let denied = Faults { settings_denied: true, ..Faults::default() };
    machine.configure(vec![GpuConfig { faults: denied, ..GpuConfig::default() }]);
    let refused = machine.run(&limited(""), &[]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    let by_hand = format!("can't be put back: this user may not change {UUID}; by hand: sudo");
    assert!(refused.stderr.contains(&by_hand), "{}", refused.stderr);
    machine.wait(Duration::ZERO, Some(300), Some(1410));
    machine.configure(vec![GpuConfig::default()]);

    // Any study on the GPU, without being allowed anything.
    let next = machine.run(&small_study(""), &[]);
    assert_eq!(next.code, Some(0), "{}", next.stderr);
    assert!(next.stderr.contains("they are what they were before it"), "{}", next.stderr);
    machine.wait(Duration::ZERO, Some(700), None);
    assert_eq!(doctor(), None);
}

#[test]
fn a_guard_that_is_killed_is_followed_by_another() {
    let machine = Machine::new(vec![GpuConfig::default()]);
    let study =
        small_study("[traffic]\nconcurrency = 2\n[sweep]\n\"gpu.power_limit\" = [300, 400]\n");
    let mut child = machine.started(&study, &ALLOWED).spawn().expect("it starts");
    machine.wait(Duration::from_mins(2), Some(300), None);
    machine.kill_guard();
    assert_eq!(child.wait().expect("it is ours").code(), Some(0));
    let records = machine.bench.workspace.records();
    let before = records.iter().map(|it| &it["gpu_settings"][0]["power_limit"]["before_watts"]);
    // Not 300 W, which the second guard found.
    assert_eq!(before.collect::<Vec<_>>(), [&json!(700.0); 2]);
    machine.wait(Duration::ZERO, Some(700), None);
}

#[test]
fn of_two_studies_only_one_sets_a_gpu_and_an_interrupt_puts_it_back() {
    let machine = Machine::new(vec![GpuConfig::default()]);
    let mut first = machine.running();
    let second = machine.run(&small_study("[gpu]\npower_limit = 400\n"), &ALLOWED);
    assert_eq!(second.code, Some(3), "{}", second.stderr);
    assert!(second.stderr.contains("is in use by"), "{}", second.stderr);
    machine.wait(Duration::ZERO, Some(300), Some(1410));
    kill(first.id(), Signal::INT);
    assert_eq!(first.wait().expect("it is ours").code(), Some(130));
    machine.wait(Duration::ZERO, Some(700), None);
}

#[test]
fn a_setting_that_does_not_hold_fails_its_trial_by_name() {
    let no = Faults::default;
    let power = "[traffic]\nconcurrency = 2\n[gpu]\npower_limit = 310\n";
    let clock = "[traffic]\nconcurrency = 2\n[gpu]\nsm_clock = 1410\n";
    let failing = [
        (
            Faults { limit_step_watts: Some(50.0), ..no() },
            power,
            "is 350 W after it was set to 310 W",
        ),
        (Faults { settings_ignored: true, ..no() }, power, "is 700 W after it was set to 310 W"),
        // Another limit comes in the middle of the window.
        (
            Faults { lower_limit_at: Some((6.0, 250.0)), ..no() },
            power,
            "was 250 W in a window, not 310 W",
        ),
        (
            Faults { settings_ignored: true, ..no() },
            clock,
            "was 1980 MHz in the windows, not 1410 MHz",
        ),
    ];
    thread::scope(|scope| {
        for (faults, study, expected) in failing {
            scope.spawn(move || {
                let machine = Machine::of(faults);
                let study = small_study(study).replace("window = \"1s\"", "window = \"6s\"");
                let answer = machine.run(&study, &BOTH);
                assert_eq!(answer.code, Some(1), "{}", answer.stderr);
                let outcome = machine.bench.workspace.records().remove(0)["outcome"].clone();
                assert_eq!(outcome["kind"], "gpu-setting", "{outcome:#}");
                let message = outcome["message"].as_str().expect("text");
                assert!(message.contains(expected), "`{expected}` in {message}");
                let set = machine.set()[UUID];
                assert!(set.limit_milliwatts.is_none_or(|it| it == 700_000), "{set:?}");
                assert_eq!(set.locked_megahertz, None);
            });
        }
        scope.spawn(|| {
            let machine = Machine::of(Faults { clock_shortfall_megahertz: 60, ..no() });
            let answer = machine.run(&small_study(clock), &BOTH);
            assert_eq!(answer.code, Some(0), "{}", answer.stderr);
            let record = machine.bench.workspace.records().remove(0);
            assert_eq!(record["gpu_settings"][0]["sm_clock"]["observed_megahertz"], 1350);
            let warnings = record["warnings"].to_string();
            assert!(warnings.contains("holds it down"), "{warnings}");
        });
    });
}
