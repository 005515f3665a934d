//! A worker that keeps to `llem-batch/1` and computes nothing: it takes its time, and while it does so it can make something
//! happen to the simulated GPUs.
//!
//! Its only argument is a directory. `seconds` there says how long a batch takes, the first one excepted, which is the
//! warm-up. In the middle of each later batch `later.json` becomes `gpus.json`, with the time put in for `@NOW@`.

use std::{
    io::{BufRead as _, Write as _, stdin, stdout},
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

use llem_batch::{
    Event, FinishReason, Generate, Loaded, Prompts, Request, RequestTimes, Step, decode, encode,
};
use serde_json::json;

fn main() {
    let directory = PathBuf::from(std::env::args_os().nth(1).expect("a directory"));
    let mut is_warm = false;
    for line in stdin().lock().lines() {
        match decode(&line.expect("the host's pipe")).expect("the host keeps to the protocol") {
            Request::Load(_) => say(&Event::Loaded(loaded())),
            Request::Generate(batch) => {
                generate(&batch, is_warm.then_some(&directory));
                is_warm = true;
            }
            Request::Quit => return say(&Event::Bye),
        }
    }
}

fn loaded() -> Loaded {
    let gpus = json!(std::env::var("CUDA_VISIBLE_DEVICES").ok());
    Loaded {
        engine: "stand-in".to_owned(),
        version: "1".to_owned(),
        effective: [("gpus".to_owned(), gpus)].into_iter().collect(),
        memory_bytes: None,
        at_ns: now(),
    }
}

/// Answers a batch: at once without a directory, else after as long as it says.
fn generate(batch: &Generate, directory: Option<&PathBuf>) {
    let prompts: Vec<usize> = match &batch.prompts {
        Prompts::Tokens(tokens) => tokens.iter().map(Vec::len).collect(),
        Prompts::Texts(texts) => texts.iter().map(|it| it.split(' ').count()).collect(),
    };
    let begin_ns = now();
    say(&Event::Begin { id: batch.id, at_ns: begin_ns });
    if let Some(directory) = directory {
        let seconds = std::fs::read_to_string(directory.join("seconds")).unwrap_or_default();
        let half = Duration::from_secs_f64(seconds.trim().parse().unwrap_or(1.0) / 2.0);
        sleep(half);
        change(directory);
        sleep(half);
    }
    let at_ns = now();
    let whole = |it: usize| u64::try_from(it).expect("small");
    let input: u64 = prompts.iter().copied().map(whole).sum();
    let decode_tokens = whole(prompts.len()) * u64::from(batch.max_tokens);
    let running = u32::try_from(prompts.len()).expect("small");
    let prefill_tokens = input;
    say(&Event::Step(Step { id: batch.id, at_ns, prefill_tokens, decode_tokens, running }));
    let times = |input: usize| RequestTimes {
        input_tokens: whole(input),
        output_tokens: batch.max_tokens.into(),
        scheduled_ns: begin_ns,
        first_token_ns: Some(at_ns),
        last_token_ns: Some(at_ns),
        finish: FinishReason::Length,
        text: None,
    };
    let requests = prompts.into_iter().map(times).collect();
    say(&Event::End { id: batch.id, at_ns, requests });
}

/// Lets the simulated GPUs change now.
fn change(directory: &Path) {
    let Ok(later) = std::fs::read_to_string(directory.join("later.json")) else { return };
    let origin = std::fs::read_to_string(directory.join("origin")).unwrap_or_default();
    let origin: u64 = origin.trim().parse().expect("nanoseconds");
    let seconds = Duration::from_nanos(now() - origin).as_secs_f64();
    let changed = directory.join("changed.json");
    std::fs::write(&changed, later.replace("@NOW@", &seconds.to_string())).expect("writable");
    std::fs::rename(changed, directory.join("gpus.json")).expect("writable");
}

fn say(event: &Event) {
    let mut out = stdout().lock();
    // A host that is gone needs no answer.
    drop(out.write_all(encode(event).as_bytes()));
    drop(out.flush());
}

/// `CLOCK_MONOTONIC` in nanoseconds.
fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let part = |it: i64| u64::try_from(it).expect("this clock is never negative");
    part(now.tv_sec) * 1_000_000_000 + part(now.tv_nsec)
}
