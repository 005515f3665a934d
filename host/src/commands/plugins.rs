//! `llem plugins`: the backends that are there.

use llem_plugin::Origin;
use serde::Serialize;

use super::{output, output_json};
use crate::{
    cli::PluginsArgs,
    diagnostics::{Failure, printable},
    exit::ExitStatus,
    planning::{Backends, permission_name},
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
    summary: String,
}

/// Lists the backends.
pub(crate) fn run(args: &PluginsArgs) -> Result<ExitStatus, Failure> {
    let backends = Backends::new(Vec::new());
    let mut lines = Vec::new();
    for name in backends.names() {
        let (plugin, descriptor) = backends.open(&name)?;
        let releases = plugin.releases().map_err(crate::planning::broken)?;
        lines.push(Line {
            sha256: plugin.sha256().to_owned(),
            origin: match plugin.origin() {
                Origin::Bundled => "built in".to_owned(),
                Origin::Override(path) | Origin::File(path) => path.display().to_string(),
            },
            releases: releases.into_iter().map(|it| it.id).collect(),
            permissions: descriptor.permissions.iter().map(permission_name).collect(),
            id: descriptor.id,
            title: descriptor.title,
            version: descriptor.version,
            modes: descriptor.modes,
            summary: descriptor.summary,
        });
    }
    if args.json {
        return output_json(&lines);
    }
    let shown = lines.iter().map(|it| {
        format!(
            "{:<10} {:<8} releases {:<18} {}\n",
            printable(&it.id),
            printable(&it.version),
            printable(&it.releases.join(", ")),
            printable(&it.summary)
        )
    });
    output(&shown.collect::<String>())
}
