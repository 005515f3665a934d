//! Advances the engine's epoch every 10 ms while a call runs, and sleeps otherwise: an idle timer
//! would show in an energy measurement.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use wasmtime::{Engine, EngineWeak};

/// Time between two looks at a call's deadline.
const TICK: Duration = Duration::from_millis(10);

/// The thread's side of a [`Ticker`].
#[derive(Debug, Default)]
struct Shared {
    running: Mutex<u32>,
    started: Condvar,
}

/// Starts and stops the ticking.
#[derive(Debug)]
pub(crate) struct Ticker(Arc<Shared>);

/// Keeps the epoch advancing until it is dropped.
#[must_use]
pub(crate) struct Ticking<'a>(&'a Shared);

impl Ticker {
    /// Starts the thread, which sleeps until a call begins and ends with the engine.
    pub(crate) fn new(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (engine, theirs) = (engine.weak(), Arc::clone(&shared));
        thread::Builder::new()
            .name("llem-plugin-epoch".to_owned())
            .spawn(move || tick(&engine, &theirs))?;
        Ok(Self(shared))
    }

    /// Ticks until the result is dropped.
    pub(crate) fn run(&self) -> Ticking<'_> {
        *self.0.running.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.started.notify_one();
        Ticking(&self.0)
    }
}

impl Drop for Ticking<'_> {
    fn drop(&mut self) {
        *self.0.running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
    }
}

fn tick(engine: &EngineWeak, shared: &Shared) {
    loop {
        let running = shared.running.lock().unwrap_or_else(PoisonError::into_inner);
        drop(shared.started.wait_while(running, |running| *running == 0));
        thread::sleep(TICK);
        let Some(engine) = engine.upgrade() else { return };
        engine.increment_epoch();
    }
}
