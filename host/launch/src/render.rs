//! Argument parts to the texts that a process gets.

use std::ffi::OsString;

use llem_core::backend::{ArgPart, Step};

use crate::{LaunchError, Scratch, process::Site};

pub(crate) fn render(
    parts: &[ArgPart],
    step: &Step,
    site: &Site,
    scratch: &Scratch,
) -> Result<OsString, LaunchError> {
    let mut text = OsString::new();
    for part in parts {
        match part {
            ArgPart::Literal(literal) => text.push(literal),
            ArgPart::Model => text.push(&site.model),
            ArgPart::Port => text.push(site.port.to_string()),
            ArgPart::Address => text.push("127.0.0.1"),
            ArgPart::Scratch => text.push(scratch.path()),
            ArgPart::Artefact(name) => {
                let path =
                    site.artefacts.get(name).ok_or_else(|| dangling(step, "the artefact", name))?;
                text.push(path);
            }
            ArgPart::File(name) => {
                if !step.files.iter().any(|it| it.name == *name) {
                    return Err(dangling(step, "the file", name));
                }
                text.push(scratch.file(name));
            }
            // The step sees only its own devices, so they count from 0.
            ArgPart::GpuIndices => {
                text.push(
                    (0..step.gpus.count).map(|it| it.to_string()).collect::<Vec<_>>().join(","),
                );
            }
        }
    }
    Ok(text)
}

fn dangling(step: &Step, what: &'static str, name: &str) -> LaunchError {
    LaunchError::Dangling { step: step.id.clone(), what, name: name.to_owned() }
}
