//! Studies of `LLenergyMeasure` 0.7 plan to the runs that they had there.

use std::collections::BTreeMap;

use super::{Facts, alpha, expand, no_code_rules, parameter, parse, rule};
use crate::{
    backend::{DefaultValue, ParamType, Schema, Severity, UnknownPolicy, Value},
    study::import,
};

/// Schemas that let everything pass, with the one rule that the old studies need.
fn schemas() -> BTreeMap<String, Schema> {
    let open = || Schema {
        parameters: Vec::new(),
        rules: Vec::new(),
        unknown: UnknownPolicy::PassThrough,
        ..alpha()
    };
    let mut pytorch = open();
    let number = || ParamType::Number {
        min: None,
        max: None,
        exclusive_min: false,
        exclusive_max: false,
        scale: crate::backend::Scale::Linear,
    };
    pytorch.parameters = vec![
        parameter(
            "sampling.do_sample",
            ParamType::Boolean,
            DefaultValue::Fixed(Value::Boolean(false)),
        ),
        parameter("sampling.temperature", number(), DefaultValue::Fixed(Value::Number(1.0))),
        parameter("sampling.top_p", number(), DefaultValue::Fixed(Value::Number(1.0))),
    ];
    pytorch.rules = vec![rule(
        "greedy",
        Severity::Dormant,
        "sampling.do_sample != true",
        &[("sampling.temperature", None), ("sampling.top_p", None)],
    )];
    BTreeMap::from([
        ("pytorch".to_owned(), pytorch),
        ("vllm".to_owned(), open()),
        ("tensorrt".to_owned(), open()),
    ])
}

fn runs(yaml: &str) -> (usize, Vec<String>) {
    let imported = import(yaml, "imported").unwrap();
    let study = parse(&imported.toml, "imported.toml")
        .unwrap_or_else(|problems| panic!("{problems:#?}\n{}", imported.toml));
    let plan = expand(&study, &schemas(), &Facts::default(), &mut no_code_rules);
    let plan = plan.unwrap_or_else(|problems| panic!("{problems:#?}\n{}", imported.toml));
    let repeats = usize::try_from(study.measure().repeats.max).unwrap();
    (plan.experiments.len() * repeats, imported.notes)
}

macro_rules! old {
    ($name:literal) => {
        include_str!(concat!("../../../../../tests/studies/imported/", $name, ".yaml"))
    };
}

#[test]
fn the_old_studies_have_as_many_runs_as_before() {
    for (yaml, expected) in [
        (old!("01_minimal_offline"), 12),
        (old!("02_full_annotated_offline"), 147),
        (old!("03_groups_and_dormant_dedup"), 7),
        (old!("04_server_rate_sweep"), 10),
    ] {
        assert_eq!(runs(yaml).0, expected, "{}", import(yaml, "s").unwrap().toml);
    }
}

#[test]
fn what_has_no_equal_is_noted() {
    let (_, notes) = runs(old!("02_full_annotated_offline"));
    for part in [
        "cycle_gap_seconds",
        "max_num_batched_tokens of 2048 is below max_model_len of 4096",
        "gpu_indices",
        "energy-counter",
    ] {
        let named = notes.iter().any(|note| note.contains(part));
        assert_eq!(named, part != "energy-counter", "{part}: {notes:#?}");
    }
}

#[test]
fn a_server_study_becomes_traffic() {
    let imported = import(old!("04_server_rate_sweep"), "s").unwrap();
    for line in [
        "arrival = \"gamma\"",
        "burstiness = 2.0",
        "\"traffic.rate\" = [1, 2, 4, 8, 16]",
        "window = \"240s\"",
        "time_to_first_token = \"500ms\"",
        "percentile = 99.0",
        "order = \"interleaved\"",
    ] {
        assert!(imported.toml.lines().any(|it| it == line), "{line}\n{}", imported.toml);
    }
}

#[test]
fn what_is_no_study_is_refused() {
    assert!(import("a: [", "s").is_err());
    assert!(import("- 1", "s").is_err());
    assert!(import("a: 1", "s").is_err());
}
