//! What a check found, for people and machines.

use std::{collections::BTreeMap, fmt::Write as _};

use llem_plugin::{CallError, PluginFault};
use serde::Serialize;

use crate::{fault, rule_of, rules};

/// Flaws of one rule that a report keeps; more of the same help nobody.
const MOST_PER_RULE: usize = 10;

/// A way in which a plugin breaks the contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flaw {
    /// Id of the broken rule.
    pub rule: &'static str,
    /// Where: a release, a path, a mode.
    pub at: String,
    /// What was found.
    pub message: String,
    /// What to do.
    pub mend: &'static str,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Id of the plugin; the file's name where it did not say.
    pub plugin: String,
    /// SHA-256 of its component, hexadecimal.
    pub sha256: String,
    /// Whether it keeps the contract.
    pub passed: bool,
    /// How often each part was tried: configurations, plans, outputs.
    pub tried: BTreeMap<&'static str, u64>,
    /// Flaws by rule, at most ten of each.
    pub flaws: Vec<Flaw>,
    /// Flaws that were left out, by rule.
    pub more: BTreeMap<&'static str, usize>,
}

impl Report {
    /// The report for people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let mut say = |line: std::fmt::Arguments<'_>| {
            writeln!(out, "{line}").expect("writing to a string does not fail");
        };
        let tried: Vec<String> = self.tried.iter().map(|(what, n)| format!("{n} {what}")).collect();
        let verdict = if self.passed { "keeps the contract" } else { "breaks the contract" };
        say(format_args!("{} {verdict}", self.plugin));
        say(format_args!("  tried: {}", tried.join(", ")));
        let mut last = "";
        for flaw in &self.flaws {
            if flaw.rule != last {
                let wants = rules::find(flaw.rule).map_or("", |it| it.wants);
                say(format_args!("\n{}  {wants}", flaw.rule));
                say(format_args!("  to mend it: {}", flaw.mend));
                last = flaw.rule;
            }
            let at = if flaw.at.is_empty() { String::new() } else { format!("{}: ", flaw.at) };
            say(format_args!("  - {at}{}", flaw.message));
            let is_last_of_rule =
                self.flaws.iter().rev().find(|it| it.rule == flaw.rule) == Some(flaw);
            if let Some(more) = self.more.get(flaw.rule).filter(|_| is_last_of_rule) {
                say(format_args!("  - and {more} more"));
            }
        }
        out
    }
}

/// Collects flaws, each once.
#[derive(Debug, Default)]
pub(crate) struct Flaws {
    found: Vec<Flaw>,
    tried: BTreeMap<&'static str, u64>,
}

impl Flaws {
    pub(crate) fn add(&mut self, rule: &'static str, at: &str, message: impl Into<String>) {
        let mend = rules::find(rule).expect("every rule is in the table").mend;
        let flaw = Flaw { rule, at: at.to_owned(), message: message.into(), mend };
        if !self.found.contains(&flaw) {
            self.found.push(flaw);
        }
    }

    pub(crate) fn unless(
        &mut self,
        holds: bool,
        rule: &'static str,
        at: &str,
        message: impl FnOnce() -> String,
    ) {
        if !holds {
            self.add(rule, at, message());
        }
    }

    /// A plugin that broke in a call.
    pub(crate) fn fault(&mut self, fault: &PluginFault, at: &str) {
        self.add(rule_of(fault), at, format!("`{}`: {}", fault.function, fault.cause));
    }

    /// A call that failed where it must not: broken, or `rule` where the plugin says no.
    pub(crate) fn call(&mut self, rule: &'static str, error: &CallError, at: &str) {
        match fault(error) {
            Some(fault) => self.fault(fault, at),
            None => self.add(rule, at, error.to_string()),
        }
    }

    pub(crate) fn tried(&mut self, what: &'static str) {
        *self.tried.entry(what).or_default() += 1;
    }

    pub(crate) fn report(self, plugin: &str, sha256: &str) -> Report {
        let place = |flaw: &Flaw| rules::RULES.iter().position(|it| it.id == flaw.rule);
        let mut found = self.found;
        found.sort_by_key(place);
        let passed = found.is_empty();
        let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
        let mut flaws = Vec::new();
        for flaw in found {
            let count = counts.entry(flaw.rule).or_default();
            *count += 1;
            if *count <= MOST_PER_RULE {
                flaws.push(flaw);
            }
        }
        counts.retain(|_, count| *count > MOST_PER_RULE);
        let more = counts.into_iter().map(|(rule, count)| (rule, count - MOST_PER_RULE)).collect();
        let (plugin, sha256) = (plugin.to_owned(), sha256.to_owned());
        Report { plugin, sha256, passed, tried: self.tried, flaws, more }
    }
}
