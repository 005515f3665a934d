//! What no grant can give a plugin: programs, variables and paths that would make every other rule void.

use std::path::{Component, Path};

/// Programs that run texts as commands, start containers by their own rules, or change the user.
const PROGRAMS: &[&str] = &[
    "apptainer",
    "ash",
    "bash",
    "bwrap",
    "busybox",
    "chroot",
    "containerd",
    "csh",
    "ctr",
    "dash",
    "doas",
    "docker",
    "dockerd",
    "env",
    "fish",
    "ksh",
    "kubectl",
    "nerdctl",
    "nohup",
    "nsenter",
    "pkexec",
    "podman",
    "runc",
    "setsid",
    "sh",
    "singularity",
    "ssh",
    "su",
    "sudo",
    "systemd-run",
    "tcsh",
    "unshare",
    "xargs",
    "zsh",
];

/// Variables that only the host sets: a plugin could otherwise redirect what runs or what it sees.
const VARIABLES: &[&str] = &[
    "ALL_PROXY",
    "BASH_ENV",
    "CONTAINER_HOST",
    "CUDA_VISIBLE_DEVICES",
    "DOCKER_HOST",
    "ENV",
    "GCONV_PATH",
    "HF_HOME",
    "HF_TOKEN",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "HUGGING_FACE_HUB_TOKEN",
    "IFS",
    "NODE_OPTIONS",
    "NO_PROXY",
    "NVIDIA_DRIVER_CAPABILITIES",
    "NVIDIA_VISIBLE_DEVICES",
    "PATH",
    "PERL5LIB",
    "PERL5OPT",
    "PYTHONHOME",
    "PYTHONINSPECT",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "RUBYOPT",
    "SHELL",
    "TMPDIR",
    "USER",
];

/// Endings of names whose values are secrets; those reach an engine by the secret's name only.
const SECRETS: &[&str] =
    &["TOKEN", "SECRET", "PASSWORD", "PASSWD", "API_KEY", "ACCESS_KEY", "CREDENTIALS"];

/// Directories that are never shown to a container.
const SYSTEM: &[&str] = &[
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var/lib",
    "/var/log",
    "/var/run",
    "/var/spool",
];

/// Whether a program is never started, whatever is granted.
pub fn is_program(name: &str) -> bool {
    PROGRAMS.contains(&name)
}

/// Whether a variable, or some variable that a pattern ending in `*` names, is the host's alone.
pub fn is_variable(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let prefix = upper.trim_end_matches('*');
    upper.starts_with("LD_")
        || if upper.ends_with('*') {
            VARIABLES.iter().any(|it| it.starts_with(prefix)) || "LD_".starts_with(prefix)
        } else {
            VARIABLES.contains(&upper.as_str())
        }
}

/// Whether the value of a variable is a secret, by its name.
pub fn is_secret(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    SECRETS.iter().any(|it| upper == *it || upper.ends_with(&format!("_{it}")))
}

/// Whether a host path is never shown to a container: the system's, somebody's hidden files, a whole home, a socket
/// of a container engine. The path has to be absolute and without links.
pub fn is_path(path: &Path) -> bool {
    let is_hidden = |it: Component<'_>| matches!(it, Component::Normal(name) if name.as_encoded_bytes().starts_with(b"."));
    let is_home = path.parent() == Some(Path::new("/home"));
    path.parent().is_none()
        || matches!(
            path.to_str(),
            None | Some("/home" | "/var" | "/opt" | "/srv" | "/mnt" | "/tmp")
        )
        || is_home
        || path.components().any(is_hidden)
        || SYSTEM.iter().any(|it| path.starts_with(it))
        || path.extension().is_some_and(|it| it == "sock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_variables_are_found_by_name_and_by_pattern() {
        for name in
            ["LD_PRELOAD", "ld_audit", "PATH", "https_proxy", "PYTHON*", "L*", "CUDA_*", "HF_*"]
        {
            assert!(is_variable(name), "{name}");
        }
        for name in ["VLLM_*", "OMP_NUM_THREADS", "NCCL_*", "HF_HUB_OFFLINE"] {
            assert!(!is_variable(name), "{name}");
        }
    }

    #[test]
    fn secrets_are_known_by_the_end_of_their_name() {
        for name in ["MY_TOKEN", "token", "AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY"] {
            assert!(is_secret(name), "{name}");
        }
        assert!(!is_secret("TOKENIZERS_PARALLELISM"));
    }

    #[test]
    fn system_and_hidden_paths_are_never_shown() {
        for path in [
            "/",
            "/etc/shadow",
            "/home",
            "/home/ann",
            "/home/ann/.ssh",
            "/run/docker.sock",
            "/srv/x.sock",
        ] {
            assert!(is_path(Path::new(path)), "{path}");
        }
        for path in ["/data/models", "/home/ann/models", "/srv/models", "/var/tmp/x"] {
            assert!(!is_path(Path::new(path)), "{path}");
        }
    }
}
