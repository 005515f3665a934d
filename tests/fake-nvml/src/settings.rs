//! What clients have set on GPUs: power limits and locked clocks, which outlive whoever set them, as in a driver.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Seek as _, Write as _},
    path::Path,
};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// What was set on one GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Power limit in milliwatts; none: that of the configuration.
    pub limit_milliwatts: Option<u32>,
    /// SM clocks in MHz that it is kept between.
    pub locked_megahertz: Option<(u32, u32)>,
    /// How often a client has set or reset anything.
    pub calls: u32,
}

impl Settings {
    /// What a file keeps of each GPU, by UUID; nothing where there is no file.
    ///
    /// # Panics
    ///
    /// If the file holds something else.
    pub fn read(path: &Path) -> BTreeMap<String, Self> {
        let Ok(file) = File::open(path) else { return BTreeMap::new() };
        flock(&file, FlockOperation::LockShared).expect("it is a file");
        let text = io::read_to_string(file).expect("it is text");
        // Made a moment ago, and nothing was written yet.
        if text.is_empty() {
            return BTreeMap::new();
        }
        serde_json::from_str(&text).expect("the library wrote it")
    }

    /// Changes what a file keeps of a GPU; processes take turns.
    pub(crate) fn change(path: &Path, uuid: &str, change: impl FnOnce(&mut Self)) {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path);
        let mut file = file.expect("the test's directory is writable");
        flock(&file, FlockOperation::LockExclusive).expect("it is a file");
        let text = io::read_to_string(&file).expect("it is text");
        let mut all: BTreeMap<String, Self> = serde_json::from_str(&text).unwrap_or_default();
        change(all.entry(uuid.to_owned()).or_default());
        let text = serde_json::to_string(&all).expect("plain data");
        let written = file.rewind().and_then(|()| file.set_len(0));
        written.and_then(|()| file.write_all(text.as_bytes())).expect("it is writable");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_kept_by_gpu() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("settings.json");
        assert!(Settings::read(&path).is_empty());
        Settings::change(&path, "GPU-a", |it| it.limit_milliwatts = Some(300_000));
        Settings::change(&path, "GPU-b", |it| it.locked_megahertz = Some((1410, 1410)));
        Settings::change(&path, "GPU-a", |it| it.limit_milliwatts = None);
        let kept = Settings::read(&path);
        assert_eq!(kept["GPU-a"], Settings::default());
        assert_eq!(kept["GPU-b"].locked_megahertz, Some((1410, 1410)));
    }
}
