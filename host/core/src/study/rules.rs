//! Rules in CEL: parsed once, evaluated in three-valued logic.
//!
//! A name whose value nobody knows makes an expression undecided, unless the rest decides it:
//! `false && unknown` is false. Null counts as false; an order or arithmetic of null is undecided.
//! The `cel` crate parses; evaluation is here, because its interpreter knows no third value.

mod compile;
mod eval;
mod functions;

pub(super) use compile::{Compiled, Name, check_syntax, compile};
pub(super) use eval::{Lookup, V};
