//! Where the trials of a study run: on this machine or on a cluster, with which resources.
//!
//! Nothing here changes what an experiment is: the same study has the same ids everywhere.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::settings::Values;
use crate::backend::Value;

/// What carries out trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExecutorKind {
    /// This machine.
    Local,
    /// Jobs of a Slurm cluster.
    Slurm,
}

/// The `[executor]` table of a study.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorSettings {
    /// What carries out trials.
    pub kind: ExecutorKind,
    /// Tasks that there shall be at least.
    pub shards: Option<u32>,
    /// A repeat that takes longer is split.
    pub shard_time: Duration,
    /// Length of a trial; none: estimated.
    pub trial_time: Option<Duration>,
    /// Time limit of a task; none: from its estimate.
    pub time: Option<Duration>,
    /// How often a task is tried.
    pub tries: u32,
    /// Most tasks at once.
    pub parallel: Option<u32>,
    /// Type of GPU.
    pub gpu_type: Option<String>,
    /// Processors of a task.
    pub cpus: Option<u32>,
    /// Memory of a task, as the cluster writes it.
    pub memory: Option<String>,
    /// Partition.
    pub partition: Option<String>,
    /// Account that is charged.
    pub account: Option<String>,
    /// Features that nodes must have.
    pub constraint: Option<String>,
    /// Further options of the cluster's command.
    pub options: Vec<String>,
    /// Shell lines that a task runs first.
    pub setup: Option<String>,
    /// Path of llem on the nodes.
    pub llem: Option<String>,
}

pub(super) fn settings(values: &Values<'_>) -> ExecutorSettings {
    let count =
        |name: &str| values.count(&format!("executor.{name}")).map(std::num::NonZeroU32::get);
    let text = |name: &str| values.text(&format!("executor.{name}"));
    let duration = |name: &str| values.duration(&format!("executor.{name}"));
    let options = match values.get("executor.options") {
        Some(Value::Json(serde_json::Value::Array(items))) => {
            items.iter().filter_map(|it| it.as_str().map(str::to_owned)).collect()
        }
        _ => Vec::new(),
    };
    ExecutorSettings {
        kind: values.choice("executor.kind"),
        shards: count("shards"),
        shard_time: duration("shard_time").expect("it has a default"),
        trial_time: duration("trial_time"),
        time: duration("time"),
        tries: count("tries").expect("it has a default"),
        parallel: count("parallel"),
        gpu_type: text("gpu_type"),
        cpus: count("cpus"),
        memory: text("memory"),
        partition: text("partition"),
        account: text("account"),
        constraint: text("constraint"),
        options,
        setup: text("setup"),
        llem: text("llem"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::parse;

    const STUDY: &str = "[model]\nid = \"gpt2\"\n[plugin.candle]\n";

    #[test]
    fn without_a_table_trials_run_here() {
        let settings = parse(STUDY, "s.toml").unwrap().executor();
        assert_eq!((settings.kind, settings.tries), (ExecutorKind::Local, 5));
    }

    #[test]
    fn resources_are_read_and_shown_with_their_defaults() {
        let text = format!(
            "{STUDY}[executor]\nkind = \"slurm\"\ncpus = 8\noptions = [\"--exclusive\", \"--nice=5\"]\n"
        );
        let study = parse(&text, "s.toml").unwrap();
        let settings = study.executor();
        assert_eq!((settings.kind, settings.cpus), (ExecutorKind::Slurm, Some(8)));
        assert_eq!(settings.options, ["--exclusive", "--nice=5"]);
        let resolved = crate::study::resolved(&study, &std::collections::BTreeMap::new());
        assert!(resolved.contains("options = [\"--exclusive\", \"--nice=5\"]"), "{resolved}");
        assert!(resolved.contains("tries = 5  # default"), "{resolved}");
        assert_eq!(parse(&resolved, "s.toml").unwrap().executor(), settings);
    }

    #[test]
    fn options_are_a_list() {
        let problems = parse(&format!("executor.options = 5\n{STUDY}"), "s.toml");
        let message = problems.unwrap_err().remove(0).to_string();
        assert!(message.contains("a list of texts"), "{message}");
    }
}
