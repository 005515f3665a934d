//! Gets a component from a file, a directory, an address or a registry, with bounds on all of them.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use ureq::Agent;

use super::oci;

/// Largest component that is taken.
pub(super) const MAX_BYTES: u64 = 32 << 20;

/// A component and where it was taken from.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) bytes: Vec<u8>,
    /// The source as it goes into the lock.
    pub(crate) source: String,
    /// Digest of a registry's manifest.
    pub(crate) digest: Option<String>,
}

/// Why a component could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// A file or directory.
    #[error("failed to read `{}`: {why}", path.display())]
    File { path: PathBuf, why: String },
    /// An address.
    #[error("failed to fetch `{address}`: {why}")]
    Network { address: String, why: String },
    /// An address that is not taken.
    #[error("`{0}` is neither https nor on this machine")]
    Insecure(String),
    /// It is not what was promised.
    #[error("`{source_name}` has sha256 {found}, not {wanted}")]
    Changed { source_name: String, found: String, wanted: String },
    /// A registry's answer.
    #[error("the registry's answer for `{reference}` is not that of a plugin: {why}")]
    Registry { reference: String, why: String },
}

/// Gets a component.
pub(crate) fn fetch(source: &str) -> Result<Fetched, SourceError> {
    if let Some(reference) = source.strip_prefix("oci://") {
        return oci::fetch(reference);
    }
    if source.starts_with("https://") || source.starts_with("http://") {
        return from_address(source);
    }
    from_file(Path::new(source))
}

fn from_file(path: &Path) -> Result<Fetched, SourceError> {
    let failed = |why: String| SourceError::File { path: path.to_owned(), why };
    let file = if path.is_dir() { only_component(path)? } else { path.to_owned() };
    let size = fs::metadata(&file).map_err(|it| failed(it.to_string()))?.len();
    if size > MAX_BYTES {
        return Err(failed(format!("{size} bytes, at most {MAX_BYTES} are taken")));
    }
    let bytes = fs::read(&file).map_err(|it| failed(it.to_string()))?;
    let source = std::path::absolute(&file).unwrap_or(file).display().to_string();
    Ok(Fetched { bytes, source, digest: None })
}

/// The one `.wasm` file of a plugin's directory.
fn only_component(directory: &Path) -> Result<PathBuf, SourceError> {
    let failed = |why: String| SourceError::File { path: directory.to_owned(), why };
    let entries = fs::read_dir(directory).map_err(|it| failed(it.to_string()))?;
    let is_component = |it: &PathBuf| it.extension().is_some_and(|it| it == "wasm");
    let mut found: Vec<PathBuf> =
        entries.flatten().map(|it| it.path()).filter(is_component).collect();
    found.sort();
    match (found.pop(), found.len()) {
        (Some(one), 0) => Ok(one),
        (None, _) => Err(failed("no `.wasm` file in it; build the plugin first".into())),
        (Some(_), more) => Err(failed(format!("{} `.wasm` files in it; name one", more + 1))),
    }
}

fn from_address(source: &str) -> Result<Fetched, SourceError> {
    let (address, wanted) = match source.split_once("#sha256=") {
        Some((address, wanted)) => (address, Some(wanted.to_ascii_lowercase())),
        None => (source, None),
    };
    let agent = agent(address)?;
    let failed = |why: String| SourceError::Network { address: address.to_owned(), why };
    let mut answer = agent.get(address).call().map_err(|it| failed(it.to_string()))?;
    if answer.status() != 200 {
        return Err(failed(format!("status {}", answer.status())));
    }
    let bytes = answer.body_mut().with_config().limit(MAX_BYTES).read_to_vec();
    let bytes = bytes.map_err(|it| failed(it.to_string()))?;
    check(&bytes, wanted.as_deref(), address)?;
    Ok(Fetched { bytes, source: address.to_owned(), digest: None })
}

/// A client for an address: encrypted, except to this machine.
pub(super) fn agent(address: &str) -> Result<Agent, SourceError> {
    let is_secure = address.starts_with("https://");
    if !is_secure && !is_local(address) {
        return Err(SourceError::Insecure(address.to_owned()));
    }
    Ok(Agent::config_builder()
        .https_only(is_secure)
        .max_redirects(5)
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_mins(5)))
        .timeout_connect(Some(Duration::from_secs(20)))
        .build()
        .into())
}

/// Whether an address without encryption stays on this machine.
fn is_local(address: &str) -> bool {
    let authority = address.strip_prefix("http://").unwrap_or_default();
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    is_local_host(authority)
}

/// Whether `HOST[:PORT]` is this machine.
pub(super) fn is_local_host(authority: &str) -> bool {
    let host = authority.split_once(':').map_or(authority, |it| it.0);
    matches!(host, "localhost" | "127.0.0.1")
}

/// Fails where bytes have another hash than was promised.
pub(super) fn check(bytes: &[u8], wanted: Option<&str>, name: &str) -> Result<(), SourceError> {
    let found = sha256(bytes);
    match wanted {
        Some(wanted) if *wanted != found => Err(SourceError::Changed {
            source_name: name.to_owned(),
            found,
            wanted: wanted.to_owned(),
        }),
        Some(_) | None => Ok(()),
    }
}

/// SHA-256, hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_gives_its_one_component() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        let text = fetch(&path.display().to_string()).expect_err("it is empty").to_string();
        assert!(text.contains("build the plugin first"), "{text}");
        fs::write(path.join("mine.wasm"), b"x").expect("writable");
        let fetched = fetch(&path.display().to_string()).expect("it has one");
        assert!(fetched.source.ends_with("mine.wasm"));
        fs::write(path.join("other.wasm"), b"y").expect("writable");
        let text = fetch(&path.display().to_string()).expect_err("it has two").to_string();
        assert!(text.contains("2 `.wasm` files"), "{text}");
    }

    #[test]
    fn nothing_is_fetched_in_the_clear_from_elsewhere() {
        for address in [
            "http://example.org/x.wasm",
            "http://127.0.0.1.example.org/x",
            "http://localhost@example.org/x",
        ] {
            assert!(matches!(fetch(address), Err(SourceError::Insecure(_))), "{address}");
        }
    }
}
