//! NVIDIA's management library.
//!
//! Only this module names it. It goes through the bare bindings because the loops may not allocate and
//! because module scopes and renumbered fields are not wrapped elsewhere.

mod gpu;
mod inventory;
mod library;
mod select;

pub(crate) use gpu::Gpu;
pub(crate) use library::{Handle, Library, LibraryError};
pub(crate) use select::{Chosen, select};
