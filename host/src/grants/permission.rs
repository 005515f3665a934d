//! Permissions as users write and read them, and those that nobody can grant.

use std::path::{Component, Path};

use llem_core::backend::{HostPath, Permission};
use llem_launch::forbidden;

/// A permission as the user writes it after `--allow`.
pub(crate) fn name(permission: &Permission) -> String {
    match permission {
        Permission::Image(it) => format!("image:{it}"),
        Permission::Program(it) => format!("program:{it}"),
        Permission::Bundled(it) => format!("bundled:{it}"),
        Permission::Secret(it) => format!("secret:{it}"),
        Permission::EnvSet(it) => format!("env-set:{it}"),
        Permission::EnvPass(it) => format!("env-pass:{it}"),
        Permission::HostPath(HostPath { path, writable, .. }) => {
            format!("host-path:{path}:{}", if *writable { "rw" } else { "ro" })
        }
        Permission::Network(_) => "network:outbound".to_owned(),
    }
}

/// What it means to allow it.
pub(crate) fn meaning(permission: &Permission) -> String {
    match permission {
        Permission::Image(it) if it == "*" => {
            "run any container image: its code runs with your GPU".into()
        }
        Permission::Image(it) => {
            format!("run the container image {it}: its code runs with your GPU")
        }
        Permission::Program(it) => {
            format!("run the program {it}: arbitrary code with your rights, outside any container")
        }
        Permission::Bundled(it) => format!("run llem's own engine {it}"),
        Permission::Secret(it) => format!(
            "give its engines the secret {it}; with outbound network they can send it anywhere"
        ),
        Permission::EnvSet(it) => format!("set the environment variable {it} of its engines"),
        Permission::EnvPass(it) => format!("read your environment variable {it}"),
        Permission::HostPath(it) => format!(
            "{} your files below {}: {}",
            if it.writable { "change" } else { "read" },
            it.path,
            it.reason
        ),
        Permission::Network(reason) => format!("reach the network: {reason}"),
    }
}

/// Why a permission can't be granted by anybody; none for one that can.
pub(super) fn fault(permission: &Permission) -> Option<String> {
    let named = |why: &str| Some(format!("`{}`: {why}", name(permission)));
    let text = name(permission);
    if text.len() > 512 || text.chars().any(|it| !it.is_ascii() || it.is_ascii_control()) {
        return named("only printable ASCII, at most 512 bytes");
    }
    match permission {
        Permission::Program(it) if it.contains('*') => named("programs are allowed one by one"),
        Permission::Program(it) if forbidden::is_program(it) => {
            named("shells, container clients and what changes the user are never started")
        }
        Permission::Bundled(it) | Permission::Secret(it) if it.contains('*') => {
            named("it is allowed by its whole name")
        }
        Permission::EnvSet(it) | Permission::EnvPass(it)
            if it.trim_end_matches('*').len() < 3 || it.trim_end_matches('*').contains('*') =>
        {
            named("a pattern needs a name of at least 3 characters before its `*`")
        }
        Permission::EnvSet(it) | Permission::EnvPass(it) if forbidden::is_variable(it) => {
            named("only llem sets this variable")
        }
        Permission::Image(it) if it != "*" && it.contains('*') && !it.ends_with("/*") => {
            named("a pattern of images ends in `/*`")
        }
        Permission::HostPath(it) => {
            let path = Path::new(&it.path);
            let is_plain = path.is_absolute()
                && path
                    .components()
                    .all(|it| matches!(it, Component::RootDir | Component::Normal(_)));
            if is_plain && !forbidden::is_path(path) {
                None
            } else {
                named("a path of the system, of hidden files, or not a plain absolute one")
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host_path(path: &str) -> Permission {
        Permission::HostPath(HostPath { path: path.into(), writable: false, reason: "data".into() })
    }

    #[test]
    fn what_nobody_can_grant_is_named() {
        for permission in [
            Permission::Program("*".into()),
            Permission::Program("py*".into()),
            Permission::Program("bash".into()),
            Permission::Program("docker".into()),
            Permission::Secret("*".into()),
            Permission::EnvSet("*".into()),
            Permission::EnvSet("LD_PRELOAD".into()),
            Permission::EnvPass("LD_*".into()),
            Permission::Image("docker.io/l*".into()),
            Permission::Image("docker.io/\u{435}vil/x".into()),
            host_path("/"),
            host_path("/etc/ssl"),
            host_path("/var/run/docker.sock"),
            host_path("/data/../etc"),
            host_path("data"),
        ] {
            assert!(fault(&permission).is_some(), "{permission:?}");
        }
    }

    #[test]
    fn what_engines_need_can_be_granted() {
        for permission in [
            Permission::Program("python3".into()),
            Permission::EnvSet("VLLM_*".into()),
            Permission::EnvPass("NCCL_*".into()),
            Permission::Image("docker.io/vllm/vllm-openai".into()),
            Permission::Image("nvcr.io/nvidia/*".into()),
            host_path("/data/models"),
        ] {
            assert_eq!(fault(&permission), None, "{permission:?}");
        }
    }
}
