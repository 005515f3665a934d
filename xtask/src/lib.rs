//! Development tasks that need more than cargo: building and checking the committed components, and the site.
//!
//! A library beside the program, so that an ordinary test can tell a stale component without any
//! WebAssembly toolchain: it needs no feature, building needs `build`. Nothing here runs when llem runs.

pub mod fresh;
pub mod guests;
pub mod lock;
#[cfg(feature = "build")]
pub mod plugins;
pub mod site;
pub mod source;
