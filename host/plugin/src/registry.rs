//! Finds plugins: the bundled ones, an override folder, any path.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::{Cache, LoadError, Origin, Plugin};

macro_rules! bundled {
    ($($name:literal),*) => {
        [$(($name, include_bytes!(concat!("../components/", $name, ".wasm"))),)*]
    };
}

/// The first-party components, as they were committed.
const BUNDLED: [(&str, &[u8]); 4] = bundled!["candle", "pytorch", "tensorrt", "vllm"];

/// Where plugins come from.
#[derive(Clone, Debug)]
pub struct Registry {
    installed: Vec<Installed>,
    overrides: Option<PathBuf>,
    cache: Cache,
}

/// A component that the user has added, by the hash that was recorded then.
#[derive(Clone, Debug)]
pub struct Installed {
    /// Name that it is loaded by.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// SHA-256 of its component, hexadecimal.
    pub sha256: String,
}

impl Registry {
    /// The bundled plugins, a folder before them, and a cache.
    pub fn new(overrides: Option<PathBuf>, cache: Cache) -> Self {
        Self { installed: Vec::new(), overrides, cache }
    }

    /// Adds what the user has added. A built-in plugin is never replaced by it.
    #[must_use]
    pub fn with_installed(mut self, installed: Vec<Installed>) -> Self {
        self.installed = installed;
        self
    }

    /// Whether a name is that of a built-in plugin.
    pub fn is_reserved(name: &str) -> bool {
        BUNDLED.iter().any(|it| it.0 == name)
    }

    /// Every plugin that can be loaded by name, in the order of names, and where it comes from.
    pub fn list(&self) -> Vec<(String, Origin)> {
        let installed =
            self.installed.iter().map(|it| (it.name.clone(), Origin::Installed(it.path.clone())));
        let bundled = BUNDLED.iter().map(|(name, _)| ((*name).to_owned(), Origin::Bundled));
        let mut found: BTreeMap<String, Origin> = installed.chain(bundled).collect();
        let entries = self.overrides.as_ref().and_then(|folder| fs::read_dir(folder).ok());
        for entry in entries.into_iter().flatten().flatten() {
            let path = entry.path();
            if is_component(&path)
                && let Some(name) = path.file_stem().and_then(|it| it.to_str())
            {
                found.insert(name.to_owned(), Origin::Override(path.clone()));
            }
        }
        found.into_iter().collect()
    }

    /// Loads a plugin by its name, or by a path: anything with a slash or that ends in `.wasm`.
    pub fn load(&self, name_or_path: &str) -> Result<Plugin, LoadError> {
        let path = PathBuf::from(name_or_path);
        if name_or_path.contains('/') || is_component(&path) {
            let name =
                path.file_stem().map_or_else(String::new, |it| it.to_string_lossy().into_owned());
            return Plugin::open(&name, Origin::File(path.clone()), &path, &self.cache);
        }
        if let Some(folder) = &self.overrides
            && let Err(source) = fs::read_dir(folder)
        {
            return Err(LoadError::Read { path: folder.clone(), source });
        }
        match self.list().into_iter().find(|(name, _)| name == name_or_path) {
            Some((name, Origin::Override(path) | Origin::File(path))) => {
                Plugin::open(&name, Origin::Override(path.clone()), &path, &self.cache)
            }
            Some((name, Origin::Installed(path))) => {
                let plugin =
                    Plugin::open(&name, Origin::Installed(path.clone()), &path, &self.cache)?;
                let recorded = self.installed.iter().find(|it| it.name == name);
                match recorded.filter(|it| it.sha256 != plugin.sha256()) {
                    Some(recorded) => Err(LoadError::Changed {
                        name,
                        found: plugin.sha256().to_owned(),
                        recorded: recorded.sha256.clone(),
                    }),
                    None => Ok(plugin),
                }
            }
            Some((name, Origin::Bundled)) => {
                let bytes = BUNDLED.iter().find(|it| it.0 == name).map_or(&[][..], |it| it.1);
                Plugin::load(&name, Origin::Bundled, bytes, &self.cache)
            }
            None => Err(LoadError::Unknown { name: name_or_path.to_owned(), known: self.known() }),
        }
    }

    fn known(&self) -> String {
        let names: Vec<String> =
            self.list().into_iter().map(|(name, _)| format!("`{name}`")).collect();
        names.join(", ")
    }
}

fn is_component(path: &Path) -> bool {
    path.extension().is_some_and(|it| it == "wasm")
}
