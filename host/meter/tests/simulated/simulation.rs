//! Recordings of simulated GPUs in virtual time.

use llem_core::energy::{EnergyReading, Measurement, Mode, Request, Series, Settings, measure};
use llem_fake_nvml::{Config, Fake, GpuConfig};
use llem_meter::{Clock, Simulated};

/// The time of a simulated library.
pub(crate) struct FakeClock<'a>(pub(crate) &'a Fake);

impl Clock for FakeClock<'_> {
    fn now_ns(&self) -> u64 {
        self.0.now_ns()
    }

    fn wall_ns(&self) -> u64 {
        self.0.wall_ns()
    }

    fn sleep_until(&self, at_ns: u64) {
        // A thread wakes a little late.
        self.0.advance_to(at_ns + 60_000);
    }
}

/// The same, but the thread is once kept from its work: from a time on, for so long, in nanoseconds.
struct Stalling<'a>(FakeClock<'a>, u64, u64);

impl Clock for Stalling<'_> {
    fn now_ns(&self) -> u64 {
        self.0.now_ns()
    }

    fn wall_ns(&self) -> u64 {
        self.0.wall_ns()
    }

    fn sleep_until(&self, at_ns: u64) {
        let is_then = self.now_ns() < self.1 && self.1 <= at_ns;
        self.0.sleep_until(at_ns + if is_then { self.2 } else { 0 });
    }
}

/// A recorded simulation.
pub(crate) struct Simulation {
    pub(crate) fake: Fake,
    pub(crate) series: Series,
}

impl Simulation {
    /// Records one GPU until a time of its script.
    pub(crate) fn of(gpu: GpuConfig, seconds: f64) -> Self {
        Self::of_library(Fake::new(&Config::simulated(gpu)), None, seconds)
    }

    /// Records the first GPU of a library until a time of its script.
    pub(crate) fn of_library(fake: Fake, subject: Option<u32>, seconds: f64) -> Self {
        let simulated = Simulated::open(fake.path());
        let until = at(&fake, seconds);
        let series = simulated.record(&FakeClock(&fake), subject, until);
        Self { fake, series }
    }

    /// The same while the recording thread does not run for 0.8 s from a time of the script on.
    pub(crate) fn stalled(gpu: GpuConfig, stall: f64, seconds: f64) -> Self {
        let fake = Fake::new(&Config::simulated(gpu));
        let simulated = Simulated::open(fake.path());
        let clock = Stalling(FakeClock(&fake), at(&fake, stall), 800_000_000);
        let series = simulated.record(&clock, None, at(&fake, seconds));
        let gaps = series.ticks.hi_ns.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.max().is_some_and(|it| it > 700_000_000), "it sleeps at that time");
        Self { fake, series }
    }

    /// Measures between two times of the script.
    pub(crate) fn measure(&self, begin: f64, end: f64, mode: Mode) -> Measurement {
        let (begin_ns, end_ns) = (at(&self.fake, begin), at(&self.fake, end));
        let request = Request { begin_ns, end_ns, mode };
        measure(std::slice::from_ref(&self.series), request, &Settings::default())
    }

    /// The only reading between two times of the script.
    pub(crate) fn reading(&self, begin: f64, end: f64, mode: Mode) -> EnergyReading {
        self.measure(begin, end, mode).readings.remove(0)
    }

    /// The energy that the device really took in a reading's window.
    pub(crate) fn truth(&self, reading: &EnergyReading) -> f64 {
        self.fake.true_energy(0, reading.window.begin_ns, reading.window.end_ns)
    }
}

/// A time of the script on the library's clock.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "scripts last seconds"
)]
pub(crate) fn at(fake: &Fake, seconds: f64) -> u64 {
    fake.origin_ns() + (seconds * 1e9) as u64
}
