//! The levels of a dimension: what each of its alternatives puts where.

use std::ops::Range;

use super::{
    super::{
        Study,
        keys::{self, Kind, float_to_whole, number},
        problem::{Fault, Problem},
        sweep::{
            Alternative, Assignment, Column, Dimension, DimensionKind, Levels, Spacing, Target,
        },
    },
    space::{ABSENT, Space},
};
use crate::backend::{ParamType, Value};

/// One alternative of a dimension.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Level {
    pub(super) sets: Vec<(usize, u32)>,
    /// For people: the values, or a name.
    pub(super) label: String,
    /// As a number, where it is one.
    pub(super) number: Option<f64>,
}

/// A dimension as it concerns one plugin.
pub(super) struct Dim {
    pub(super) name: String,
    pub(super) levels: Vec<Level>,
    /// A range without points: samples make the levels.
    pub(super) continuous: Option<Continuous>,
}

pub(super) struct Continuous {
    pub(super) target: Target,
    spacing: Spacing,
    from: f64,
    to: f64,
    whole: bool,
    span: Range<usize>,
}

impl Continuous {
    /// The value at a position from 0 to 1.
    pub(super) fn at(&self, position: f64) -> Value {
        // Whole numbers get equal shares of the range, the bounds too.
        let (from, to) =
            if self.whole { (self.from - 0.5, self.to + 0.5) } else { (self.from, self.to) };
        let value = match self.spacing {
            Spacing::Linear => from + position * (to - from),
            Spacing::Log => {
                let from = if from > 0.0 { from } else { self.from };
                from * (to / from).powf(position)
            }
        };
        value_of(value.clamp(self.from, self.to), self.whole)
    }

    pub(super) fn level(
        &self,
        space: &mut Space<'_>,
        position: f64,
    ) -> Result<Level, (Fault, Range<usize>)> {
        level(space, &[(&self.target, &self.at(position))])
            .map_err(|(fault, _)| (fault, self.span.clone()))
    }
}

/// A number as a value, rounded to whole numbers or to ten digits.
fn value_of(number: f64, whole: bool) -> Value {
    if whole && let Some(whole) = float_to_whole(number.round()) {
        return Value::Integer(whole);
    }
    Value::Number(format!("{number:.9e}").parse().expect("a formatted number parses"))
}

fn level(space: &mut Space<'_>, values: &[(&Target, &Value)]) -> Result<Level, (Fault, bool)> {
    let mut sets = Vec::new();
    let mut shown = Vec::new();
    for (target, value) in values {
        sets.extend(space.settle(target, value)?);
        shown.push(value.to_string());
    }
    let single = match values {
        [(_, value)] => number(value),
        _ => None,
    };
    Ok(Level { sets, label: shown.join("/"), number: single })
}

/// A dimension's levels for a plugin; none where it does not concern it.
pub(super) fn dim(
    study: &Study,
    dimension: &Dimension,
    space: &mut Space<'_>,
    sampled: bool,
    problems: &mut Vec<Problem>,
) -> Option<Dim> {
    let id = space.plugin.id.clone();
    match &dimension.kind {
        DimensionKind::Columns(columns) => {
            let columns: Vec<&Column> =
                columns.iter().filter(|column| column.target.concerns(&id)).collect();
            let first = *columns.first()?;
            if let Levels::Spaced { spacing, from, to, points: None } = first.levels {
                if !sampled {
                    let fault =
                        Fault::new(format!("`{}` has a range but no `points`", dimension.name))
                            .help("only a sample can do without");
                    problems.push(study.source.problem(&first.span, fault));
                    return None;
                }
                let continuous = Continuous {
                    target: first.target.clone(),
                    spacing,
                    from,
                    to,
                    whole: wants_whole(space, first),
                    span: first.span.clone(),
                };
                return Some(Dim {
                    name: dimension.name.clone(),
                    levels: Vec::new(),
                    continuous: Some(continuous),
                });
            }
            let levels = column_levels(study, &columns, space, problems);
            Some(Dim { name: dimension.name.clone(), levels, continuous: None })
        }
        DimensionKind::Variants(options) => variants(study, dimension, options, space, problems),
    }
}

fn column_levels(
    study: &Study,
    columns: &[&Column],
    space: &mut Space<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<Level> {
    let mut listed = Vec::new();
    for column in columns {
        match values(space, column) {
            Ok(values) => listed.push(values),
            Err(fault) => {
                problems.push(study.source.problem(&column.span, fault));
                return Vec::new();
            }
        }
    }
    let length = listed.first().map_or(0, Vec::len);
    let mut levels: Vec<Level> = Vec::new();
    for at in 0..length {
        let row: Vec<(&Target, &Value)> = columns
            .iter()
            .zip(&listed)
            .map(|(column, values)| (&column.target, &values[at].0))
            .collect();
        match level(space, &row) {
            // A value listed twice is one level.
            Ok(level) if levels.contains(&level) => {}
            Ok(level) => {
                for (slot, _) in &level.sets {
                    space.slots[*slot].span.get_or_insert_with(|| columns[0].key_span.clone());
                }
                levels.push(level);
            }
            Err((fault, at_key)) => {
                let span = if at_key { &columns[0].key_span } else { &listed[0][at].1 };
                problems.push(study.source.problem(span, fault));
                if at_key {
                    break;
                }
            }
        }
    }
    levels
}

fn variants(
    study: &Study,
    dimension: &Dimension,
    options: &[Alternative],
    space: &mut Space<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Dim> {
    let id = space.plugin.id.clone();
    let mut levels: Vec<Level> = Vec::new();
    for option in options {
        let own: Vec<&Assignment> =
            option.assignments.iter().filter(|it| it.target.concerns(&id)).collect();
        // An alternative that names only other plugins is none for this one.
        if own.is_empty() && !option.assignments.is_empty() {
            continue;
        }
        let mut sets = Vec::new();
        let mut shown = Vec::new();
        for assignment in own {
            match space.settle(&assignment.target, &assignment.value) {
                Ok(placed) => {
                    for (slot, _) in &placed {
                        space.slots[*slot].span.get_or_insert_with(|| assignment.span.clone());
                    }
                    sets.extend(placed);
                }
                Err((fault, at_key)) => {
                    let span = if at_key { &assignment.key_span } else { &assignment.span };
                    problems.push(study.source.problem(span, fault));
                }
            }
            shown.push(match &assignment.value {
                Value::Boolean(true) => last(&assignment.target.path()).to_owned(),
                value => value.to_string(),
            });
        }
        let label = match &option.label {
            Some(label) => label.clone(),
            // What the study holds constant anyway.
            None if shown.is_empty() => "base".to_owned(),
            None => shown.join("+"),
        };
        let level = Level { sets, label, number: None };
        if !levels.contains(&level) {
            levels.push(level);
        }
    }
    let any = levels.iter().any(|level| !level.sets.is_empty());
    any.then(|| Dim { name: dimension.name.clone(), levels, continuous: None })
}

/// The last part of a path.
pub(super) fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

fn wants_whole(space: &Space<'_>, column: &Column) -> bool {
    let (Levels::Spaced { from, to, .. } | Levels::Doubling { from, to }) = column.levels else {
        return false;
    };
    let integral = from.fract() == 0.0 && to.fract() == 0.0;
    match &column.target {
        Target::Study(path) => {
            keys::find(path).is_some_and(|key| matches!(key.kind, Kind::Count(..) | Kind::Length))
        }
        Target::Plugin { path, .. } => {
            let parameter = space.find(path).and_then(|slot| space.slots[slot].parameter());
            integral
                && parameter.is_none_or(|it| {
                    let number =
                        it.types.iter().any(|kind| matches!(kind, ParamType::Number { .. }));
                    let whole =
                        it.types.iter().any(|kind| matches!(kind, ParamType::Integer { .. }));
                    whole || !number
                })
        }
    }
}

/// The values of a column with their places.
fn values(space: &Space<'_>, column: &Column) -> Result<Vec<(Value, Range<usize>)>, Fault> {
    let whole = wants_whole(space, column);
    let numbers = match column.levels {
        Levels::List(ref values) => return Ok(values.clone()),
        Levels::All => return all(space, column),
        Levels::Spaced { spacing, from, to, points } => {
            let steps = points.unwrap_or(2).max(2) - 1;
            (0..=steps)
                .map(|step| {
                    let share = f64::from(step) / f64::from(steps);
                    match spacing {
                        Spacing::Linear => from + share * (to - from),
                        Spacing::Log => from * (to / from).powf(share),
                    }
                })
                .collect::<Vec<f64>>()
        }
        Levels::Doubling { from, to } => std::iter::successors(Some(from), |last| Some(last * 2.0))
            .take_while(|it| *it <= to * (1.0 + 1e-9))
            .take(128)
            .collect(),
    };
    let mut values: Vec<(Value, Range<usize>)> = Vec::new();
    for number in numbers {
        let value = value_of(number, whole);
        if values.last().is_none_or(|(last, _)| *last != value) {
            values.push((value, column.span.clone()));
        }
    }
    Ok(values)
}

/// All values worth sweeping.
fn all(space: &Space<'_>, column: &Column) -> Result<Vec<(Value, Range<usize>)>, Fault> {
    let path = column.target.path();
    let values: Vec<Value> = match &column.target {
        Target::Study(path) => match keys::find(path).map(|key| key.kind) {
            Some(Kind::Choice(names)) => {
                names.iter().map(|name| Value::Text((*name).to_owned())).collect()
            }
            _ => Vec::new(),
        },
        Target::Plugin { path, .. } => {
            let parameter = space.find(path).and_then(|slot| space.slots[slot].parameter());
            parameter.map_or_else(Vec::new, |parameter| {
                if !parameter.suggested.is_empty() {
                    return parameter.suggested.clone();
                }
                parameter
                    .types
                    .iter()
                    .flat_map(|kind| match kind {
                        ParamType::Boolean => vec![Value::Boolean(false), Value::Boolean(true)],
                        ParamType::Choice(choices) => {
                            choices.iter().map(|choice| choice.value.clone()).collect()
                        }
                        _ => Vec::new(),
                    })
                    .collect()
            })
        }
    };
    if values.is_empty() {
        return Err(Fault::new(format!("`{path}` has no list of values that could be swept"))
            .help("list the values"));
    }
    Ok(values.into_iter().map(|value| (value, column.span.clone())).collect())
}

/// What an explicit experiment puts where.
pub(super) fn explicit(
    study: &Study,
    assignments: &[Assignment],
    space: &mut Space<'_>,
    problems: &mut Vec<Problem>,
) -> Level {
    let mut sets: Vec<(usize, u32)> = Vec::new();
    let mut shown = Vec::new();
    for assignment in assignments.iter().filter(|it| it.target.concerns(&space.plugin.id)) {
        match space.settle(&assignment.target, &assignment.value) {
            Ok(placed) => sets.extend(placed),
            Err((fault, at_key)) => {
                let span = if at_key { &assignment.key_span } else { &assignment.span };
                problems.push(study.source.problem(span, fault));
            }
        }
        shown.push(format!("{}={}", last(&assignment.target.path()), assignment.value));
    }
    sets.retain(|(slot, id)| *id != ABSENT || space.base[*slot] != ABSENT);
    Level { sets, label: shown.join(" "), number: None }
}
