//! Runs the rules over every point of a plugin.
//!
//! Rules that no point can change the outcome of run once. The others run for each point, from a table
//! where what they read has few values.

use std::sync::Arc;

use indexmap::IndexMap;

use super::{
    super::{
        Problem, Study,
        experiment::{compact, index},
        problem::Fault,
        settings::{self, Values},
    },
    Canonicalise, Facts, Note, Undecided,
    drafts::{Drafts, Origin, Part, Picks, picks},
    levels::Level,
    points::Points,
    ruleset::{Force, Names, Rule, compile_rules, mark_live},
    space::{ABSENT, SlotKind, Space},
    view::View,
};
use crate::backend::{Config, DefaultValue, Mode, Severity, Value};

/// Passes over coerce and dormant rules before they count as going in circles.
const PASSES: usize = 32;

pub(super) fn run(
    study: &Study,
    space: &mut Space<'_>,
    points: &Points,
    facts: &Facts,
    canonicalise: &mut Canonicalise<'_>,
    drafts: &mut Drafts,
    problems: &mut Vec<Problem>,
) {
    let names = Names {
        model: space.find("model.id").expect("a key"),
        traffic: (0..space.slots.len())
            .filter(|slot| matches!(&space.slots[*slot].kind, SlotKind::Study(key) if key.path.starts_with("traffic.")))
            .collect(),
    };
    let mut rules = compile_rules(study, space, &names, drafts, problems);
    mark_live(space, &mut rules);
    let before = problems.len();
    required(study, space, problems);
    if problems.len() > before {
        return;
    }
    let given = space.base.clone();
    let mut run = Run {
        study,
        facts,
        names: &names,
        rules,
        order: Vec::new(),
        fixed: given.clone(),
        state: given.clone(),
        given,
        varying: (0..space.slots.len()).filter(|slot| space.slots[*slot].varying).collect(),
        parts: IndexMap::new(),
        wrong_mode: Vec::new(),
        pending: Vec::new(),
        fixed_verdict: Verdict::Runs,
        point: 0,
    };
    run.settle_fixed(space);
    points.visit(|picks| {
        let levels = points.dims.iter().zip(picks).map(|(dim, pick)| &dim.levels[index(*pick)]);
        let label = || named(space, study.plugins.len() > 1, points.label(picks));
        run.point(space, drafts, levels, label, Some(picks));
        run.flush(space, drafts, canonicalise, problems, false);
    });
    for level in &points.explicit {
        let label = if level.label.is_empty() { "base" } else { &level.label };
        run.point(space, drafts, std::iter::once(level), || label.to_owned(), None);
    }
    run.flush(space, drafts, canonicalise, problems, true);
    run.report(space, drafts, problems);
}

/// A label that tells experiments of several plugins apart and is never empty.
fn named(space: &Space<'_>, several: bool, label: String) -> String {
    let plugin = &space.plugin.id;
    match (label.is_empty(), several) {
        (true, _) => plugin.clone(),
        (false, true) => format!("{plugin} {label}"),
        (false, false) => label,
    }
}

/// Parameters that must be given and are not.
fn required(study: &Study, space: &Space<'_>, problems: &mut Vec<Problem>) {
    for (slot, base) in space.slots.iter().zip(&space.base) {
        let needed = slot.parameter().filter(|it| it.default == DefaultValue::Required);
        if let Some(parameter) = needed
            && *base == ABSENT
            && !slot.varying
        {
            let fault = Fault::new(format!("`{}` needs `{}`", space.plugin.id, parameter.path))
                .help(format!("add `{}` to `[plugin.{}]`", parameter.path, space.plugin.id));
            problems.push(study.source.problem(&space.plugin.span, fault));
        }
    }
}

/// The plugin's slots that can hold a value, also one that a rule put there, in the order of their paths.
fn order(space: &Space<'_>, fixed: &[u32]) -> Vec<usize> {
    let is_given = |slot: usize| space.base[slot] != ABSENT || fixed[slot] != ABSENT;
    let mut order: Vec<usize> = (0..space.slots.len())
        .filter(|slot| space.slots[*slot].path().is_some())
        .filter(|slot| space.slots[*slot].varying || is_given(*slot))
        .collect();
    order.sort_by_key(|slot| space.slots[*slot].path());
    order
}

struct Run<'a> {
    study: &'a Study,
    facts: &'a Facts,
    names: &'a Names,
    rules: Vec<Rule>,
    order: Vec<usize>,
    /// The fixed settings after the rules that are the same for all points.
    fixed: Vec<u32>,
    state: Vec<u32>,
    given: Vec<u32>,
    varying: Vec<usize>,
    parts: IndexMap<Vec<u32>, Result<usize, Refusal>>,
    wrong_mode: Vec<(usize, Mode)>,
    pending: Vec<(Origin, Picks)>,
    /// What the fixed settings alone come to; every point shares it.
    fixed_verdict: Verdict,
    point: usize,
}

/// The rule that refuses a configuration, and its message.
type Refusal = (Arc<str>, Arc<str>);

/// How a point ends.
#[derive(Clone)]
enum Verdict {
    Runs,
    Refused(usize),
    Circles(String),
}

impl Run<'_> {
    /// Applies the rules that no point changes, once.
    fn settle_fixed(&mut self, space: &Space<'_>) {
        self.fixed_verdict = self.settle(space, false);
        self.fixed.clone_from(&self.state);
        self.order = order(space, &self.fixed);
    }

    fn point<'l>(
        &mut self,
        space: &Space<'_>,
        drafts: &mut Drafts,
        levels: impl Iterator<Item = &'l Level>,
        label: impl Fn() -> String,
        picked: Option<&[u32]>,
    ) {
        self.point += 1;
        drafts.declared += 1;
        for slot in &self.varying {
            self.state[*slot] = self.fixed[*slot];
            self.given[*slot] = space.base[*slot];
        }
        for level in levels {
            for (slot, id) in &level.sets {
                self.state[*slot] = *id;
                self.given[*slot] = *id;
            }
        }
        let part = match self.part(space, drafts) {
            Ok(part) => part,
            Err((rule, message)) => {
                let declared = picks(&self.order, &self.given, ABSENT);
                return drafts.skip(label(), rule, message, declared);
            }
        };
        self.reach(space, drafts.parts[part].mode);
        let verdict = match self.fixed_verdict.clone() {
            Verdict::Runs => self.settle(space, true),
            all_alike => all_alike,
        };
        let (rule, message) = match verdict {
            Verdict::Runs => {
                self.drop_defaults(space);
                let origin = Origin { label: label(), levels: picked.map(Into::into), part };
                let canonical = picks(&self.order, &self.state, ABSENT);
                if space.schema.has_code_rules {
                    self.pending.push((origin, canonical));
                } else {
                    drafts.take(space, origin, canonical);
                }
                return;
            }
            Verdict::Refused(rule) => {
                (Arc::clone(&self.rules[rule].id), Arc::clone(&self.rules[rule].message))
            }
            Verdict::Circles(rules) => {
                ("rules".into(), format!("the rules {rules} undo each other").into())
            }
        };
        drafts.skip(label(), rule, message, picks(&self.order, &self.given, ABSENT));
    }

    /// The rules of one kind of liveness, to a fixpoint.
    fn settle(&mut self, space: &Space<'_>, live: bool) -> Verdict {
        for pass in 0..PASSES {
            let mut changed = false;
            for inner in 0..PASSES {
                if !self.effects(space, live, Force::Coerce) {
                    break;
                }
                changed = true;
                if inner + 1 == PASSES {
                    return Verdict::Circles(self.moving(Force::Coerce));
                }
            }
            // The engine judges what it is given, before it ignores any of it.
            if pass == 0
                && let Some(rule) = self.judge(space, live)
            {
                return Verdict::Refused(rule);
            }
            changed |= self.effects(space, live, Force::Dormant);
            if !changed {
                return Verdict::Runs;
            }
        }
        Verdict::Circles(self.moving(Force::Dormant))
    }

    /// Ids of the rules that applied to this point.
    fn moving(&self, force: Force) -> String {
        let ids: Vec<String> = self
            .rules
            .iter()
            .filter(|rule| rule.force <= force && rule.counted == self.point)
            .map(|rule| format!("`{}`", rule.id))
            .collect();
        ids.join(", ")
    }

    /// Applies effects once, in order; says whether anything changed.
    fn effects(&mut self, space: &Space<'_>, live: bool, force: Force) -> bool {
        let mut changed = false;
        for at in 0..self.rules.len() {
            let rule = &self.rules[at];
            if rule.force != force || rule.live != live {
                continue;
            }
            if rule.effects.iter().all(|(slot, id)| self.state[*slot] == *id)
                || self.holds(space, at) != Some(true)
            {
                continue;
            }
            for (slot, id) in &self.rules[at].effects {
                self.state[*slot] = *id;
            }
            changed = true;
            self.count(at);
        }
        changed
    }

    /// The first rule that refuses the configuration; counts warnings.
    fn judge(&mut self, space: &Space<'_>, live: bool) -> Option<usize> {
        let mut refused = None;
        for at in 0..self.rules.len() {
            let rule = &self.rules[at];
            if rule.live != live
                || rule.force < Force::Exclude
                || (refused.is_some() && rule.force < Force::Warning)
            {
                continue;
            }
            if self.holds(space, at) == Some(true) {
                self.count(at);
                if self.rules[at].force != Force::Warning {
                    refused = Some(at);
                }
            }
        }
        refused
    }

    fn count(&mut self, at: usize) {
        let rule = &mut self.rules[at];
        if rule.counted != self.point {
            rule.counted = self.point;
            rule.applied += 1;
        }
    }

    fn holds(&mut self, space: &Space<'_>, at: usize) -> Option<bool> {
        let view = View {
            space,
            state: &self.state,
            given: &self.given,
            facts: self.facts,
            names: self.names,
        };
        let rule = &mut self.rules[at];
        let outcome = match &mut rule.memo {
            None => rule.compiled.holds(&view),
            Some(memo) => {
                let mut key = 0;
                for (slot, values) in &memo.slots {
                    let value = self.state[*slot].wrapping_add(1);
                    key =
                        key * values + 2 * index(value) + usize::from(self.given[*slot] != ABSENT);
                }
                match memo.outcomes[key] {
                    1 => Some(false),
                    2 => Some(true),
                    3 => None,
                    _ => {
                        let outcome = rule.compiled.holds(&view);
                        memo.outcomes[key] = outcome.map_or(3, |it| 1 + u8::from(it));
                        outcome
                    }
                }
            }
        };
        if outcome.is_none() {
            if rule.undecided == 0 {
                rule.unknown = view.unknown(&rule.compiled);
            }
            rule.undecided += 1;
        }
        outcome
    }

    /// An explicit default equals an absent one.
    fn drop_defaults(&mut self, space: &Space<'_>) {
        for slot in &self.order {
            if space.slots[*slot].default == Some(self.state[*slot]) {
                self.state[*slot] = ABSENT;
            }
        }
    }

    /// Notes given parameters that can't reach the engine in a mode.
    fn reach(&mut self, space: &Space<'_>, mode: Mode) {
        for slot in &self.order {
            let modes = space.slots[*slot].parameter().map_or(&[][..], |it| &it.modes);
            if !modes.is_empty()
                && self.given[*slot] != ABSENT
                && !modes.contains(&mode)
                && !self.wrong_mode.contains(&(*slot, mode))
            {
                self.wrong_mode.push((*slot, mode));
            }
        }
    }

    /// The typed settings outside the engine, made once for each combination.
    fn part(&mut self, space: &Space<'_>, drafts: &mut Drafts) -> Result<usize, Refusal> {
        let study = |slot: &&usize| space.slots[**slot].path().is_none();
        let key: Vec<u32> =
            self.varying.iter().filter(study).map(|slot| self.given[*slot]).collect();
        if let Some(known) = self.parts.get(&key) {
            return known.clone();
        }
        let values = space
            .slots
            .iter()
            .zip(&self.given)
            .filter_map(|(slot, id)| match &slot.kind {
                SlotKind::Study(key) if *id != ABSENT => {
                    Some((key.path.to_owned(), slot.values[index(*id)].clone()))
                }
                _ => None,
            })
            .collect();
        let values = Values(&values);
        let made = settings::model(&values).and_then(|model| {
            let workload = settings::workload(&values)?;
            let traffic = settings::traffic(&values, self.study.traffic_table)?;
            settings::sessions(&workload, traffic.as_ref())?;
            let gpu = settings::gpu(&values);
            Ok(Part::new(&space.plugin.id, model, workload, traffic, gpu, &self.study.measure))
        });
        let part = made
            .map(|part| {
                drafts.parts.push(part);
                drafts.parts.len() - 1
            })
            .map_err(|(path, fault)| (path.into(), fault.message.into()));
        self.parts.insert(key, part.clone());
        part
    }

    /// Hands full batches, or all that is left, to the plugin's own rules.
    fn flush(
        &mut self,
        space: &mut Space<'_>,
        drafts: &mut Drafts,
        canonicalise: &mut Canonicalise<'_>,
        problems: &mut Vec<Problem>,
        rest: bool,
    ) {
        if self.pending.is_empty() || (self.pending.len() < 100 && !rest) {
            return;
        }
        let pending = std::mem::take(&mut self.pending);
        let config = |picks: &Picks| -> Config {
            let pair = |(slot, value): &(u32, u32)| {
                let slot = &space.slots[index(*slot)];
                (slot.path().expect("a parameter").clone(), slot.values[index(*value)].clone())
            };
            picks.iter().map(pair).collect()
        };
        let configs: Vec<Config> = pending.iter().map(|(_, picks)| config(picks)).collect();
        let answers = match canonicalise(&space.plugin.id, configs) {
            Ok(answers) if answers.len() == pending.len() => answers,
            Ok(answers) => {
                let fault = format!(
                    "`{}` gave {} answers for {} configurations",
                    space.plugin.id,
                    answers.len(),
                    pending.len()
                );
                return problems
                    .push(self.study.source.problem(&space.plugin.span, Fault::new(fault)));
            }
            Err(error) => {
                let fault =
                    Fault::new(format!("`{}` could not canonicalise: {error}", space.plugin.id));
                return problems.push(self.study.source.problem(&space.plugin.span, fault));
            }
        };
        for ((origin, declared), answer) in pending.into_iter().zip(answers) {
            let refused = answer.findings.iter().find(|it| it.severity == Severity::Error);
            for finding in answer.findings.iter().filter(|it| it.severity != Severity::Error) {
                note(drafts, &finding.rule, finding.severity, &finding.message, 1);
            }
            if let Some(finding) = refused {
                let (rule, message) =
                    (finding.rule.as_str().into(), finding.message.as_str().into());
                drafts.skip(origin.label, rule, message, declared);
            } else {
                let picks = intern(space, &answer.config);
                drafts.take(space, origin, picks);
            }
        }
    }

    fn report(&self, space: &Space<'_>, drafts: &mut Drafts, problems: &mut Vec<Problem>) {
        for (slot, mode) in &self.wrong_mode {
            let slot = &space.slots[*slot];
            let (now, other) = match mode {
                Mode::Server => ("server", "offline"),
                Mode::Offline => ("offline", "server"),
            };
            let path = slot.path().expect("a parameter");
            let fault = Fault::new(format!(
                "`{path}` can't reach `{}` in {now} mode, only in {other} mode",
                space.plugin.id
            ))
            .help("offline mode is a study without traffic");
            problems.push(
                self.study.source.problem(slot.span.as_ref().unwrap_or(&space.plugin.span), fault),
            );
        }
        for rule in &self.rules {
            let severity = match rule.force {
                Force::Coerce => Severity::Coerce,
                Force::Dormant => Severity::Dormant,
                Force::Warning => Severity::Warning,
                Force::Error | Force::Exclude => Severity::Error,
            };
            let configurations =
                if rule.live { rule.applied } else { rule.applied * drafts.declared };
            if rule.applied > 0 && severity != Severity::Error {
                note(drafts, &rule.id, severity, &rule.message, configurations);
            }
            let concerns = rule.compiled.slots.is_empty()
                || rule
                    .compiled
                    .slots
                    .iter()
                    .any(|slot| space.slots[*slot].varying || space.base[*slot] != ABSENT);
            if rule.undecided > 0 && concerns {
                let unknown = rule.unknown.clone();
                let configurations =
                    if rule.live { rule.undecided.min(drafts.declared) } else { drafts.declared };
                let (plugin, id, message) =
                    (drafts.plugin(), rule.id.to_string(), rule.message.to_string());
                drafts.undecided.push(Undecided {
                    plugin,
                    rule: id,
                    message,
                    unknown,
                    configurations,
                });
            }
        }
    }
}

fn note(drafts: &mut Drafts, rule: &str, severity: Severity, message: &str, configurations: usize) {
    if let Some(known) =
        drafts.notes.iter_mut().find(|it| it.rule == rule && it.severity == severity)
    {
        known.configurations += configurations;
        return;
    }
    let plugin = drafts.plugin();
    drafts.notes.push(Note {
        plugin,
        rule: rule.to_owned(),
        severity,
        message: message.to_owned(),
        configurations,
    });
}

/// The picks of a configuration that a plugin made; values that are the default are left out.
fn intern(space: &mut Space<'_>, config: &Config) -> Picks {
    let mut made: Vec<(u32, u32)> = Vec::with_capacity(config.len());
    for (path, value) in config {
        let Some(slot) = space.find(path.as_str()) else { continue };
        let value: Value = space.slots[slot]
            .parameter()
            .and_then(|it| super::super::check::check(it, value).ok())
            .unwrap_or_else(|| value.clone());
        let id = space.slots[slot].intern(&value);
        if space.slots[slot].default != Some(id) {
            made.push((compact(slot), id));
        }
    }
    made.into()
}
