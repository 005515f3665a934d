//! What a study varies, as written: axes, zips, variants, samples, explicit experiments, exclusions.
//!
//! Holds places in the file beside values; expansion into configurations is elsewhere.

use std::ops::Range;

use crate::backend::Value;

/// What a setting belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// A key of the study itself.
    Study(&'static str),
    /// A parameter of a plugin, by its path there.
    Plugin { plugin: String, path: String },
}

impl Target {
    /// The whole path, as a study writes it.
    pub(super) fn path(&self) -> String {
        match self {
            Self::Study(path) => (*path).to_owned(),
            Self::Plugin { plugin, path } => format!("{plugin}.{path}"),
        }
    }

    /// Whether it concerns a plugin: its own parameters and the study's keys do.
    pub(super) fn concerns(&self, id: &str) -> bool {
        match self {
            Self::Study(_) => true,
            Self::Plugin { plugin, .. } => plugin == id,
        }
    }
}

/// One value with its places.
#[derive(Clone, Debug)]
pub(super) struct Assignment {
    pub(super) target: Target,
    pub(super) key_span: Range<usize>,
    pub(super) value: Value,
    pub(super) span: Range<usize>,
}

/// One dimension of the sweep.
#[derive(Clone, Debug)]
pub(super) struct Dimension {
    pub(super) name: String,
    pub(super) kind: DimensionKind,
}

#[derive(Clone, Debug)]
pub(super) enum DimensionKind {
    /// One path (an axis) or several that move together (a zip).
    Columns(Vec<Column>),
    /// Alternatives.
    Variants(Vec<Alternative>),
}

#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) target: Target,
    pub(super) key_span: Range<usize>,
    pub(super) levels: Levels,
    pub(super) span: Range<usize>,
}

/// The values of a column.
#[derive(Clone, Debug)]
pub(super) enum Levels {
    /// As listed.
    List(Vec<(Value, Range<usize>)>),
    /// Spaced between two bounds; without points only for samples.
    Spaced { spacing: Spacing, from: f64, to: f64, points: Option<u32> },
    /// Powers of two times the lower bound.
    Doubling { from: f64, to: f64 },
    /// All values that the plugin suggests.
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spacing {
    Linear,
    Log,
}

/// One alternative of a variants dimension.
#[derive(Clone, Debug)]
pub(super) struct Alternative {
    pub(super) label: Option<String>,
    pub(super) assignments: Vec<Assignment>,
}

/// How points are chosen instead of the whole product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) method: Method,
    pub(super) points: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Sobol,
    LatinHypercube,
    Random,
    OneAtATime,
}

impl Method {
    pub(super) const NAMES: [(&'static str, Self); 4] = [
        ("sobol", Self::Sobol),
        ("latin-hypercube", Self::LatinHypercube),
        ("random", Self::Random),
        ("one-at-a-time", Self::OneAtATime),
    ];
}

/// An explicit experiment.
#[derive(Clone, Debug)]
pub(super) struct Explicit {
    pub(super) plugin: Option<String>,
    pub(super) assignments: Vec<Assignment>,
}

/// Configurations to leave out.
#[derive(Clone, Debug)]
pub(super) struct Exclude {
    pub(super) when: String,
    pub(super) why: Option<String>,
    pub(super) span: Range<usize>,
}
