//! Recording in the time of a simulated device, on the calling thread.
//!
//! It runs the same calibration and the same loop as a real recording, so that a test can judge them by
//! an energy that is known exactly. It is of no use with a real device.

use std::{path::Path, sync::Arc, time::Duration};

use llem_core::energy::Series;

use crate::{
    calibrate::calibrate,
    clock::Clock,
    follow::{Control, Follower},
    nvml::{Chosen, Gpu, Library},
    sensor::Sensor,
    store::Store,
};

/// A GPU of a simulated library that can be recorded again and again.
#[derive(Debug)]
pub struct Simulated {
    library: Arc<Library>,
}

impl Simulated {
    /// Opens the library.
    ///
    /// # Panics
    ///
    /// If it cannot be opened: it is the test's own.
    pub fn open(library: &Path) -> Self {
        let library = Library::open(Some(library)).expect("the test's library opens");
        Self { library: Arc::new(library) }
    }

    /// Calibrates, then records the first GPU until a time; a lost device ends it early.
    ///
    /// # Panics
    ///
    /// If there is no GPU.
    pub fn record(&self, clock: &impl Clock, subject: Option<u32>, until_ns: u64) -> Series {
        let (nodes, _) = self.library.inventory().expect("the test's library lists its GPUs");
        let chosen = Chosen { node: nodes[0].clone(), slice: None };
        let mut gpu = Gpu::open(&self.library, &chosen).expect("the test's GPU opens");
        let mut calibration = calibrate(clock, &mut gpu, Duration::from_millis(2_500));
        calibration.support = gpu.support();
        let device = gpu.device();
        let store = Store::with_capacity(Duration::from_mins(2));
        let control = Control::new(subject);
        Follower::new(clock, &mut gpu, &store, &control, &calibration)
            .run_while(|| clock.now_ns() < until_ns);
        store.series(device, calibration)
    }
}
