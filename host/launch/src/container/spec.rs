//! What a container is to be, from a step: paths as they are inside of it, mounts from its roles.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use llem_core::backend::{
    ArgPart, Drive, EnvValue, ImageRef, MountSource, Network, Program, Role, Step, StopSignal,
};
use serde::{Deserialize, Serialize};

use crate::{HostEnvironment, LaunchError, Scratch, forbidden, process::Site};

/// Name of the file that says how a container runs, in the step's scratch directory.
pub(crate) const STATE: &str = "container-state.json";

/// Begin of the names by which the attendant gets the container's variables: their values are in no file.
pub(crate) const VARIABLE: &str = "LLEM_IN_";

/// Stands for the address to listen on until the network is known; no plan can hold it, since it refuses such characters.
pub(super) const ADDRESS: &str = "\u{1}address\u{1}";

/// One container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(super) image: ImageRef,
    pub(super) entrypoint: Option<String>,
    pub(super) args: Vec<String>,
    /// Names; values come by [`VARIABLE`].
    pub(super) variables: Vec<String>,
    pub(super) mounts: Vec<Bind>,
    pub(super) user: Option<String>,
    pub(super) gpus: Vec<String>,
    pub(super) network: Network,
    pub(super) port: u16,
    pub(super) has_input: bool,
    /// Processors that it may use; none: all.
    pub(super) cores: Vec<usize>,
    pub(super) shm_mib: Option<u32>,
    pub(super) memory_mib: Option<u32>,
    pub(super) signal: String,
    pub(super) grace_ms: u32,
    pub(super) step: String,
    /// The host that it belongs to.
    pub(super) owner: u32,
    pub(super) state: PathBuf,
}

/// A directory or file of the host inside a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bind {
    pub(super) source: PathBuf,
    pub(super) target: String,
    pub(super) writable: bool,
}

/// How a container runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Its id.
    pub(crate) id: String,
    /// Number of its first process, as the host sees it.
    pub(crate) pid: Option<u32>,
    /// Content of its image: `repository@sha256:…` where a registry has it, else the engine's own id.
    pub(crate) image: String,
    /// Whether it is in the host's own network.
    pub(crate) shares_network: bool,
}

pub(super) fn read(path: &Path) -> Result<Spec, String> {
    let text = fs::read_to_string(path).map_err(|it| format!("`{}`: {it}", path.display()))?;
    serde_json::from_str(&text).map_err(|it| format!("`{}`: {it}", path.display()))
}

/// The container of a step, and the values of its variables.
pub(crate) fn spec(
    step: &Step,
    site: &Site,
    scratch: &Scratch,
    host: &HostEnvironment,
) -> Result<(Spec, BTreeMap<String, String>), LaunchError> {
    let Some(image) = &step.image else {
        return Err(LaunchError::Dangling {
            step: step.id.clone(),
            what: "no",
            name: "image".into(),
        });
    };
    let gpus = usize::try_from(step.gpus.count).unwrap_or(usize::MAX);
    if gpus > host.gpus.len() {
        return Err(LaunchError::TooFewGpus { wanted: step.gpus.count, found: host.gpus.len() });
    }
    let mut mounts = Vec::new();
    for mount in &step.mounts {
        if let Some(source) = source(step, &mount.source, site, scratch, host)? {
            let (target, writable) = (mount.target.clone(), mount.writable);
            mounts.push(Bind { source, target, writable });
        }
    }
    let text = |parts: &[ArgPart]| inside(parts, step, site);
    let mut args = Vec::new();
    for arg in &step.command.args {
        args.push(text(arg)?);
    }
    let mut variables = BTreeMap::new();
    for variable in &step.env {
        let value = match &variable.value {
            EnvValue::Literal(parts) => Some(text(parts)?),
            EnvValue::Pass => host.variables.get(&variable.name).cloned(),
            EnvValue::Secret(name) => host.secrets.get(name).cloned(),
        };
        variables.extend(value.map(|it| (variable.name.clone(), it)));
    }
    for name in &host.pass {
        variables.extend(host.variables.get(name).map(|it| (name.clone(), it.clone())));
    }
    if let Some(cache) = step.mounts.iter().find(|it| it.source == MountSource::ModelCache) {
        variables.insert("HF_HOME".into(), cache.target.clone());
    }
    let uid = rustix::process::geteuid();
    let user = (!uid.is_root())
        .then(|| format!("{}:{}", uid.as_raw(), rustix::process::getegid().as_raw()));
    let spec = Spec {
        image: image.clone(),
        entrypoint: match &step.command.program {
            Program::Named(name) => Some(name.clone()),
            Program::Entrypoint | Program::Bundled(_) => None,
        },
        args,
        variables: variables.keys().cloned().collect(),
        mounts,
        user,
        gpus: host.gpus.iter().take(gpus).cloned().collect(),
        network: step.network,
        port: site.port,
        has_input: matches!(&step.role, Role::Subject(it) if matches!(it.drive, Drive::Batch { .. })),
        cores: host.cores.clone(),
        shm_mib: step.shm_mib,
        memory_mib: step.limits.memory_mib,
        signal: match step.stop.signal {
            StopSignal::Term => "SIGTERM",
            StopSignal::Int => "SIGINT",
            StopSignal::Kill => "SIGKILL",
        }
        .into(),
        grace_ms: step.stop.grace_ms,
        step: step.id.clone(),
        owner: std::process::id(),
        state: scratch.path().join(STATE),
    };
    Ok((spec, variables))
}

/// What a mount shows; none: there is no such thing here, and the step does without.
fn source(
    step: &Step,
    it: &MountSource,
    site: &Site,
    scratch: &Scratch,
    host: &HostEnvironment,
) -> Result<Option<PathBuf>, LaunchError> {
    let dangling = |what, name: &str| LaunchError::Dangling {
        step: step.id.clone(),
        what,
        name: name.to_owned(),
    };
    Ok(match it {
        MountSource::ModelCache => host.model_cache.clone(),
        MountSource::Model => {
            let path = Path::new(&site.model);
            path.is_absolute().then(|| path.to_owned())
        }
        MountSource::Artefact(name) => {
            Some(site.artefacts.get(name).cloned().ok_or_else(|| dangling("the artefact", name))?)
        }
        MountSource::Scratch => Some(scratch.path().to_owned()),
        MountSource::Host(path) => Some(granted(path, host)?),
    })
}

/// A granted path of the host as it is now: no link on the way may lead out of what was granted.
fn granted(path: &str, host: &HostEnvironment) -> Result<PathBuf, LaunchError> {
    let refused = || LaunchError::HostPath(path.to_owned());
    let granted = host.directories.iter().find(|it| Path::new(path).starts_with(it));
    let granted = granted.ok_or_else(refused)?;
    let found = fs::canonicalize(path).map_err(|_| refused())?;
    // The granted name has to be the directory itself: a link in its place was put there afterwards.
    let is_itself = fs::canonicalize(granted).is_ok_and(|it| it == *granted);
    let kind = fs::metadata(&found).map_err(|_| refused())?;
    let is_plain = kind.is_dir() || (kind.is_file() && kind.nlink() == 1);
    if is_itself && is_plain && found.starts_with(granted) && !forbidden::is_path(&found) {
        Ok(found)
    } else {
        Err(refused())
    }
}

/// A text as the container gets it.
fn inside(parts: &[ArgPart], step: &Step, site: &Site) -> Result<String, LaunchError> {
    let dangling = |what, name: &str| LaunchError::Dangling {
        step: step.id.clone(),
        what,
        name: name.to_owned(),
    };
    let target = |wanted: &MountSource, what, name: &str| {
        let mount = step.mounts.iter().find(|it| it.source == *wanted);
        mount.map(|it| it.target.as_str()).ok_or_else(|| dangling(what, name))
    };
    let mut text = String::new();
    for part in parts {
        match part {
            ArgPart::Literal(literal) => text.push_str(literal),
            ArgPart::Model if Path::new(&site.model).is_absolute() => {
                text.push_str(target(&MountSource::Model, "no mount of", "the model")?);
            }
            ArgPart::Model => text.push_str(&site.model),
            ArgPart::Port => text.push_str(&site.port.to_string()),
            ArgPart::Address => text.push_str(ADDRESS),
            ArgPart::Scratch => {
                text.push_str(target(
                    &MountSource::Scratch,
                    "no mount of",
                    "the scratch directory",
                )?);
            }
            ArgPart::Artefact(name) => {
                text.push_str(target(&MountSource::Artefact(name.clone()), "no mount of", name)?);
            }
            ArgPart::File(name) => {
                if !step.files.iter().any(|it| it.name == *name) {
                    return Err(dangling("the file", name));
                }
                text.push_str(target(
                    &MountSource::Scratch,
                    "no mount of",
                    "the scratch directory",
                )?);
                text.push_str("/files/");
                text.push_str(name);
            }
            ArgPart::GpuIndices => {
                let all: Vec<String> = (0..step.gpus.count).map(|it| it.to_string()).collect();
                text.push_str(&all.join(","));
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_put_in_place_of_what_was_granted_is_refused() {
        // Below a directory that is not hidden, as temporary directories are.
        let home = tempfile::Builder::new().prefix("llem").tempdir().expect("a directory");
        let root = home.path().canonicalize().expect("it is there").join("granted");
        fs::create_dir_all(root.join("data")).expect("writable");
        symlink("/etc", root.join("out")).expect("writable");
        let host =
            HostEnvironment { directories: vec![root.clone()], ..HostEnvironment::default() };
        let path = |name: &str| root.join(name).display().to_string();
        assert_eq!(granted(&path("data"), &host).expect("it is below"), root.join("data"));
        for name in ["out", "out/ssl", "missing"] {
            assert!(granted(&path(name), &host).is_err(), "{name}");
        }
        assert!(granted("/etc", &host).is_err());
        fs::rename(&root, home.path().join("moved")).expect("writable");
        symlink(home.path().join("moved"), &root).expect("writable");
        assert!(granted(&path("data"), &host).is_err(), "the granted directory became a link");
    }
}
