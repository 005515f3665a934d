//! Axes, variants, samples, rules, merging and identity.

use super::{alpha, alpha_plan, labels, plan, schemas, text};
use crate::{
    backend::{Canonical, Finding, Mode, Severity, Value},
    study::{Expansion, Facts, broken_rules, expand, no_code_rules, parse},
};

fn values(expansion: &Expansion, path: &str) -> Vec<String> {
    let path = path.parse().unwrap();
    expansion
        .experiments
        .iter()
        .map(|it| it.settings.get(&path).map_or("-".to_owned(), ToString::to_string))
        .collect()
}

#[test]
fn axes_are_spaced_as_they_say() {
    for (axis, path, expected) in [
        ("{ linear = [16, 256], points = 4 }", "engine.seqs", "16 96 176 -"),
        ("{ log = [1, 256], points = 3 }", "engine.seqs", "1 16 -"),
        ("{ log2 = [1, 64] }", "engine.seqs", "1 2 4 8 16 32 64"),
        ("{ linear = [0, 1], points = 5 }", "engine.utilization", "0 0.25 0.5 0.75 1"),
        ("{ log = [0.01, 1.0], points = 3 }", "engine.utilization", "0.01 0.1 1"),
        ("{ all = true }", "engine.dtype", "- float16 bfloat16 float32"),
        ("{ all = true }", "engine.eager", "- true"),
        ("[1, 1.0, 2]", "engine.seqs", "1 2"),
        ("[[1, 2], [4]]", "engine.graph.sizes", "[1,2] [4]"),
        ("[{ null = true }, \"fp8\"]", "engine.quantization", "- fp8"),
    ] {
        let expansion = alpha_plan(&format!("[sweep]\n\"alpha.{path}\" = {axis}"));
        assert_eq!(values(&expansion, path).join(" "), expected, "{path} = {axis}");
    }
}

#[test]
fn the_sweep_is_the_product_of_its_dimensions() {
    let expansion = alpha_plan(
        "[sweep]\n\"alpha.engine.seqs\" = [1, 2]\n[[sweep.zip]]\n\"workload.input_tokens\" = [8, 16, 32]\n\
         \"workload.output_tokens\" = [1, 2, 3]\n[[sweep.variants]]\nname = \"q\"\noptions = [{}, { \"alpha.engine.quantization\" = \"fp8\" }]",
    );
    assert_eq!(expansion.declared, 12);
    assert_eq!(expansion.experiments.len(), 12);
    assert_eq!(
        labels(&expansion)[..3],
        [
            "seqs=1 input_tokens+output_tokens=8/1 q=base",
            "seqs=1 input_tokens+output_tokens=8/1 q=fp8",
            "seqs=1 input_tokens+output_tokens=16/2 q=base"
        ]
    );
    assert_eq!(expansion.factors.iter().map(|it| it.levels.len()).collect::<Vec<_>>(), [2, 3, 2]);
    assert_eq!(expansion.experiments[1].levels.as_deref(), Some(&[0, 0, 1][..]));
}

#[test]
fn an_axis_of_another_plugin_is_not_this_one_s() {
    let text = "model.id = \"gpt2\"\n[plugin.alpha]\n[plugin.beta]\n[sweep]\n\"alpha.engine.seqs\" = [1, 2, 4]\n\
                \"beta.engine.batch\" = { all = true }\n\"traffic.concurrency\" = [1, 2]";
    let expansion = plan(text).unwrap();
    let count = |id: &str| expansion.experiments.iter().filter(|it| &*it.plugin == id).count();
    assert_eq!((count("alpha"), count("beta")), (6, 4));
}

#[test]
fn explicit_experiments_stand_beside_the_sweep() {
    let expansion = alpha_plan(
        "[sweep]\n\"alpha.engine.seqs\" = [1, 2]\n[[experiment]]\n\"alpha.engine.seqs\" = 512\n\"workload.requests\" = 4",
    );
    assert_eq!(labels(&expansion), ["seqs=1", "seqs=2", "seqs=512 requests=4"]);
    assert_eq!(expansion.experiments[2].workload.requests.get(), 4);
    assert_eq!(expansion.experiments[2].levels, None);
}

#[test]
fn a_plugin_with_only_explicit_experiments_runs_only_those() {
    let expansion = alpha_plan("[[experiment]]\n\"alpha.engine.seqs\" = 512\n[[experiment]]\n");
    assert_eq!(labels(&expansion), ["seqs=512", "base"]);
}

#[test]
fn samples_choose_points() {
    for (method, points, expected) in
        [("sobol", 16, 16), ("latin-hypercube", 10, 10), ("random", 7, 7)]
    {
        let sweep = format!(
            "[sweep]\n\"alpha.engine.utilization\" = {{ linear = [0.1, 0.9] }}\n\"alpha.engine.seqs\" = {{ log = [1, 1024] }}\n\
             [sweep.sample]\nmethod = \"{method}\"\npoints = {points}"
        );
        let expansion = alpha_plan(&sweep);
        assert_eq!(expansion.experiments.len(), expected, "{method}");
        assert_eq!(
            labels(&expansion),
            labels(&alpha_plan(&sweep)),
            "the same seed draws the same points"
        );
    }
}

#[test]
fn a_latin_hypercube_meets_every_level_equally_often() {
    let expansion = alpha_plan(
        "[sweep]\n\"alpha.engine.seqs\" = [1, 2, 4, 8]\n\"workload.requests\" = { linear = [1, 1000] }\n\
         [sweep.sample]\nmethod = \"latin-hypercube\"\npoints = 12",
    );
    let values = values(&expansion, "engine.seqs");
    assert!(
        ["1", "2", "4", "8"]
            .iter()
            .all(|level| values.iter().filter(|it| it == level).count() == 3),
        "{values:?}"
    );
}

#[test]
fn one_at_a_time_moves_each_axis_from_the_first_levels() {
    let expansion = alpha_plan(
        "[sweep]\n\"alpha.engine.seqs\" = [1, 2, 4]\n\"alpha.engine.eager\" = [false, true]\n[sweep.sample]\nmethod = \"one-at-a-time\"",
    );
    assert_eq!(
        labels(&expansion),
        ["seqs=1 eager=false", "seqs=2 eager=false", "seqs=4 eager=false", "seqs=1 eager=true"]
    );
}

#[test]
fn dormant_settings_merge_what_is_equal() {
    let expansion = alpha_plan(
        "[sweep]\n\"alpha.sampling.do_sample\" = [true, false]\n\"alpha.sampling.temperature\" = [0.5, 0.7, 1.0]\n\
         \"alpha.sampling.top_p\" = [0.9, 0.95]",
    );
    assert_eq!((expansion.declared, expansion.experiments.len()), (12, 7));
    assert_eq!(expansion.merged.len(), 1);
    assert_eq!((expansion.merged[0].experiment, expansion.merged[0].others.len()), (6, 5));
    let note = &expansion.notes[0];
    assert_eq!(
        (note.rule.as_str(), note.severity, note.configurations),
        ("greedy-ignores-sampling", Severity::Dormant, 6)
    );
}

#[test]
fn a_rule_that_refuses_skips_with_its_id_and_message() {
    let expansion = alpha_plan(
        "[sweep]\n\"alpha.engine.quantization\" = [\"fp8\", \"awq\"]\n\"alpha.engine.cache\" = [\"auto\", \"fp8\"]",
    );
    assert_eq!(expansion.experiments.len(), 3);
    let skipped = &expansion.skipped[0];
    assert_eq!(
        (&*skipped.rule, &*skipped.message),
        ("fp8-cache-needs-fp8", "fp8-cache-needs-fp8 applies")
    );
    assert_eq!(skipped.label, "quantization=awq cache=fp8");
    assert_eq!(skipped.settings.get(&"engine.cache".parse().unwrap()), Some(&text("fp8")));
}

#[test]
fn a_coerced_value_is_the_one_that_counts() {
    let expansion = alpha_plan(
        "engine.quantization = \"awq\"\n[sweep]\n\"alpha.engine.dtype\" = [\"auto\", \"float16\", \"float32\"]",
    );
    assert_eq!(labels(&expansion), ["dtype=auto", "dtype=float32"]);
    assert_eq!(expansion.merged[0].others, ["dtype=float16"]);
    assert_eq!(values(&expansion, "engine.dtype"), ["float16", "float32"]);
}

#[test]
fn a_value_that_a_rule_puts_into_fixed_settings_is_kept() {
    let fixed = alpha_plan("engine.quantization = \"awq\"");
    assert_eq!(values(&fixed, "engine.dtype"), ["float16"]);
    let swept = alpha_plan("[sweep]\n\"alpha.engine.quantization\" = [\"awq\"]");
    assert_eq!(fixed.experiments[0].id, swept.experiments[0].id);
}

#[test]
fn a_rule_about_fixed_settings_refuses_everything() {
    let expansion = alpha_plan("engine.cache = \"fp8\"\n[sweep]\n\"alpha.engine.seqs\" = [1, 2]");
    assert_eq!((expansion.experiments.len(), expansion.skipped.len()), (0, 2));
}

#[test]
fn a_rule_about_unknown_facts_is_listed_and_refuses_nothing() {
    let study = "model.id = \"gpt2\"\n[plugin.alpha]\n[sweep]\n\"alpha.engine.dtype\" = [\"float16\", \"bfloat16\"]";
    let study = parse(study, "s").unwrap();
    let mut facts = Facts::default();
    let unknown = expand(&study, &schemas(), &facts, &mut no_code_rules).unwrap();
    assert_eq!(unknown.experiments.len(), 2);
    assert_eq!(unknown.undecided.len(), 1, "{:?}", unknown.undecided);
    assert_eq!(
        (unknown.undecided[0].rule.as_str(), &unknown.undecided[0].unknown[..]),
        ("bfloat16-needs-ampere", &["gpu.cc".to_owned()][..])
    );
    facts.gpu.insert("cc".to_owned(), Value::Number(7.5));
    let known = expand(&study, &schemas(), &facts, &mut no_code_rules).unwrap();
    assert_eq!((known.experiments.len(), known.skipped.len(), known.undecided.len()), (1, 1, 0));
}

#[test]
fn facts_are_those_of_the_swept_model() {
    let mut schema = alpha();
    schema.rules =
        vec![super::rule("heads", Severity::Error, "model.heads % engine.seqs != 0", &[])];
    let study = parse(
        "[plugin.alpha]\nengine.seqs = 3\n[sweep]\n\"model.id\" = [\"a\", \"b\", \"c\"]",
        "s",
    )
    .unwrap();
    let mut facts = Facts::default();
    for (model, heads) in [("a", 12), ("b", 16)] {
        facts.models.insert(model.to_owned(), [("heads".to_owned(), Value::Integer(heads))].into());
    }
    let expansion =
        expand(&study, &[("alpha".to_owned(), schema)].into(), &facts, &mut no_code_rules).unwrap();
    assert_eq!(labels(&expansion), ["id=a", "id=c"]);
    assert_eq!(expansion.undecided[0].configurations, 1);
}

#[test]
fn rules_that_can_not_be_used_are_named() {
    let mut schema = alpha();
    assert_eq!(broken_rules(&schema), []);
    schema.rules = vec![
        super::rule("syntax", Severity::Error, "engine.seqs >", &[]),
        super::rule("name", Severity::Error, "engine.sequences > 1 && gpu.anything", &[]),
        super::rule("effect", Severity::Dormant, "engine.eager", &[("engine.missing", None)]),
    ];
    let ids: Vec<String> = broken_rules(&schema).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["syntax", "name", "effect"]);
}

#[test]
fn rules_that_undo_each_other_skip_and_say_so() {
    let mut schema = alpha();
    schema.rules = vec![
        super::rule(
            "up",
            Severity::Coerce,
            "engine.seqs == 1",
            &[("engine.seqs", Some(Value::Integer(2)))],
        ),
        super::rule(
            "down",
            Severity::Coerce,
            "engine.seqs == 2",
            &[("engine.seqs", Some(Value::Integer(1)))],
        ),
    ];
    let schemas = [("alpha".to_owned(), schema)].into();
    let plan = |text: &str| {
        let study = parse(&format!("model.id = \"m\"\n[plugin.alpha]\n{text}"), "s").unwrap();
        expand(&study, &schemas, &Facts::default(), &mut no_code_rules).unwrap()
    };
    let undo = "the rules `up`, `down` undo each other";
    let swept = plan("[sweep]\n\"alpha.engine.seqs\" = [1, 4]");
    assert_eq!(labels(&swept), ["seqs=4"]);
    assert_eq!(&*swept.skipped[0].message, undo);
    // The same where no axis moves what they are about.
    let fixed = plan("engine.seqs = 1\n[sweep]\n\"alpha.engine.eager\" = [true, false]");
    assert_eq!((fixed.experiments.len(), fixed.skipped.len()), (0, 2));
    assert_eq!(&*fixed.skipped[1].message, undo);
}

#[test]
fn exclusions_read_the_resolved_configuration() {
    let expansion = alpha_plan(
        "[sweep]\n\"alpha.engine.seqs\" = [1, 8, 256]\n\"traffic.concurrency\" = [4, 16]\n[[exclude]]\n\
         when = 'alpha.engine.seqs > traffic.concurrency && alpha.engine.dtype == \"auto\"'\nwhy = \"never filled\"",
    );
    assert_eq!(expansion.experiments.len(), 3);
    assert!(
        expansion.skipped.iter().all(|it| &*it.rule == "exclude" && &*it.message == "never filled")
    );
}

#[test]
fn an_exclusion_of_one_plugin_leaves_the_other_alone() {
    let text = "model.id = \"gpt2\"\n[plugin.alpha]\n[plugin.beta]\n[[exclude]]\nwhen = 'alpha.engine.seqs == 256'";
    assert_eq!(plan(text).unwrap().experiments.len(), 1);
    let beta = parse(text, "s").unwrap().with_plugin("beta");
    let beta = expand(&beta, &schemas(), &Facts::default(), &mut no_code_rules).unwrap();
    assert_eq!((beta.experiments.len(), beta.undecided.len()), (1, 0));
    let unknown = format!("{text}\n[[exclude]]\nwhen = 'alpha.engine.seq == 1'");
    assert!(
        plan(&unknown).unwrap_err()[0].message.contains("unknown name"),
        "{:?}",
        plan(&unknown).unwrap_err()
    );
}

#[test]
fn a_parameter_that_can_not_reach_the_engine_is_an_error() {
    let offline = "model.id = \"gpt2\"\n[plugin.alpha]\nengine.port_reuse = true";
    let problem = &plan(offline).unwrap_err()[0];
    assert!(problem.message.contains("offline mode") && problem.line == 3, "{problem}");
    assert!(plan(&format!("traffic.concurrency = 1\n{offline}")).is_ok());
}

#[test]
fn a_missing_required_parameter_is_an_error() {
    let mut schema = alpha();
    schema.parameters[0].default = crate::backend::DefaultValue::Required;
    let schemas = [("alpha".to_owned(), schema)].into();
    let of = |text: &str| {
        expand(&parse(text, "s").unwrap(), &schemas, &Facts::default(), &mut no_code_rules)
    };
    let text = "model.id = \"gpt2\"\n[plugin.alpha]\n";
    assert!(of(text).unwrap_err()[0].message.contains("needs `engine.seqs`"));
    assert!(of(&format!("{text}engine.seqs = 1")).is_ok());
}

#[test]
fn nested_settings_can_be_written_as_tables() {
    let of = |text: &str| alpha_plan(text).experiments[0].id;
    assert_eq!(
        of("engine.graph = { mode = 2, sizes = [1] }"),
        of("engine.graph.mode = 2\nengine.graph.sizes = [1]")
    );
    assert_eq!(
        of("engine.options = { b = 1, a = { d = 1, c = 2 } }"),
        of("engine.options = { a = { c = 2, d = 1 }, b = 1 }")
    );
}

#[test]
fn identity_is_that_of_the_meaning() {
    let base = alpha_plan("engine.seqs = 8\nengine.eager = true").experiments[0].id;
    for same in [
        "engine.eager = true\nengine.seqs = 8",
        "engine.seqs = 8.0\nengine.eager = true",
        "engine.seqs = 8\nengine.eager = true\nengine.dtype = \"auto\"",
        "engine.seqs = 8\nengine.eager = true\nengine.utilization = 0.9",
        "engine.seqs = 8\nengine.eager = true\nengine.graph.mode = 2",
        "engine.seqs = 8\nengine.eager = true\n[workload]\nsource = \"synthetic\"\nrequests = 512",
        "engine.seqs = 8\nengine.eager = true\n[measure]\nrepeats = 5\nwindow = \"20s\"",
        "engine.seqs = 8\nengine.eager = true\n[slo]\nrequest_latency = \"5s\"",
        "engine.eager = true\n[sweep]\n\"alpha.engine.seqs\" = [8]",
    ] {
        assert_eq!(alpha_plan(same).experiments[0].id, base, "{same}");
    }
    for other in [
        "engine.seqs = 9\nengine.eager = true",
        "engine.seqs = 8\nengine.eager = true\n[workload]\nrequests = 511",
        "engine.seqs = 8\nengine.eager = true\n[traffic]\nconcurrency = 1",
        "engine.seqs = 8\nengine.eager = true\n[measure]\nbaseline = \"none\"",
        "engine.seqs = 8\nengine.eager = true\n[gpu]\npower_limit = 300",
    ] {
        assert_ne!(alpha_plan(other).experiments[0].id, base, "{other}");
    }
    let served = "engine.seqs = 8\n[traffic]\nconcurrency = 1\n[measure]\nwindow =";
    assert_ne!(
        alpha_plan(&format!("{served} \"20s\"")).experiments[0].id,
        alpha_plan(&format!("{served} \"30s\"")).experiments[0].id
    );
}

/// Published ids must never change: results are found by them.
#[test]
fn ids_are_stable() {
    let expansion = alpha_plan("engine.seqs = 8");
    assert_eq!(expansion.experiments[0].id.to_string(), "0b9c68c670c969f5");
}

#[test]
fn only_settings_before_requests_decide_the_engine() {
    let expansion = alpha_plan(
        "[sweep]\n\"alpha.sampling.temperature\" = [0.1, 0.2]\n\"alpha.engine.seqs\" = [1, 2]\n\"traffic.concurrency\" = [1, 2]",
    );
    let mut keys: Vec<u64> = expansion.experiments.iter().map(|it| it.engine_key).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!((expansion.experiments.len(), keys.len()), (8, 2));
}

#[test]
fn settings_of_gpus_are_axes_and_need_an_engine_each() {
    let expansion = alpha_plan(
        "[gpu]\nsm_clock = 1410\n[sweep]\n\"gpu.power_limit\" = { linear = [300, 700], points = 3 }\n\"traffic.concurrency\" = [1, 2]",
    );
    let set: Vec<(u32, u32)> = expansion
        .experiments
        .iter()
        .map(|it| (it.gpu.power_limit.unwrap().get(), it.gpu.sm_clock.unwrap().get()))
        .collect();
    assert_eq!(set, [300, 300, 500, 500, 700, 700].map(|it| (it, 1410)));
    let keys: std::collections::BTreeSet<u64> =
        expansion.experiments.iter().map(|it| it.engine_key).collect();
    assert_eq!(keys.len(), 3, "loads share an engine, limits do not");
    assert_eq!(expansion.factors[0].numbers, Some(vec![300.0, 500.0, 700.0]));

    let explicit = alpha_plan(
        "[[experiment]]\n[[experiment]]\n\"gpu.power_limit\" = 300\n[[experiment]]\n\"gpu.power_limit\" = 400\n[[exclude]]\nwhen = 'gpu.power_limit > 350'",
    );
    assert_eq!(explicit.experiments.len(), 2);
    let wire = serde_json::to_string(&explicit.experiments[1]).unwrap();
    assert!(wire.contains("\"gpu\":{\"power_limit_watts\":300}"), "{wire}");
    assert!(!serde_json::to_string(&explicit.experiments[0]).unwrap().contains("\"gpu\""));
}

#[test]
fn a_plugin_s_own_rules_have_the_last_word() {
    let mut schema = alpha();
    schema.has_code_rules = true;
    let study = parse("model.id = \"m\"\n[plugin.alpha]\n[sweep]\n\"alpha.engine.seqs\" = { linear = [1, 250], points = 250 }", "s").unwrap();
    let mut batches = Vec::new();
    let mut code = |id: &str, configs: Vec<crate::backend::Config>| {
        assert_eq!(id, "alpha");
        batches.push(configs.len());
        Ok(configs
            .into_iter()
            .map(|mut config| {
                let seqs = config.get_mut(&"engine.seqs".parse().unwrap()).unwrap();
                let Value::Integer(it) = seqs else { panic!() };
                let odd = *it % 2 == 1;
                *it = (*it + 9) / 10 * 10;
                let refuse = Finding {
                    severity: Severity::Error,
                    path: None,
                    rule: "odd".into(),
                    message: "odd".into(),
                    effective: None,
                };
                Canonical { config, findings: if odd { vec![refuse] } else { vec![] } }
            })
            .collect())
    };
    let expansion =
        expand(&study, &[("alpha".to_owned(), schema)].into(), &Facts::default(), &mut code)
            .unwrap();
    assert_eq!((expansion.experiments.len(), expansion.skipped.len()), (25, 125));
    assert_eq!(batches, [100, 100, 50]);
}

#[test]
fn an_experiment_survives_its_wire_form() {
    let expansion = alpha_plan(
        "engine.options = { a = 1 }\n[traffic]\narrival = \"gamma\"\nrate = 2\nburstiness = 3\n[sweep]\n\"alpha.engine.seqs\" = [1]",
    );
    let experiment = &expansion.experiments[0];
    let back: crate::study::Experiment =
        serde_json::from_str(&serde_json::to_string(experiment).unwrap()).unwrap();
    assert_eq!(&back, experiment);
    assert_eq!((back.mode, back.config().len()), (Mode::Server, 2));
}

#[test]
fn a_sweep_beyond_a_million_is_refused() {
    let axis = (1..=1001).map(|it| it.to_string()).collect::<Vec<_>>().join(", ");
    let text = format!(
        "model.id = \"m\"\n[plugin.beta]\n[sweep]\n\"workload.requests\" = [{axis}]\n\"workload.output_tokens\" = [{axis}]"
    );
    let problem = plan(&text).err().map(|problems| problems[0].message.clone());
    assert!(problem.is_some_and(|message| message.contains("at most 1000000")));
}
