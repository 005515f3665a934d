//! `llem plugin list`: the backends that are there.

use llem_plugin::Origin;
use serde::Serialize;

use crate::{
    cli::PluginListArgs,
    commands::{output, output_json},
    diagnostics::{Failure, note, printable},
    exit::ExitStatus,
    grants::{Gate, permission_name},
    planning::Backends,
};

#[derive(Serialize)]
struct Line {
    id: String,
    title: String,
    version: String,
    sha256: String,
    origin: String,
    modes: Vec<llem_core::backend::Mode>,
    releases: Vec<String>,
    permissions: Vec<String>,
    /// Of the permissions, those that are not allowed.
    not_allowed: Vec<String>,
    summary: String,
}

/// Lists the backends.
pub(crate) fn run(args: &PluginListArgs) -> Result<ExitStatus, Failure> {
    let gate = Gate::new(Vec::new());
    let backends = Backends::new(gate.clone())?;
    let mut lines = Vec::new();
    let mut status = ExitStatus::Success;
    for name in backends.names() {
        // One broken plugin must not hide the others.
        match line(&name, &backends, &gate) {
            Ok(line) => lines.push(line),
            Err(failure) => {
                note(&format!("{name}: {}", failure.text()));
                status = ExitStatus::Failures;
            }
        }
    }
    if args.json {
        output_json(&lines)?;
        return Ok(status);
    }
    let shown = lines.iter().map(|it| {
        let allowed = match it.not_allowed.len() {
            0 => String::new(),
            some => {
                format!(" ({some} permissions not allowed yet: `llem plugin inspect {}`)", it.id)
            }
        };
        format!(
            "{:<10} {:<8} {:<9} releases {:<18} {}{}\n",
            printable(&it.id),
            printable(&it.version),
            if it.origin == BUILT_IN { "built in" } else { "added" },
            printable(&it.releases.join(", ")),
            printable(&it.summary),
            printable(&allowed)
        )
    });
    output(&shown.collect::<String>())?;
    Ok(status)
}

const BUILT_IN: &str = "built in";

fn line(name: &str, backends: &Backends, gate: &Gate) -> Result<Line, Failure> {
    let (plugin, descriptor) = backends.open(name)?;
    let releases = plugin.releases().map_err(crate::planning::broken)?;
    let verdict = gate.verdict(&plugin, &descriptor)?;
    let is_granted = |it: &&llem_core::backend::Permission| verdict.granted.contains(it);
    let not_allowed = descriptor.permissions.iter().filter(|it| !is_granted(it));
    Ok(Line {
        sha256: plugin.sha256().to_owned(),
        origin: origin(plugin.origin()),
        releases: releases.into_iter().map(|it| it.id).collect(),
        permissions: descriptor.permissions.iter().map(permission_name).collect(),
        not_allowed: not_allowed.map(permission_name).collect(),
        id: descriptor.id,
        title: descriptor.title,
        version: descriptor.version,
        modes: descriptor.modes,
        summary: descriptor.summary,
    })
}

/// Where a plugin comes from, for people.
pub(super) fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Bundled => BUILT_IN.to_owned(),
        Origin::Override(path) | Origin::File(path) | Origin::Installed(path) => {
            path.display().to_string()
        }
    }
}
