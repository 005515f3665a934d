//! Between the generated types and the plain data of core: the only place where both are named.
//!
//! What comes from a plugin is converted fallibly, what goes to it is not.

mod info;
mod outcome;
mod plan_in;
mod plan_out;
mod schema;
mod value;

pub(crate) use outcome::observation;
pub(crate) use plan_in::plan;
pub(crate) use schema::{canonicals, schema};
#[cfg(feature = "fuzzing")]
pub(crate) use value::config;
pub(crate) use value::to_config;

/// Maps the cases of two enumerations that have the same ones, in both directions.
macro_rules! same_cases {
    ($guest:path, $core:path: $($case:ident),+) => {
        impl From<$guest> for $core {
            fn from(it: $guest) -> Self {
                use $guest as Guest;
                match it { $(Guest::$case => Self::$case,)+ }
            }
        }

        impl From<$core> for $guest {
            fn from(it: $core) -> Self {
                use $core as Core;
                match it { $(Core::$case => Self::$case,)+ }
            }
        }
    };
}
use same_cases;

/// Converts every item of a list.
fn all<A, B: From<A>>(items: Vec<A>) -> Vec<B> {
    items.into_iter().map(B::from).collect()
}
