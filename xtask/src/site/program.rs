//! The program that the reference is written from.

use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

/// A built `llem`.
#[derive(Debug)]
pub struct Program(PathBuf);

impl Program {
    /// The one at this path.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Builds that of a checkout.
    pub fn build(root: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new("cargo");
        command.current_dir(root).args(["build", "--quiet", "--package", "llem", "--bin", "llem"]);
        let status = command.status().context("starting cargo")?;
        ensure!(status.success(), "failed to build llem");
        let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        Ok(Self(root.join(target).join("debug/llem")))
    }

    /// What it prints.
    pub fn says(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(&self.0);
        // Its help calls it as it was called.
        command.arg0("llem").args(arguments).env("NO_COLOR", "1").env("COLUMNS", "100");
        let output = command.output().with_context(|| format!("starting {}", self.0.display()))?;
        ensure!(
            output.status.success(),
            "`llem {}` failed: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The JSON that it prints.
    pub fn json(&self, arguments: &[&str]) -> anyhow::Result<serde_json::Value> {
        serde_json::from_str(&self.says(arguments)?)
            .with_context(|| format!("`llem {}` is no JSON", arguments.join(" ")))
    }
}
