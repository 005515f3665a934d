//! Access to the model hub. Tokens are looked for and never shown.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::Line;
use crate::machine;

/// Variables that the hub's own tools read, in their order.
const VARIABLES: &[&str] = &["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"];

pub(super) fn lines() -> Vec<Line> {
    let mut lines = vec![token()];
    if std::env::var("HF_HUB_OFFLINE").is_ok_and(|it| !matches!(it.as_str(), "" | "0")) {
        lines.push(
            Line::note(
                "downloads",
                "HF_HUB_OFFLINE is set: only models that are on this machine run",
            )
            .fix("unset HF_HUB_OFFLINE"),
        );
    }
    if let Some(cache) = machine::hub_cache() {
        lines.push(Line::good("model cache", cache.display().to_string()));
    }
    lines
}

fn token() -> Line {
    let is_set = |name: &&&str| std::env::var_os(name).is_some_and(|it| !it.is_empty());
    if let Some(variable) = VARIABLES.iter().find(is_set) {
        return Line::good("token", format!("{variable} is set"));
    }
    match token_file() {
        Some(path) if is_open(&path) => {
            let path = path.display();
            Line::warning("token", format!("others may read `{path}`"))
                .fix(format!("chmod 600 {path}"))
        }
        Some(path) => Line::note(
            "token",
            format!("`{}` has one; a study gets it only as a variable", path.display()),
        )
        .fix("export HF_TOKEN, and name it in the study: `secrets = [\"hf-token\"]`"),
        None => Line::note("token", "there is none, so models with gated access are refused")
            .fix("export HF_TOKEN, and name it in the study: `secrets = [\"hf-token\"]`"),
    }
}

fn token_file() -> Option<PathBuf> {
    let named = std::env::var_os("HF_TOKEN_PATH").map(PathBuf::from);
    named.or_else(|| Some(machine::hub_cache()?.join("token"))).filter(|it| it.is_file())
}

fn is_open(path: &Path) -> bool {
    path.metadata().is_ok_and(|it| it.permissions().mode() & 0o077 != 0)
}
