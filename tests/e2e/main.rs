//! End-to-end tests of the `llem` command.

mod architecture;
mod attacks;
mod cli;
mod cluster;
mod configuration;
mod containers;
mod doctor;
mod documentation;
mod documents;
mod endpoint;
mod endurance;
mod energy;
mod energy_faults;
mod facts;
mod failure;
mod fake;
mod gpus;
mod grants;
mod h100;
mod isolation;
mod journal;
mod limits;
mod locks;
mod offline_and_server;
mod packages;
mod plugin;
mod report;
mod results;
mod resume;
mod simulation;
mod statistics;
mod tensorrt;
mod terminal;
mod traffic;

use llem_tests::Workspace;

/// A fresh workspace for the program under test.
fn workspace() -> Workspace {
    Workspace::new(env!("CARGO_BIN_EXE_llem-under-test"))
}

/// A study that takes seconds, with these further lines at its top level or in tables.
fn small_study(further: &str) -> String {
    format!(
        r#"
name = "small"
[model]
id = "random:tiny-llama-15m"
[workload]
requests = 4
input_tokens = 8
output_tokens = 4
[measure]
warmup = {{ requests = 1 }}
window = "1s"
windows = 1
baseline = "none"
repeats = 1
order = "interleaved"
rest = "10ms"
[plugin.candle]
engine.max_batch_size = 4
{further}
"#
    )
}
