//! A parameter space as `static` data: nothing is parsed or built until the host asks for it.
//!
//! All builders are `const`, so a table costs a component its text and nothing else.

mod convert;
mod deliver;
mod rows;

pub use rows::{
    EffectDef, Fallback, Native, Param, RuleDef, SectionDef, Type, Val, any_number, at_least, int,
    number, power_of_two, text,
};

use crate::UnknownPolicy;

/// The parameter space of one engine release. The example in the [crate's documentation](crate) has one.
#[derive(Clone, Copy, Debug)]
pub struct SchemaTable {
    /// Engine release that this describes.
    pub release: &'static str,
    /// Sections of paths, in the order to show them.
    pub sections: &'static [SectionDef],
    /// Parameters, unique by path.
    pub parameters: &'static [Param],
    /// Rules across parameters.
    pub rules: &'static [RuleDef],
    /// Whether [`Backend::canonicalise`](crate::Backend::canonicalise) does more than the rules.
    pub code_rules: bool,
    /// What to do with a path that is not listed.
    pub unknown: UnknownPolicy,
}

impl SchemaTable {
    /// The parameter at a path.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # static TABLE: SchemaTable = SchemaTable {
    /// #     release: "1", sections: &[], rules: &[], code_rules: false, unknown: UnknownPolicy::Reject,
    /// #     parameters: &[
    /// #         Param::new("engine.size", &[int(1, 9)], Fallback::Fixed(Val::Int(3))).flag("--size"),
    /// #         Param::new("engine.quiet", &[Type::Boolean], Fallback::Engine("")).native(Native::Env("QUIET")),
    /// #         Param::new("sampling.top_k", &[int(0, 9)], Fallback::Engine("")).request("top_k"),
    /// #     ],
    /// # };
    /// assert!(TABLE.parameter("engine.size").is_some());
    /// ```
    pub fn parameter(&self, path: &str) -> Option<&'static Param> {
        self.parameters.iter().find(|it| it.path == path)
    }
}
