//! One call of a plugin: a fresh instance, a deadline, and the cause if it breaks.

use std::time::Duration;

use wasmtime::{Store, Trap};

use crate::{
    BadReply, Cause,
    bindings::{Backend, BackendPre},
    engine::Shared,
    log::LogLine,
    store::{MAX_MEMORY_BYTES, State},
};

/// Bytes of one reply.
const MAX_REPLY_BYTES: usize = 8 << 20;

/// Runs `call` on a fresh instance and returns its answer with the lines that the plugin logged.
///
/// Blocks. May be called from inside an asynchronous runtime.
pub(crate) fn run<R: Send>(
    shared: &Shared,
    plugin: &BackendPre<State>,
    limit: Duration,
    call: impl AsyncFnOnce(&Backend, &mut Store<State>) -> wasmtime::Result<R> + Send,
) -> (Result<R, Cause>, Vec<LogLine>) {
    let block = || shared.runtime.block_on(answer(shared, plugin, limit, call));
    if tokio::runtime::Handle::try_current().is_err() {
        return block();
    }
    // A runtime's thread must not block on another runtime.
    std::thread::scope(|scope| scope.spawn(block).join())
        .unwrap_or_else(|payload| std::panic::resume_unwind(payload))
}

async fn answer<R>(
    shared: &Shared,
    plugin: &BackendPre<State>,
    limit: Duration,
    call: impl AsyncFnOnce(&Backend, &mut Store<State>) -> wasmtime::Result<R>,
) -> (Result<R, Cause>, Vec<LogLine>) {
    let mut store = Store::new(&shared.engine, State::new());
    store.limiter(|state| &mut state.limits);
    store.set_hostcall_fuel(MAX_REPLY_BYTES);
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    let _ticking = shared.ticker.run();
    let timed = tokio::time::timeout(limit, async {
        let instance = plugin.instantiate_async(&mut store).await?;
        call(&instance, &mut store).await
    })
    .await;
    // The store ends here, whatever happened: an instance that broke can't be entered again.
    let state = store.into_data();
    let answer = match timed {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(cause(&error, &state)),
        Err(_) => {
            Err(Cause::Deadline { milliseconds: limit.as_millis().try_into().unwrap_or(u64::MAX) })
        }
    };
    (answer, state.log.into_lines())
}

fn cause(error: &wasmtime::Error, state: &State) -> Cause {
    if let Some(wanted) = state.limits.refused {
        return Cause::Memory { wanted, allowed: MAX_MEMORY_BYTES };
    }
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return Cause::Trap(trap.to_string());
    }
    let reason = format!("{error:#}");
    // wasmtime has no type for this error; a test holds it to its words.
    if reason.contains("fuel allocated for hostcalls") {
        return Cause::Output { allowed: MAX_REPLY_BYTES };
    }
    Cause::BadReply(BadReply::Unreadable(reason))
}
