//! The process's one WebAssembly engine, with what is linked into every plugin.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};
use wasmtime::{
    Config, Engine,
    component::{HasSelf, Linker},
};

use crate::{LoadError, bindings::Backend, store::State, ticker::Ticker};

/// Engine, linkers, ticker and the runtime that calls run on.
pub(crate) struct Shared {
    /// Compiles and runs.
    pub(crate) engine: Engine,
    /// Keeps time while a call runs.
    pub(crate) ticker: Ticker,
    /// Drives calls. Never dropped, so that a plugin may be dropped anywhere.
    pub(crate) runtime: Runtime,
}

/// The process's engine, made on first use.
pub(crate) fn shared() -> Result<&'static Shared, LoadError> {
    static SHARED: OnceLock<Result<Shared, String>> = OnceLock::new();
    SHARED.get_or_init(Shared::new).as_ref().map_err(|reason| LoadError::Engine(reason.clone()))
}

impl Shared {
    fn new() -> Result<Self, String> {
        let mut config = Config::new();
        config.epoch_interruption(true);
        let engine = Engine::new(&config).map_err(|error| format!("{error:#}"))?;
        let ticker =
            Ticker::new(&engine).map_err(|error| format!("starting its clock: {error}"))?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("starting its runtime: {error}"))?;
        Ok(Self { engine, ticker, runtime })
    }

    /// A linker with `log`, and with WASI only for a plugin that wants it: linking it costs more
    /// than a call.
    pub(crate) fn linker(&self, with_wasi: bool) -> wasmtime::Result<Linker<State>> {
        let mut linker = Linker::new(&self.engine);
        Backend::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        if with_wasi {
            wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        }
        Ok(linker)
    }
}
