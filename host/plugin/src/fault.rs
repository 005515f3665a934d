//! What can go wrong with a plugin, in three tiers that are never mixed: it can't be loaded, it
//! breaks, or it works and says no.

use std::{io, path::PathBuf};

use llem_core::backend::BackendError;

/// Why a plugin can't be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No plugin has this name.
    #[error("found no plugin `{name}`; there are {known}, and any path to a `.wasm` file")]
    Unknown {
        /// The name.
        name: String,
        /// The names that would do.
        known: String,
    },
    /// Its file can't be read.
    #[error("failed to read plugin `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its file is too large.
    #[error("plugin `{name}` has {found} bytes, at most {allowed} are allowed")]
    TooLarge {
        /// Name of the plugin.
        name: String,
        /// Its size.
        found: u64,
        /// The limit.
        allowed: u64,
    },
    /// It is not what the user has added.
    #[error("plugin `{name}` has sha256 {found}, but was added with {recorded}")]
    Changed {
        /// Name of the plugin.
        name: String,
        /// Hash of the file.
        found: String,
        /// Hash that was recorded.
        recorded: String,
    },
    /// It is no WebAssembly component.
    #[error("plugin `{name}` is no WebAssembly component: {reason}")]
    NotAComponent {
        /// Name of the plugin.
        name: String,
        /// What the compiler said.
        reason: String,
    },
    /// It wants something that no plugin gets.
    #[error("plugin `{name}` imports `{import}`; only `llem:backend` and WASI 0.2 are there")]
    Import {
        /// Name of the plugin.
        name: String,
        /// What it wants.
        import: String,
    },
    /// It speaks another version of the contract, or none.
    #[error("plugin `{name}` does not export `llem:backend@0.1`; it exports {exports}: {reason}")]
    Contract {
        /// Name of the plugin.
        name: String,
        /// What it exports.
        exports: String,
        /// What does not fit.
        reason: String,
    },
    /// The WebAssembly engine can't be set up.
    #[error("failed to set up the WebAssembly engine: {0}")]
    Engine(String),
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CallError {
    /// The plugin works but can't do what was asked.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The plugin is broken.
    #[error(transparent)]
    Fault(#[from] PluginFault),
}

/// A plugin that broke in a call.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("plugin `{plugin}` broke in `{function}`: {cause}")]
pub struct PluginFault {
    /// Name of the plugin.
    pub plugin: String,
    /// SHA-256 of its component.
    pub sha256: String,
    /// The function that was called.
    pub function: &'static str,
    /// How it broke.
    pub cause: Cause,
}

/// How a plugin broke.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Cause {
    /// It trapped.
    #[error("it trapped: {0}")]
    Trap(String),
    /// It was not done in time.
    #[error("no answer within {milliseconds} ms")]
    Deadline {
        /// The limit.
        milliseconds: u64,
    },
    /// It asked for too much memory.
    #[error("it asked for {wanted} bytes of memory, at most {allowed} are allowed")]
    Memory {
        /// What it asked for.
        wanted: usize,
        /// The limit.
        allowed: usize,
    },
    /// Its reply is too large.
    #[error("its reply has more than {allowed} bytes")]
    Output {
        /// The limit.
        allowed: usize,
    },
    /// Its reply breaks the contract.
    #[error("bad reply: {0}")]
    BadReply(#[from] BadReply),
}

/// In what way a reply breaks the contract.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BadReply {
    /// It can't be read at all.
    #[error("{0}")]
    Unreadable(String),
    /// A plugin id of another form.
    #[error("id `{0}` is not `[a-z][a-z0-9-]{{0,31}}`")]
    Id(String),
    /// A path of another form.
    #[error("`{0}` is no path `section.name`")]
    Path(String),
    /// Something that must be unique is there twice.
    #[error("{what} `{name}` is there twice")]
    Twice {
        /// What.
        what: &'static str,
        /// Which.
        name: String,
    },
    /// Not a finite number.
    #[error("the number at `{0}` is not finite")]
    NotFinite(String),
    /// Not JSON, although it says so.
    #[error("the value at `{at}` is no JSON: {reason}")]
    Json {
        /// Where.
        at: String,
        /// What the parser said.
        reason: String,
    },
    /// More than the limit.
    #[error("{found} {what}, at most {allowed} are allowed")]
    TooMany {
        /// What.
        what: &'static str,
        /// How many.
        found: usize,
        /// The limit.
        allowed: usize,
    },
    /// A text longer than the limit.
    #[error("the text at `{at}` has {found} bytes, at most {allowed} are allowed")]
    TooLong {
        /// Where.
        at: String,
        /// Its length.
        found: usize,
        /// The limit.
        allowed: usize,
    },
    /// Another number of replies than of questions.
    #[error("{found} canonical configurations for {asked}")]
    Count {
        /// How many were asked for.
        asked: usize,
        /// How many came.
        found: usize,
    },
    /// A pattern that is none, or too large.
    #[error("the pattern of parameter `{0}` is no regular expression, or too large")]
    Pattern(String),
    /// A parameter without a type.
    #[error("parameter `{0}` has no type")]
    NoType(String),
    /// A range or a choice that nothing satisfies.
    #[error("no value is allowed for parameter `{0}`")]
    NothingAllowed(String),
    /// A schema of another release.
    #[error("asked for the schema of release `{asked}`, got that of `{found}`")]
    OtherRelease {
        /// The release.
        asked: String,
        /// What the schema says.
        found: String,
    },
    /// Not exactly one subject at the end.
    #[error("{found} subjects in {steps} steps; exactly one is allowed, as the last step")]
    Subjects {
        /// How many.
        found: usize,
        /// Number of steps.
        steps: usize,
    },
}
