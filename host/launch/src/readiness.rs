//! Waits until a step is ready: all its probes hold, or it fails by name.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use llem_core::backend::{HttpRequest, Probe, Step};
use llem_load::{probe::probe, target::Target};

use crate::{Ended, Running};

/// Why a step never became ready.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// It ended first.
    #[error("the engine ended during its start: {0}")]
    Ended(Ended),
    /// The deadline passed.
    #[error("the engine was not ready within {} s: {waiting_for} still fails", .deadline.as_secs())]
    Deadline {
        /// What it had.
        deadline: Duration,
        /// The probe that failed last.
        waiting_for: String,
    },
    /// It said nothing for too long.
    #[error("the engine printed nothing for {} s and was not ready", .0.as_secs())]
    Silent(Duration),
    /// Somebody else has its port.
    #[error("{who} answers at the engine's port {port}, so that something else would be measured")]
    Stranger {
        /// The port.
        port: u16,
        /// Who has it.
        who: String,
    },
    /// The user stopped the study.
    #[error("stopped by the user during the engine's start")]
    Cancelled,
}

/// The clock of a container's deadline starts when its image is there.
const LONGEST_PULL: Duration = Duration::from_hours(2);

/// Waits for all probes of a step; `cancelled` is asked between tries.
pub(crate) fn wait(
    step: &Step,
    running: &mut Running,
    cancelled: &dyn Fn() -> bool,
) -> Result<(), NotReady> {
    let deadline = Duration::from_millis(step.readiness.deadline_ms.into());
    let interval = interval(step);
    let silence = step.limits.silence_ms.map(|it| Duration::from_millis(it.into()));
    let mut started = Instant::now();
    let pull_until = started + LONGEST_PULL;
    let mut pending: Vec<&Probe> = step.readiness.probes.iter().collect();
    loop {
        if let Some(ended) = running.ended() {
            let exited_well =
                ended.code == Some(0) && pending.iter().all(|it| matches!(it, Probe::Exits));
            return if exited_well { Ok(()) } else { Err(NotReady::Ended(ended)) };
        }
        pending.retain(|it| !holds(it, running));
        let Some(first) = pending.first() else { return own_port(step, running) };
        if cancelled() {
            return Err(NotReady::Cancelled);
        }
        if running.is_pulling() && Instant::now() < pull_until {
            started = Instant::now();
        }
        if started.elapsed() > deadline {
            return Err(NotReady::Deadline {
                deadline,
                waiting_for: describe(first, running.port()),
            });
        }
        if let Some(silence) = silence
            && running.silent_for() > silence
        {
            return Err(NotReady::Silent(silence));
        }
        thread::sleep(interval);
    }
}

/// Refuses an engine whose port another program has: its answers would be taken for the engine's.
fn own_port(step: &Step, running: &Running) -> Result<(), NotReady> {
    let uses_port = |it: &Probe| matches!(it, Probe::Http(_) | Probe::Tcp);
    if !step.readiness.probes.iter().any(uses_port) {
        return Ok(());
    }
    let port = running.port();
    running.stranger_at_port().map_or(Ok(()), |who| Err(NotReady::Stranger { port, who }))
}

fn holds(probe: &Probe, running: &Running) -> bool {
    match probe {
        Probe::Http(request) => {
            let address = SocketAddr::from(([127, 0, 0, 1], running.port()));
            answers(request, &Target::at(address, ""))
        }
        Probe::Tcp => std::net::TcpStream::connect(("127.0.0.1", running.port())).is_ok(),
        Probe::Signal(id) => running.saw(id),
        Probe::File(name) => running.scratch().join(name).exists(),
        Probe::Exits => false,
    }
}

/// Time between two tries.
pub(crate) fn interval(step: &Step) -> Duration {
    Duration::from_millis(u64::from(step.readiness.interval_ms).clamp(5, 5_000))
}

/// Whether an engine answers as expected.
pub(crate) fn answers(request: &HttpRequest, target: &Target) -> bool {
    let body = request.body.as_deref().map(str::as_bytes);
    let Ok(answer) = probe(target, &request.method, &request.path, body, Duration::from_secs(30))
    else {
        return false;
    };
    let status_fits = request.expect_status.map_or(answer.status < 400, |it| it == answer.status);
    status_fits
        && request
            .expect_body
            .as_ref()
            .is_none_or(|it| String::from_utf8_lossy(&answer.body).contains(it.as_str()))
}

fn describe(probe: &Probe, port: u16) -> String {
    match probe {
        Probe::Http(request) => {
            format!("{} http://127.0.0.1:{port}{}", request.method, request.path)
        }
        Probe::Tcp => format!("a connection to 127.0.0.1:{port}"),
        Probe::Signal(id) => format!("the log signal `{id}`"),
        Probe::File(name) => format!("the file `{name}`"),
        Probe::Exits => "the end of the process".to_owned(),
    }
}
