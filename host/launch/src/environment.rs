//! The environment of a step, built from nothing.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

use llem_core::backend::{EnvValue, Runner, Step};

use crate::{LaunchError, Programs, Scratch, container::VARIABLE, process::Site, render::render};

/// What of the host's own environment may reach a step.
#[derive(Clone, Debug, Default)]
pub struct HostEnvironment {
    /// The host's variables.
    pub variables: BTreeMap<String, String>,
    /// Names that the user passes on to this plugin's steps, whatever the plan says.
    pub pass: Vec<String>,
    /// Values of granted secrets by name.
    pub secrets: BTreeMap<String, String>,
    /// Directory of the model cache of the hub.
    pub model_cache: Option<PathBuf>,
    /// Directories that plans may mount, as they were granted.
    pub directories: Vec<PathBuf>,
    /// Devices that steps may see, by UUID; none: they see no GPU.
    pub gpus: Vec<String>,
    /// Processors that steps may use; none: those that the host uses.
    pub cores: Vec<usize>,
}

impl HostEnvironment {
    /// The devices that a step sees: as many as its plan asks for, from the first. A process whose plan does not ask sees
    /// all, a container none.
    pub fn gpus_of(&self, step: &Step) -> &[String] {
        let wanted = usize::try_from(step.gpus.count).unwrap_or(usize::MAX);
        if wanted == 0 && step.runner != Runner::Container {
            return &self.gpus;
        }
        &self.gpus[..wanted.min(self.gpus.len())]
    }
}

/// The variable of the host that has the value of a secret: where the hub's own tools look for `hf-token`.
pub fn secret_variable(secret: &str) -> String {
    secret.to_uppercase().replace('-', "_")
}

/// Variables that libraries need to find the machine's own parts.
const KEPT: &[&str] = &["LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "CUDA_HOME"];

/// What programs that start containers need of the user's environment: where caches are, how registries are reached.
pub(crate) const CONTAINER_PROGRAMS: [&str; 14] = [
    "APPTAINER_CACHEDIR",
    "APPTAINER_CONFIGDIR",
    "APPTAINER_TMPDIR",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "PATH",
    "SINGULARITY_CACHEDIR",
    "SINGULARITY_TMPDIR",
    "XDG_RUNTIME_DIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// What the attendant of a container needs beside that, to choose such a program or a socket.
const ATTENDANTS: [&str; 6] = [
    "CONTAINER_HOST",
    "DOCKER_HOST",
    "LLEM_CACHE_DIR",
    "LLEM_CONTAINER_ENGINE",
    "LLEM_CONTAINER_IMAGES",
    "LLEM_CONTAINER_NETWORK",
];

/// The environment of a container's attendant: how to reach the engine, and the container's variables.
pub(crate) fn of_attendant(
    variables: &BTreeMap<String, String>,
    host: &HostEnvironment,
) -> BTreeMap<String, OsString> {
    let own = CONTAINER_PROGRAMS
        .iter()
        .chain(&ATTENDANTS)
        .filter_map(|name| Some(((*name).to_owned(), OsString::from(host.variables.get(*name)?))));
    let inner = variables.iter().map(|(name, value)| (format!("{VARIABLE}{name}"), value.into()));
    own.chain(inner).collect()
}

pub(crate) fn build(
    step: &Step,
    site: &Site,
    scratch: &Scratch,
    programs: &Programs,
    host: &HostEnvironment,
) -> Result<BTreeMap<String, OsString>, LaunchError> {
    let mut variables: BTreeMap<String, OsString> = BTreeMap::new();
    for name in KEPT.iter().copied().chain(host.pass.iter().map(String::as_str)) {
        if let Some(value) = host.variables.get(name) {
            variables.insert(name.to_owned(), value.into());
        }
    }
    for variable in &step.env {
        let value = match &variable.value {
            EnvValue::Literal(parts) => Some(render(parts, step, site, scratch)?),
            EnvValue::Pass => host.variables.get(&variable.name).map(OsString::from),
            EnvValue::Secret(name) => host.secrets.get(name).map(OsString::from),
        };
        if let Some(value) = value {
            variables.insert(variable.name.clone(), value);
        }
    }
    let directories =
        programs.directories().iter().map(|it| it.display().to_string()).collect::<Vec<_>>();
    variables.insert("PATH".into(), directories.join(":").into());
    variables.insert("HOME".into(), scratch.path().join("home").into());
    variables.insert("TMPDIR".into(), scratch.temporary().into());
    variables.insert("CUDA_VISIBLE_DEVICES".into(), host.gpus_of(step).join(",").into());
    if let Some(cache) = &host.model_cache {
        variables.insert("HF_HOME".into(), cache.into());
    }
    Ok(variables)
}
