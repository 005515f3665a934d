//! An OpenAI-compatible server that generates nothing, at programmed times, with programmed faults.
//!
//! It is the truth that clients are judged by, so it reports what it really did and when. One thread
//! serves thousands of streams. It shares no code with the client under test.
//!
//! Endpoints: `POST /v1/completions`, `POST /v1/chat/completions`, `POST /generate` (one JSON answer),
//! `GET /health`, `GET /v1/models`, `GET /metrics`, `GET /truth`. A request overrides the server's
//! [`Behaviour`] with the fields of its own `fake` object.

mod answer;
mod behaviour;
mod request;
mod server;
mod truth;

use std::{
    ffi::OsString,
    io::{self, Write as _},
    net::{SocketAddr, TcpListener},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

pub use behaviour::{Behaviour, Fault, Text, UsageReport};
pub use truth::{Served, Truth};

/// A server on a thread of its own; it ends when dropped.
#[derive(Debug)]
pub struct FakeEngine {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<io::Result<Truth>>>,
}

impl FakeEngine {
    /// Starts a server on a free port of the loopback interface.
    pub fn start(behaviour: Behaviour) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("fake-engine".to_owned())
            .spawn(move || serve(listener, behaviour, &flag))?;
        Ok(Self { address, stop, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the server and returns what it did.
    pub fn stop(mut self) -> io::Result<Truth> {
        self.stop.store(true, Ordering::Relaxed);
        let joined = self.thread.take().map(thread::JoinHandle::join);
        joined
            .and_then(Result::ok)
            .unwrap_or_else(|| Err(io::Error::other("the fake engine panicked")))
    }
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A test that failed already has its own message.
            drop(thread.join());
        }
    }
}

/// The program: its name, then a port of the loopback interface, an address with a port, or nothing for a free port, then
/// its behaviour as a JSON object.
///
/// Prints its address and serves until it is killed.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<String> = args.skip(1).map(|it| it.to_string_lossy().into_owned()).collect();
    match run(args.first().map_or("0", String::as_str), args.get(1).map_or("{}", String::as_str)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "error: the fake engine can't serve: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(port: &str, behaviour: &str) -> io::Result<()> {
    let behaviour: Behaviour = serde_json::from_str(behaviour)?;
    let address = if port.contains(':') { port.to_owned() } else { format!("127.0.0.1:{port}") };
    let listener = TcpListener::bind(address)?;
    writeln!(io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    serve(listener, behaviour, &AtomicBool::new(false)).map(drop)
}

/// Serves until the flag is set.
pub fn serve(listener: TcpListener, behaviour: Behaviour, stop: &AtomicBool) -> io::Result<Truth> {
    server::Server::new(listener, behaviour)?.run(stop)
}
