//! `llem plugin inspect`: who a component is and what it asks for, without anything being started.

use std::fmt::Write as _;

use serde::Serialize;

use super::list::origin;
use crate::{
    cli::PluginInspectArgs,
    commands::{output, output_json},
    diagnostics::{Failure, printable},
    exit::ExitStatus,
    grants::{Gate, meaning, permission_name},
    planning::{Backends, broken},
    plugins::Store,
};

#[derive(Serialize)]
struct Report {
    id: String,
    title: String,
    version: String,
    summary: String,
    homepage: Option<String>,
    license: Option<String>,
    sha256: String,
    origin: String,
    /// Where an added plugin was taken from.
    source: Option<String>,
    releases: Vec<String>,
    permissions: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    permission: String,
    allowed: bool,
    meaning: String,
}

/// Shows a component, by name or path.
pub(crate) fn run(args: &PluginInspectArgs) -> Result<ExitStatus, Failure> {
    let gate = Gate::new(Vec::new());
    let (plugin, descriptor) = Backends::new(gate.clone())?.open(&args.component)?;
    let releases = plugin.releases().map_err(broken)?;
    let verdict = gate.verdict(&plugin, &descriptor)?;
    let store = Store::open()?;
    let locked = store.plugins().iter().find(|it| it.sha256 == plugin.sha256());
    let report = Report {
        sha256: plugin.sha256().to_owned(),
        origin: origin(plugin.origin()),
        source: locked.map(|it| it.source.clone()),
        releases: releases.into_iter().map(|it| it.id).collect(),
        permissions: descriptor
            .permissions
            .iter()
            .map(|it| Line {
                permission: permission_name(it),
                allowed: verdict.granted.contains(it),
                meaning: meaning(it),
            })
            .collect(),
        id: descriptor.id,
        title: descriptor.title,
        version: descriptor.version,
        summary: descriptor.summary,
        homepage: descriptor.homepage,
        license: descriptor.license,
    };
    if args.json {
        return output_json(&report);
    }
    output(&printable(&text(&report)))
}

fn text(it: &Report) -> String {
    let mut text = format!("{} {}: {}\n", it.id, it.version, it.summary);
    let facts = [
        ("sha256", Some(&it.sha256)),
        ("file", Some(&it.origin)),
        ("source", it.source.as_ref()),
        ("homepage", it.homepage.as_ref()),
        ("licence", it.license.as_ref()),
    ];
    for (name, fact) in facts.into_iter().filter_map(|(name, fact)| Some((name, fact?))) {
        writeln!(text, "  {name:<9} {fact}").expect("a string takes everything");
    }
    writeln!(text, "  releases  {}", it.releases.join(", ")).expect("a string takes everything");
    for line in &it.permissions {
        let allowed = if line.allowed { "allowed" } else { "not allowed" };
        writeln!(text, "  {allowed:<12} {:<32} {}", line.permission, line.meaning)
            .expect("a string takes everything");
    }
    text
}
