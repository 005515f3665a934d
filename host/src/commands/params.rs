//! `llem params`: the parameter space of a backend.

use std::fmt::Write;

use llem_core::backend::{Choice, DefaultValue, ParamType, Parameter, Path, Phase, Rule, Schema};

use super::{output, output_json, plugin::list_all};
use crate::{
    cli::{ParamsArgs, PluginListArgs},
    diagnostics::{Failure, printable},
    exit::ExitStatus,
    grants::Gate,
    planning::{Backends, broken},
};

/// Lists parameters, or shows one.
pub(crate) fn run(args: &ParamsArgs) -> Result<ExitStatus, Failure> {
    let Some(name) = &args.plugin else {
        return list_all(&PluginListArgs { json: args.json });
    };
    let backends = Backends::new(Gate::new(Vec::new()))?;
    let (plugin, _) = backends.open(name)?;
    let releases = plugin.releases().map_err(broken)?;
    let release = crate::planning::choose_release(&releases, args.release.as_deref())?;
    let schema = plugin.schema(&release).map_err(broken)?;
    if let Some(path) = &args.parameter {
        return one(&schema, path, args.json);
    }
    if args.json {
        return output_json(&schema);
    }
    output(&list(&schema, args))
}

fn one(schema: &Schema, path: &str, json: bool) -> Result<ExitStatus, Failure> {
    let parsed: Path = path.parse().map_err(|it| Failure::new(ExitStatus::Usage, &it))?;
    let Some(parameter) = schema.parameter(&parsed) else {
        let known: Vec<&str> = schema.parameters.iter().map(|it| it.path.as_str()).collect();
        let message = format!("release {} has no parameter `{path}`", schema.release);
        let failure = Failure::message(ExitStatus::Usage, message);
        return Err(match llem_core::study::nearest(path, known) {
            Some(nearest) => failure.hint(format!("the nearest is `{nearest}`")),
            None => failure.hint("`llem params PLUGIN --all` lists all of them"),
        });
    };
    let rules: Vec<&Rule> = schema.rules.iter().filter(|it| touches(it, path)).collect();
    if json {
        return output_json(&serde_json::json!({ "parameter": parameter, "rules": rules }));
    }
    let mut out = details(parameter);
    for rule in rules {
        let severity = format!("{:?}", rule.severity).to_lowercase();
        line(
            &mut out,
            &format!(
                "\nrule {} ({severity})\n  when  {}\n  {}",
                rule.id,
                rule.when,
                printable(&rule.message)
            ),
        );
    }
    output(&out)
}

/// Whether a rule names a parameter, in its condition or its effects.
fn touches(rule: &Rule, path: &str) -> bool {
    let is_boundary =
        |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '.');
    let named = rule.when.match_indices(path).any(|(at, found)| {
        is_boundary(rule.when[..at].chars().next_back())
            && is_boundary(rule.when[at + found.len()..].chars().next())
    });
    named || rule.effects.iter().any(|it| it.path.as_str() == path)
}

fn list(schema: &Schema, args: &ParamsArgs) -> String {
    let wanted = |it: &&Parameter| {
        let search = args.search.as_ref().map(|it| it.to_lowercase());
        let found = search.as_ref().is_none_or(|text| {
            it.path.as_str().to_lowercase().contains(text) || it.doc.to_lowercase().contains(text)
        });
        found && (args.all || args.search.is_some() || it.energy_relevant)
    };
    let shown: Vec<&Parameter> = schema.parameters.iter().filter(wanted).collect();
    let mut out = format!(
        "engine release {}: {} of {} parameters\n",
        schema.release,
        shown.len(),
        schema.parameters.len()
    );
    for section in &schema.sections {
        let of_section: Vec<&&Parameter> =
            shown.iter().filter(|it| it.path.section() == section.id).collect();
        if of_section.is_empty() {
            continue;
        }
        line(&mut out, &format!("\n{}: {}", section.id, printable(&section.doc)));
        for it in of_section {
            let summary = it.doc.lines().next().unwrap_or_default();
            line(
                &mut out,
                &format!(
                    "  {:<36} {:<28} {:<14} {:<8} {}",
                    it.path.as_str(),
                    types(it),
                    default(it),
                    phase(it.phase),
                    printable(summary)
                ),
            );
        }
    }
    if !args.all && args.search.is_none() {
        line(
            &mut out,
            "\nThese are the energy-relevant ones; --all shows all, --search TEXT finds some.",
        );
    }
    out
}

fn details(it: &Parameter) -> String {
    let mut out = String::new();
    line(&mut out, &format!("{}\n  {}\n", it.path, printable(&it.doc)));
    let mut field = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            line(&mut out, &format!("  {name:<10} {}", printable(&value)));
        }
    };
    field("type", Some(types(it)));
    field("default", Some(default(it)));
    field("unit", it.unit.clone());
    field("takes effect", Some(phase(it.phase).to_owned()));
    field("engine", it.native.clone());
    let suggested: Vec<String> = it.suggested.iter().map(ToString::to_string).collect();
    field("suggested", Some(suggested.join(", ")).filter(|it| !it.is_empty()));
    field("since", it.since.clone());
    field("until", it.until.clone());
    field("deprecated", it.deprecated.clone());
    field("source", it.source.clone());
    for choice in it.types.iter().flat_map(choices) {
        field("choice", Some(format!("{}  {}", choice.value, choice.doc)));
    }
    out
}

fn choices(of: &ParamType) -> &[Choice] {
    if let ParamType::Choice(choices) = of { choices } else { &[] }
}

fn types(parameter: &Parameter) -> String {
    let nullable = parameter.nullable.then(|| "null".to_owned());
    parameter.types.iter().map(one_type).chain(nullable).collect::<Vec<_>>().join(" | ")
}

fn one_type(of: &ParamType) -> String {
    let range = |low: Option<String>, high: Option<String>| match (low, high) {
        (None, None) => String::new(),
        (low, high) => format!(" {}..{}", low.unwrap_or_default(), high.unwrap_or_default()),
    };
    match of {
        ParamType::Boolean => "boolean".to_owned(),
        ParamType::Integer { min, max, .. } => {
            format!("integer{}", range(min.map(|it| it.to_string()), max.map(|it| it.to_string())))
        }
        ParamType::Number { min, max, .. } => {
            format!("number{}", range(min.map(|it| it.to_string()), max.map(|it| it.to_string())))
        }
        ParamType::Text { format, .. } => format.clone().unwrap_or_else(|| "text".to_owned()),
        ParamType::Choice(choices) => {
            choices.iter().map(|it| it.value.to_string()).collect::<Vec<_>>().join("|")
        }
        ParamType::Items { item, .. } => format!("list of {}", one_type(item)),
        ParamType::Object => "object".to_owned(),
    }
}

fn default(parameter: &Parameter) -> String {
    match &parameter.default {
        DefaultValue::Required => "required".to_owned(),
        DefaultValue::Engine(_) => "engine".to_owned(),
        DefaultValue::Fixed(value) => value.to_string(),
    }
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Build => "build",
        Phase::Load => "load",
        Phase::Request => "request",
    }
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("writing to a string does not fail");
}
