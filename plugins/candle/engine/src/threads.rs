//! The one pool that all computation runs in. Decides nothing about what runs there.

use std::num::NonZeroUsize;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::EngineError;

/// Stops candle from starting threads of its own, so that the engine's pool is the only one that computes.
///
/// candle splits work by these variables, over pools that it never ends and that spin while they wait.
#[expect(unsafe_code, reason = "candle takes its thread counts from the environment only")]
pub(crate) fn keep_candle_single_threaded() {
    for name in ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"] {
        // SAFETY: `main` documents that no other thread exists yet, so nothing reads the environment meanwhile.
        unsafe { std::env::set_var(name, "1") };
    }
}

/// Starts the pool.
pub(crate) fn pool(threads: NonZeroUsize) -> Result<ThreadPool, EngineError> {
    ThreadPoolBuilder::new()
        .num_threads(threads.get())
        .thread_name(|index| format!("compute-{index}"))
        .build()
        .map_err(|error| {
            EngineError::bad_parameter("threads", format!("{threads} can't be started: {error}"))
        })
}

/// Returns how many threads this process may use at once.
pub(crate) fn available() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}
