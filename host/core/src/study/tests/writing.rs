//! Studies that are written read back as what they were written from.

use super::{Facts, alpha, expand, no_code_rules, parse, schemas};
use crate::study::{ExperimentId, Init, init, json_schema, resolved};

const STUDIES: [&str; 3] = [
    include_str!("../../../../../tests/studies/valid/whole.toml"),
    include_str!("../../../../../tests/studies/valid/offline.toml"),
    include_str!("../../../../../tests/studies/valid/modes.toml"),
];

fn ids(text: &str) -> Vec<ExperimentId> {
    let study = parse(text, "study.toml").unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
    let expansion = expand(&study, &schemas(), &Facts::default(), &mut no_code_rules).unwrap();
    expansion.experiments.iter().map(|it| it.id).collect()
}

#[test]
fn a_resolved_study_is_the_same_study() {
    for text in STUDIES {
        let written = resolved(&parse(text, "study.toml").unwrap(), &schemas());
        let (mut before, mut after) = (ids(text), ids(&written));
        before.sort_unstable();
        after.sort_unstable();
        assert_eq!(before, after, "{written}");
    }
}

#[test]
fn a_resolved_study_marks_what_was_defaulted() {
    let written = resolved(&parse(STUDIES[1], "offline.toml").unwrap(), &schemas());
    for line in [
        "name = \"offline\"",
        "revision = \"main\"  # default",
        "requests = 512  # default",
        "# engine.seqs = 256  # default of the engine",
    ] {
        assert!(written.lines().any(|it| it == line), "{line}\n{written}");
    }
    assert!(!written.contains("[traffic]") && !written.contains("[slo]"), "{written}");
}

#[test]
fn settings_of_gpus_are_written_as_they_were_read() {
    let text = "model.id = \"m\"\n[gpu]\nsm_clock = 1410\n[plugin.alpha]\n[sweep]\n\"gpu.power_limit\" = [300, 400]\n";
    let written = resolved(&parse(text, "study.toml").unwrap(), &schemas());
    assert!(written.contains("[gpu]\nsm_clock = 1410"), "{written}");
    assert_eq!(ids(text), ids(&written), "{written}");
    let schema = json_schema(&schemas());
    assert_eq!(schema["properties"]["gpu"]["properties"]["power_limit"]["type"], "integer");
    assert!(schema["properties"]["sweep"]["properties"]["gpu.sm_clock"].is_object());
}

#[test]
fn a_new_study_plans_without_error() {
    let mut schema = alpha();
    schema.parameters[0].suggested =
        vec![crate::backend::Value::Integer(1), crate::backend::Value::Integer(8)];
    schema.parameters[6].default = crate::backend::DefaultValue::Required;
    let text =
        init(&Init { name: "first", plugin: Some(("alpha", &schema)), model: "Qwen/Qwen2.5-0.5B" });
    let study =
        parse(&text, "first.toml").unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
    let plan = expand(
        &study,
        &[("alpha".to_owned(), schema)].into(),
        &Facts::default(),
        &mut no_code_rules,
    );
    assert_eq!(plan.unwrap_or_else(|problems| panic!("{problems:?}\n{text}")).experiments.len(), 2);
    assert!(parse(&init(&Init { name: "bare", plugin: None, model: "m" }), "bare.toml").is_ok());
}

#[test]
fn every_commented_default_of_a_new_study_is_valid() {
    let text = init(&Init { name: "first", plugin: Some(("alpha", &alpha())), model: "m" });
    let open = |line: &str| match line.strip_prefix("# ") {
        Some(rest)
            if rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '))
                && !rest.starts_with('"') =>
        {
            rest.to_owned()
        }
        _ => line.to_owned(),
    };
    // Keys that exclude each other stay as they are.
    let exclusive = [
        "engine.port_reuse",
        "dataset",
        "trace",
        "rate",
        "rate_end",
        "over",
        "burstiness",
        "arrival",
        "concurrency",
    ];
    let keep = |line: &str| !exclusive.iter().any(|key| line.starts_with(&format!("{key} =")));
    let opened: Vec<String> = text.lines().map(open).filter(|line| keep(line)).collect();
    let opened = opened.join("\n");
    assert!(parse(&opened, "s").is_ok(), "{:?}\n{opened}", parse(&opened, "s").err());
    ids(&opened);
}

#[test]
fn the_json_schema_has_the_parameters_of_plugins() {
    let schema = json_schema(&schemas());
    let plugin = &schema["properties"]["plugin"]["properties"]["alpha"]["properties"];
    assert_eq!(plugin["engine"]["properties"]["seqs"]["maximum"], 1024);
    assert_eq!(plugin["engine"]["properties"]["graph"]["properties"]["mode"]["default"], 1);
    assert!(schema["properties"]["sweep"]["properties"]["alpha.engine.dtype"].is_object());
    assert_eq!(schema["properties"]["traffic"]["properties"]["arrival"]["enum"][0], "closed-loop");
}
