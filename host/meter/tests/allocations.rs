//! The recording loop allocates nothing: counted by this program's allocator.

#![expect(unsafe_code, reason = "an allocator that counts is unsafe by its interface")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering},
};

use llem_fake_nvml::{Config, Fake, GpuConfig};
use llem_meter::{Clock, Simulated};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The fake library's time; remembers the count of allocations when the loop had settled, and lately.
struct Watched<'a> {
    fake: &'a Fake,
    settled_ns: u64,
    first: Cell<Option<u64>>,
    last: Cell<u64>,
}

impl Clock for Watched<'_> {
    fn now_ns(&self) -> u64 {
        let now = self.fake.now_ns();
        if now >= self.settled_ns {
            let count = ALLOCATIONS.load(Ordering::Relaxed);
            self.first.set(self.first.get().or(Some(count)));
            self.last.set(count);
        }
        now
    }

    fn wall_ns(&self) -> u64 {
        self.fake.wall_ns()
    }

    fn sleep_until(&self, at_ns: u64) {
        self.fake.advance_to(at_ns);
    }
}

#[test]
fn half_a_minute_of_recording_allocates_nothing() {
    let own = std::process::id();
    let fake =
        Fake::new(&Config::simulated(GpuConfig { processes: vec![own], ..GpuConfig::default() }));
    let simulated = Simulated::open(fake.path());
    let begin = fake.now_ns();
    let clock = Watched {
        fake: &fake,
        settled_ns: begin + 4_000_000_000,
        first: Cell::new(None),
        last: Cell::new(0),
    };
    let series = simulated.record(&clock, Some(own), begin + 34_000_000_000);
    assert!(series.ticks.len() > 290 && series.samples.at_ns.len() > 1_400);
    assert_eq!(series.slow.foreign_processes.last(), Some(&Some(0)));
    assert_eq!(clock.last.get() - clock.first.get().expect("the loop ran"), 0);
}
