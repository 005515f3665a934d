//! What the journal costs: processor time of a transition, as a study's number of trials grows.
//!
//! `cargo run --release -p llem --example journal_cost`. A transition is a trial's begin or its record; records are
//! those of a real run, and synced. Reads the kernel's account of this thread, so it runs on
//! Linux only.

#![expect(clippy::print_stdout, reason = "prints its measurements")]

#[path = "../src/store/journal.rs"]
#[expect(dead_code, unreachable_pub, reason = "the host needs more of it, and in more places")]
mod journal;

use std::{fs, time::Instant};

use journal::{Entry, Header, Journal};
use llem_core::record::{Record, TrialId};

const H100: &str = include_str!("../../tests/fixtures/h100/pytorch-batch/journal.jsonl");

fn main() {
    let line = H100.lines().find(|it| it.contains("\"entry\":\"record\"")).expect("it has records");
    let template: Record = serde_json::from_str(&line[17..]).expect("it is a record");
    println!("a record has {} bytes", line.len());
    for trials in [100, 1_000, 10_000] {
        let path = std::env::temp_dir().join(format!("journal-cost-{}.jsonl", std::process::id()));
        let (mut journal, _) = Journal::open(&path).expect("it is new");
        journal.append(&Entry::Header(header())).expect("it is writable");
        let mut record = template.clone();
        let (clock, processor) = (Instant::now(), processor_time());
        let mut last = 0.0;
        for trial in 0..trials {
            // The last hundred are told apart: a cost that grows would show there.
            if trial == trials - 100 {
                last = processor_time();
            }
            record.trial = TrialId { experiment: format!("{trial:016x}"), repeat: 1 };
            journal
                .append(&Entry::TrialStarted { trial: record.trial.clone() })
                .expect("it is writable");
            journal.append(&Entry::Record(Box::new(record.clone()))).expect("it is writable");
        }
        let end = processor_time();
        let each = |milliseconds: f64, count: u32| milliseconds / f64::from(2 * count);
        println!(
            "{trials:6} trials: {:.3} ms of processor time a transition, {:.3} ms for the last 100 trials; \
             {:.2} ms by the clock, the disk included",
            each(end - processor, trials),
            each(end - last, 100),
            each(1e3 * clock.elapsed().as_secs_f64(), trials),
        );
        let begun = processor_time();
        let (_, entries) = Journal::open(&path).expect("it is whole");
        let reading = processor_time() - begun;
        println!("        read again in {reading:.0} ms, {} entries", entries.len());
        fs::remove_file(&path).expect("it is there");
    }
}

fn header() -> Header {
    Header {
        format: 1,
        llem: "0.1.0".to_owned(),
        study: "cost".to_owned(),
        started_at: "2026-01-01T00:00:00Z".to_owned(),
        experiments: Vec::new(),
        plugins: Vec::new(),
        seed: 1,
    }
}

/// Of this thread, in milliseconds.
fn processor_time() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux says");
    let nanoseconds: f64 = text.split(' ').next().and_then(|it| it.parse().ok()).expect("a number");
    nanoseconds / 1e6
}
