//! Identity, releases, errors.

use llem_core::backend as core;

use super::{all, same_cases};
use crate::bindings::{exports::llem::backend::info as guest, llem::backend::types};

same_cases!(types::Mode, core::Mode: Server, Offline);
same_cases!(types::Runner, core::Runner: Process, Container);
same_cases!(types::ErrorKind, core::BackendErrorKind: UnknownRelease, Unsupported, InvalidConfig, Unparseable, Internal);

impl From<types::Error> for core::BackendError {
    fn from(it: types::Error) -> Self {
        let types::Error { kind, message, path, hint } = it;
        Self { kind: kind.into(), message, path, hint }
    }
}

impl From<guest::Descriptor> for core::Descriptor {
    fn from(it: guest::Descriptor) -> Self {
        Self {
            id: it.id,
            title: it.title,
            version: it.version,
            summary: it.summary,
            homepage: it.homepage,
            license: it.license,
            modes: all(it.modes),
            runners: all(it.runners),
            permissions: all(it.permissions),
            extra: it.extra,
        }
    }
}

impl From<guest::Permission> for core::Permission {
    fn from(it: guest::Permission) -> Self {
        match it {
            guest::Permission::Image(it) => Self::Image(it),
            guest::Permission::Program(it) => Self::Program(it),
            guest::Permission::Bundled(it) => Self::Bundled(it),
            guest::Permission::Secret(it) => Self::Secret(it),
            guest::Permission::EnvSet(it) => Self::EnvSet(it),
            guest::Permission::EnvPass(it) => Self::EnvPass(it),
            guest::Permission::HostPath(guest::HostPath { path, writable, reason }) => {
                Self::HostPath(core::HostPath { path, writable, reason })
            }
            guest::Permission::Network(it) => Self::Network(it),
        }
    }
}

impl From<guest::EngineRelease> for core::EngineRelease {
    fn from(it: guest::EngineRelease) -> Self {
        Self {
            id: it.id,
            covers: it.covers,
            image: it.image.map(Into::into),
            modes: all(it.modes),
            min_compute_capability: it.min_compute_capability,
            status: it.status,
            extra: it.extra,
        }
    }
}

impl From<guest::ImageRef> for core::ImageRef {
    fn from(it: guest::ImageRef) -> Self {
        let guest::ImageRef { repository, tag, digest } = it;
        Self { repository, tag, digest }
    }
}

impl From<core::ImageRef> for guest::ImageRef {
    fn from(it: core::ImageRef) -> Self {
        let core::ImageRef { repository, tag, digest } = it;
        Self { repository, tag, digest }
    }
}

impl From<guest::VersionProbe> for core::VersionProbe {
    fn from(it: guest::VersionProbe) -> Self {
        Self { runner: it.runner.into(), program: it.program, args: it.args, pattern: it.pattern }
    }
}
