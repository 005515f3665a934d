//! Plugins that the user has added: where they come from, and what is kept of them.
//!
//! Whether they may have something started is `grants`' to decide, whether they are sound `llem-plugin`'s.

mod oci;
mod source;
mod store;

use llem_plugin::{Cache, Registry};

pub(crate) use self::{
    source::{Fetched, fetch},
    store::{Locked, Store},
};
use crate::{config, machine};

/// Where compiled plugins are kept.
pub(crate) fn compiled_cache() -> Cache {
    Cache::in_folder(machine::cache_directory().join("cwasm"))
}

/// The built-in plugins, and those of a configured directory before them.
pub(crate) fn registry() -> Registry {
    Registry::new(config::PLUGIN_PATH.path(), compiled_cache())
}
