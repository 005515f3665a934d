//! What one call may use: memory, tables, log lines, and a WASI that grants nothing.

use std::time::Duration;

use wasmtime::{ResourceLimiter, Result};
use wasmtime_wasi::{
    Deterministic, HostMonotonicClock, HostWallClock, ResourceTable, WasiCtx, WasiCtxBuilder,
    WasiCtxView, WasiView,
};

use crate::{
    bindings::llem::backend::{host, types},
    log::{CallLog, LogLevel},
};

/// Memory that all of a plugin's instances may hold together.
pub(crate) const MAX_MEMORY_BYTES: usize = 128 << 20;
const MAX_TABLE_ELEMENTS: usize = 100_000;

/// State of one call.
pub(crate) struct State {
    /// Memory and tables.
    pub(crate) limits: Limits,
    /// What the plugin said.
    pub(crate) log: CallLog,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl State {
    /// A fresh state. Clocks stand still and random numbers repeat, so that replies are functions
    /// of the component and its input.
    pub(crate) fn new() -> Self {
        let mut wasi = WasiCtxBuilder::new();
        wasi.wall_clock(Frozen)
            .monotonic_clock(Frozen)
            .secure_random(Deterministic::new(vec![0x5a]))
            .insecure_random(Deterministic::new(vec![0x5a]))
            .insecure_random_seed(0)
            .allow_tcp(false)
            .allow_udp(false)
            .max_random_size(64 * 1024);
        Self {
            limits: Limits::default(),
            log: CallLog::default(),
            wasi: wasi.build(),
            table: ResourceTable::new(),
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl types::Host for State {}

impl host::Host for State {
    fn log(&mut self, level: host::Level, message: String) {
        let level = match level {
            host::Level::Trace => LogLevel::Trace,
            host::Level::Debug => LogLevel::Debug,
            host::Level::Info => LogLevel::Info,
            host::Level::Warn => LogLevel::Warn,
            host::Level::Error => LogLevel::Error,
        };
        self.log.push(level, &message);
    }
}

/// A clock that always shows the start of its epoch.
struct Frozen;

impl HostWallClock for Frozen {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for Frozen {
    fn resolution(&self) -> u64 {
        1_000_000_000
    }

    fn now(&self) -> u64 {
        0
    }
}

/// Counts memory and traps where it would exceed the cap.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    held: usize,
    /// What the plugin asked for when it was refused.
    pub(crate) refused: Option<usize>,
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        let wanted = self.held.saturating_add(desired.saturating_sub(current));
        if wanted > MAX_MEMORY_BYTES {
            self.refused = Some(wanted);
            wasmtime::bail!("memory cap");
        }
        self.held = wanted;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }

    fn instances(&self) -> usize {
        64
    }

    fn tables(&self) -> usize {
        64
    }

    fn memories(&self) -> usize {
        16
    }
}

#[cfg(test)]
mod tests {
    use wasmtime_wasi::{
        cli::WasiCliView as _,
        clocks::WasiClocksView as _,
        filesystem::WasiFilesystemView as _,
        p2::bindings::{
            cli::environment::Host as _,
            clocks::wall_clock::Host as _,
            filesystem::preopens::Host as _,
            random::random::Host as _,
            sockets::{instance_network::Host as _, ip_name_lookup::Host as _},
        },
        random::WasiRandomView as _,
        sockets::WasiSocketsView as _,
    };

    use super::*;

    #[test]
    fn wasi_has_nothing_and_stands_still() {
        let mut state = State::new();
        assert_eq!(state.cli().get_environment().unwrap(), []);
        assert_eq!(state.cli().get_arguments().unwrap(), [""; 0]);
        assert!(state.filesystem().get_directories().unwrap().is_empty());
        let now = state.clocks().now().unwrap();
        assert_eq!((now.seconds, now.nanoseconds), (0, 0));
        let drawn = |state: &mut State| state.random().get_random_bytes(32).unwrap();
        assert_eq!(drawn(&mut state), drawn(&mut State::new()));
        let network = state.sockets().instance_network().unwrap();
        assert!(state.sockets().resolve_addresses(network, "localhost".to_owned()).is_err());
    }
}
