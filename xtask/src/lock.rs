//! `plugins/components/components.lock`: what each committed component was built from.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Context as _;
use serde::Deserialize;

/// Where the lock lies.
pub const PATH: &str = "plugins/components/components.lock";

/// The lock.
#[derive(Debug, Default, Deserialize)]
pub struct Lock {
    /// One entry a component, by name.
    #[serde(default)]
    pub component: Vec<Entry>,
}

/// What a component was built from.
#[derive(Clone, Debug, Deserialize)]
pub struct Entry {
    /// Name of the guest.
    pub name: String,
    /// SHA-256 of the component, hexadecimal.
    pub sha256: String,
    /// Hash of its source, as [`crate::source::hash`] computes it.
    pub source: String,
    /// The compiler.
    pub rustc: String,
}

impl Lock {
    /// Reads the lock; empty where there is none yet.
    pub fn read(root: &Path) -> anyhow::Result<Self> {
        let path = root.join(PATH);
        if !path.exists() {
            return Ok(Self::default());
        }
        let text =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("parsing {}", path.display()))
    }

    /// Writes the lock.
    pub fn write(&self, root: &Path) -> anyhow::Result<()> {
        let mut text =
            "# Written by `cargo xtask plugins build`; a test compares it with the sources.\n"
                .to_owned();
        for it in &self.component {
            write!(
                text,
                "\n[[component]]\nname = \"{}\"\nsha256 = \"{}\"\nsource = \"{}\"\nrustc = \"{}\"\n",
                it.name, it.sha256, it.source, it.rustc
            )?;
        }
        let path = root.join(PATH);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }

    /// The entry of a guest.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.component.iter().find(|it| it.name == name)
    }

    /// Replaces or adds an entry and keeps the order of names.
    pub fn set(&mut self, entry: Entry) {
        self.component.retain(|it| it.name != entry.name);
        self.component.push(entry);
        self.component.sort_by(|a, b| a.name.cmp(&b.name));
    }
}
