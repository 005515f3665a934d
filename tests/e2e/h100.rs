//! What was measured on a real H100 is read, summarised and derived again.

use std::{path::PathBuf, process::Command};

use serde_json::Value;

use crate::workspace;

/// Unpacks a kept result of `examples/results/h100`.
fn unpacked(name: &str, into: &std::path::Path) -> PathBuf {
    let archive = format!("{}/../examples/results/h100/{name}.tar.gz", env!("CARGO_MANIFEST_DIR"));
    let status = Command::new("tar").args(["xzf", &archive, "-C"]).arg(into).status();
    assert!(status.expect("`tar` starts").success(), "{archive}");
    let mut found = std::fs::read_dir(into)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.file_name().is_some_and(|it| it.to_string_lossy().starts_with(name)));
    found.next().expect("the archive holds a results directory")
}

#[test]
fn the_energy_of_a_real_server_is_told_apart_by_phase_and_closes() {
    let workspace = workspace();
    let folder = tempfile::tempdir().expect("a directory");
    let results = unpacked("vllm-phases", folder.path());
    let results = results.to_str().expect("a plain name");
    let fresh = workspace.llem(&["recompute", results, "--write"]);
    assert!(matches!(fresh.code, Some(0 | 1)), "{}\n{}", fresh.stdout, fresh.stderr);

    let journal = std::fs::read_to_string(format!("{results}/journal.jsonl")).expect("a journal");
    let last = journal.lines().last().expect("a record");
    let record: Value =
        serde_json::from_str(&last[last.find('{').expect("a record")..]).expect("it is JSON");
    let phases = &record["outcome"]["windows"][0]["phases"][0]["attribution"];
    let joules = |of: &Value| of.as_f64().unwrap_or_else(|| panic!("no number in {phases:#}"));
    let (prefill, decode) =
        (joules(&phases["prefill"]["energy_joules"]), joules(&phases["decode"]["energy_joules"]));
    // Of 15.1 kJ above idle; decode reads 15 GB of weights for each step of a small batch.
    assert!(prefill > 2_000.0 && decode > 3.0 * prefill, "{prefill} J and {decode} J");
    assert!(joules(&phases["closure"]).abs() < 1e-9, "{phases:#}");
    assert!(joules(&phases["held_out_r_squared"]) > 0.85, "{phases:#}");
    let coefficients = phases["coefficients"].as_array().expect("a list");
    let step = coefficients.iter().find(|it| it["name"] == "decode_step").expect("a coefficient");
    assert!((1.7..2.1).contains(&joules(&step["energy_joules"])), "{step:#}");
}

/// The interval of the energy of an output token of an experiment of a kept result.
fn energy_per_output_token(name: &str, labelled: impl Fn(&str) -> bool) -> (f64, f64) {
    let workspace = workspace();
    let folder = tempfile::tempdir().expect("a directory");
    let results = unpacked(name, folder.path());
    let shown = workspace.llem(&["show", "--json", results.to_str().expect("a plain name")]);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    let summary: Value = serde_json::from_str(&shown.stdout).expect("it is JSON");
    let experiments = summary["experiments"].as_array().expect("a list");
    let found = experiments.iter().find(|it| labelled(it["label"].as_str().unwrap_or_default()));
    let figure = &found.expect("it was measured")["figures"]["energy_per_output_token_joules"];
    let interval = &figure["estimate"]["interval"];
    let bound = |of: &str| interval[of].as_f64().unwrap_or_else(|| panic!("{figure:#}"));
    (bound("low"), bound("high"))
}

#[test]
fn one_stream_costs_the_same_in_both_modes_of_a_real_engine() {
    let offline = energy_per_output_token("vllm-modes", |it| it == "mode=offline");
    let server = energy_per_output_token("vllm-modes", |it| it == "mode=server");
    assert!(offline.0 < server.1 && server.0 < offline.1, "{offline:?} and {server:?}");
}

#[test]
fn requests_in_flight_save_energy_as_far_as_the_batch_may_grow() {
    let of = |batch: u32, in_flight: u32| {
        let label = format!("max_num_seqs={batch} concurrency={in_flight}");
        energy_per_output_token("vllm-batching", |it| it == label)
    };
    let (one, all, held) = (of(256, 1), of(256, 256), of(16, 256));
    assert!(one.0 > 7.5 * all.1, "{one:?} and {all:?}");
    assert!(held.0 > of(16, 16).1 && held.0 > 3.0 * all.1, "{held:?} and {all:?}");
}

#[test]
fn compiled_decoding_costs_less_than_none() {
    let of = |what: &str| {
        let label = format!("compiled={what}");
        energy_per_output_token("pytorch-compile", |it| it == label)
    };
    let (compiled, not) = (of("decoding, static cache"), of("nothing"));
    assert!(compiled.1 < not.0, "{compiled:?} and {not:?}");
}

#[test]
fn the_largest_batch_costs_a_fraction_of_the_smallest() {
    let of = |batch: &str| {
        let start = format!("batch_size+requests={batch} dtype=bfloat16 attn_implementation=sdpa");
        energy_per_output_token("pytorch-options", |it| it.starts_with(&start))
    };
    let (one, largest) = (of("1/4"), of("256/1024"));
    assert!(one.0 > 7.5 * largest.1, "{one:?} and {largest:?}");
}

#[test]
fn more_requests_in_flight_cost_less_energy_a_token() {
    let of = |label: &str| energy_per_output_token("vllm-concurrency", |it| it == label);
    let (one, sixty_four) = (of("concurrency=1"), of("concurrency=64"));
    assert!(one.0 > 7.5 * sixty_four.1, "{one:?} and {sixty_four:?}");
}
