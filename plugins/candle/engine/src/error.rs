//! What can go wrong in the engine, each with its kind on the wire and its exit code. Recovers from nothing.

use std::{
    error::Error,
    io::{self, Write},
    path::PathBuf,
};

/// A failure of the engine, told apart by its cause.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    /// Nothing loadable is at the path.
    #[error("found no model at `{}`: {reason}", path.display())]
    ModelNotFound { path: PathBuf, reason: String },
    /// The model is there and can't be used.
    #[error("failed to use the model at `{}`: {reason}", path.display())]
    BadModel { path: PathBuf, reason: String },
    /// A flag, setting or request field has a value that is not allowed.
    #[error("bad parameter `{name}`: {reason}")]
    BadParameter { name: String, reason: String },
    /// Memory does not suffice.
    #[error("out of memory: {what} needs {needed} bytes, {available} are available")]
    OutOfMemory { what: String, needed: u64, available: u64 },
    /// Another process listens there.
    #[error("address in use: `{address}`")]
    AddressInUse { address: String },
    /// The address can't be listened on for another reason.
    #[error("failed to listen on `{address}`")]
    Listen {
        address: String,
        #[source]
        source: io::Error,
    },
    /// The other side of the batch protocol broke it.
    #[error("protocol broken: {reason}")]
    Protocol { reason: String },
    /// The operating system refused something that should work.
    #[error("failed to {action}")]
    System {
        action: &'static str,
        #[source]
        source: io::Error,
    },
    /// candle failed in the middle of a computation.
    #[error("failed to compute")]
    Compute(#[from] candle_core::Error),
}

impl EngineError {
    /// Makes the error for a bad flag, setting or field.
    pub(crate) fn bad_parameter(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::BadParameter { name: name.into(), reason: reason.into() }
    }

    /// Returns the kind that the batch protocol carries.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::ModelNotFound { .. } => "model-not-found",
            Self::BadModel { .. } => "bad-model",
            Self::BadParameter { .. } => "bad-parameter",
            Self::OutOfMemory { .. } => "out-of-memory",
            Self::AddressInUse { .. } => "address-in-use",
            Self::Protocol { .. } => "protocol",
            Self::Listen { .. } | Self::System { .. } | Self::Compute(_) => "crash",
        }
    }

    /// Returns the exit code of the process.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::BadParameter { .. } => 2,
            Self::ModelNotFound { .. } => 3,
            Self::BadModel { .. } => 4,
            Self::OutOfMemory { .. } => 5,
            Self::AddressInUse { .. } | Self::Listen { .. } => 6,
            Self::Protocol { .. } => 7,
            Self::System { .. } | Self::Compute(_) => 70,
        }
    }
}

/// Joins an error and its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// Writes an error to stderr, kind first.
pub(crate) fn report(error: &EngineError) {
    log(&format!("error ({}): {}", error.kind(), chain(error)));
}

/// Writes one line to stderr.
pub(crate) fn log(line: &str) {
    // A closed stderr leaves nobody to tell.
    drop(writeln!(io::stderr(), "llem-candle: {line}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_chain_is_told_in_one_line() {
        let error = EngineError::Listen {
            address: "127.0.0.1:1".to_owned(),
            source: io::Error::new(io::ErrorKind::PermissionDenied, "not yours"),
        };
        assert_eq!(chain(&error), "failed to listen on `127.0.0.1:1`: not yours");
        assert_eq!(error.exit_code(), 6);
    }
}
