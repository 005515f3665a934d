//! `llem plugin test`: the conformance kit on one component.

use std::path::Path;

use llem_conformance::{RULES, check, not_loaded};
use serde_json::json;

use crate::{
    cli::PluginTestArgs,
    commands::{output, output_json},
    diagnostics::{Failure, printable},
    exit::ExitStatus,
    plugins::registry,
};

/// Checks a component, or lists the rules.
pub(crate) fn run(args: &PluginTestArgs) -> Result<ExitStatus, Failure> {
    let Some(component) = args.component.as_deref().filter(|_| !args.rules) else {
        return rules(args.json);
    };
    if component.contains('/') && !Path::new(component).exists() {
        let message = format!("no component at `{component}`");
        return Err(Failure::message(ExitStatus::Usage, message).hint("build the plugin first"));
    }
    let report = match registry().load(component) {
        Ok(plugin) => check(&plugin),
        Err(error) => not_loaded(component, &error),
    };
    if args.json {
        output_json(&report)?;
    } else {
        output(&printable(&report.text()))?;
    }
    Ok(if report.passed { ExitStatus::Success } else { ExitStatus::Failures })
}

fn rules(as_json: bool) -> Result<ExitStatus, Failure> {
    if as_json {
        let rule = |it: &llem_conformance::Rule| json!({ "id": it.id, "wants": it.wants, "mend": it.mend });
        return output_json(&RULES.iter().map(rule).collect::<Vec<_>>());
    }
    let lines = RULES.iter().map(|it| format!("{:<22} {}\n", it.id, it.wants));
    output(&lines.collect::<String>())
}
