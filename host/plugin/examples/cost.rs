//! Prints what the bundled plugins cost: compiling, loading from the cache, and each call.
//!
//! `cargo run --release -p llem-plugin --example cost`
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement for its author's terminal"
)]

use std::time::{Duration, Instant};

use llem_core::backend::{Config, Context, Mode, ModelRef, ModelSource, RunOutput, Runner};
use llem_plugin::{Cache, Plugin, Registry};
use rustix::time::{ClockId, clock_gettime};

const REPEATS: u32 = 200;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let (cold, warm) =
        (Registry::new(None, Cache::none()), Registry::new(None, Cache::in_folder(folder.path())));
    let mut all = Duration::ZERO;
    for (name, _) in warm.list() {
        let before = processor_time();
        let compiled = time(|| cold.load(&name).unwrap());
        let used = processor_time().saturating_sub(before);
        all += used;
        drop(warm.load(&name).unwrap());
        let loaded = median(|| drop(warm.load(&name).unwrap()));
        println!("{name}: compile {compiled:?} ({used:?} CPU), load {loaded:?}");
        calls(&warm.load(&name).unwrap());
    }
    println!("all compiled: {all:?} CPU");
}

fn calls(plugin: &Plugin) {
    let release = plugin.releases().unwrap()[0].id.clone();
    let context = context(&release, plugin.describe().unwrap().modes[0]);
    let config = Config::new();
    let schema = plugin.schema(&release).unwrap();
    println!("  describe {:?}", median(|| drop(plugin.describe().unwrap())));
    println!(
        "  schema {:?} of {} parameters, {} rules",
        median(|| drop(plugin.schema(&release).unwrap())),
        schema.parameters.len(),
        schema.rules.len()
    );
    let configs = vec![config.clone(); 100];
    println!(
        "  canonicalise {:?} for 100",
        median(|| drop(plugin.canonicalise(&release, &configs).unwrap()))
    );
    println!("  plan {:?}", median(|| drop(plugin.plan(&config, &context).unwrap())));
    let output = RunOutput {
        log_tail: "a line of the log that says nothing\n".repeat(1700),
        ..RunOutput::default()
    };
    println!(
        "  parse {:?} of 60 KB",
        median(|| drop(plugin.parse(&config, &context, &output).unwrap()))
    );
}

fn time<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    drop(work());
    start.elapsed()
}

fn median(mut work: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..REPEATS).map(|_| time(&mut work)).collect();
    times.sort();
    times[times.len() / 2]
}

fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.try_into().unwrap(), now.tv_nsec.try_into().unwrap())
}

fn context(release: &str, mode: Mode) -> Context {
    Context {
        release: release.to_owned(),
        mode,
        runner: Runner::Process,
        model: ModelRef {
            id: "random:tiny".to_owned(),
            revision: None,
            source: ModelSource::Random,
        },
        image: None,
        gpu: None,
        secrets: Vec::new(),
        max_input_tokens: Some(128),
        max_output_tokens: Some(32),
        max_concurrency: Some(1),
        seed: Some(42),
        extra: Vec::new(),
    }
}
