//! Who the plugin says it is, and which engine releases it knows.

use llem_core::backend::{Descriptor, EngineRelease, Permission, covers};
use llem_launch::Grant;
use llem_plugin::Plugin;
use regex::Regex;

use crate::report::Flaws;

/// Checks the descriptor.
pub(crate) fn check(descriptor: &Descriptor, flaws: &mut Flaws) {
    for (what, text) in [
        ("title", &descriptor.title),
        ("version", &descriptor.version),
        ("summary", &descriptor.summary),
    ] {
        flaws.unless(!text.trim().is_empty(), "identity.text", what, || "it is empty".to_owned());
    }
    let numbers = descriptor.version.split(['-', '+']).next().unwrap_or_default().split('.');
    let numbers: Vec<bool> = numbers.map(|it| it.parse::<u64>().is_ok()).collect();
    flaws.unless(numbers == [true; 3], "identity.version", "", || {
        format!("found `{}`", descriptor.version)
    });
    let is_set = |count: usize, unique: bool| count > 0 && unique;
    let modes = &descriptor.modes;
    flaws.unless(is_set(modes.len(), unique(modes)), "identity.modes", "", || format!("{modes:?}"));
    let runners = &descriptor.runners;
    flaws.unless(is_set(runners.len(), unique(runners)), "identity.runners", "", || {
        format!("{runners:?}")
    });
    for (place, permission) in descriptor.permissions.iter().enumerate() {
        let (kind, name) = named(permission);
        // An image of any repository is what a plugin without an official one needs: the study names it.
        let is_wide = name == "*" && !matches!(permission, Permission::Image(_));
        let is_named = !name.trim().is_empty() && !is_wide;
        flaws.unless(is_named, "identity.permissions", kind, || format!("it asks for `{name}`"));
        let is_first = !descriptor.permissions[..place].contains(permission);
        flaws.unless(is_first, "identity.permissions", kind, || format!("`{name}` is there twice"));
    }
}

fn named(permission: &Permission) -> (&'static str, &str) {
    match permission {
        Permission::Image(it) => ("image", it),
        Permission::Program(it) => ("program", it),
        Permission::Bundled(it) => ("bundled", it),
        Permission::Secret(it) => ("secret", it),
        Permission::EnvSet(it) => ("env-set", it),
        Permission::EnvPass(it) => ("env-pass", it),
        Permission::HostPath(it) => ("host-path", &it.path),
        Permission::Network(it) => ("network", it),
    }
}

fn unique<T: PartialEq>(items: &[T]) -> bool {
    items.iter().enumerate().all(|(place, it)| !items[..place].contains(it))
}

/// Checks releases and version probes; answers with the releases.
pub(crate) fn releases(
    plugin: &Plugin,
    descriptor: &Descriptor,
    flaws: &mut Flaws,
) -> Vec<EngineRelease> {
    let releases = plugin.releases().unwrap_or_else(|fault| {
        flaws.fault(&fault, "");
        Vec::new()
    });
    let has_stable = releases.iter().any(|it| it.status == "stable");
    flaws.unless(has_stable, "releases.any", "", || {
        format!("{} releases, none of them `stable`", releases.len())
    });
    for it in &releases {
        let known = it.modes.iter().all(|mode| descriptor.modes.contains(mode));
        flaws.unless(known && !it.modes.is_empty(), "releases.modes", &it.id, || {
            format!("it has {:?}, the descriptor {:?}", it.modes, descriptor.modes)
        });
        flaws.unless(covers(&it.covers, &it.id), "releases.covers", &it.id, || {
            format!("`{}` does not cover it", it.covers)
        });
    }
    let unknown = "0.0.0-no-such-release";
    match plugin.schema(unknown) {
        Ok(_) => flaws.add("releases.unknown", unknown, "it has a schema"),
        // A reply that is refused because it names another release is an answer as well.
        Err(error) => match crate::fault(&error) {
            Some(fault) if matches!(fault.cause, llem_plugin::Cause::BadReply(_)) => {
                flaws.add("releases.unknown", unknown, "it has a schema");
            }
            Some(fault) => flaws.fault(fault, unknown),
            None => (),
        },
    }
    probes(plugin, descriptor, flaws);
    releases
}

fn probes(plugin: &Plugin, descriptor: &Descriptor, flaws: &mut Flaws) {
    let probes = match plugin.version_probes() {
        Ok(probes) => probes,
        Err(fault) => return flaws.fault(&fault, ""),
    };
    let grant = Grant::new(descriptor.permissions.clone());
    for probe in probes {
        match Regex::new(&probe.pattern) {
            Ok(pattern) => {
                let has_group = pattern.capture_names().flatten().any(|it| it == "version");
                flaws.unless(has_group, "probe.pattern", &probe.program, || {
                    format!("`{}` has no group `version`", probe.pattern)
                });
            }
            Err(error) => flaws.add("probe.pattern", &probe.program, error.to_string()),
        }
        let is_process = probe.runner == llem_core::backend::Runner::Process;
        flaws.unless(
            !is_process || grant.program(&probe.program),
            "probe.permission",
            &probe.program,
            || "the descriptor has no such program".to_owned(),
        );
    }
}
