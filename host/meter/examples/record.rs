//! Records the first GPU around isolated jobs and prints their energies in joules as a JSON list; the
//! jobs' begins and ends are arguments, on `CLOCK_MONOTONIC` in nanoseconds.

use std::{thread::sleep, time::Duration};

use llem_core::energy::{Mode, Request, Settings, measure};
use llem_meter::{GUARD, Instruments, MeterOptions, now_ns};

#[expect(clippy::print_stdout, reason = "this program prints figures")]
fn main() {
    let times: Vec<u64> = std::env::args().skip(1).filter_map(|time| time.parse().ok()).collect();
    let options = MeterOptions { cpu: false, ..MeterOptions::default() };
    let (instruments, _) = Instruments::discover(&options);
    let recording = instruments.start(None);
    let last = times.last().copied().unwrap_or(0);
    sleep(Duration::from_nanos(last.saturating_sub(now_ns())) + GUARD);
    let series = recording.stop();
    let energy = |job: &[u64]| {
        let request = Request { begin_ns: job[0], end_ns: job[1], mode: Mode::Isolated };
        let reading = measure(&series, request, &Settings::default()).readings.remove(0);
        reading.energy_joules.map_or_else(|| "null".to_owned(), |energy| energy.get().to_string())
    };
    let energies: Vec<String> = times.chunks_exact(2).map(energy).collect();
    println!("[{}]", energies.join(", "));
}
