//! The connection to a container engine, and the image of a container.

use std::path::PathBuf;

use bollard::{
    Docker, errors::Error, models::ImageInspect, query_parameters::CreateImageOptionsBuilder,
};
use futures_util::StreamExt;
use llem_core::backend::ImageRef;

use super::say;

/// Seconds for one answer of the engine; streams are not bounded by it.
const ANSWER_SECONDS: u64 = 120;

/// The socket that the user names, else the first of a container engine that is there.
pub(super) fn socket(named: Option<&str>) -> Option<PathBuf> {
    if let Some(path) = named.and_then(|it| it.strip_prefix("unix://")) {
        return Some(PathBuf::from(path));
    }
    let rootless = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let rootless =
        rootless.into_iter().flat_map(|it| [it.join("docker.sock"), it.join("podman/podman.sock")]);
    ["/var/run/docker.sock", "/run/podman/podman.sock"]
        .into_iter()
        .map(PathBuf::from)
        .chain(rootless)
        .find(|it| it.exists())
}

/// The address that the user's environment names.
fn named() -> Option<String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|it| !it.is_empty());
    variable("DOCKER_HOST").or_else(|| variable("CONTAINER_HOST"))
}

/// Whether a container engine seems to be there.
pub(super) fn has_socket() -> bool {
    socket(named().as_deref()).is_some()
}

/// Whether there is a container engine to speak to, at this address or at one of the usual ones.
pub fn is_reachable(named: Option<&str>) -> bool {
    socket(named).is_some_and(|it| std::os::unix::net::UnixStream::connect(it).is_ok())
}

/// Connects, and agrees on a version of the API.
pub(super) async fn connect() -> Result<Docker, String> {
    let socket = socket(named().as_deref()).ok_or(
        "no socket of Docker or Podman was found, and no `apptainer` on PATH; start one, or name it with \
         DOCKER_HOST=unix://PATH",
    )?;
    let path = socket.display().to_string();
    let failed = |it: Error| format!("`{path}`: {it}");
    let docker = Docker::connect_with_unix(&path, ANSWER_SECONDS, bollard::API_DEFAULT_VERSION)
        .map_err(failed)?;
    docker.negotiate_version().await.map_err(failed)
}

/// Finds an image, or pulls it, and gives the engine's id of its content and its name for the record.
pub(super) async fn image(docker: &Docker, wanted: &ImageRef) -> Result<(String, String), String> {
    let name = name(wanted);
    let found = match docker.inspect_image(&name).await {
        Ok(found) => found,
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => {
            pull(docker, &name).await?;
            docker.inspect_image(&name).await.map_err(|it| format!("`{name}`: {it}"))?
        }
        Err(error) => return Err(format!("`{name}`: {error}")),
    };
    let id = found.id.clone().ok_or_else(|| format!("`{name}` has no id"))?;
    if let Some(digest) = &wanted.digest
        && !has_digest(&found, digest)
    {
        return Err(format!("`{name}` is another image than that of the digest {digest}"));
    }
    let known = found.repo_digests.iter().flatten().find(|it| it.starts_with(&wanted.repository));
    let record = known.cloned().unwrap_or_else(|| format!("{}@{id}", wanted.repository));
    Ok((id, record))
}

fn has_digest(image: &ImageInspect, digest: &str) -> bool {
    image.id.as_deref() == Some(digest)
        || image.repo_digests.iter().flatten().any(|it| it.ends_with(&format!("@{digest}")))
}

/// By digest where there is one: a tag may mean something else tomorrow.
pub(super) fn name(it: &ImageRef) -> String {
    match (&it.digest, &it.tag) {
        (Some(digest), _) => format!("{}@{digest}", it.repository),
        (None, Some(tag)) => format!("{}:{tag}", it.repository),
        (None, None) => format!("{}:latest", it.repository),
    }
}

async fn pull(docker: &Docker, name: &str) -> Result<(), String> {
    say(&format!("pulling {name}"));
    let options = CreateImageOptionsBuilder::new().from_image(name).build();
    let mut steps = docker.create_image(Some(options), None, None);
    let mut last = String::new();
    while let Some(step) = steps.next().await {
        let step = step.map_err(|it| format!("failed to pull `{name}`: {it}"))?;
        let part = step.id.unwrap_or_default();
        let status = step.status.unwrap_or_default();
        // Each layer tells its progress many times a second; a line for each change of state is enough.
        let line = format!("{part} {status}");
        if line != last {
            say(line.trim());
            last = line;
        }
    }
    Ok(())
}
