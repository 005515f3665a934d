//! A stand-in for Slurm's commands: a cluster of as many nodes as a file says, whose tasks take the time that it says and
//! write journals with made-up figures.
//!
//! Each call moves the cluster to the present. Which tasks fail, which nodes are bad and which tasks run on although they
//! were given up is drawn from the shard, so that a run can be repeated.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use llem_core::{
    event::Phase,
    record::{Outcome, Site, TrialFailure},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::synthetic::{append, hash, template};

/// The cluster and its tasks.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// How many nodes there are.
    pub nodes: usize,
    /// Seconds that a task takes.
    pub seconds: f64,
    /// Whether tasks fail, nodes are bad, and tasks that were given up run on.
    pub faults: bool,
    /// Whether the engine fails in every tenth trial.
    #[serde(default)]
    pub failing: bool,
    /// How often the queue was asked for.
    pub polls: u32,
    tasks: Vec<Task>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Task {
    job: String,
    index: usize,
    shard: PathBuf,
    excluded: Vec<String>,
    attempt: u64,
    state: TaskState,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum TaskState {
    Pending,
    Running {
        node: usize,
        until: f64,
    },
    /// Given up by the scheduler, and running on: it ends just after the task that takes its place.
    Lost {
        node: usize,
    },
    Ended(String),
}

/// Gives a directory a cluster, and in `bin` the commands to use it; `stand_in` is their program.
pub fn install(directory: &Path, stand_in: &str, cluster: &State) -> io::Result<()> {
    let bin = directory.join("bin");
    fs::create_dir(&bin)?;
    for name in ["sbatch", "squeue", "scancel", "scontrol"] {
        std::os::unix::fs::symlink(stand_in, bin.join(name))?;
    }
    fs::write(directory.join("state.json"), serde_json::to_vec(cluster)?)
}

/// Has a command see the cluster of a directory.
pub fn see(command: &mut std::process::Command, directory: &Path) {
    command
        .env("PATH", crate::path_with(&[directory.join("bin")]))
        .env("LLEM_FAKE_SLURM", directory);
}

/// Carries out a command of Slurm in the cluster of a directory; gives what it prints.
pub fn command(directory: &Path, program: &str, arguments: &[String]) -> io::Result<String> {
    let lock = fs::File::create(directory.join("lock"))?;
    lock.lock()?;
    let path = directory.join("state.json");
    let mut state: State = serde_json::from_slice(&fs::read(&path)?)?;
    state.advance()?;
    let answer = match program {
        "sbatch" => state.submit()?,
        "squeue" => state.queue(arguments),
        "scancel" => state.cancel(arguments),
        "scontrol" => "MaxArraySize            = 1001\n".to_owned(),
        other => return Err(io::Error::other(format!("{other} is not simulated"))),
    };
    let partial = directory.join("partial");
    fs::write(&partial, serde_json::to_vec(&state)?)?;
    fs::rename(partial, path)?;
    Ok(answer)
}

impl State {
    /// A cluster without tasks.
    pub fn new(nodes: usize, seconds: f64, faults: bool) -> Self {
        Self { nodes, seconds, faults, ..Self::default() }
    }

    /// Whether nothing waits or runs any more.
    pub fn is_idle(&self) -> bool {
        let is_over = |it: &Task| matches!(it.state, TaskState::Ended(_) | TaskState::Lost { .. });
        self.tasks.iter().all(is_over)
    }

    fn submit(&mut self) -> io::Result<String> {
        let mut script = String::new();
        io::stdin().read_to_string(&mut script)?;
        let option = |name: &str| {
            let line = script.lines().find_map(|it| it.strip_prefix(&format!("#SBATCH --{name}=")));
            line.map(str::to_owned)
        };
        let job = option("job-name").unwrap_or_default();
        let excluded: Vec<String> =
            option("exclude").unwrap_or_default().split(',').map(str::to_owned).collect();
        let list = script.split("p\" ").nth(1).and_then(|it| it.split(')').next());
        let list = fs::read_to_string(list.ok_or_else(|| io::Error::other("no list"))?)?;
        for (index, shard) in list.lines().enumerate() {
            let shard = PathBuf::from(shard);
            let attempt = self.tasks.iter().filter(|it| it.shard == shard).count();
            self.tasks.push(Task {
                job: job.clone(),
                index,
                excluded: excluded.clone(),
                attempt: u64::try_from(attempt).expect("few"),
                shard,
                state: TaskState::Pending,
            });
        }
        self.advance()?;
        Ok("1\n".to_owned())
    }

    fn queue(&mut self, arguments: &[String]) -> String {
        self.polls += 1;
        let names = arguments.iter().find_map(|it| it.strip_prefix("--name=")).unwrap_or_default();
        let names: Vec<&str> = names.split(',').collect();
        let line = |it: &Task| {
            let state = match &it.state {
                TaskState::Pending => "PENDING",
                TaskState::Running { .. } => "RUNNING",
                TaskState::Lost { .. } => "NODE_FAIL",
                TaskState::Ended(state) => state,
            };
            format!("{}|{}|{state}|None\n", it.job, it.index)
        };
        self.tasks.iter().filter(|it| names.contains(&it.job.as_str())).map(line).collect()
    }

    fn cancel(&mut self, arguments: &[String]) -> String {
        let name = arguments.iter().find_map(|it| it.strip_prefix("--name=")).unwrap_or_default();
        for task in self.tasks.iter_mut().filter(|it| it.job == name) {
            task.state = TaskState::Ended("CANCELLED".to_owned());
        }
        String::new()
    }

    fn advance(&mut self) -> io::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |it| it.as_secs_f64());
        let mut busy = vec![false; self.nodes];
        for task in &mut self.tasks {
            match task.state {
                TaskState::Running { node, until } if until <= now => {
                    task.state = end(task, node, self.faults, self.failing)?;
                }
                _ => (),
            }
            if let TaskState::Running { node, .. } = task.state {
                busy[node] = true;
            }
        }
        let is_completed = |it: &&Task| it.state == TaskState::Ended("COMPLETED".to_owned());
        let completed: Vec<PathBuf> =
            self.tasks.iter().filter(is_completed).map(|it| it.shard.clone()).collect();
        for task in self.tasks.iter_mut().filter(|it| completed.contains(&it.shard)) {
            if let TaskState::Lost { node } = task.state {
                task.write(node, 1.0, self.failing)?;
                task.state = TaskState::Ended("NODE_FAIL".to_owned());
            }
        }
        for task in self.tasks.iter_mut().filter(|it| it.state == TaskState::Pending) {
            let is_free = |node: &usize| !busy[*node] && !task.excluded.contains(&name(*node));
            let Some(node) = (0..busy.len()).find(is_free) else { continue };
            busy[node] = true;
            task.state = TaskState::Running { node, until: now + self.seconds };
        }
        Ok(())
    }
}

/// What becomes of a task whose time has come.
fn end(task: &Task, node: usize, faults: bool, failing: bool) -> io::Result<TaskState> {
    let ended = |state: &str| Ok(TaskState::Ended(state.to_owned()));
    let text = task.shard.display().to_string();
    let tail = text[text.len().saturating_sub(6)..].parse().unwrap_or(0);
    let draw = hash(&[tail, 11]) % 100;
    if faults && node % 100 == 13 {
        task.refuse(node)?;
        return ended("FAILED");
    }
    match draw {
        0..8 if faults && task.attempt == 0 => {
            task.write(node, 0.5, failing)?;
            ended("NODE_FAIL")
        }
        8..20 if faults && task.attempt == 0 => Ok(TaskState::Lost { node }),
        _ => {
            task.write(node, 1.0, failing)?;
            ended("COMPLETED")
        }
    }
}

fn failed() -> Outcome {
    Outcome::Failed(TrialFailure {
        phase: Phase::Load,
        kind: "out-of-memory".to_owned(),
        message: "no memory left".to_owned(),
        hint: None,
        permanent: false,
        log_tail: String::new(),
    })
}

fn name(node: usize) -> String {
    format!("n{node:04}")
}

impl Task {
    fn directory(&self, node: usize) -> PathBuf {
        self.shard.join(format!("{:04}-{}-{}", self.attempt, self.job, name(node)))
    }

    fn refuse(&self, node: usize) -> io::Result<()> {
        let directory = self.directory(node);
        fs::create_dir_all(&directory)?;
        let refusal = json!({"node": name(node), "reason": "other processes use the GPU", "is_of_node": true});
        fs::write(directory.join("refused.json"), refusal.to_string())
    }

    /// Writes what a task would have recorded, or a part of it.
    fn write(&self, node: usize, part: f64, failing: bool) -> io::Result<()> {
        let directory = self.directory(node);
        for kind in ["series", "requests"] {
            fs::create_dir_all(directory.join(kind))?;
        }
        let shard: Value = serde_json::from_slice(&fs::read(self.shard.join("shard.json"))?)?;
        let mut journal = Vec::new();
        let mut header = shard["header"].clone();
        header["entry"] = "header".into();
        append(&mut journal, &header.to_string())?;
        let blocks = shard["blocks"].as_array().cloned().unwrap_or_default();
        let mut numbers = Vec::new();
        let template = template();
        for block in &blocks {
            let trials = block["trials"].as_array().cloned().unwrap_or_default();
            let kept = if part < 1.0 { trials.len() / 2 } else { trials.len() };
            for trial in &trials[..kept] {
                let at = usize::try_from(trial["experiment"].as_u64().unwrap_or(0)).unwrap_or(0);
                let mut record = template.clone();
                let id = shard["experiments"][at]["id"].as_str().unwrap_or_default();
                id.clone_into(&mut record.trial.experiment);
                record.trial.repeat =
                    u32::try_from(trial["repeat"].as_u64().unwrap_or(0)).unwrap_or(0) + 1;
                record.position =
                    u32::try_from(trial["position"].as_u64().unwrap_or(0)).unwrap_or(0);
                record.site = Some(Site {
                    node: name(node),
                    boards: vec![format!("GPU-{node:04}")],
                    model: Some("made up".to_owned()),
                    block: block["number"].as_u64().and_then(|it| u32::try_from(it).ok()),
                });
                if failing && hash(&[u64::from(record.position), 17]).is_multiple_of(10) {
                    record.outcome = failed();
                }
                let raw = format!("{}-{}", record.trial.experiment, record.trial.repeat);
                fs::create_dir_all(directory.join("series").join(&raw))?;
                fs::write(directory.join("series").join(&raw).join("ticks.parquet"), "")?;
                fs::write(directory.join("requests").join(format!("{raw}.parquet")), "")?;
                let mut json = serde_json::to_value(&record)?;
                json["entry"] = "record".into();
                append(&mut journal, &json.to_string())?;
            }
            numbers.push(block["number"].clone());
        }
        fs::write(directory.join("environment.json"), json!({"host": name(node)}).to_string())?;
        fs::File::create(directory.join("journal.jsonl"))?.write_all(&journal)?;
        if part >= 1.0 {
            let done = json!({ "blocks": numbers });
            fs::write(directory.join("done.json"), done.to_string())?;
        }
        Ok(())
    }
}
