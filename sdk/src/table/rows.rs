//! The rows of a table and their `const` builders.

use crate::{Mode, Phase, Scale, Severity};

/// A value in a table.
///
/// ```
/// # use llem_sdk::prelude::*;
/// assert_eq!(Value::from(Val::Text("auto")), Value::from("auto"));
/// ```
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
///
/// ```
/// # use llem_sdk::prelude::*;
/// const ENGINE: SectionDef = SectionDef { id: "engine", title: "Engine", doc: "How the engine starts." };
/// assert_eq!(ENGINE.id, "engine");
/// ```
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
///
/// ```
/// # use llem_sdk::prelude::*;
/// const DTYPE: Type = Type::Words(&[("auto", "As the model says."), ("bfloat16", "16 bits.")]);
/// assert!(matches!(DTYPE, Type::Words(words) if words.len() == 2));
/// ```
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
///
/// ```
/// # use llem_sdk::prelude::*;
/// assert!(matches!(int(1, 9), Type::Integer { min: Some(1), max: Some(9), .. }));
/// ```
pub const fn int(min: i64, max: i64) -> Type {
    Type::Integer { min: Some(min), max: Some(max), multiple_of: None, scale: Scale::Linear }
}

/// An integer from `min` up.
///
/// ```
/// # use llem_sdk::prelude::*;
/// assert!(matches!(at_least(1), Type::Integer { min: Some(1), max: None, .. }));
/// ```
pub const fn at_least(min: i64) -> Type {
    Type::Integer { min: Some(min), max: None, multiple_of: None, scale: Scale::Linear }
}

/// An integer from `min` to `max`, swept in powers of two.
///
/// ```
/// # use llem_sdk::prelude::*;
/// assert!(matches!(power_of_two(1, 256), Type::Integer { scale: Scale::Pow2, .. }));
/// ```
pub const fn power_of_two(min: i64, max: i64) -> Type {
    Type::Integer { min: Some(min), max: Some(max), multiple_of: None, scale: Scale::Pow2 }
}

/// A number from `min` to `max`, both included.
///
/// ```
/// # use llem_sdk::prelude::*;
/// assert!(matches!(number(0.0, 2.0), Type::Number { max: Some(2.0), .. }));
/// ```
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
///
/// ```
/// # use llem_sdk::prelude::*;
/// assert!(matches!(any_number(), Type::Number { min: None, max: None, .. }));
/// ```
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
///
/// ```
/// # use llem_sdk::prelude::*;
/// assert!(matches!(text(), Type::Text { pattern: None, .. }));
/// ```
pub const fn text() -> Type {
    Type::Text { pattern: None, max_len: None, format: None }
}

/// What holds when a parameter is not given.
///
/// ```
/// # use llem_sdk::prelude::*;
/// const ROW: Param = Param::new("engine.threads", &[at_least(1)], Fallback::Engine("one a core"));
/// assert!(matches!(ROW.default, Fallback::Engine("one a core")));
/// ```
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
///
/// ```
/// # use llem_sdk::prelude::*;
/// const ROW: Param = Param::new("engine.eager", &[Type::Boolean], Fallback::Engine(""))
///     .native(Native::OnOff("--eager", "--no-eager"));
/// assert_eq!(ROW.native.name(), Some("--eager"));
/// ```
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
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// assert_eq!(Native::Comma("--layers").name(), Some("--layers"));
    /// ```
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
///
/// ```
/// # use llem_sdk::prelude::*;
/// const ROW: Param = Param::new("engine.threads", &[at_least(1)], Fallback::Engine("one a core"))
///     .doc("Worker threads.")
///     .energy()
///     .flag("--threads");
/// assert!(ROW.energy_relevant);
/// ```
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
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// const ROW: Param = Param::new("engine.size", &[int(1, 9)], Fallback::Fixed(Val::Int(3)));
    /// assert_eq!(ROW.phase, Phase::Load);
    /// ```
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
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// const ROW: Param = Param::new("engine.size", &[int(1, 9)], Fallback::Fixed(Val::Int(3))).doc("A size.");
    /// assert_eq!(ROW.doc, "A size.");
    /// ```
    pub const fn doc(mut self, doc: &'static str) -> Self {
        self.doc = doc;
        self
    }

    /// Names the unit of its value.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// const ROW: Param = Param::new("engine.size", &[int(1, 9)], Fallback::Fixed(Val::Int(3))).unit("tokens");
    /// assert_eq!(ROW.unit, Some("tokens"));
    /// ```
    pub const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = Some(unit);
        self
    }

    /// Makes null a value.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// const ROW: Param = Param::new("engine.size", &[int(1, 9)], Fallback::Fixed(Val::Int(3))).nullable();
    /// assert!(ROW.nullable);
    /// ```
    pub const fn nullable(mut self) -> Self {
        self.nullable = true;
        self
    }

    /// Reaches the engine with each request, as a field of this name.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// const ROW: Param = Param::new("engine.size", &[int(1, 9)], Fallback::Fixed(Val::Int(3))).request("size");
    /// assert_eq!(ROW.phase, Phase::Request);
    /// ```
    pub const fn request(mut self, field: &'static str) -> Self {
        self.phase = Phase::Request;
        self.native = Native::Field(field);
        self
    }

    /// Changes a built artefact.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// const ROW: Param = Param::new("engine.size", &[int(1, 9)], Fallback::Fixed(Val::Int(3))).build();
    /// assert_eq!(ROW.phase, Phase::Build);
    /// ```
    pub const fn build(mut self) -> Self {
        self.phase = Phase::Build;
        self
    }

    /// Reaches the engine in one mode only.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// const ROW: Param = Param::new("engine.size", &[int(1, 9)], Fallback::Fixed(Val::Int(3))).only_in(&[Mode::Server]);
    /// assert_eq!(ROW.modes, [Mode::Server]);
    /// ```
    pub const fn only_in(mut self, modes: &'static [Mode]) -> Self {
        self.modes = modes;
        self
    }

    /// Reaches the engine as `--flag=value`.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// const ROW: Param = Param::new("engine.size", &[int(1, 9)], Fallback::Fixed(Val::Int(3))).flag("--size");
    /// assert_eq!(ROW.native, Native::Flag("--size"));
    /// ```
    pub const fn flag(self, flag: &'static str) -> Self {
        self.native(Native::Flag(flag))
    }

    /// Reaches the engine in this form.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// const ROW: Param = Param::new("engine.size", &[int(1, 9)], Fallback::Fixed(Val::Int(3))).native(Native::Comma("--sizes"));
    /// assert_eq!(ROW.native, Native::Comma("--sizes"));
    /// ```
    pub const fn native(mut self, native: Native) -> Self {
        self.native = native;
        self
    }

    /// Is expected to change energy, speed or memory.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// const ROW: Param = Param::new("engine.size", &[int(1, 9)], Fallback::Fixed(Val::Int(3))).energy();
    /// assert!(ROW.energy_relevant);
    /// ```
    pub const fn energy(mut self) -> Self {
        self.energy_relevant = true;
        self
    }

    /// Names values worth sweeping, best first.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// const ROW: Param = Param::new("engine.size", &[int(1, 9)], Fallback::Fixed(Val::Int(3))).suggest(&[Val::Int(1), Val::Int(9)]);
    /// assert_eq!(ROW.suggested.len(), 2);
    /// ```
    pub const fn suggest(mut self, values: &'static [Val]) -> Self {
        self.suggested = values;
        self
    }

    /// Says where this was read.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// const ROW: Param = Param::new("engine.size", &[int(1, 9)], Fallback::Fixed(Val::Int(3))).source("config.py");
    /// assert_eq!(ROW.source, Some("config.py"));
    /// ```
    pub const fn source(mut self, source: &'static str) -> Self {
        self.source = Some(source);
        self
    }

    /// Names the first engine version that has it.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// const ROW: Param = Param::new("engine.size", &[int(1, 9)], Fallback::Fixed(Val::Int(3))).since("1.2.0");
    /// assert_eq!(ROW.since, Some("1.2.0"));
    /// ```
    pub const fn since(mut self, version: &'static str) -> Self {
        self.since = Some(version);
        self
    }

    /// Says why not to use it any more.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// const ROW: Param = Param::new("engine.size", &[int(1, 9)], Fallback::Fixed(Val::Int(3))).deprecated("use engine.width");
    /// assert_eq!(ROW.deprecated, Some("use engine.width"));
    /// ```
    pub const fn deprecated(mut self, notice: &'static str) -> Self {
        self.deprecated = Some(notice);
        self
    }
}

/// One change of a configuration by a rule.
///
/// ```
/// # use llem_sdk::prelude::*;
/// const EFFECT: EffectDef = EffectDef::unset("sampling.top_k");
/// assert!(EFFECT.becomes.is_none());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct EffectDef {
    /// Which parameter.
    pub path: &'static str,
    /// Its new value; none: removed.
    pub becomes: Option<Val>,
}

impl EffectDef {
    /// Removes a parameter.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// assert_eq!(EffectDef::unset("sampling.top_k").path, "sampling.top_k");
    /// ```
    pub const fn unset(path: &'static str) -> Self {
        Self { path, becomes: None }
    }

    /// Sets a parameter.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// assert_eq!(EffectDef::set("engine.size", Val::Int(1)).becomes, Some(Val::Int(1)));
    /// ```
    pub const fn set(path: &'static str, value: Val) -> Self {
        Self { path, becomes: Some(value) }
    }
}

/// A rule across parameters.
///
/// ```
/// # use llem_sdk::prelude::*;
/// const GREEDY: RuleDef = RuleDef::dormant(
///     "example.greedy",
///     "sampling.temperature == 0.0",
///     &[EffectDef::unset("sampling.top_k")],
///     "At temperature 0 the likeliest token is taken.",
/// );
/// assert_eq!(GREEDY.severity, Severity::Dormant);
/// ```
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
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// assert_eq!(RuleDef::error("a.b", "engine.size == 7", "Seven is refused.").severity, Severity::Error);
    /// ```
    pub const fn error(id: &'static str, when: &'static str, message: &'static str) -> Self {
        Self::new(id, Severity::Error, when, &[], message)
    }

    /// The engine accepts the configuration, with a caveat.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// assert_eq!(RuleDef::warning("a.b", "engine.size == 7", "Seven is slow.").severity, Severity::Warning);
    /// ```
    pub const fn warning(id: &'static str, when: &'static str, message: &'static str) -> Self {
        Self::new(id, Severity::Warning, when, &[], message)
    }

    /// The engine uses other values.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// const RULE: RuleDef =
    ///     RuleDef::coerce("a.b", "engine.size == 7", &[EffectDef::set("engine.size", Val::Int(8))], "Seven is eight.");
    /// assert_eq!(RULE.effects.len(), 1);
    /// ```
    pub const fn coerce(
        id: &'static str,
        when: &'static str,
        effects: &'static [EffectDef],
        message: &'static str,
    ) -> Self {
        Self::new(id, Severity::Coerce, when, effects, message)
    }

    /// The engine ignores values.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// const RULE: RuleDef =
    ///     RuleDef::dormant("a.b", "engine.eager == true", &[EffectDef::unset("engine.size")], "No graphs.");
    /// assert_eq!(RULE.severity, Severity::Dormant);
    /// ```
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
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// assert_eq!(RuleDef::error("a.b", "true", "No.").source("config.py").source, Some("config.py"));
    /// ```
    pub const fn source(mut self, source: &'static str) -> Self {
        self.source = Some(source);
        self
    }
}
