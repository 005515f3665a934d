//! Plugins that the user has added: where they come from, and what is kept of them.
//!
//! Whether they may have something started is `grants`' to decide, whether they are sound `llem-plugin`'s.

mod oci;
mod source;
mod store;

pub(crate) use self::{
    source::{Fetched, fetch},
    store::{Locked, Store},
};
