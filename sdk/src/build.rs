//! A parameter space from a TOML or JSON file, for build scripts: what is wrong with the file shows when the
//! plugin is built, and the component holds the table and no parser.
//!
//! `build.rs`, with `llem-sdk = { features = ["build"] }` among the build dependencies:
//!
//! ```no_run
//! llem_sdk::build::table("parameters.toml");
//! ```
//!
//! and in the plugin:
//!
//! ```text
//! static TABLE: SchemaTable = include!(concat!(env!("OUT_DIR"), "/parameters.rs"));
//! ```

mod file;
mod rust;

use std::{env, fs, path::Path, process::exit};

pub use file::FileError;

/// Turns a file beside `Cargo.toml` into `$OUT_DIR/NAME.rs`; a fault in the file ends the build with what is
/// wrong and where.
///
/// ```no_run
/// llem_sdk::build::table("parameters.toml");
/// ```
pub fn table(file: &str) {
    let path = Path::new(file);
    tell(&format!("cargo::rerun-if-changed={file}"));
    let text = fs::read_to_string(path).unwrap_or_else(|error| fail(&format!("{file}: {error}")));
    let is_json = path.extension().is_some_and(|it| it == "json");
    let source = if is_json { of_json(&text) } else { of_toml(&text) };
    let source = source.unwrap_or_else(|error| fail(&format!("{file}: {error}")));
    let folder = env::var_os("OUT_DIR").unwrap_or_else(|| fail("OUT_DIR is not set"));
    let name = path.with_extension("rs");
    let out = Path::new(&folder).join(name.file_name().unwrap_or_default());
    if let Err(error) = fs::write(&out, source) {
        fail(&format!("{}: {error}", out.display()));
    }
}

/// The table in a TOML text, as Rust.
///
/// ```
/// let rust = llem_sdk::build::of_toml(r#"
///     release = "1.0.0"
///     [[section]]
///     id = "engine"
///     title = "Engine"
///     doc = "How the engine starts."
///     [[parameter]]
///     path = "engine.threads"
///     type = "integer"
///     min = 1
///     default = { engine = "one a core" }
///     doc = "Worker threads."
///     flag = "--threads"
/// "#).unwrap();
/// assert!(rust.contains(r#"path: "engine.threads""#));
/// ```
pub fn of_toml(text: &str) -> Result<String, FileError> {
    let file: file::File = toml::from_str(text).map_err(|it| FileError::new(it.to_string()))?;
    rust::table(&file)
}

/// The table in a JSON text, as Rust.
///
/// ```
/// let error = llem_sdk::build::of_json(r#"{"release": "1.0.0", "parametre": []}"#).unwrap_err();
/// assert!(error.to_string().contains("parametre"));
/// ```
pub fn of_json(text: &str) -> Result<String, FileError> {
    let file = serde_json::from_str(text).map_err(|it| FileError::new(it.to_string()))?;
    rust::table(&file)
}

#[expect(clippy::print_stdout, reason = "this is how a build script talks to cargo")]
fn tell(line: &str) {
    println!("{line}");
}

#[expect(clippy::exit, reason = "a build script has no caller to return to")]
fn fail(message: &str) -> ! {
    tell(&format!("cargo::error={}", message.replace('\n', " ")));
    exit(1)
}
