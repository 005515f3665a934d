//! What planning costs: processor time and memory of expanding 10,000 and 100,000 configurations.
//!
//! `cargo run --release -p llem-core --example plan_cost [SCHEMA.json]`; without a schema, one of the size of vLLM's is
//! made up. Reads the kernel's accounts of this process, so it runs on Linux only.

#![expect(clippy::print_stdout, reason = "prints its measurements")]

use std::{collections::BTreeMap, fs};

use llem_core::{
    backend::{
        Choice, DefaultValue, Effect, ParamType, Parameter, Phase, Rule, Scale, Schema, Severity,
        UnknownPolicy, Value,
    },
    schedule,
    study::{self, Facts},
};

fn main() {
    let schema = match std::env::args().nth(1) {
        Some(path) => {
            serde_json::from_str(&fs::read_to_string(path).expect("the schema is readable"))
                .expect("a schema")
        }
        None => made_up(),
    };
    println!("{} parameters, {} rules", schema.parameters.len(), schema.rules.len());
    for (rule, why) in study::broken_rules(&schema) {
        println!("  the rule `{rule}` can't be used: {why}");
    }
    let before = cpu_seconds();
    let schemas = BTreeMap::from([("vllm".to_owned(), schema)]);
    for requests in [1, 10, 100] {
        let sweep = sweep(requests);
        let start = cpu_seconds();
        let study = study::parse(&sweep, "cost.toml").expect("a study");
        let plan = study::expand(&study, &schemas, &Facts::default(), &mut study::no_code_rules);
        let plan = plan.unwrap_or_else(|problems| panic!("{}", problems[0]));
        let expanded = cpu_seconds();
        let order =
            schedule::of_experiments(&plan.experiments, study.measure().order, 3, study.seed());
        println!(
            "{} declared: {} run, {} skipped, {} undecided rules; expanded in {:.3} s, {} trials ordered in {:.3} s, \
             peak {} MiB",
            plan.declared,
            plan.experiments.len(),
            plan.skipped.len(),
            plan.undecided.len(),
            expanded - start,
            order.trials.len(),
            cpu_seconds() - expanded,
            peak_mib(),
        );
    }
    println!("all in {:.3} s", cpu_seconds() - before);
}

/// 1,000 configurations times a number of workloads.
fn sweep(requests: u32) -> String {
    let requests: Vec<String> = (1..=requests).map(|it| (it * 16).to_string()).collect();
    format!(
        "model.id = \"m\"\n[plugin.vllm]\nengine.dtype = \"bfloat16\"\n[sweep]\n\
         \"vllm.engine.max_num_seqs\" = [1, 8, 64, 128, 256]\n\
         \"vllm.engine.max_num_batched_tokens\" = [512, 2048, 4096, 8192, 16384]\n\
         \"vllm.engine.enable_chunked_prefill\" = [true, false]\n\
         \"vllm.engine.gpu_memory_utilization\" = {{ linear = [0.5, 0.9], points = 5 }}\n\
         \"vllm.engine.enable_prefix_caching\" = [true, false]\n\
         \"vllm.engine.block_size\" = [16, 32]\n\
         \"workload.requests\" = [{}]",
        requests.join(", ")
    )
}

/// Processor time of this process so far.
fn cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/self/schedstat").expect("Linux says");
    let nanoseconds: f64 = text.split(' ').next().and_then(|it| it.parse().ok()).expect("a number");
    nanoseconds / 1e9
}

/// The most memory that this process has had.
fn peak_mib() -> u64 {
    let text = fs::read_to_string("/proc/self/status").expect("Linux says");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib / 1024
}

fn parameter(path: &str, kind: ParamType, default: DefaultValue) -> Parameter {
    Parameter {
        path: path.parse().expect("a path"),
        types: vec![kind],
        nullable: true,
        default,
        doc: "What it does, in a sentence of the usual length.".to_owned(),
        unit: None,
        phase: Phase::Load,
        modes: Vec::new(),
        native: Some(format!("--{path}")),
        energy_relevant: false,
        suggested: Vec::new(),
        since: None,
        until: None,
        deprecated: None,
        source: Some("config/file.py:123".to_owned()),
        extra: Vec::new(),
    }
}

/// 1,076 parameters and 240 rules, of which 24 name a parameter that the sweep moves.
fn made_up() -> Schema {
    let integer =
        || ParamType::Integer { min: Some(1), max: None, multiple_of: None, scale: Scale::Pow2 };
    let choice = ParamType::Choice(
        ["auto", "float16", "bfloat16"]
            .map(|it| Choice { value: Value::Text(it.to_owned()), doc: String::new() })
            .to_vec(),
    );
    let fixed = DefaultValue::Fixed;
    let mut parameters = vec![
        parameter("engine.dtype", choice, fixed(Value::Text("auto".to_owned()))),
        parameter("engine.max_num_seqs", integer(), DefaultValue::Engine("by usage".to_owned())),
        parameter(
            "engine.max_num_batched_tokens",
            integer(),
            DefaultValue::Engine("by usage".to_owned()),
        ),
        parameter("engine.enable_chunked_prefill", ParamType::Boolean, fixed(Value::Boolean(true))),
        parameter("engine.enable_prefix_caching", ParamType::Boolean, fixed(Value::Boolean(true))),
        parameter("engine.block_size", integer(), fixed(Value::Integer(16))),
        parameter(
            "engine.gpu_memory_utilization",
            ParamType::Number {
                min: Some(0.0),
                max: Some(1.0),
                exclusive_min: true,
                exclusive_max: false,
                scale: Scale::Linear,
            },
            fixed(Value::Number(0.9)),
        ),
    ];
    for at in parameters.len()..1076 {
        parameters.push(parameter(
            &format!("engine.option_{at}"),
            integer(),
            fixed(Value::Integer(1)),
        ));
    }
    let mut rules = Vec::new();
    let mut rule = |severity, when: String, effects: &[&str]| {
        let effects = effects
            .iter()
            .map(|path| Effect { path: path.parse().expect("a path"), becomes: None })
            .collect();
        let id = format!("rule-{}", rules.len());
        rules.push(Rule {
            id,
            severity,
            when,
            effects,
            message: "says why".to_owned(),
            source: None,
        });
    };
    rule(Severity::Error, "engine.max_num_batched_tokens < engine.max_num_seqs".to_owned(), &[]);
    rule(
        Severity::Dormant,
        "engine.enable_prefix_caching != true && given(engine.option_20)".to_owned(),
        &["engine.option_20"],
    );
    rule(
        Severity::Dormant,
        "engine.enable_chunked_prefill == false".to_owned(),
        &["engine.block_size"],
    );
    for at in 0..20 {
        let moved =
            ["max_num_seqs", "max_num_batched_tokens", "block_size", "gpu_memory_utilization"]
                [at % 4];
        rule(
            Severity::Error,
            format!(
                "engine.option_{} > 1 && engine.{moved} in [1, 2, 4] || engine.{moved} > gpu.memory_mib",
                30 + at
            ),
            &[],
        );
    }
    rule(Severity::Warning, "engine.gpu_memory_utilization > 0.85".to_owned(), &[]);
    for at in 24..240 {
        rule(
            Severity::Error,
            format!(
                "engine.option_{at} == 7 && !(engine.option_{} in [1, 2]) && engine.option_{} >= 3",
                at + 200,
                at + 400
            ),
            &[],
        );
    }
    Schema {
        release: "0".to_owned(),
        sections: Vec::new(),
        parameters,
        rules,
        has_code_rules: false,
        unknown: UnknownPolicy::Reject,
        extra: Vec::new(),
    }
}
