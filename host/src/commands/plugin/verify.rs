//! `llem plugin verify`: whether added plugins are what was added, and still may do what they ask for.

use serde::Serialize;

use crate::{
    cli::PluginVerifyArgs,
    commands::{output, output_json},
    diagnostics::{Failure, printable},
    exit::ExitStatus,
    grants::{Gate, permission_name},
    planning::{Backends, broken},
    plugins::{Locked, Store},
};

#[derive(Serialize)]
struct Line {
    id: String,
    sha256: String,
    problem: Option<String>,
}

/// Checks every added plugin, or the named ones.
pub(crate) fn run(args: &PluginVerifyArgs) -> Result<ExitStatus, Failure> {
    let store = Store::open()?;
    let wanted = |it: &&Locked| args.ids.is_empty() || args.ids.contains(&it.id);
    if let Some(id) = args.ids.iter().find(|id| !store.plugins().iter().any(|it| it.id == **id)) {
        let message = format!("no added plugin `{id}`");
        return Err(
            Failure::message(ExitStatus::Usage, message).hint("`llem plugin list` lists them")
        );
    }
    let gate = Gate::new(Vec::new());
    let backends = Backends::new(gate.clone())?;
    let check = |it: &Locked| Line {
        id: it.id.clone(),
        sha256: it.sha256.clone(),
        problem: problem(it, &backends, &gate).unwrap_or_else(|failure| Some(failure.text())),
    };
    let lines: Vec<Line> = store.plugins().iter().filter(wanted).map(check).collect();
    if args.json {
        output_json(&lines)?;
    } else {
        let shown = lines.iter().map(|it| {
            let problem = it.problem.as_deref().unwrap_or("as it was added");
            format!(
                "{:<10} {}  {}\n",
                it.id,
                it.sha256.get(..12).unwrap_or(&it.sha256),
                printable(problem)
            )
        });
        output(&shown.collect::<String>())?;
    }
    let is_sound = lines.iter().all(|it| it.problem.is_none());
    Ok(if is_sound { ExitStatus::Success } else { ExitStatus::Failures })
}

fn problem(locked: &Locked, backends: &Backends, gate: &Gate) -> Result<Option<String>, Failure> {
    let (plugin, descriptor) = backends.open(&locked.id)?;
    plugin.releases().map_err(broken)?;
    if descriptor.id != locked.id || descriptor.version != locked.version {
        return Ok(Some(format!("it says that it is {} {}", descriptor.id, descriptor.version)));
    }
    let undecided = gate.verdict(&plugin, &descriptor)?.undecided;
    let names: Vec<String> = undecided.iter().map(permission_name).collect();
    Ok((!names.is_empty()).then(|| format!("not allowed: {}", names.join(", "))))
}
