//! Results of a study that never ran, for tests of what reads results: real record types, values made
//! up from a seed. They say so in their study's name, and measure nothing.

mod raw;

use std::{
    fs,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use llem_core::{
    backend::{Config, Value},
    event::Phase,
    latency::Distribution,
    record::{Outcome, Record, Site, TrialFailure, TrialId},
    study::{Expansion, Experiment, Factor, Merged, Settings, Skipped},
    units::{Joules, Watts},
};

/// A made-up study.
#[derive(Clone, Debug)]
pub struct Synthetic {
    /// Levels of each factor; experiments are their product.
    pub levels: Vec<u32>,
    /// Trials of each experiment.
    pub repeats: u32,
    /// Trials that have raw series and request logs.
    pub traced: usize,
    /// How many boards the trials ran on; 0: nothing is said of boards.
    pub boards: u32,
    /// Put into every name and message.
    pub hostile: String,
}

/// The record that the others are made from: one that an H100 gave.
pub(crate) fn template() -> Record {
    let journal = include_str!("../fixtures/h100/pytorch-batch/journal.jsonl");
    let line =
        journal.lines().find(|it| it.contains("\"entry\":\"record\"")).expect("it has records");
    serde_json::from_str(&line[17..]).expect("it is a record")
}

impl Synthetic {
    /// 2,000 experiments of 3 trials on 12 boards.
    pub fn large() -> Self {
        Self {
            levels: vec![5, 5, 4, 5, 4],
            repeats: 3,
            traced: 60,
            boards: 12,
            hostile: String::new(),
        }
    }

    /// Writes a results directory and returns its path.
    pub fn write(&self, parent: &Path) -> io::Result<PathBuf> {
        let directory = parent.join("synthetic");
        for kind in ["series", "requests"] {
            fs::create_dir_all(directory.join(kind))?;
        }
        let plan = self.plan();
        let text = serde_json::to_string(&plan).expect("a plan has string keys");
        fs::write(directory.join("plan.json"), text)?;
        fs::write(
            directory.join("study.toml"),
            format!("name = \"synthetic\" # {}\n", self.hostile),
        )?;
        let machine = serde_json::json!({
            "llem": "0.1.0", "host": self.named("nowhere"), "kernel": null, "processor": self.named("none"),
            "devices": [{"id": "GPU-0", "name": self.named("made up"), "facts": {"driver_version": self.named("0")}}],
        });
        fs::write(directory.join("environment.json"), machine.to_string())?;
        let mut journal = BufWriter::new(fs::File::create(directory.join("journal.jsonl"))?);
        let ids: Vec<String> = plan.experiments.iter().map(|it| it.id.to_string()).collect();
        let header = serde_json::json!({
            "entry": "header", "format": 1, "llem": "0.1.0", "study": self.named("synthetic"),
            "started_at": "2026-01-01T00:00:00Z", "experiments": ids,
            "plugins": [[self.named("made-up"), "00"]], "seed": 1,
        });
        append(&mut journal, &header.to_string())?;
        let template = template();
        for repeat in 1..=self.repeats {
            for (at, experiment) in plan.experiments.iter().enumerate() {
                let position = (repeat - 1) * u32::try_from(ids.len()).expect("few")
                    + u32::try_from(at).expect("few");
                let record = self.record(&template, experiment, repeat, position);
                let json = serde_json::to_string(&record).expect("records have string keys");
                append(&mut journal, &format!("{{\"entry\":\"record\",{}", &json[1..]))?;
                if repeat == 1 && at < self.traced {
                    raw::write(&directory, &record, &self.named("made up"))?;
                }
            }
        }
        journal.flush()?;
        Ok(directory)
    }

    fn named(&self, name: &str) -> String {
        format!("{name}{}", self.hostile)
    }

    fn plan(&self) -> Expansion {
        let h100: Expansion =
            serde_json::from_str(include_str!("../fixtures/h100/pytorch-batch/plan.json"))
                .expect("it is a plan");
        let base = &h100.experiments[0];
        let plugin: Arc<str> = self.named("made-up").into();
        let factors: Vec<Factor> = self
            .levels
            .iter()
            .enumerate()
            .map(|(at, count)| Factor {
                plugin: Arc::clone(&plugin),
                name: format!("{plugin}.engine.{}", self.named(NAMES[at % NAMES.len()])),
                levels: (0..*count).map(|it| self.named(&format!("{}", 1_u32 << it))).collect(),
                numbers: self
                    .hostile
                    .is_empty()
                    .then(|| (0..*count).map(|it| f64::from(1_u32 << it)).collect()),
            })
            .collect();
        let total: u32 = self.levels.iter().product();
        let experiments: Vec<Experiment> = (0..total)
            .map(|mut rest| {
                let number = rest;
                let levels: Vec<u32> = self
                    .levels
                    .iter()
                    .map(|count| {
                        let level = rest % count;
                        rest /= count;
                        level
                    })
                    .collect();
                let label: Vec<String> = levels
                    .iter()
                    .zip(&factors)
                    .enumerate()
                    .map(|(at, (level, factor))| {
                        format!(
                            "{}={}",
                            NAMES[at % NAMES.len()],
                            factor.levels[usize::try_from(*level).expect("few")]
                        )
                    })
                    .collect();
                let config: Config = [(
                    "engine.dtype".parse().expect("a path"),
                    Value::Text(self.named("bfloat16")),
                )]
                .into();
                Experiment {
                    id: format!("{:016x}", hash(&[number.into(), 7])).parse().expect("16 digits"),
                    label: label.join(", "),
                    plugin: Arc::clone(&plugin),
                    settings: Settings::from(config),
                    levels: Some(levels.into()),
                    ..base.clone()
                }
            })
            .collect();
        let skipped = (0..30).map(|at| Skipped {
            plugin: Arc::clone(&plugin),
            label: self.named(&format!("skipped {at}")),
            rule: self.named("rule").into(),
            message: self.named("this can't run").into(),
            settings: Settings::from(Config::new()),
        });
        Expansion {
            skipped: skipped.collect(),
            merged: vec![Merged { experiment: 0, others: vec![self.named("another")] }],
            declared: experiments.len() + 31,
            experiments,
            factors,
            ..Expansion::default()
        }
    }

    /// The template with its energy and its times changed by the levels and by noise.
    fn record(
        &self,
        template: &Record,
        experiment: &Experiment,
        repeat: u32,
        position: u32,
    ) -> Record {
        let mut record = template.clone();
        let id = experiment.id.to_string();
        record.trial = TrialId { experiment: id.clone(), repeat };
        record.position = position;
        record.engine.version = Some(self.named("1.0"));
        if !self.hostile.is_empty() {
            record.warnings.push(self.named("careful"));
        }
        let seed = u64::from_str_radix(&id, 16).expect("16 digits");
        let board =
            (self.boards > 0).then(|| hash(&[seed, u64::from(repeat), 5]) % u64::from(self.boards));
        record.site = board.map(|it| Site {
            node: self.named(&format!("node{}", it / 4)),
            boards: vec![self.named(&format!("GPU-{it}"))],
            model: Some(self.named("made up")),
            block: None,
        });
        if hash(&[seed, 3]).is_multiple_of(50) && repeat == 1 {
            record.outcome = Outcome::Failed(TrialFailure {
                phase: Phase::Load,
                kind: "out-of-memory".to_owned(),
                message: self.named("no memory left"),
                hint: None,
                permanent: false,
                log_tail: self.named("log"),
            });
            return record;
        }
        let levels = experiment.levels.as_deref().unwrap_or_default();
        let level = |at: usize| f64::from(levels.get(at).copied().unwrap_or(0));
        let noise = |salt: u64| drawn(&[seed, u64::from(repeat), salt]);
        let energy = 0.8_f64.powf(level(0))
            * 1.06_f64.powf(level(1) * level(0))
            * 1.12_f64.powf(level(2))
            * board.map_or(1.0, |it| 1.0 + 0.05 * drawn(&[it, 9]))
            * (1.0 + 0.02 * noise(1));
        let time = 0.7_f64.powf(level(0))
            * 0.95_f64.powf(level(3))
            * 1.03_f64.powf(level(4))
            * (1.0 + 0.02 * noise(2));
        let Outcome::Completed(measured) = &mut record.outcome else { return record };
        for window in &mut measured.windows {
            for total in &mut window.totals {
                total.energy_joules = total.energy_joules.map(|it| it * energy);
            }
            for reading in &mut window.energy {
                reading.energy_joules = reading.energy_joules.map(|it: Joules| it * energy);
                reading.average_power_watts =
                    reading.average_power_watts.map(|it: Watts| it * (energy / time));
                reading.device = self.named(&reading.device);
            }
            let metrics = &mut window.metrics;
            metrics.window_seconds *= time;
            metrics.throughput.output_token_throughput_per_second /= time;
            for latency in [
                &mut metrics.time_to_first_token,
                &mut metrics.time_per_output_token,
                &mut metrics.request_latency,
            ] {
                scale(latency, time * 1.05_f64.powf(level(1)));
            }
        }
        record
    }
}

const NAMES: [&str; 5] = ["batch_size", "max_tokens", "precision", "parallel", "cache"];

fn scale(distribution: &mut Option<Distribution>, by: f64) {
    let Some(it) = distribution else { return };
    it.min *= by;
    it.max *= by;
    for estimate in [&mut it.mean, &mut it.p50, &mut it.p90, &mut it.p95] {
        estimate.point *= by;
        estimate.low *= by;
        estimate.high *= by;
    }
}

/// One journal line with its checksum.
pub(crate) fn append(journal: &mut impl Write, json: &str) -> io::Result<()> {
    let sum = blake3::hash(json.as_bytes()).to_hex();
    writeln!(journal, "{} {json}", &sum[..16])
}

/// Uniform from -0.5 to 0.5.
fn drawn(words: &[u64]) -> f64 {
    let high = u32::try_from(hash(words) >> 32).expect("32 bits");
    f64::from(high) / f64::from(u32::MAX) - 0.5
}

pub(crate) fn hash(words: &[u64]) -> u64 {
    let bytes: Vec<u8> = words.iter().flat_map(|it| it.to_le_bytes()).collect();
    let hash = blake3::hash(&bytes);
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("eight bytes"))
}
