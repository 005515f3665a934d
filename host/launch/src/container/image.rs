//! What an image is, before anything runs in it.

use std::{
    ffi::OsStr,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use bollard::Docker;
use llem_core::backend::ImageRef;
use serde::{Deserialize, Serialize};

use super::client;
use crate::{Grant, HostEnvironment, LaunchError, environment, policy};

/// The attendant's word for it.
pub(super) const ORDER: &str = "image";

/// Label in which an image says which version of its engine it has.
const VERSION: &str = "llem.engine-version";

/// What an image is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The container engine's id of its content.
    pub id: String,
    /// Version of the engine in it, where the image says so itself.
    pub engine_version: Option<String>,
}

impl Image {
    /// Tells the host, on standard output; the attendant's part of [`find`].
    pub(super) fn print(&self) -> Result<u8, String> {
        let text = serde_json::to_string(self).expect("it is plain data");
        writeln!(std::io::stdout().lock(), "{text}").map_err(|it| it.to_string())?;
        Ok(0)
    }
}

/// The image that the host asks for.
pub(super) fn wanted(text: &OsStr) -> Result<ImageRef, String> {
    serde_json::from_slice(text.as_encoded_bytes())
        .map_err(|it| format!("the image is not understood: {it}"))
}

/// Why an image is not known.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It is not granted.
    #[error(transparent)]
    Refused(LaunchError),
    /// The attendant did not start, or was not understood.
    #[error("failed to ask for the image `{0}`")]
    Attendant(String, #[source] std::io::Error),
    /// The container engine has no such image, or does not answer; its own words are on standard error.
    #[error("the image `{0}` is not to be had")]
    Missing(String),
}

/// Finds an image by the container engine of `host`, and pulls it where it is not there; what happens is told on
/// standard error.
pub fn find(
    attendant: &Path,
    wanted: &ImageRef,
    grant: &Grant,
    host: &HostEnvironment,
) -> Result<Image, ImageError> {
    let violations = policy::check_image(wanted, grant);
    if !violations.is_empty() {
        return Err(ImageError::Refused(LaunchError::Refused(violations)));
    }
    let name = client::name(wanted);
    let failed = |it: std::io::Error| ImageError::Attendant(name.clone(), it);
    let text = serde_json::to_string(wanted).expect("an image has string keys only");
    let output = Command::new(attendant)
        .args(["container", ORDER, &text])
        .env_clear()
        .envs(environment::of_attendant(&std::collections::BTreeMap::new(), host))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(failed)?;
    if !output.status.success() {
        return Err(ImageError::Missing(name));
    }
    serde_json::from_slice(&output.stdout).map_err(|it| failed(it.into()))
}

/// Tells what an image of the container engine is.
pub(super) async fn tell(docker: &Docker, text: &OsStr) -> Result<u8, String> {
    let (id, _) = client::image(docker, &wanted(text)?).await?;
    let facts = docker.inspect_image(&id).await.map_err(|it| it.to_string())?;
    let labels = facts.config.and_then(|it| it.labels).unwrap_or_default();
    let engine_version = labels.get(VERSION).filter(|it| it.len() <= 64).cloned();
    Image { id, engine_version }.print()
}
