//! What each plugin's launch plans may contain: all that a built-in plugin declares, and of any other
//! only what the user allows by name.

use llem_core::backend::{Descriptor, HostPath, Permission};
use llem_launch::Grant;

/// The grant of a plugin, or the permissions that are missing.
pub(crate) fn grant(
    descriptor: &Descriptor,
    is_built_in: bool,
    allowed: &[String],
) -> Result<Grant, Vec<String>> {
    if is_built_in {
        return Ok(Grant::new(descriptor.permissions.clone()));
    }
    let missing: Vec<String> =
        descriptor.permissions.iter().map(name).filter(|it| !allowed.contains(it)).collect();
    if missing.is_empty() { Ok(Grant::new(descriptor.permissions.clone())) } else { Err(missing) }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor() -> Descriptor {
        Descriptor {
            id: "other".into(),
            title: "Other".into(),
            version: "1.0.0".into(),
            summary: String::new(),
            homepage: None,
            license: None,
            modes: Vec::new(),
            runners: Vec::new(),
            permissions: vec![
                Permission::Program("python3".into()),
                Permission::EnvSet("OTHER_*".into()),
            ],
            extra: Vec::new(),
        }
    }

    #[test]
    fn a_strangers_plugin_gets_only_what_is_allowed_by_name() {
        let missing =
            grant(&descriptor(), false, &["program:python3".into()]).expect_err("one is missing");
        assert_eq!(missing, ["env-set:OTHER_*"]);
        let all = ["program:python3".to_owned(), "env-set:OTHER_*".to_owned()];
        assert!(grant(&descriptor(), false, &all).expect("all are allowed").program("python3"));
    }
}
