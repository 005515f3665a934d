//! Why a setting does not reach an engine, and how many GPUs its degrees of parallelism need.
//!
//! Shared by the plugins of engines with a server. Knows no engine.

use llem_sdk::{Config, Error, ErrorKind};

/// The setting belongs to the other mode.
pub(crate) fn not_in_this_mode(path: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, format!("`{path}` can't reach the engine in this mode"))
        .at(path)
}

/// A nested setting in two forms, of which the engine would take one and drop the other.
pub(crate) fn conflict(name: &str) -> Error {
    let path = format!("engine.{name}");
    Error::new(ErrorKind::InvalidConfig, format!("`{path}` is given as a whole and field by field"))
        .at(&path)
        .with_hint("engines do not merge the two forms: use one of them")
}

/// The product of degrees of parallelism.
pub(crate) fn gpus(config: &Config, degrees: &[&str]) -> Result<u32, Error> {
    degrees.iter().try_fold(1_u32, |product, path| {
        let degree = config.integer(path).unwrap_or(1);
        u32::try_from(degree)
            .ok()
            .and_then(|degree| product.checked_mul(degree))
            .ok_or_else(|| Error::unsupported(format!("{degree} GPUs are too many")).at(path))
    })
}
