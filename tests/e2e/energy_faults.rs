//! Each fault of a GPU through the whole of `llem run`: it ends in a label, a warning or a window without energy, never in a
//! plausible number that says nothing of it.
//!
//! All runs go on at the same time, since they mostly wait; each test looks at its own.

use std::{collections::BTreeMap, sync::LazyLock, thread};

use llem_fake_nvml::{Config, Fake, Faults, GpuConfig, Profile, library_path};
use llem_tests::Answer;
use serde_json::Value;

use crate::{energy::Bench, small_study};

/// Power of all GPUs here, watts.
const WATTS: f64 = 300.0;
/// Length of the windows, seconds.
const SECONDS: &str = "6";
/// Stands for the middle of the window in a fault that begins there.
const MIDDLE: f64 = 987_654.25;

/// What came of a run.
struct Ran {
    answer: Answer,
    record: Value,
}

/// What a run is about.
#[derive(Default)]
struct Case {
    /// How the GPUs are from the beginning.
    config: Config,
    /// How they are from the middle of the window on.
    later: Option<Config>,
    /// Symbols that the library lacks.
    lacking: &'static [&'static str],
    /// What the user sets.
    visible: Option<&'static str>,
}

fn gpu() -> GpuConfig {
    GpuConfig { power: Profile::constant(WATTS), ..GpuConfig::default() }
}

fn of(gpu: GpuConfig) -> Case {
    Case { config: Config { gpus: vec![gpu], ..Config::default() }, ..Case::default() }
}

fn always(faults: Faults) -> Case {
    of(GpuConfig { faults, ..gpu() })
}

fn later(faults: Faults) -> Case {
    let later = Config { gpus: vec![GpuConfig { faults, ..gpu() }], ..Config::default() };
    Case { later: Some(later), ..of(gpu()) }
}

/// A GPU that from the middle on holds other memory and other processes, and goes on so once the engine is stopped.
fn grown(memory_bytes: u64, processes: Vec<u32>) -> Case {
    let gpus = vec![GpuConfig { memory_bytes, processes, ..gpu() }];
    Case { later: Some(Config { gpus, ..Config::default() }), ..of(gpu()) }
}

/// A driver that states limits by field only, under the numbers of this version.
fn fields_of(driver: &str) -> Case {
    let mut case = of(GpuConfig {
        thermally_limited: Profile::constant(0.25),
        faults: Faults { no_violation_status: true, ..Faults::default() },
        ..gpu()
    });
    driver.clone_into(&mut case.config.driver);
    case
}

fn without_driver(init_code: u32) -> Case {
    Case { config: Config { init_code, ..Config::default() }, ..Case::default() }
}

fn cases() -> Vec<(&'static str, Case)> {
    let no = Faults::default;
    vec![
        ("healthy", of(gpu())),
        ("lost", later(Faults { lost_at: Some(MIDDLE), ..no() })),
        ("stuck", later(Faults { stuck_at: Some(MIDDLE), ..no() })),
        ("reset", later(Faults { reset_at: Some(MIDDLE), ..no() })),
        ("unsupported", always(Faults { no_counter: true, ..no() })),
        ("denied", always(Faults { counter_denied: true, ..no() })),
        ("fast", always(Faults { counter_gain: Some(1.3), ..no() })),
        ("instant", always(Faults { instant_watts: Some(1.0), ..no() })),
        ("slow", of(GpuConfig { read_seconds: [0.033; 5], ..gpu() })),
        ("jitter", of(GpuConfig { jitter_seconds: 0.010, ..gpu() })),
        (
            "symbols",
            Case {
                lacking: &[
                    "nvmlDeviceGetSamples",
                    "nvmlDeviceGetViolationStatus",
                    "nvmlDeviceGetFieldValues",
                ],
                ..of(gpu())
            },
        ),
        ("fields before 580.82", fields_of("575.51.03")),
        ("fields after 580.82", fields_of("580.82.07")),
        ("no permission", without_driver(4)),
        ("no driver", without_driver(9)),
        (
            "slice",
            Case {
                visible: Some("MIG-2222"),
                ..of(GpuConfig { slices: vec!["MIG-1111".into(), "MIG-2222".into()], ..gpu() })
            },
        ),
        ("kept memory", grown(9 << 30, Vec::new())),
        ("kept process", grown(5_000_000_000, vec![1])),
        ("foreign", of(GpuConfig { processes: vec![1], ..gpu() })),
        (
            "capped",
            of(GpuConfig { power_limited: Profile::constant(0.83), limit_watts: 600.0, ..gpu() }),
        ),
        ("hot", of(GpuConfig { thermally_limited: Profile::constant(0.5), ..gpu() })),
    ]
}

fn ran(case: Case) -> Ran {
    let library = (!case.lacking.is_empty()).then(|| Fake::lacking(&case.config, case.lacking));
    let path = library.as_ref().map_or_else(library_path, |it| it.path().to_owned());
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let part = |it: i64| u64::try_from(it).expect("this clock is never negative");
    let origin = part(now.tv_sec) * 1_000_000_000 + part(now.tv_nsec);
    let config = |it: Config| Config { origin_ns: Some(origin), ..it };
    let bench = Bench::of(&path, &config(case.config));
    let workspace = &bench.workspace;
    if let Some(later) = case.later {
        let is_timed = later.gpus.iter().any(|it| it.faults != Faults::default());
        let text = serde_json::to_string(&config(later)).expect("plain data");
        assert!(!is_timed || text.contains(&MIDDLE.to_string()), "{text}");
        workspace.write("later.json", &text.replace(&MIDDLE.to_string(), "@NOW@"));
    }
    workspace.write("origin", &origin.to_string());
    workspace.write("seconds", SECONDS);
    workspace.write("none.toml", "");
    let study = workspace.stand_in(env!("CARGO_BIN_EXE_stand-in"), &small_study(""));
    workspace.write("study.toml", &study);
    let mut command = bench.command(&["run", "study.toml"]);
    if let Some(visible) = case.visible {
        command.env("CUDA_VISIBLE_DEVICES", visible);
    }
    let answer = Answer::of(&command.output().expect("the program under test starts"));
    assert_eq!(answer.code, Some(0), "{}\n{}", answer.stderr, answer.stdout);
    let record = workspace.records().remove(0);
    Ran { answer, record }
}

static RUNS: LazyLock<BTreeMap<&'static str, Option<Ran>>> = LazyLock::new(|| {
    thread::scope(|scope| {
        let start = |(name, case)| (name, scope.spawn(move || ran(case)));
        let threads: Vec<_> = cases().into_iter().map(start).collect();
        threads.into_iter().map(|(name, thread)| (name, thread.join().ok())).collect()
    })
});

impl Ran {
    fn of(name: &str) -> &'static Self {
        RUNS[name].as_ref().unwrap_or_else(|| panic!("the run of `{name}` failed, see above"))
    }

    /// The figure of the GPU; none where no GPU was measured.
    fn reading(&self) -> Option<&Value> {
        let readings = self.record["outcome"]["windows"][0]["energy"].as_array()?;
        readings.iter().find(|it| it["scope"] == "gpu_board")
    }

    /// Verdict, method, whether there is an energy, and that these flags are among the figure's.
    #[track_caller]
    fn is(&self, verdict: &str, method: Option<&str>, flags: &[&str]) {
        let reading = self.reading().unwrap_or_else(|| panic!("no GPU in {:#}", self.record));
        assert_eq!(reading["verdict"], verdict, "{reading:#}");
        assert_eq!(reading["method"].as_str(), method, "{reading:#}");
        assert_eq!(reading["energy_joules"].is_null(), method.is_none(), "{reading:#}");
        assert_eq!(reading["reason"].is_string(), method.is_none(), "{reading:#}");
        let has = reading["flags"].as_array().expect("a list");
        for flag in flags {
            assert!(has.iter().any(|it| it == flag), "{flag} is not in {reading:#}");
        }
    }

    /// The stated interval holds the truth.
    #[track_caller]
    fn is_right(&self) {
        let reading = self.reading().expect("a GPU");
        let number = |it: &Value| it.as_f64().unwrap_or_else(|| panic!("{it} in {reading:#}"));
        let window = &reading["window"];
        let seconds = (number(&window["end_ns"]) - number(&window["begin_ns"])) / 1e9;
        let interval = &reading["uncertainty"]["compare_interval_joules"];
        let truth = WATTS * seconds;
        assert!(
            number(&interval[0]) <= truth && truth <= number(&interval[1]),
            "{truth} J is not in {reading:#}"
        );
    }

    #[track_caller]
    fn warns(&self, words: &str) {
        let warnings = self.record["warnings"].to_string();
        assert!(warnings.contains(words), "`{words}` is not in {warnings}");
    }

    /// On the screen, since it is about the machine and not about a trial.
    #[track_caller]
    fn tells(&self, words: &str) {
        let told = format!("{}{}", self.answer.stderr, self.answer.stdout);
        assert!(told.contains(words), "`{words}` is not in {told}");
    }
}

#[test]
fn a_healthy_gpu_is_valid_and_right() {
    let ran = Ran::of("healthy");
    ran.is("valid", Some("counter_guard"), &[]);
    ran.is_right();
    // What the simulated device holds in memory from the start is no matter of energy.
    let warnings = ran.record["warnings"].as_array().expect("a list");
    let is_of_memory = |it: &Value| it.to_string().contains("before the engine started");
    assert!(warnings.iter().all(is_of_memory), "{warnings:?}");
}

#[test]
fn a_gpu_that_is_lost_in_the_window_has_no_energy() {
    let ran = Ran::of("lost");
    ran.is("invalid", None, &["device_lost"]);
    ran.warns("no energy: the device was lost");
}

#[test]
fn a_counter_that_stops_in_the_window_is_suspect() {
    let ran = Ran::of("stuck");
    ran.is("suspect", Some("samples"), &["counter_stuck"]);
    ran.warns("stood still");
    ran.is_right();
}

#[test]
fn a_counter_that_begins_anew_in_the_window_has_no_energy() {
    let ran = Ran::of("reset");
    ran.is("invalid", None, &["counter_decreased"]);
    ran.warns("no energy:");
}

#[test]
fn without_a_counter_the_drivers_samples_are_used() {
    let ran = Ran::of("unsupported");
    ran.is("valid", Some("samples"), &["counter_unsupported", "not_cross_checked"]);
    ran.warns("energy is from the driver's power values");
    ran.tells("no energy counter");
    ran.is_right();
}

#[test]
fn a_counter_that_may_not_be_read_is_named() {
    let ran = Ran::of("denied");
    ran.is("valid", Some("samples"), &["counter_denied"]);
    ran.tells("may not read the energy counter");
    ran.is_right();
}

#[test]
fn a_counter_that_is_a_third_too_fast_is_suspect() {
    let ran = Ran::of("fast");
    ran.is("suspect", Some("counter_guard"), &["instrument_suspect"]);
    ran.warns("one of them is wrong");
    let reading = ran.reading().expect("a GPU");
    let ratio = reading["energy_joules"].as_f64().expect("both are published")
        / reading["checks"]["samples_joules"].as_f64().expect("both are published");
    assert!((ratio - 1.3).abs() < 0.05, "{ratio}");
}

#[test]
fn an_instant_power_of_one_watt_is_called_implausible() {
    let ran = Ran::of("instant");
    ran.is("valid", Some("counter_guard"), &["instant_implausible"]);
    ran.is_right();
}

#[test]
fn reads_of_33_ms_stay_within_the_stated_uncertainty() {
    Ran::of("slow").is("valid", Some("counter_guard"), &[]);
    Ran::of("slow").is_right();
}

#[test]
fn jitter_of_publications_stays_within_the_stated_uncertainty() {
    Ran::of("jitter").is("valid", Some("counter_guard"), &[]);
    Ran::of("jitter").is_right();
}

#[test]
fn missing_symbols_leave_a_figure_that_says_it_was_not_checked() {
    let ran = Ran::of("symbols");
    ran.is("valid", Some("counter_guard"), &["partial_support", "not_cross_checked"]);
    ran.is_right();
}

#[test]
fn limits_are_read_by_the_field_numbers_of_drivers_before_and_after_580_82() {
    for name in ["fields before 580.82", "fields after 580.82"] {
        let ran = Ran::of(name);
        ran.is("suspect", Some("counter_guard"), &["thermally_limited"]);
        ran.warns("heat held the clocks down for 25 %");
    }
}

#[test]
fn without_permission_there_is_no_gpu_and_the_user_is_told() {
    let ran = Ran::of("no permission");
    assert!(ran.reading().is_none(), "{:#}", ran.record);
    ran.tells("may not talk to the NVIDIA driver");
}

#[test]
fn without_a_driver_there_is_no_gpu_and_the_user_is_told() {
    let ran = Ran::of("no driver");
    assert!(ran.reading().is_none(), "{:#}", ran.record);
    ran.tells("driver is not loaded");
}

#[test]
fn a_slice_is_given_to_the_engine_and_has_its_gpus_energy_by_name() {
    let ran = Ran::of("slice");
    ran.is("valid", Some("counter_guard"), &["mig_parent"]);
    ran.warns("the figure is that of the whole GPU");
    assert_eq!(ran.record["engine"]["effective"]["gpus"], "MIG-2222");
}

#[test]
fn a_foreign_process_makes_the_window_suspect() {
    let ran = Ran::of("foreign");
    ran.is("suspect", Some("counter_guard"), &["foreign_process"]);
    ran.warns("is not the engine's");
}

#[test]
fn a_power_cap_is_valid_and_labelled() {
    let ran = Ran::of("capped");
    ran.is("valid", Some("counter_guard"), &["power_limited", "limit_not_default"]);
    ran.warns("the power limit held the clocks down for 83 %");
    ran.is_right();
}

#[test]
fn a_thermal_limit_makes_the_window_suspect() {
    let ran = Ran::of("hot");
    ran.is("suspect", Some("counter_guard"), &["thermally_limited"]);
    ran.warns("heat held the clocks down for 50 %");
}

#[test]
fn what_a_stopped_engine_leaves_on_a_gpu_is_named() {
    Ran::of("kept memory").warns("MiB more of GPU-");
    Ran::of("kept process").warns("still computed on GPU-");
}
