//! Tests of studies as a whole; those of single parts are beside the parts.

mod expanding;
mod importing;
mod parsing;
mod properties;
mod writing;

use std::collections::BTreeMap;

use super::{Expansion, Facts, Problem, expand, no_code_rules, parse};
use crate::backend::{
    Choice, DefaultValue, Effect, Mode, ParamType, Parameter, Phase, Rule, Scale, Schema, Section,
    Severity, UnknownPolicy, Value,
};

pub(super) fn parameter(path: &str, kind: ParamType, default: DefaultValue) -> Parameter {
    Parameter {
        path: path.parse().unwrap(),
        types: vec![kind],
        nullable: false,
        default,
        doc: String::new(),
        unit: None,
        phase: if path.starts_with("sampling") { Phase::Request } else { Phase::Load },
        modes: Vec::new(),
        native: None,
        energy_relevant: true,
        suggested: Vec::new(),
        since: None,
        until: None,
        deprecated: None,
        source: None,
        extra: Vec::new(),
    }
}

pub(super) fn integer(min: i64, max: i64) -> ParamType {
    ParamType::Integer { min: Some(min), max: Some(max), multiple_of: None, scale: Scale::Pow2 }
}

pub(super) fn number(min: f64, max: f64) -> ParamType {
    ParamType::Number {
        min: Some(min),
        max: Some(max),
        exclusive_min: false,
        exclusive_max: false,
        scale: Scale::Linear,
    }
}

pub(super) fn choice(values: &[&str]) -> ParamType {
    ParamType::Choice(
        values
            .iter()
            .map(|it| Choice { value: Value::Text((*it).to_owned()), doc: String::new() })
            .collect(),
    )
}

pub(super) fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

pub(super) fn rule(
    id: &str,
    severity: Severity,
    when: &str,
    effects: &[(&str, Option<Value>)],
) -> Rule {
    Rule {
        id: id.to_owned(),
        severity,
        when: when.to_owned(),
        effects: effects
            .iter()
            .map(|(path, becomes)| Effect { path: path.parse().unwrap(), becomes: becomes.clone() })
            .collect(),
        message: format!("{id} applies"),
        source: None,
    }
}

/// A plugin with a little of everything.
pub(super) fn alpha() -> Schema {
    let fixed = |value| DefaultValue::Fixed(value);
    let mut parameters = vec![
        parameter("engine.seqs", integer(1, 1024), fixed(Value::Integer(256))),
        parameter(
            "engine.tokens",
            integer(1, 65_536),
            DefaultValue::Engine("from the model".to_owned()),
        ),
        parameter(
            "engine.dtype",
            choice(&["auto", "float16", "bfloat16", "float32"]),
            fixed(text("auto")),
        ),
        parameter("engine.quantization", choice(&["fp8", "awq"]), fixed(Value::Null)),
        parameter("engine.cache", choice(&["auto", "fp8"]), fixed(text("auto"))),
        parameter("engine.eager", ParamType::Boolean, fixed(Value::Boolean(false))),
        parameter("engine.utilization", number(0.0, 1.0), fixed(Value::Number(0.9))),
        parameter("engine.graph.mode", integer(0, 3), fixed(Value::Integer(1))),
        parameter(
            "engine.graph.sizes",
            ParamType::Items {
                item: Box::new(integer(1, 512)),
                min_items: None,
                max_items: Some(4),
            },
            fixed(Value::Null),
        ),
        parameter("engine.options", ParamType::Object, fixed(Value::Null)),
        parameter("engine.port_reuse", ParamType::Boolean, fixed(Value::Boolean(false))),
        parameter("sampling.do_sample", ParamType::Boolean, fixed(Value::Boolean(true))),
        parameter("sampling.temperature", number(0.0, 2.0), fixed(Value::Number(1.0))),
        parameter("sampling.top_p", number(0.0, 1.0), fixed(Value::Number(1.0))),
    ];
    for nullable in ["engine.quantization", "engine.graph.sizes", "engine.options"] {
        parameters.iter_mut().find(|it| it.path.as_str() == nullable).unwrap().nullable = true;
    }
    let reuse = parameters.iter_mut().find(|it| it.path.as_str() == "engine.port_reuse").unwrap();
    reuse.modes = vec![Mode::Server];
    Schema {
        release: "1.0".to_owned(),
        sections: vec![
            Section { id: "engine".to_owned(), title: "Engine".to_owned(), doc: String::new() },
            Section { id: "sampling".to_owned(), title: "Sampling".to_owned(), doc: String::new() },
        ],
        parameters,
        rules: vec![
            rule(
                "eager-has-no-graph",
                Severity::Dormant,
                "engine.eager",
                &[("engine.graph.mode", None), ("engine.graph.sizes", None)],
            ),
            rule(
                "greedy-ignores-sampling",
                Severity::Dormant,
                "!sampling.do_sample",
                &[("sampling.temperature", None), ("sampling.top_p", None)],
            ),
            rule(
                "fp8-cache-needs-fp8",
                Severity::Error,
                "engine.cache == 'fp8' && engine.quantization != 'fp8'",
                &[],
            ),
            rule(
                "awq-is-half",
                Severity::Coerce,
                "engine.quantization == 'awq' && engine.dtype == 'auto'",
                &[("engine.dtype", Some(text("float16")))],
            ),
            rule(
                "bfloat16-needs-ampere",
                Severity::Error,
                "engine.dtype == 'bfloat16' && gpu.cc < 8.0",
                &[],
            ),
            rule("full", Severity::Warning, "engine.utilization > 0.95", &[]),
            rule("tokens-fit", Severity::Error, "engine.tokens < engine.seqs", &[]),
        ],
        has_code_rules: false,
        unknown: UnknownPolicy::Reject,
        extra: Vec::new(),
    }
}

/// A plugin with two parameters.
pub(super) fn beta() -> Schema {
    let mut batch =
        parameter("engine.batch", integer(1, 64), DefaultValue::Fixed(Value::Integer(1)));
    batch.suggested = vec![Value::Integer(1), Value::Integer(8)];
    Schema {
        parameters: vec![
            batch,
            parameter(
                "engine.eager",
                ParamType::Boolean,
                DefaultValue::Fixed(Value::Boolean(false)),
            ),
        ],
        rules: Vec::new(),
        ..alpha()
    }
}

pub(super) fn schemas() -> BTreeMap<String, Schema> {
    BTreeMap::from([("alpha".to_owned(), alpha()), ("beta".to_owned(), beta())])
}

pub(super) fn plan(text: &str) -> Result<Expansion, Vec<Problem>> {
    expand(&parse(text, "study.toml")?, &schemas(), &Facts::default(), &mut no_code_rules)
}

/// The plan of a study on `alpha` with a model.
pub(super) fn alpha_plan(text: &str) -> Expansion {
    let text = format!("model.id = \"gpt2\"\n[plugin.alpha]\n{text}");
    plan(&text).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
}

pub(super) fn labels(expansion: &Expansion) -> Vec<&str> {
    expansion.experiments.iter().map(|it| it.label.as_str()).collect()
}
