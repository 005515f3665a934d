//! Studies on a fake worker in the place of Python, metered by a device whose power is written down.

use std::{fs, os::unix::fs::PermissionsExt};

use llem_tests::Workspace;

/// A workspace with a fake worker that gets these arguments, and `llem` with the scripted device.
pub(crate) fn bench(worker: &str) -> Workspace {
    let workspace = Workspace::new(env!("CARGO_BIN_EXE_llem-scripted"));
    fs::create_dir_all(workspace.path().join("venv/bin")).expect("writable");
    let script = format!("#!/bin/sh\nexec '{}' {worker}\n", env!("CARGO_BIN_EXE_fake-worker"));
    workspace.write("venv/bin/python3", &script);
    let python = workspace.path().join("venv/bin/python3");
    fs::set_permissions(python, fs::Permissions::from_mode(0o755)).expect("it is ours");
    workspace
}

/// A study of two engines; these lines replace its repeats, or go to tables below.
pub(crate) fn study(repeats: &str, further: &str) -> String {
    format!(
        r#"
name = "fake"
seed = 7
[model]
id = "random:tiny-llama-15m"
[workload]
requests = 2
input_tokens = 8
output_tokens = 4
[measure]
warmup = {{ requests = 1 }}
baseline = "none"
repeats = {repeats}
rest = "0s"
[plugin.pytorch]
release = "5.23.0"
venv = "venv"
{further}
"#
    )
}

/// Two configurations that need an engine each; all requests fit into one batch of both.
pub(crate) const ENGINES: &str = "[sweep]\n\"pytorch.engine.batch_size\" = [2, 4]\n";
