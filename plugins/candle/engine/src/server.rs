//! The OpenAI-compatible server: listens at once, answers 503 until the model is loaded, ends cleanly on SIGTERM.
//!
//! Computation happens on a thread of its own; this module only starts and joins the parts.

mod answer;
mod api;
mod driver;
mod failure;
mod metrics;
mod request;
mod routes;
mod stream;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use axum::serve::ListenerExt;
use tokio::{
    net::TcpListener,
    runtime,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use self::{driver::Driver, metrics::Metrics};
use crate::{
    cli,
    engine::{Engine, Facts},
    error::{EngineError, log},
    loading,
};

/// What the handlers share.
pub(crate) struct Shared {
    /// Name of the model in the API.
    name: String,
    /// When the server started, in seconds since 1970.
    created: u64,
    /// Counters.
    metrics: Metrics,
    /// The model, once it is loaded.
    ready: OnceLock<Ready>,
}

/// A loaded model, as the handlers see it.
pub(crate) struct Ready {
    facts: Facts,
    driver: Driver,
}

/// Serves until a signal ends it or the engine fails.
pub(crate) fn run(flags: cli::Serve) -> Result<(), EngineError> {
    let system = |action| move |source: io::Error| EngineError::System { action, source };
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("start the server's runtime"))?;
    let outcome = runtime.block_on(serve(flags));
    // Streams that are still open end with the process.
    runtime.shutdown_background();
    outcome
}

async fn serve(flags: cli::Serve) -> Result<(), EngineError> {
    let system = |source| EngineError::System { action: "listen for signals", source };
    let mut terminate = signal(SignalKind::terminate()).map_err(system)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system)?;
    let (listener, address) = listen(&flags.host, flags.port).await?;
    let name =
        flags.served_model_name.clone().unwrap_or_else(|| loading::default_name(&flags.model));
    let created = routes::now();
    let shared =
        Arc::new(Shared { name, created, metrics: Metrics::default(), ready: OnceLock::new() });
    let mut engine = start(flags, shared.clone(), address)?;
    // A token must not wait for the acknowledgement of the one before.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    tokio::select! {
        end = axum::serve(listener, routes::router(shared)) => {
            end.map_err(|source| EngineError::System { action: "serve", source })
        }
        end = &mut engine => end.unwrap_or_else(|_| {
            let source = io::Error::other("the engine's thread ended");
            Err(EngineError::System { action: "compute", source })
        }),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

/// Loads and runs the model on a thread of its own; the receiver hears of its end.
fn start(
    flags: cli::Serve,
    shared: Arc<Shared>,
    address: SocketAddr,
) -> Result<oneshot::Receiver<Result<(), EngineError>>, EngineError> {
    let (ended, end) = oneshot::channel();
    let work = move || {
        let load = &flags.load;
        let outcome = Engine::load(&flags.model, load.random_weights, load.seed, &load.settings());
        let outcome = outcome.and_then(|(engine, facts)| {
            let (driver, commands) = Driver::new();
            if shared.ready.set(Ready { facts, driver }).is_ok() {
                log(&format!("ready on http://{address}"));
            }
            driver::run(engine, &commands, &shared.metrics)
        });
        // Nobody listens any more where the server has ended first.
        drop(ended.send(outcome));
    };
    std::thread::Builder::new()
        .name("engine".to_owned())
        .spawn(work)
        .map_err(|source| EngineError::System { action: "start the engine's thread", source })?;
    Ok(end)
}

async fn listen(host: &str, port: u16) -> Result<(TcpListener, SocketAddr), EngineError> {
    let address =
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let refused = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => EngineError::AddressInUse { address: address.clone() },
        _ => EngineError::Listen { address: address.clone(), source },
    };
    let listener = TcpListener::bind((host, port)).await.map_err(refused)?;
    let local = listener.local_addr().map_err(refused)?;
    Ok((listener, local))
}
