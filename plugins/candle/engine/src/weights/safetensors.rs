//! Checkpoints in safetensors files. Converts nothing: tensors keep the number format of the file.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use candle_core::{Device, Tensor, safetensors::BufferedSafetensors};

use crate::error::EngineError;

/// The opened files of a checkpoint.
pub(crate) struct SafetensorsFiles {
    folder: PathBuf,
    files: Vec<BufferedSafetensors>,
    holder: HashMap<String, usize>,
}

impl SafetensorsFiles {
    /// Opens every `*.safetensors` file of a directory.
    pub(crate) fn open(folder: &Path) -> Result<Self, EngineError> {
        let bad = |reason: String| EngineError::BadModel { path: folder.to_owned(), reason };
        let paths = list(folder).map_err(|error| bad(error.to_string()))?;
        if paths.is_empty() {
            return Err(EngineError::ModelNotFound {
                path: folder.to_owned(),
                reason: "there is no `*.safetensors` file, and random weights were not asked for"
                    .to_owned(),
            });
        }
        let mut files = Vec::new();
        let mut holder = HashMap::new();
        for path in paths {
            let size = fs::metadata(&path).map_err(|error| bad(error.to_string()))?.len();
            crate::memory::require(&format!("reading `{}`", path.display()), size)?;
            let buffer =
                fs::read(&path).map_err(|error| bad(format!("`{}`: {error}", path.display())))?;
            let file = BufferedSafetensors::new(buffer)
                .map_err(|error| bad(format!("`{}`: {error}", path.display())))?;
            for (name, _) in file.tensors() {
                holder.insert(name, files.len());
            }
            files.push(file);
        }
        Ok(Self { folder: folder.to_owned(), files, holder })
    }

    /// Says whether there is such a tensor.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.holder.contains_key(name)
    }

    /// Reads a tensor of the given shape.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, EngineError> {
        let bad = |reason: String| EngineError::BadModel { path: self.folder.clone(), reason };
        let holder =
            self.holder.get(name).ok_or_else(|| bad(format!("tensor `{name}` is missing")))?;
        let tensor = self.files[*holder].load(name, &Device::Cpu)?;
        if tensor.dims() != shape {
            return Err(bad(format!(
                "tensor `{name}` has shape {:?}, the config says {shape:?}",
                tensor.dims()
            )));
        }
        Ok(tensor)
    }
}

fn list(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
