//! The user's configuration: where things are, how the load generator runs, and what is known of this machine's sensors
//! and electricity.
//!
//! One precedence: command line, environment, file, default. The file is named by `LLEM_CONFIG` or found at
//! `~/.config/llem/config.toml`. What decides a result is in no configuration but in the study; what calibrates one is
//! kept with the results.

mod file;
mod keys;

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use llem_core::energy::Settings;
use llem_meter::MeterOptions;

pub(crate) use self::keys::{
    CACHE_DIRECTORY, CACHE_LIMIT, CLIENT_CORES, CLIENT_PRIORITY, CONTAINER_ENGINE,
    CONTAINER_NETWORK, DATA_DIRECTORY, HOST_CORES, KEYS, Key, LOCK_DIRECTORY, NVML_LIBRARY,
    PLUGIN_PATH, RESULTS, SYSFS, WATTS_PER_THREAD, cores,
};
use crate::{diagnostics::Failure, exit::ExitStatus};

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Its variable.
    Environment,
    /// The file.
    File,
    /// Nobody said anything.
    Default,
}

/// Read once: a study that runs for days must not change in the middle.
static FILE: OnceLock<Result<file::File, Failure>> = OnceLock::new();

fn file() -> &'static Result<file::File, Failure> {
    FILE.get_or_init(|| location().map_or_else(|| Ok(file::File::default()), |it| open(&it)))
}

fn open(path: &Path) -> Result<file::File, Failure> {
    file::read(path).map_err(|why| {
        let message = format!("the configuration `{}`: {why}", path.display());
        Failure::message(ExitStatus::Usage, message)
            .hint("`llem config` lists the keys; docs/configuration.md has an example")
    })
}

/// Where the configuration is; none: nowhere.
pub(crate) fn location() -> Option<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
    from("LLEM_CONFIG").or_else(|| {
        let directory = from("XDG_CONFIG_HOME").or_else(|| Some(from("HOME")?.join(".config")))?;
        Some(directory.join("llem/config.toml")).filter(|it| it.is_file())
    })
}

/// Refuses a file or a variable that makes no sense, before anything is done with it.
pub(crate) fn check() -> Result<(), Failure> {
    if let Err(failure) = file() {
        return Err(failure.clone());
    }
    for key in KEYS {
        if let Some(fault) = key.variable().and_then(|it| key.fault(&it)) {
            return Err(Failure::message(ExitStatus::Usage, format!("`{}` {fault}", key.variable)));
        }
    }
    Ok(())
}

/// Calibrations and electricity.
pub(crate) fn read() -> Result<Settings, Failure> {
    file().as_ref().map(|it| it.settings.clone()).map_err(Clone::clone)
}

/// Calibrations and electricity of another file.
pub(crate) fn read_from(path: &Path) -> Result<Settings, Failure> {
    open(path).map(|it| it.settings)
}

impl Key {
    /// Its variable, unless that is empty.
    fn variable(&self) -> Option<String> {
        std::env::var(self.variable).ok().filter(|it| !it.is_empty())
    }

    /// The value that holds, if anybody gave one, and who.
    pub(crate) fn found(&self) -> (Option<String>, Origin) {
        if let Some(value) = self.variable() {
            return (Some(value), Origin::Environment);
        }
        let value = file().as_ref().ok().and_then(|it| it.values.get(self.name));
        value.map_or((None, Origin::Default), |it| (Some(it.clone()), Origin::File))
    }

    /// The value that holds, if anybody gave one.
    pub(crate) fn get(&self) -> Option<String> {
        self.found().0
    }

    pub(crate) fn path(&self) -> Option<PathBuf> {
        self.get().map(PathBuf::from)
    }

    pub(crate) fn is_on(&self) -> bool {
        self.get().and_then(|it| keys::flag(&it)).unwrap_or(false)
    }

    /// Numbers between commas; an environment that makes no sense was refused before.
    pub(crate) fn cores(&self) -> Vec<usize> {
        self.get().and_then(|it| keys::cores(&it)).unwrap_or_default()
    }
}

/// Address of the container engine, where the user names one; Podman's own variable counts as well.
pub(crate) fn container_engine() -> Option<String> {
    let podman = || std::env::var("CONTAINER_HOST").ok().filter(|it| !it.is_empty());
    CONTAINER_ENGINE.get().or_else(podman)
}

/// The instruments to look for.
pub(crate) fn meter_options() -> MeterOptions {
    let default = MeterOptions::from_env();
    MeterOptions {
        nvml_library: NVML_LIBRARY.path(),
        sysfs: SYSFS.path().unwrap_or(default.sysfs),
        watts_per_thread: WATTS_PER_THREAD
            .get()
            .and_then(|it| it.parse().ok())
            .unwrap_or(default.watts_per_thread),
        ..default
    }
}
