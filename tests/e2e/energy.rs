//! Energy from end to end: real runs of the linked engine beside a simulated GPU, which `llem` finds like
//! any other through the loader.

use std::path::{Path, PathBuf};

use llem_fake_nvml::{Config, Faults, GpuConfig, Profile, library_path};
use llem_tests::{Answer, Workspace};
use serde_json::Value;

use crate::{small_study, workspace};

const SERVER: &str = r#"
[traffic]
concurrency = 2
"#;

/// A workspace in which `llem` finds this GPU.
pub(crate) struct Bench {
    pub(crate) workspace: Workspace,
    library: PathBuf,
}

impl Bench {
    fn new(gpu: GpuConfig) -> Self {
        Self::with(&Config { gpus: vec![gpu], ..Config::default() })
    }

    /// A whole library of them.
    pub(crate) fn with(config: &Config) -> Self {
        Self::of(&library_path(), config)
    }

    /// The same with another build of the library.
    pub(crate) fn of(library: &Path, config: &Config) -> Self {
        let workspace = workspace();
        std::fs::copy(library, workspace.path().join("libnvidia-ml.so.1")).expect("a copy");
        workspace.write("gpus.json", &serde_json::to_string(config).expect("plain data"));
        let library = workspace.path().to_owned();
        Self { workspace, library }
    }

    fn llem(&self, args: &[&str]) -> Answer {
        Answer::of(&self.command(args).output().expect("the program under test starts"))
    }

    /// `llem` with these arguments, ready to start.
    pub(crate) fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = self.workspace.command(args);
        command
            .env("LD_LIBRARY_PATH", &self.library)
            .env("LLEM_FAKE_NVML", self.library.join("gpus.json"))
            .env("LLEM_CONFIG", self.library.join("none.toml"))
            .env_remove("CUDA_VISIBLE_DEVICES");
        command
    }

    /// Runs a study and gives its only record.
    fn record(&self, study: &str) -> Value {
        self.workspace.write("none.toml", "");
        self.workspace.write("study.toml", study);
        let answer = self.llem(&["run", "study.toml"]);
        assert_eq!(answer.code, Some(0), "{}\n{}", answer.stderr, answer.stdout);
        self.workspace.records().remove(0)
    }
}

fn busy(watts: f64) -> GpuConfig {
    GpuConfig { power: Profile::square(watts, watts + 40.0, 0.7), ..GpuConfig::default() }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn figures_are_computed_again_to_the_last_bit_and_follow_a_calibration() {
    let bench = Bench::new(busy(300.0));
    let record = bench.record(&small_study(SERVER));
    let window = &record["outcome"]["windows"][0];
    let reading = &window["energy"][0];
    assert_eq!(reading["method"], "counter_ticks", "{reading:#}");
    let power = number(&reading["average_power_watts"]);
    assert!((280.0..360.0).contains(&power), "{power} W");
    assert!(number(&window["work"]["model_flops_utilization"]) > 0.0, "{:#}", window["work"]);
    assert!(window["phases"][0]["reason"].is_string(), "{:#}", window["phases"]);

    let results = bench.workspace.results();
    let results = results.to_str().expect("a plain name");
    let fresh = bench.llem(&["recompute", results]);
    assert_eq!(fresh.code, Some(0), "{}\n{}", fresh.stdout, fresh.stderr);
    assert!(fresh.stdout.contains("1 of 1 trials are identical"), "{}", fresh.stdout);

    let device = reading["device"].as_str().expect("a name");
    bench.workspace.write(
        "calibrated.toml",
        &format!(
            "[[calibration]]\ndevice = \"{device}\"\ngain = 1.1\nrelative_uncertainty = 0.004\n\
             certificate = \"bench 7\"\n\n[carbon]\ngrams_per_kilowatt_hour = 360\n\
             power_usage_effectiveness = 1.25\n"
        ),
    );
    let calibrated =
        bench.llem(&["recompute", results, "--config", "calibrated.toml", "--json", "--write"]);
    assert_eq!(calibrated.code, Some(1), "{}", calibrated.stderr);
    let compared: Value = serde_json::from_str(&calibrated.stdout).expect("it is JSON");
    let differences = compared[0]["differences"].as_array().expect("a list");
    let of = |name: &str| differences.iter().find(|it| it["figure"] == name).expect("it differs");
    let energy = of("energy_joules");
    let ratio = number(&energy["recomputed"]) / number(&energy["recorded"]);
    assert!((ratio - 1.1).abs() < 1e-9, "{ratio}");
    let emitted = number(&of("co2e_kilograms")["recomputed"]);
    let expected = number(&energy["recomputed"]) * 1.25 / 3.6e6 * 0.36;
    assert!((emitted / expected - 1.0).abs() < 1e-9, "{emitted} kg");
    assert!(differences.iter().all(|it| it["figure"] != "output_token_throughput_per_second"));

    // What was written is what the raw data give with the settings that were written beside it.
    let again = bench.llem(&["recompute", results]);
    assert_eq!(again.code, Some(0), "{}", again.stdout);
    let shown = bench.llem(&["show", "--json", results]);
    let summary: Value = serde_json::from_str(&shown.stdout).expect("it is JSON");
    let mean = number(&summary["experiments"][0]["figures"]["energy_joules"]["mean"]);
    assert!((mean / number(&energy["recomputed"]) - 1.0).abs() < 1e-9);
}

#[test]
fn idle_power_is_observed_without_and_with_the_engine_and_after_the_windows() {
    let bench = Bench::new(GpuConfig { power: Profile::constant(120.0), ..GpuConfig::default() });
    let study = small_study(SERVER)
        .replace("baseline = \"none\"", "baseline = \"bare\"")
        .replace("rest = \"10ms\"", "rest = \"auto\"")
        .replace("repeats = 1", "repeats = 2");
    let record = bench.record(&study);
    // The second trial shares the engine, so it cannot see the device without it.
    let second = &bench.workspace.records()[1];
    assert_eq!(second["engine"]["shared"]["served"], 1, "{:#}", second["engine"]);
    assert_eq!(second["outcome"]["baselines_bare"], record["outcome"]["baselines_bare"]);
    let warnings = second["warnings"].to_string();
    assert!(warnings.contains("idle power without an engine is from trial"), "{warnings}");
    let net = &second["outcome"]["windows"][0]["energy"][0]["net_bare"];
    assert!(number(&net["energy_joules"]).abs() < 2.0, "{net:#}");
    let measured = &record["outcome"];
    for name in ["baselines_bare", "baselines", "baselines_after"] {
        let baseline = &measured[name][0];
        assert!(
            (number(&baseline["mean_power_watts"]) - 120.0).abs() < 0.5,
            "{name}: {baseline:#}"
        );
    }
    let reading = &measured["windows"][0]["energy"][0];
    for net in ["net_context", "net_bare"] {
        // The simulated power does not follow the work, so nothing is above idle.
        let net = &reading[net];
        assert!(number(&net["energy_joules"]).abs() < 2.0, "{net:#}");
    }
    assert!(number(&reading["net_context"]["drift_watts"]).abs() < 0.5, "{reading:#}");
    let results = bench.workspace.results();
    let fresh = bench.llem(&["recompute", results.to_str().expect("a plain name")]);
    assert_eq!(fresh.code, Some(0), "{}", fresh.stdout);
}

#[test]
fn a_fault_of_the_gpu_is_in_the_record_the_warnings_and_the_ranking() {
    let faulty = |faults| GpuConfig { faults, ..busy(300.0) };
    let cases = [
        (
            GpuConfig { thermally_limited: Profile::constant(0.5), ..busy(300.0) },
            "heat held the clocks down for 50 %",
            Some(false),
        ),
        (
            GpuConfig { power_limited: Profile::constant(0.83), ..busy(300.0) },
            "the power limit held the clocks down for 83 %",
            Some(true),
        ),
        (
            faulty(Faults { no_counter: true, ..Faults::default() }),
            "energy is from the driver's power values",
            Some(true),
        ),
        (
            faulty(Faults { counter_gain: Some(1.3), ..Faults::default() }),
            "one of them is wrong",
            Some(false),
        ),
        (GpuConfig { processes: vec![1], ..busy(300.0) }, "is not the engine's", Some(false)),
        (
            faulty(Faults { lost_at: Some(6.0), ..Faults::default() }),
            "no energy: the device was lost",
            None,
        ),
    ];
    std::thread::scope(|scope| {
        for (gpu, warning, ranked) in cases {
            scope.spawn(move || {
                let bench = Bench::new(gpu);
                // Long enough for a second instrument to contradict.
                let study = small_study(SERVER).replace("window = \"1s\"", "window = \"5s\"");
                let record = bench.record(&study);
                let warnings = record["warnings"].to_string();
                assert!(warnings.contains(warning), "`{warning}` is not in {warnings}");
                let results = bench.workspace.results();
                let shown = bench.llem(&["show", "--json", results.to_str().expect("plain")]);
                let summary: Value = serde_json::from_str(&shown.stdout).expect("it is JSON");
                let figure = &summary["experiments"][0]["figures"]["energy_joules"];
                assert_eq!(figure["ranked"].as_bool(), ranked, "{warning}: {figure:#}");
            });
        }
    });
}

#[test]
fn only_the_gpus_that_a_launch_was_given_count() {
    let gpu = |name: &str, watts| GpuConfig {
        uuid: name.to_owned(),
        power: Profile::constant(watts),
        ..GpuConfig::default()
    };
    let bench = Bench::with(&Config {
        gpus: vec![gpu("GPU-first", 200.0), gpu("GPU-other", 600.0)],
        ..Config::default()
    });
    let study = bench.workspace.stand_in(env!("CARGO_BIN_EXE_stand-in"), &small_study(""));
    let record = bench.record(&study);
    assert_eq!(record["engine"]["effective"]["gpus"], "GPU-first", "{:#}", record["engine"]);
    assert_eq!(record["engine"]["gpus"], serde_json::json!(["GPU-first"]));
    let window = &record["outcome"]["windows"][0];
    let readings = window["energy"].as_array().expect("a list");
    let boards: Vec<&Value> = readings.iter().filter(|it| it["scope"] == "gpu_board").collect();
    assert_eq!(boards.len(), 1, "{boards:#?}");
    let power = number(&boards[0]["average_power_watts"]);
    assert!((power - 200.0).abs() < 10.0, "{power} W");

    // A plan that does not say how many it uses sees all, and all count.
    let record = bench.record(&small_study(""));
    assert_eq!(record["engine"]["gpus"], serde_json::json!(["GPU-first", "GPU-other"]));
    let readings = record["outcome"]["windows"][0]["energy"].as_array().expect("a list");
    assert_eq!(readings.iter().filter(|it| it["scope"] == "gpu_board").count(), 2);
}

#[test]
fn rules_know_the_gpu_that_the_driver_shows() {
    let bench = Bench::new(GpuConfig::default());
    // What is skipped is told with its rule; the study says what of the GPU it knows.
    let study = |condition: &str| {
        let rule = format!("[[exclude]]\nwhen = '{condition}'\nwhy = \"not on this GPU\"\n");
        small_study(&rule)
    };
    for (condition, is_skipped) in [
        ("gpu.name == \"NVIDIA H100 80GB HBM3\"", true),
        ("gpu.compute_capability < 90", false),
        ("gpu.cc >= 9.0 && gpu.major == 9", true),
        ("gpu.count > 1", false),
        ("gpu.memory_mib > 70000", true),
        ("gpu.vendor == \"nvidia\" && gpu.driver.startsWith(\"580.\")", true),
    ] {
        bench.workspace.write("none.toml", "");
        bench.workspace.write("study.toml", &study(condition));
        let answer = bench.llem(&["run", "study.toml"]);
        let told = format!("{}{}", answer.stdout, answer.stderr);
        assert_eq!(answer.code == Some(0), !is_skipped, "{condition}: {told}");
        assert_eq!(told.contains("not on this GPU"), is_skipped, "{condition}: {told}");
    }
}
