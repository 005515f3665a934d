//! Energy from end to end: real runs of the linked engine beside a simulated GPU, which `llem` finds like
//! any other through the loader.

use std::path::PathBuf;

use llem_fake_nvml::{Config, Faults, GpuConfig, Profile, library_path};
use llem_tests::{Answer, Workspace};
use serde_json::Value;

use crate::{small_study, workspace};

const SERVER: &str = r#"
[traffic]
concurrency = 2
"#;

/// A workspace in which `llem` finds this GPU.
struct Bench {
    workspace: Workspace,
    library: PathBuf,
}

impl Bench {
    fn new(gpu: GpuConfig) -> Self {
        let workspace = workspace();
        std::fs::copy(library_path(), workspace.path().join("libnvidia-ml.so.1")).expect("a copy");
        let config = Config { gpus: vec![gpu], ..Config::default() };
        workspace.write("gpus.json", &serde_json::to_string(&config).expect("plain data"));
        let library = workspace.path().to_owned();
        Self { workspace, library }
    }

    fn llem(&self, args: &[&str]) -> Answer {
        let output = self
            .workspace
            .command(args)
            .env("LD_LIBRARY_PATH", &self.library)
            .env("LLEM_FAKE_NVML", self.library.join("gpus.json"))
            .env("LLEM_CONFIG", self.library.join("none.toml"))
            .env_remove("CUDA_VISIBLE_DEVICES")
            .output();
        Answer::of(&output.expect("the program under test starts"))
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
        .replace("rest = \"10ms\"", "rest = \"auto\"");
    let record = bench.record(&study);
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
