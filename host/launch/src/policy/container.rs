//! What a container may be and see: images of granted repositories, mounts by role, nothing of the engine's options.

use std::path::Path;

use llem_core::backend::{ImageRef, MountSource, Network, Program, Runner, Step};

use super::{
    Checker,
    names::{is_digest, is_repository, is_tag},
};
use crate::forbidden;

/// Where mounts may appear in a container: nothing that its programs are loaded from.
const TARGETS: &[&str] =
    &["/cache", "/data", "/home", "/llem", "/models", "/opt/llem", "/root/.cache", "/tmp", "/work"];
const MAX_MOUNTS: usize = 32;
const MAX_SHM_MIB: u32 = 1 << 20;

/// Options of container engines that weaken isolation. As arguments of an engine they do nothing: they show intent.
const OPTIONS: &[&str] = &[
    "--cap-add",
    "--cgroupns",
    "--device-cgroup-rule",
    "--ipc=host",
    "--mount",
    "--net=host",
    "--network=host",
    "--pid=host",
    "--privileged",
    "--security-opt",
    "--userns",
    "--uts=host",
    "--volume",
    "--volumes-from",
];

/// Whether an argument is such an option.
pub(super) fn is_option(text: &str) -> bool {
    let name = text.split_once('=').map_or(text, |it| it.0);
    OPTIONS.contains(&text) || OPTIONS.contains(&name)
}

impl Checker<'_> {
    pub(super) fn container(&mut self, step: &Step) {
        match (step.runner, &step.image) {
            (Runner::Container, Some(image)) => self.image(image),
            (Runner::Container, None) => {
                self.refuse("image-missing", "a container step without an image");
            }
            (Runner::Process, Some(image)) => self.refuse("image-unused", image.repository.clone()),
            (Runner::Process, None) => (),
        }
        if step.runner == Runner::Process {
            if step.command.program == Program::Entrypoint {
                self.refuse("program-name", "a process step with an image's entry point");
            }
            if !step.mounts.is_empty() {
                self.refuse("mount-unused", "a process step with mounts");
            }
            return;
        }
        if matches!(step.command.program, Program::Bundled(_)) {
            self.refuse("program-name", "an engine that is linked into llem, in a container");
        }
        if step.shm_mib.is_some_and(|it| it > MAX_SHM_MIB) {
            self.refuse("shared-memory", format!("{:?} MiB of shared memory", step.shm_mib));
        }
        self.mounts(step);
    }

    pub(super) fn image(&mut self, image: &ImageRef) {
        if !is_repository(&image.repository) {
            self.refuse("image-name", image.repository.clone());
        } else if !self.grant.image(&image.repository) {
            self.refuse("image-not-granted", image.repository.clone());
        }
        if let Some(tag) = image.tag.as_ref().filter(|it| !is_tag(it)) {
            self.refuse("image-tag", tag.clone());
        }
        if let Some(digest) = image.digest.as_ref().filter(|it| !is_digest(it)) {
            self.refuse("image-digest", digest.clone());
        }
    }

    fn mounts(&mut self, step: &Step) {
        if step.mounts.len() > MAX_MOUNTS {
            self.refuse("mount-count", format!("{} mounts", step.mounts.len()));
        }
        for (index, mount) in step.mounts.iter().enumerate() {
            let target = mount.target.as_str();
            let below = |base: &&str| target == *base || Path::new(target).starts_with(base);
            let is_plain = target.is_ascii()
                && target.split('/').skip(1).all(|it| !it.is_empty() && it != "." && it != "..")
                && !target.chars().any(|it| it.is_ascii_control() || matches!(it, ':' | ','));
            if !is_plain || !TARGETS.iter().any(below) {
                self.refuse("mount-target", target);
            }
            let overlaps = |other: &str| {
                Path::new(target).starts_with(other) || Path::new(other).starts_with(target)
            };
            if step.mounts[..index].iter().any(|it| overlaps(&it.target)) {
                self.refuse("mount-overlap", target);
            }
            match &mount.source {
                MountSource::Host(path) => self.host_path(path, mount.writable),
                MountSource::Model if mount.writable => {
                    self.refuse("mount-writable", "the model, writable");
                }
                MountSource::ModelCache if mount.writable && step.network != Network::Outbound => {
                    self.refuse("mount-writable", "the model cache, writable without a download");
                }
                MountSource::Model
                | MountSource::ModelCache
                | MountSource::Artefact(_)
                | MountSource::Scratch => (),
            }
        }
    }

    fn host_path(&mut self, path: &str, writable: bool) {
        let plain = path.starts_with('/')
            && path.split('/').skip(1).all(|it| !it.is_empty() && it != "." && it != "..")
            && !path.chars().any(char::is_control);
        if !plain || forbidden::is_path(Path::new(path)) {
            self.refuse("mount-source", path);
        } else if !self.grant.host_path(path, writable) {
            self.refuse("mount-not-granted", path);
        }
    }
}
