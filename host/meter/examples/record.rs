//! Records all GPUs and prints a reading for each window that is named on its standard input.
//!
//! A line is `isolated BEGIN END NAME` or `running BEGIN END NAME`, with times on `CLOCK_MONOTONIC` in
//! nanoseconds. It prints `ready` once it records; after the end of its input and of the last window it
//! prints one JSON object a reading. `--series FILE` writes what was recorded.

use std::{fs, io, thread::sleep, time::Duration};

use llem_core::energy::{Mode, Request, Settings, measure};
use llem_meter::{Instruments, MeterOptions, now_ns};
use serde_json::json;

#[expect(clippy::print_stdout, reason = "this program prints figures")]
fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options = MeterOptions { cpu: false, ..MeterOptions::from_env() };
    let (instruments, _) = Instruments::discover(&options);
    let recording = instruments.start(None);
    println!("ready");
    let mut windows = Vec::new();
    for line in io::stdin().lines() {
        windows.extend(window(&line?));
    }
    let last = windows.iter().map(|(request, _)| request.end_ns).max().unwrap_or(0);
    sleep(Duration::from_nanos(last.saturating_sub(now_ns())));
    let series = recording.snapshot_covering(last);
    drop(recording);
    for (request, name) in windows {
        for reading in measure(&series, request, &Settings::default()).readings {
            println!("{}", json!({ "name": name, "reading": reading }));
        }
    }
    if let [flag, file] = &arguments[..]
        && flag == "--series"
    {
        fs::write(file, serde_json::to_string(&series)?)?;
    }
    Ok(())
}

fn window(line: &str) -> Option<(Request, String)> {
    let mut words = line.split_whitespace();
    let mode = match words.next()? {
        "isolated" => Mode::Isolated,
        "running" => Mode::Running,
        _ => return None,
    };
    let (begin_ns, end_ns) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some((Request { begin_ns, end_ns, mode }, words.next()?.to_owned()))
}
