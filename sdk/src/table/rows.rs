//! The rows of a table and their `const` builders.

use crate::{Mode, Phase, Scale, Severity};

/// A value in a table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Val {
    /// Explicit null.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// Integer.
    Int(i64),
    /// Finite number.
    Num(f64),
    /// Text.
    Text(&'static str),
    /// A list or an object, as JSON text.
    Json(&'static str),
}

/// A section of paths.
#[derive(Clone, Copy, Debug)]
pub struct SectionDef {
    /// First segment of its paths.
    pub id: &'static str,
    /// Name for people.
    pub title: &'static str,
    /// What its parameters have in common.
    pub doc: &'static str,
}

/// An accepted type.
#[derive(Clone, Copy, Debug)]
pub enum Type {
    /// `true` or `false`.
    Boolean,
    /// Integer within bounds, both included.
    Integer {
        /// Least value.
        min: Option<i64>,
        /// Greatest value.
        max: Option<i64>,
        /// Divisor of every value.
        multiple_of: Option<i64>,
        /// How a sweep spaces points.
        scale: Scale,
    },
    /// Finite number within bounds.
    Number {
        /// Lower bound.
        min: Option<f64>,
        /// Upper bound.
        max: Option<f64>,
        /// Whether the lower bound itself is excluded.
        exclusive_min: bool,
        /// Whether the upper bound itself is excluded.
        exclusive_max: bool,
        /// How a sweep spaces points.
        scale: Scale,
    },
    /// Text.
    Text {
        /// Anchored regular expression.
        pattern: Option<&'static str>,
        /// Greatest length in characters.
        max_len: Option<u32>,
        /// `model-id`, `path`, `json`, `dtype`, …
        format: Option<&'static str>,
    },
    /// One of some texts, with their meaning.
    Words(&'static [(&'static str, &'static str)]),
    /// One of some values, with their meaning.
    Values(&'static [(Val, &'static str)]),
    /// Homogeneous list; the item is never a list itself.
    Items {
        /// Type of each item.
        item: &'static Self,
        /// Least number of items.
        min: Option<u32>,
        /// Greatest number of items.
        max: Option<u32>,
    },
    /// Any JSON object.
    Object,
}

/// An integer from `min` to `max`, both included.
pub const fn int(min: i64, max: i64) -> Type {
    Type::Integer { min: Some(min), max: Some(max), multiple_of: None, scale: Scale::Linear }
}

/// An integer from `min` up.
pub const fn at_least(min: i64) -> Type {
    Type::Integer { min: Some(min), max: None, multiple_of: None, scale: Scale::Linear }
}

/// An integer from `min` to `max`, swept in powers of two.
pub const fn power_of_two(min: i64, max: i64) -> Type {
    Type::Integer { min: Some(min), max: Some(max), multiple_of: None, scale: Scale::Pow2 }
}

/// A number from `min` to `max`, both included.
pub const fn number(min: f64, max: f64) -> Type {
    Type::Number {
        min: Some(min),
        max: Some(max),
        exclusive_min: false,
        exclusive_max: false,
        scale: Scale::Linear,
    }
}

/// Any finite number.
pub const fn any_number() -> Type {
    Type::Number {
        min: None,
        max: None,
        exclusive_min: false,
        exclusive_max: false,
        scale: Scale::Linear,
    }
}

/// Any text.
pub const fn text() -> Type {
    Type::Text { pattern: None, max_len: None, format: None }
}

/// What holds when a parameter is not given.
#[derive(Clone, Copy, Debug)]
pub enum Fallback {
    /// The user must give it.
    Required,
    /// The engine decides; the note says how.
    Engine(&'static str),
    /// A fixed value.
    Fixed(Val),
}

/// Under which name and in which form a parameter reaches the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Native {
    /// The plugin's own code sees to it.
    None,
    /// `--flag=value`, one element.
    Flag(&'static str),
    /// `--flag` when true, nothing when false.
    Switch(&'static str),
    /// One flag when true, another when false.
    OnOff(&'static str, &'static str),
    /// `--flag=a,b,c` of a list.
    Comma(&'static str),
    /// `--flag=a`, `--flag=b` of a list: one element an item.
    Repeat(&'static str),
    /// `--flag`, `a`, `b` of a list: one element a word. Only for items that never start with `-`.
    Words(&'static str),
    /// A field of the request body or of the `load` message.
    Field(&'static str),
    /// An environment variable; true and false become 1 and 0.
    Env(&'static str),
}

impl Native {
    /// The name itself.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Flag(name)
            | Self::Switch(name)
            | Self::OnOff(name, _)
            | Self::Comma(name)
            | Self::Repeat(name)
            | Self::Words(name)
            | Self::Field(name)
            | Self::Env(name) => Some(name),
        }
    }
}

/// One parameter.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Param {
    /// Where it stands.
    pub path: &'static str,
    /// Accepted types, tried in order.
    pub types: &'static [Type],
    /// Whether null is a value.
    pub nullable: bool,
    /// What holds when it is not given.
    pub default: Fallback,
    /// Documentation.
    pub doc: &'static str,
    /// Unit of its value.
    pub unit: Option<&'static str>,
    /// When it takes effect.
    pub phase: Phase,
    /// Modes in which it can reach the engine; empty: all.
    pub modes: &'static [Mode],
    /// How it reaches the engine.
    pub native: Native,
    /// Expected to change energy, speed or memory.
    pub energy_relevant: bool,
    /// Values worth sweeping, best first.
    pub suggested: &'static [Val],
    /// First engine version that has it.
    pub since: Option<&'static str>,
    /// First engine version that no longer has it.
    pub until: Option<&'static str>,
    /// Deprecation notice.
    pub deprecated: Option<&'static str>,
    /// Where this was read.
    pub source: Option<&'static str>,
}

impl Param {
    /// A load-phase parameter that the engine is not told of by any name yet.
    pub const fn new(path: &'static str, types: &'static [Type], default: Fallback) -> Self {
        Self {
            path,
            types,
            nullable: false,
            default,
            doc: "",
            unit: None,
            phase: Phase::Load,
            modes: &[],
            native: Native::None,
            energy_relevant: false,
            suggested: &[],
            since: None,
            until: None,
            deprecated: None,
            source: None,
        }
    }

    /// Documents it.
    pub const fn doc(mut self, doc: &'static str) -> Self {
        self.doc = doc;
        self
    }

    /// Names the unit of its value.
    pub const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = Some(unit);
        self
    }

    /// Makes null a value.
    pub const fn nullable(mut self) -> Self {
        self.nullable = true;
        self
    }

    /// Reaches the engine with each request, as a field of this name.
    pub const fn request(mut self, field: &'static str) -> Self {
        self.phase = Phase::Request;
        self.native = Native::Field(field);
        self
    }

    /// Changes a built artefact.
    pub const fn build(mut self) -> Self {
        self.phase = Phase::Build;
        self
    }

    /// Reaches the engine in one mode only.
    pub const fn only_in(mut self, modes: &'static [Mode]) -> Self {
        self.modes = modes;
        self
    }

    /// Reaches the engine as `--flag=value`.
    pub const fn flag(self, flag: &'static str) -> Self {
        self.native(Native::Flag(flag))
    }

    /// Reaches the engine in this form.
    pub const fn native(mut self, native: Native) -> Self {
        self.native = native;
        self
    }

    /// Is expected to change energy, speed or memory.
    pub const fn energy(mut self) -> Self {
        self.energy_relevant = true;
        self
    }

    /// Names values worth sweeping, best first.
    pub const fn suggest(mut self, values: &'static [Val]) -> Self {
        self.suggested = values;
        self
    }

    /// Says where this was read.
    pub const fn source(mut self, source: &'static str) -> Self {
        self.source = Some(source);
        self
    }

    /// Names the first engine version that has it.
    pub const fn since(mut self, version: &'static str) -> Self {
        self.since = Some(version);
        self
    }

    /// Says why not to use it any more.
    pub const fn deprecated(mut self, notice: &'static str) -> Self {
        self.deprecated = Some(notice);
        self
    }
}

/// One change of a configuration by a rule.
#[derive(Clone, Copy, Debug)]
pub struct EffectDef {
    /// Which parameter.
    pub path: &'static str,
    /// Its new value; none: removed.
    pub becomes: Option<Val>,
}

impl EffectDef {
    /// Removes a parameter.
    pub const fn unset(path: &'static str) -> Self {
        Self { path, becomes: None }
    }

    /// Sets a parameter.
    pub const fn set(path: &'static str, value: Val) -> Self {
        Self { path, becomes: Some(value) }
    }
}

/// A rule across parameters.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct RuleDef {
    /// Stable id, `vllm.chunked-prefill-needs-…`.
    pub id: &'static str,
    /// What a match means.
    pub severity: Severity,
    /// CEL expression that is true where the rule applies.
    pub when: &'static str,
    /// Changes of the configuration, for `coerce` and `dormant`.
    pub effects: &'static [EffectDef],
    /// For people.
    pub message: &'static str,
    /// Where this was read.
    pub source: Option<&'static str>,
}

impl RuleDef {
    /// The engine refuses the configuration.
    pub const fn error(id: &'static str, when: &'static str, message: &'static str) -> Self {
        Self::new(id, Severity::Error, when, &[], message)
    }

    /// The engine accepts the configuration, with a caveat.
    pub const fn warning(id: &'static str, when: &'static str, message: &'static str) -> Self {
        Self::new(id, Severity::Warning, when, &[], message)
    }

    /// The engine uses other values.
    pub const fn coerce(
        id: &'static str,
        when: &'static str,
        effects: &'static [EffectDef],
        message: &'static str,
    ) -> Self {
        Self::new(id, Severity::Coerce, when, effects, message)
    }

    /// The engine ignores values.
    pub const fn dormant(
        id: &'static str,
        when: &'static str,
        effects: &'static [EffectDef],
        message: &'static str,
    ) -> Self {
        Self::new(id, Severity::Dormant, when, effects, message)
    }

    const fn new(
        id: &'static str,
        severity: Severity,
        when: &'static str,
        effects: &'static [EffectDef],
        message: &'static str,
    ) -> Self {
        Self { id, severity, when, effects, message, source: None }
    }

    /// Says where this was read.
    pub const fn source(mut self, source: &'static str) -> Self {
        self.source = Some(source);
        self
    }
}
