//! The script of a job array, as `sbatch` reads it.

use super::super::executor::Job;

/// The whole script.
pub(super) fn script(job: &Job) -> String {
    let mut lines = vec!["#!/bin/bash".to_owned()];
    lines.extend(options(job).into_iter().map(|it| format!("#SBATCH {it}")));
    lines.push("# Each task runs one line of the list: a shard of the study.".to_owned());
    lines.push(format!(
        "shard=$(sed -n \"$((SLURM_ARRAY_TASK_ID + 1))p\" {}) || exit 3",
        quoted(&job.list.display().to_string())
    ));
    lines.extend(job.resources.setup.iter().cloned());
    let command: Vec<String> = job.command.iter().map(|it| quoted(it)).collect();
    // `exec`, so that signals reach llem itself.
    lines.push(format!("exec {} --shard \"$shard\"", command.join(" ")));
    lines.join("\n") + "\n"
}

fn options(job: &Job) -> Vec<String> {
    let resources = &job.resources;
    let last = job.shards.len().saturating_sub(1);
    let at_once = resources.parallel.map_or_else(String::new, |it| format!("%{it}"));
    let mut options = vec![
        format!("--job-name={}", job.name),
        format!("--array=0-{last}{at_once}"),
        // A preempted task and one of a failed node run again; llem bounds how often.
        "--requeue".to_owned(),
        "--nodes=1".to_owned(),
        "--ntasks=1".to_owned(),
        "--open-mode=append".to_owned(),
        format!("--output={}", option_value(&format!("{}/%x-%a.out", job.logs.display()))),
        format!("--time={}", job.minutes),
    ];
    let mut add = |name: &str, value: Option<String>| {
        options.extend(value.map(|it| format!("--{name}={}", option_value(&it))));
    };
    let of_type = resources.gpu_type.as_ref().map_or_else(String::new, |it| format!("{it}:"));
    add("gres", (job.gpus > 0).then(|| format!("gpu:{of_type}{}", job.gpus)));
    add("cpus-per-task", resources.cpus.map(|it| it.to_string()));
    add("mem", resources.memory.clone());
    add("partition", resources.partition.clone());
    add("account", resources.account.clone());
    add("constraint", resources.constraint.clone());
    add("exclude", (!job.excluded.is_empty()).then(|| job.excluded.join(",")));
    options.extend(resources.options.iter().cloned());
    options
}

/// A word of a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:,+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A value in a comment line of options, which Slurm splits like a shell but within double quotes.
fn option_value(text: &str) -> String {
    if text.contains([' ', '\t', '#', '&', '|', '(', ')']) {
        format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use llem_core::study;

    use super::*;

    fn job(table: &str) -> Job {
        let text = format!("[model]\nid = \"gpt2\"\n[executor]\n{table}\n[plugin.candle]\n");
        let resources = study::parse(&text, "s.toml").expect("it is valid").executor();
        Job {
            name: "llem-demo-1a2b-0".into(),
            shards: vec!["/r/shards/000000".into(), "/r/shards/000001".into()],
            list: "/r/cluster/llem-demo-1a2b-0.txt".into(),
            logs: "/r/cluster/logs".into(),
            gpus: 2,
            minutes: 75,
            excluded: vec!["n7".into()],
            command: vec!["/opt/llem".into(), "run".into(), "/home/it's me/s.toml".into()],
            resources,
        }
    }

    #[test]
    fn a_script_asks_for_exactly_what_a_shard_needs() {
        let table = "gpu_type = \"h100\"\ncpus = 8\nmemory = \"64G\"\npartition = \"gpu\"\nparallel = 4\n\
                     constraint = \"nvlink&ib\"\noptions = [\"--exclusive\"]\nsetup = \"module load cuda\"";
        let expected = r#"#!/bin/bash
#SBATCH --job-name=llem-demo-1a2b-0
#SBATCH --array=0-1%4
#SBATCH --requeue
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --open-mode=append
#SBATCH --output=/r/cluster/logs/%x-%a.out
#SBATCH --time=75
#SBATCH --gres=gpu:h100:2
#SBATCH --cpus-per-task=8
#SBATCH --mem=64G
#SBATCH --partition=gpu
#SBATCH --constraint="nvlink&ib"
#SBATCH --exclude=n7
#SBATCH --exclusive
# Each task runs one line of the list: a shard of the study.
shard=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" /r/cluster/llem-demo-1a2b-0.txt) || exit 3
module load cuda
exec /opt/llem run '/home/it'\''s me/s.toml' --shard "$shard"
"#;
        assert_eq!(script(&job(table)), expected);
    }

    #[test]
    fn what_is_not_asked_for_is_left_to_the_cluster() {
        let script = script(&Job { gpus: 0, excluded: Vec::new(), ..job("") });
        for absent in ["--gres", "--mem", "--partition", "--exclude", "%4"] {
            assert!(!script.contains(absent), "{absent} in {script}");
        }
    }
}
