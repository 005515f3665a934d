//! Prints how much of a core recording takes, on simulated GPUs whose reads take as long as an H100's:
//! `cargo run --release -p llem-meter --example overhead [GPUS] [SECONDS]`.

use std::{thread::sleep, time::Duration};

use llem_fake_nvml::{Config, Fake, GpuConfig};
use llem_meter::{Instruments, MeterOptions};

#[expect(clippy::print_stdout, reason = "this program prints a figure")]
fn main() {
    let mut arguments = std::env::args().skip(1).map_while(|argument| argument.parse::<u32>().ok());
    let (gpus, seconds) = (arguments.next().unwrap_or(1), arguments.next().unwrap_or(20));
    let gpu = |place: u32| GpuConfig {
        uuid: format!("GPU-{place}"),
        phase_seconds: 0.013 * f64::from(place),
        seed: place.into(),
        ..GpuConfig::default()
    };
    let fake = Fake::new(&Config { gpus: (0..gpus).map(gpu).collect(), ..Config::default() });
    let options = MeterOptions {
        nvml_library: Some(fake.path().to_owned()),
        cpu: false,
        ..MeterOptions::default()
    };
    let (instruments, _) = Instruments::discover(&options);
    let recording = instruments.start(None);
    sleep(Duration::from_secs(1));
    let (before, reads) = (processor_seconds(), fake.reads());
    sleep(Duration::from_secs(seconds.into()));
    let used = processor_seconds() - before;
    let reads = fake.reads() - reads;
    let series = recording.stop();
    let share = 100.0 * used / f64::from(seconds) / f64::from(gpus);
    println!(
        "{gpus} GPUs, {seconds} s: {share:.3} % of a core per GPU, {reads} reads of counters,"
    );
    println!("{} publications of the first", series[0].ticks.len());
}

/// Processor time of this process.
fn processor_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let part = |value: i64| f64::from(i32::try_from(value).expect("below 2^31"));
    part(time.tv_sec) + part(time.tv_nsec) / 1e9
}
