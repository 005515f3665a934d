//! The container engine, and whether it can give GPUs to containers.

use std::{fs, io::ErrorKind};

use llem_launch::ContainerEngine;

use super::Line;
use crate::config;

/// Where descriptions of devices for containers lie.
const DEVICE_DIRECTORIES: &[&str] = &["/etc/cdi", "/var/run/cdi"];

pub(super) fn find() -> ContainerEngine {
    ContainerEngine::find(config::container_engine().as_deref())
}

/// What was found; the GPU toolkit is missed only where there is a GPU.
pub(super) fn lines(engine: &ContainerEngine, has_gpu: bool) -> Vec<Line> {
    let (socket, version, runtimes) = match engine {
        ContainerEngine::Absent => {
            return vec![
                Line::note("engine", "no socket of Docker or Podman: engines run as processes")
                    .fix("start one, or name its socket: export DOCKER_HOST=unix://PATH"),
            ];
        }
        ContainerEngine::Refused { socket, error } => {
            let socket = socket.display();
            let line = Line::warning("engine", format!("`{socket}` takes no connection: {error}"));
            return vec![match error.kind() {
                ErrorKind::PermissionDenied => {
                    line.fix("sudo usermod -aG docker $USER   # then log in again")
                }
                _ => line.fix("sudo systemctl start docker"),
            }];
        }
        ContainerEngine::Ready { socket, version, runtimes } => (socket, version, runtimes),
    };
    let socket = socket.display();
    let mut lines = vec![match version {
        Some(version) => Line::good("engine", format!("{version} at `{socket}`")),
        None => Line::warning("engine", format!("`{socket}` gave no answer within two seconds"))
            .fix("sudo systemctl restart docker"),
    }];
    if has_gpu {
        let is_there = runtimes.iter().any(|it| it.contains("nvidia")) || has_descriptions();
        lines.push(if is_there {
            Line::good("gpu toolkit", "containers can have GPUs")
        } else {
            Line::warning("gpu toolkit", "containers can't have GPUs")
                .fix("install nvidia-container-toolkit, then: sudo nvidia-ctk runtime configure && sudo systemctl restart docker")
        });
    }
    lines
}

fn has_descriptions() -> bool {
    let entries = DEVICE_DIRECTORIES.iter().flat_map(fs::read_dir).flatten().flatten();
    entries.into_iter().any(|it| it.file_name().to_string_lossy().contains("nvidia"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::Severity;

    #[test]
    fn a_toolkit_is_missed_only_where_there_is_a_gpu() {
        let ready = |runtimes: &[&str]| ContainerEngine::Ready {
            socket: "/run/docker.sock".into(),
            version: Some("28.0".to_owned()),
            runtimes: runtimes.iter().map(|it| (*it).to_owned()).collect(),
        };
        assert_eq!(lines(&ready(&["runc"]), false).len(), 1);
        assert_eq!(lines(&ready(&["nvidia", "runc"]), true)[1].severity, Severity::Good);
        if !has_descriptions() {
            assert_eq!(lines(&ready(&["runc"]), true)[1].severity, Severity::Warning);
        }
    }

    #[test]
    fn no_engine_is_a_note_since_engines_run_without() {
        let line = &lines(&ContainerEngine::Absent, true)[0];
        assert_eq!(line.severity, Severity::Note);
        assert!(line.fix.as_ref().is_some_and(|it| it.contains("DOCKER_HOST")), "{line:?}");
    }

    #[test]
    fn a_refused_connection_names_the_group() {
        let error = std::io::Error::from(ErrorKind::PermissionDenied);
        let refused = ContainerEngine::Refused { socket: "/run/docker.sock".into(), error };
        let line = &lines(&refused, false)[0];
        assert_eq!(line.severity, Severity::Warning);
        assert!(line.fix.as_ref().is_some_and(|it| it.contains("usermod -aG docker")), "{line:?}");
    }
}
