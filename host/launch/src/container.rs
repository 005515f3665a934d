//! Steps in containers, through the API of a Docker or Podman engine, or through Apptainer.
//!
//! The host does not speak to the engine itself: a process of its own, `llem container`, creates the container, passes
//! its streams on, ends it when told and removes it. It runs below the supervisor as an engine does, so the host treats
//! both alike, and nothing of the client runs in the process that measures.

mod apptainer;
mod attend;
mod body;
mod client;
mod image;
mod leftovers;
mod reach;
mod spec;

use std::{
    ffi::OsString,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

pub use client::is_reachable as containers_are_reachable;
pub use image::{Image, ImageError, find as find_image};
pub use reach::ContainerEngine;
pub(crate) use spec::{STATE, State, VARIABLE, spec};

/// Exit code of the attendant where the container engine is at fault, as with Docker's own client.
const ENGINE_FAILED: u8 = 125;

/// Runs the attendant: `SPEC` for one container, `sweep` for what dead hosts have left, `image REFERENCE` for what an
/// image is.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match (runtime, args.first()) {
        (Ok(runtime), Some(order)) => runtime.block_on(async {
            if let Some(program) = without_socket()? {
                // Its containers are children of attendants: no dead host leaves any.
                return match (order.to_str(), args.get(1)) {
                    (Some("sweep"), _) => Ok(0),
                    (Some(image::ORDER), Some(wanted)) => {
                        apptainer::tell_image(&program, wanted).await
                    }
                    _ => apptainer::attend(&program, &spec::read(Path::new(order))?).await,
                };
            }
            let docker = client::connect().await?;
            let removed = leftovers::remove(&docker).await?;
            for name in removed {
                say(&format!("removed the container {name}, which a dead run had left"));
            }
            match (order.to_str(), args.get(1)) {
                (Some("sweep"), _) => return Ok(0),
                (Some(image::ORDER), Some(wanted)) => return image::tell(&docker, wanted).await,
                _ => (),
            }
            attend::attend(&docker, &spec::read(Path::new(order))?).await
        }),
        (Ok(_), None) => Err("no order".to_owned()),
        (Err(error), _) => Err(error.to_string()),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(why) => {
            say(&format!("error: the container engine: {why}"));
            ExitCode::from(ENGINE_FAILED)
        }
    }
}

/// The program to start containers with where no engine listens on a socket, or where the user wants it so.
fn without_socket() -> Result<Option<PathBuf>, String> {
    match std::env::var(ENGINE).as_deref() {
        Err(_) => Ok(if client::has_socket() { None } else { apptainer::find() }),
        Ok("docker" | "podman") => Ok(None),
        Ok("apptainer" | "singularity") => apptainer::find()
            .map(Some)
            .ok_or_else(|| "neither `apptainer` nor `singularity` is on PATH".to_owned()),
        Ok(other) => Err(format!(
            "{ENGINE} is `{other}`; it can be `docker`, `podman`, `apptainer` or `singularity`"
        )),
    }
}

/// Variable that chooses the container engine.
const ENGINE: &str = "LLEM_CONTAINER_ENGINE";

/// Writes a line where the host reads the engine's log.
fn say(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "llem container: {text}"));
}
