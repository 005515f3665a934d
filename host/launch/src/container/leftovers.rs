//! Containers whose host is dead: found by their labels, and removed.

use std::collections::HashMap;

use bollard::{
    Docker,
    query_parameters::{ListContainersOptionsBuilder, RemoveContainerOptionsBuilder},
};

use crate::processes::started;

/// Label with the number of the host's process.
const OWNER: &str = "llem.owner";
/// Label with the moment that process was started, since numbers are used again.
const STARTED: &str = "llem.owner-started";
/// Label with the machine's run that both hold for.
const BOOT: &str = "llem.boot";

/// Labels of a container of a host.
pub(super) fn labels(owner: u32, step: &str) -> HashMap<String, String> {
    HashMap::from([
        (OWNER.into(), owner.to_string()),
        (STARTED.into(), started(owner).unwrap_or_default().to_string()),
        (BOOT.into(), boot()),
        ("llem.step".into(), step.into()),
    ])
}

/// Removes every container of a dead host and gives their names.
pub(super) async fn remove(docker: &Docker) -> Result<Vec<String>, String> {
    let filters = HashMap::from([("label".to_owned(), vec![OWNER.to_owned()])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let found = docker.list_containers(Some(options)).await.map_err(|it| it.to_string())?;
    let mut removed = Vec::new();
    for container in found {
        let labels = container.labels.unwrap_or_default();
        let Some(id) = container.id.filter(|_| !is_alive(&labels)) else { continue };
        if force_remove(docker, &id).await.is_ok() {
            let name = container.names.unwrap_or_default().pop().unwrap_or(id);
            removed.push(name.trim_start_matches('/').to_owned());
        }
    }
    Ok(removed)
}

/// Ends a container and removes it, if it is there.
pub(super) async fn force_remove(docker: &Docker, id: &str) -> Result<(), bollard::errors::Error> {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match docker.remove_container(id, Some(options)).await {
        // It is gone, or somebody else is about to remove it.
        Err(bollard::errors::Error::DockerResponseServerError {
            status_code: 404 | 409, ..
        }) => Ok(()),
        other => other,
    }
}

fn is_alive(labels: &HashMap<String, String>) -> bool {
    let text = |name: &str| labels.get(name).map(String::as_str).unwrap_or_default();
    let owner = text(OWNER).parse().ok();
    text(BOOT) == boot()
        && owner.and_then(started).is_some_and(|it| it.to_string() == text(STARTED))
}

fn boot() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_lives_as_long_as_its_host() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("it starts");
        let own = labels(child.id(), "serve");
        assert!(is_alive(&own));
        let mut of_another_run = own.clone();
        of_another_run.insert(BOOT.into(), "x".into());
        assert!(!is_alive(&of_another_run));
        let mut of_an_earlier_process = own.clone();
        of_an_earlier_process.insert(STARTED.into(), "1".into());
        assert!(!is_alive(&of_an_earlier_process));
        child.kill().expect("it runs");
        child.wait().expect("it is ours");
        assert!(!is_alive(&own));
    }
}
