//! What plugins may have llem start.
//!
//! A plugin declares an upper bound of its launch plans. Nothing of it holds until the user allows it for that very
//! component, by its hash: on the command line, in answer to a question on a terminal, or in the book of grants.
//! Built-in plugins pass the same gate, with grants that are part of llem. Enforcing a grant on plans is `llem-launch`'s.

mod ask;
mod book;
mod permission;

use std::io::IsTerminal;

use llem_core::backend::{Descriptor, Permission};
use llem_launch::Grant;
use llem_plugin::{Origin, Plugin};

pub(crate) use self::{
    book::{Book, read_own, write_own},
    permission::{meaning, name as permission_name},
};
use crate::{
    diagnostics::{Failure, note},
    exit::ExitStatus,
};

/// Grants of built-in plugins, by id.
const BUILT_IN: &str = include_str!("grants/built-in.toml");

/// Decides what holds for a component.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    allowed: Vec<String>,
    asks: bool,
}

/// What holds for a component, and what nobody has decided yet.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) granted: Vec<Permission>,
    pub(crate) undecided: Vec<Permission>,
}

impl Gate {
    /// A gate that lets pass what `allowed` names, beside what was allowed before.
    pub(crate) fn new(allowed: Vec<String>) -> Self {
        Self { allowed, asks: false }
    }

    /// Asks for what is missing, where a person can answer.
    #[must_use]
    pub(crate) fn asking(mut self) -> Self {
        self.asks = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        self
    }

    /// What holds for a component, without asking anybody.
    pub(crate) fn verdict(
        &self,
        plugin: &Plugin,
        descriptor: &Descriptor,
    ) -> Result<Verdict, Failure> {
        let faulty = descriptor.permissions.iter().find_map(permission::fault);
        if let Some(fault) = faulty {
            let message =
                format!("the plugin `{}` asks for what is never granted: {fault}", descriptor.id);
            return Err(Failure::message(ExitStatus::Plugin, message)
                .hint("report this to the plugin's author"));
        }
        let (granted, denied) = if matches!(plugin.origin(), Origin::Bundled) {
            (built_in(&descriptor.id), Vec::new())
        } else {
            let book = Book::open()?;
            let entry = book.entry(plugin.sha256());
            entry.map(|it| (it.permissions.clone(), it.denied.clone())).unwrap_or_default()
        };
        let mut verdict = Verdict::default();
        for permission in &descriptor.permissions {
            let name = permission_name(permission);
            if granted.contains(&name) || self.allowed.contains(&name) {
                verdict.granted.push(permission.clone());
            } else if !denied.contains(&name) {
                verdict.undecided.push(permission.clone());
            }
        }
        Ok(verdict)
    }

    /// The grant of a component; fails by name where something of it that is needed is undecided. What is undecided and
    /// not needed is not granted.
    pub(crate) fn admit(
        &self,
        plugin: &Plugin,
        descriptor: &Descriptor,
        is_needed: impl Fn(&Permission) -> bool,
    ) -> Result<Grant, Failure> {
        let mut verdict = self.verdict(plugin, descriptor)?;
        verdict.undecided.retain(is_needed);
        if verdict.undecided.is_empty() {
            return Ok(Grant::new(verdict.granted));
        }
        if !self.asks || matches!(plugin.origin(), Origin::Bundled) {
            return Err(refusal(descriptor, plugin.sha256(), &verdict.undecided));
        }
        let answers = ask::on_terminal(descriptor, plugin.sha256(), &verdict.undecided)
            .map_err(|it| Failure::new(ExitStatus::Environment, &it))?;
        let Some(answers) = answers else {
            return Err(refusal(descriptor, plugin.sha256(), &verdict.undecided));
        };
        let (granted, denied): (Vec<_>, Vec<_>) = answers.into_iter().partition(|it| it.1);
        let names =
            |all: &[(Permission, bool)]| all.iter().map(|it| permission_name(&it.0)).collect();
        let mut book = Book::open()?;
        book.add(plugin.sha256(), descriptor, names(&granted), names(&denied));
        if let Err(failure) = book.write() {
            note(&format!("the answer holds for this command only: {}", failure.text()));
        }
        verdict.granted.extend(granted.into_iter().map(|it| it.0));
        Ok(Grant::new(verdict.granted))
    }
}

/// Names of permissions that a built-in plugin has.
fn built_in(id: &str) -> Vec<String> {
    let all: toml::Table = BUILT_IN.parse().expect("a test reads it");
    let names = all.get(id).and_then(|it| it.as_array()).into_iter().flatten();
    names.filter_map(|it| it.as_str()).map(str::to_owned).collect()
}

fn refusal(descriptor: &Descriptor, sha256: &str, missing: &[Permission]) -> Failure {
    let names: Vec<String> = missing.iter().map(permission_name).collect();
    let flags: Vec<String> = names.iter().map(|it| format!("--allow '{it}'")).collect();
    let message = format!(
        "the plugin `{}` (sha256 {}) is not part of llem and is not allowed: {}",
        descriptor.id,
        &sha256[..12],
        names.join(", ")
    );
    Failure::message(ExitStatus::Usage, message).hint(format!(
        "whatever it starts runs with your rights; if you trust it, add {}, or allow it once for this component: \
         `llem plugin add FILE {}`",
        flags.join(" "),
        flags.join(" ")
    ))
}

#[cfg(test)]
mod tests {
    use llem_plugin::Registry;

    use super::*;

    #[test]
    fn built_in_plugins_are_granted_what_they_ask_for_and_nothing_else() {
        let table: toml::Table = BUILT_IN.parse().expect("it is TOML");
        let registry = Registry::new(None, llem_plugin::Cache::none());
        for (name, origin) in registry.list() {
            assert_eq!(origin, Origin::Bundled);
            let plugin = registry.load(&name).expect("it is built in");
            let descriptor = plugin.describe().expect("it works");
            let verdict = Gate::new(Vec::new()).verdict(&plugin, &descriptor).expect("it is sound");
            let undecided: Vec<String> = verdict.undecided.iter().map(permission_name).collect();
            assert_eq!(undecided, Vec::<String>::new(), "{name}");
            assert_eq!(
                built_in(&name).len(),
                descriptor.permissions.len(),
                "{name} has grants that it does not ask for"
            );
            assert!(table.contains_key(&descriptor.id));
        }
    }
}
