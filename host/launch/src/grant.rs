//! What the user has allowed a plugin's launch plans to contain.

use std::path::Path;

use llem_core::backend::Permission;
use serde::{Deserialize, Serialize};

/// The permissions that hold for one plugin component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    permissions: Vec<Permission>,
}

impl Grant {
    /// Grants exactly these permissions.
    pub fn new(permissions: Vec<Permission>) -> Self {
        Self { permissions }
    }

    /// Whether a program may be started by this name.
    pub fn program(&self, name: &str) -> bool {
        self.any(|it| matches!(it, Permission::Program(pattern) if matches(pattern, name)))
    }

    /// Whether an engine that is linked into the host may be started.
    pub fn bundled(&self, name: &str) -> bool {
        self.any(|it| matches!(it, Permission::Bundled(pattern) if matches(pattern, name)))
    }

    /// Whether images of this repository may be started.
    pub fn image(&self, repository: &str) -> bool {
        self.any(|it| matches!(it, Permission::Image(pattern) if matches(pattern, repository)))
    }

    /// Whether a plan may set this environment variable.
    pub fn env_set(&self, name: &str) -> bool {
        self.any(|it| matches!(it, Permission::EnvSet(pattern) if matches(pattern, name)))
    }

    /// Whether a plan may copy this environment variable from the host.
    pub fn env_pass(&self, name: &str) -> bool {
        self.any(|it| matches!(it, Permission::EnvPass(pattern) if matches(pattern, name)))
    }

    /// Whether a plan may use this secret.
    pub fn secret(&self, name: &str) -> bool {
        self.any(|it| matches!(it, Permission::Secret(granted) if granted == name))
    }

    /// Whether a plan may reach beyond this machine.
    pub fn outbound_network(&self) -> bool {
        self.any(|it| matches!(it, Permission::Network(_)))
    }

    /// Whether a plan may mount this path of the host, or one that it lies below.
    pub fn host_path(&self, path: &str, writable: bool) -> bool {
        self.any(|it| match it {
            Permission::HostPath(granted) => {
                Path::new(path).starts_with(&granted.path) && (granted.writable || !writable)
            }
            _ => false,
        })
    }

    /// Adds the images of a repository that the user names.
    #[must_use]
    pub fn with_image(mut self, repository: &str) -> Self {
        self.permissions.push(Permission::Image(repository.to_owned()));
        self
    }

    /// The directories of the host that a plan may mount.
    pub fn directories(&self) -> impl Iterator<Item = &Path> {
        self.permissions.iter().filter_map(|it| match it {
            Permission::HostPath(granted) => Some(Path::new(granted.path.as_str())),
            _ => None,
        })
    }

    fn any(&self, test: impl Fn(&Permission) -> bool) -> bool {
        self.permissions.iter().any(test)
    }
}

/// Patterns are exact or end in `*`.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_exact_or_a_prefix() {
        let grant = Grant::new(vec![
            Permission::EnvSet("VLLM_*".into()),
            Permission::Program("python3".into()),
        ]);
        assert!(grant.env_set("VLLM_USE_V1") && !grant.env_set("LD_PRELOAD"));
        assert!(grant.program("python3") && !grant.program("python3.12"));
        assert!(
            !grant.env_pass("VLLM_USE_V1")
                && !grant.outbound_network()
                && !grant.bundled("python3")
        );
    }
}
