//! Thousands of streams to one server on one thread: the load itself.
//!
//! No limit but the plan's: every due request is sent at once, on a connection of its own that is kept
//! for the next. Requests are not repeated; every failure is an entry of the log. Decides nothing
//! about windows.

mod body;
mod connection;
mod control;
mod exchange;
mod plan;
mod reactor;
mod receive;
mod surroundings;

use std::{sync::Arc, thread};

pub use control::{Control, Progress};
use llem_core::{arrival::ArrivalError, latency::RequestLog};
pub use plan::{Plan, Protocol, Stop, UsageRequest};

use crate::{target::TargetError, tls::TlsError};

/// Why a load could not start, or broke as a whole. The failure of a request is no such error.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The arrival process has impossible parameters.
    #[error("the arrival process can't be scheduled")]
    Arrival(#[from] ArrivalError),
    /// The server's name has no address.
    #[error("the server can't be found")]
    Target(#[from] TargetError),
    /// Connections can't be encrypted.
    #[error("connections can't be encrypted")]
    Tls(#[from] TlsError),
    /// A field of the body that the client sets itself.
    #[error("the request field `{field}` is set by the workload, not by a setting")]
    ReservedField {
        /// Its name.
        field: String,
    },
    /// A form of prompt that the endpoint does not take.
    #[error("the protocol `{protocol}` does not take {form}")]
    PromptForm {
        /// The protocol's name.
        protocol: &'static str,
        /// What the workload has.
        form: &'static str,
    },
    /// Too few file descriptors for the connections.
    #[error("{needed} file descriptors are needed, the system allows {allowed}")]
    Descriptors {
        /// For the connections and the process itself.
        needed: u64,
        /// The hard limit.
        allowed: u64,
    },
    /// The operating system refused something.
    #[error("the load generator can't {action}")]
    System {
        /// What it wanted.
        action: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The thread of the load ended without a result.
    #[error("the thread of the load generator panicked")]
    Panicked,
}

/// Runs a load on the calling thread until the plan's end, or until the control says so, and returns its log.
pub fn run(plan: &Plan, control: &Control) -> Result<RequestLog, LoadError> {
    let prepared = reactor::Reactor::prepare(plan, control)?;
    prepared.run()
}

/// A load on its own thread.
#[derive(Debug)]
pub struct Running {
    thread: thread::JoinHandle<Result<RequestLog, LoadError>>,
}

/// Starts a load on a thread of its own.
pub fn spawn(plan: Plan, control: Arc<Control>) -> Result<Running, LoadError> {
    let thread = thread::Builder::new()
        .name("llem-load".to_owned())
        .spawn(move || run(&plan, &control))
        .map_err(|source| LoadError::System { action: "start its thread", source })?;
    Ok(Running { thread })
}

impl Running {
    /// Whether the load has ended, by itself or because it was told to.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the end and returns the log. Tell the [`Control`] first where the plan has no end.
    pub fn join(self) -> Result<RequestLog, LoadError> {
        self.thread.join().unwrap_or(Err(LoadError::Panicked))
    }
}
