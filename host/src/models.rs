//! From the model that a study names to what a launch plan can use: a directory, a file or a hub id.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use llem_core::{
    backend::{ModelRef, ModelSource},
    model::{ModelFacts, UnknownShape, built_in},
};

/// A model that is ready to be loaded.
#[derive(Clone, Debug)]
pub(crate) struct ResolvedModel {
    /// For the plugin.
    pub(crate) reference: ModelRef,
    /// What the engine gets: a path, or the hub id.
    pub(crate) location: String,
    /// Facts, where its configuration can be read without loading it.
    pub(crate) facts: Option<ModelFacts>,
    /// Its configuration, for rules.
    pub(crate) config: Option<serde_json::Value>,
}

/// Why a model can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModelError {
    /// `random:` with an unknown shape.
    #[error(transparent)]
    Shape(#[from] UnknownShape),
    /// A path that does not exist.
    #[error("no model at `{0}`")]
    NotFound(PathBuf),
    /// A directory without a configuration.
    #[error("the model directory `{0}` has no config.json")]
    NoConfig(PathBuf),
    /// The configuration of a random model can't be written.
    #[error("failed to write the configuration of `{id}` to `{}`", path.display())]
    Io {
        /// The model.
        id: String,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Resolves models, each once.
#[derive(Debug)]
pub(crate) struct Models {
    cache: PathBuf,
    /// Paths in a study are relative to it.
    study_directory: PathBuf,
    /// Where the hub's own tools keep models that they have downloaded.
    hub: Option<PathBuf>,
    resolved: BTreeMap<(String, String), ResolvedModel>,
}

impl Models {
    /// Writes configurations of random models below `cache`.
    pub(crate) fn new(cache: PathBuf, study_directory: PathBuf, hub: Option<PathBuf>) -> Self {
        Self { cache, study_directory, hub, resolved: BTreeMap::new() }
    }

    /// Resolves a model id and hub revision.
    pub(crate) fn resolve(
        &mut self,
        id: &str,
        revision: &str,
    ) -> Result<ResolvedModel, ModelError> {
        let key = (id.to_owned(), revision.to_owned());
        if let Some(known) = self.resolved.get(&key) {
            return Ok(known.clone());
        }
        let model = self.find(id, revision)?;
        self.resolved.insert(key, model.clone());
        Ok(model)
    }

    fn find(&self, id: &str, revision: &str) -> Result<ResolvedModel, ModelError> {
        if let Some(shape) = id.strip_prefix("random:") {
            let directory = self.random(id, built_in(shape)?, shape)?;
            return Ok(local(id, ModelSource::Random, &directory));
        }
        let path = self.study_directory.join(id);
        if path.is_dir() {
            return if path.join("config.json").is_file() {
                Ok(local(id, ModelSource::Directory, &path))
            } else {
                Err(ModelError::NoConfig(path))
            };
        }
        if path.is_file() {
            return Ok(local(id, ModelSource::File, &path));
        }
        // What can only be a path is one; a hub id has one slash at most and no suffix of a file.
        let has_suffix =
            Path::new(id).extension().is_some_and(|it| it.eq_ignore_ascii_case("gguf"));
        let looks_like_path =
            id.starts_with(['.', '/', '~']) || id.matches('/').count() > 1 || has_suffix;
        if looks_like_path {
            return Err(ModelError::NotFound(path));
        }
        // Its facts are known where the hub's tools have downloaded it before.
        let config = self.of_hub(id, revision, "config.json");
        let config = config.and_then(|it| fs::read_to_string(it).ok());
        Ok(ResolvedModel {
            reference: ModelRef {
                id: id.to_owned(),
                revision: Some(revision.to_owned()),
                source: ModelSource::Hub,
            },
            location: id.to_owned(),
            facts: config.as_ref().and_then(|it| ModelFacts::from_config(it).ok()),
            config: config.and_then(|it| serde_json::from_str(&it).ok()),
        })
    }

    /// A file of a model that has been downloaded.
    fn of_hub(&self, id: &str, revision: &str, name: &str) -> Option<PathBuf> {
        let repository = self.hub.as_ref()?.join(format!("models--{}", id.replace('/', "--")));
        // A branch or a tag points to a commit; a commit is its own snapshot.
        let commit = fs::read_to_string(repository.join("refs").join(revision));
        let commit = commit.map_or_else(|_| revision.to_owned(), |it| it.trim().to_owned());
        Some(repository.join("snapshots").join(commit).join(name)).filter(|it| it.is_file())
    }

    /// A directory that holds only the configuration of a random model.
    fn random(&self, id: &str, config: &str, shape: &str) -> Result<PathBuf, ModelError> {
        let directory = self.cache.join("shapes").join(shape);
        let path = directory.join("config.json");
        if fs::read_to_string(&path).is_ok_and(|it| it == config) {
            return Ok(directory);
        }
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(&directory)?;
            let mut file = tempfile::NamedTempFile::new_in(&directory)?;
            file.write_all(config.as_bytes())?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(|source| ModelError::Io {
            id: id.to_owned(),
            path: path.clone(),
            source,
        })?;
        Ok(directory)
    }
}

fn local(id: &str, source: ModelSource, path: &Path) -> ResolvedModel {
    let absolute = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let config = fs::read_to_string(absolute.join("config.json")).ok();
    ResolvedModel {
        reference: ModelRef { id: id.to_owned(), revision: None, source },
        location: absolute.to_string_lossy().into_owned(),
        facts: config.as_ref().and_then(|it| ModelFacts::from_config(it).ok()),
        config: config.and_then(|it| serde_json::from_str(&it).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models() -> (tempfile::TempDir, Models) {
        let directory = tempfile::tempdir().expect("a directory");
        let hub = directory.path().join("hub");
        let models =
            Models::new(directory.path().join("cache"), directory.path().to_owned(), Some(hub));
        (directory, models)
    }

    #[test]
    fn a_random_model_is_a_directory_with_a_configuration() {
        let (_directory, mut models) = models();
        let model = models.resolve("random:qwen2.5-0.5b", "main").expect("it is built in");
        assert_eq!(model.reference.source, ModelSource::Random);
        assert!(Path::new(&model.location).join("config.json").is_file());
        assert_eq!(model.facts.expect("the configuration is readable").layers, 24);
    }

    #[test]
    fn facts_of_a_downloaded_model_are_read_where_it_lies() {
        let (directory, mut models) = models();
        let unknown = models.resolve("me/other", "main").expect("a hub id");
        assert!(unknown.facts.is_none() && unknown.config.is_none());
        let repository = directory.path().join("hub").join("models--me--tiny");
        let snapshot = repository.join("snapshots/abc");
        fs::create_dir_all(repository.join("refs")).expect("writable");
        fs::create_dir_all(&snapshot).expect("writable");
        fs::write(repository.join("refs/main"), "abc\n").expect("writable");
        let config = built_in("qwen2.5-0.5b").expect("it is built in");
        fs::write(snapshot.join("config.json"), config).expect("writable");
        for revision in ["main", "abc"] {
            let model = models.resolve("me/tiny", revision).expect("a hub id");
            assert_eq!(model.facts.expect("it is downloaded").layers, 24, "{revision}");
        }
    }

    #[test]
    fn a_missing_file_is_named_and_a_hub_id_is_left_alone() {
        let (_directory, mut models) = models();
        let error =
            models.resolve("./nowhere.gguf", "main").expect_err("it is missing").to_string();
        assert!(error.contains("nowhere.gguf"), "{error}");
        let model = models.resolve("Qwen/Qwen2.5-7B-Instruct", "main").expect("a hub id");
        assert_eq!(
            (model.reference.source, model.location.as_str()),
            (ModelSource::Hub, "Qwen/Qwen2.5-7B-Instruct")
        );
    }
}
