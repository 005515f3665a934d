//! One container from its creation to its removal, with its streams passed on.

use std::{
    io::{Read as _, Write as _},
    time::Duration,
};

use bollard::{
    Docker,
    container::LogOutput,
    errors::Error,
    query_parameters::{
        AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, KillContainerOptionsBuilder,
    },
};
use futures_util::StreamExt;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};

use super::{
    body,
    client::image,
    leftovers::force_remove,
    say,
    spec::{Spec, State},
};

/// How long the rest of its output may take once it has ended.
const DRAIN: Duration = Duration::from_secs(5);

/// Runs a container and gives its exit code.
pub(super) async fn attend(docker: &Docker, spec: &Spec) -> Result<u8, String> {
    // From the first moment on: a signal must never end this before the container is gone.
    let mut ends = Ends::new().map_err(|it| it.to_string())?;
    let (image, record) = tokio::select! {
        found = image(docker, &spec.image) => found?,
        () = ends.next() => return Err("stopped before its image was there".into()),
    };
    let name = format!("llem-{}-{}-{}", spec.owner, spec.step, std::process::id());
    let options = CreateContainerOptionsBuilder::new().name(&name).build();
    let network = body::network(docker, spec).await;
    let body = body::body(docker, spec, image, network).await;
    let failed = |it: Error| it.to_string();
    let id = docker.create_container(Some(options), body).await.map_err(failed)?.id;
    let state = State { image: record, shares_network: network == "host", ..State::default() };
    let code = run(docker, spec, &id, state, &mut ends).await;
    let removed = force_remove(docker, &id).await.map_err(failed);
    let code = code?;
    removed.map(|()| code)
}

async fn run(
    docker: &Docker,
    spec: &Spec,
    id: &str,
    state: State,
    ends: &mut Ends,
) -> Result<u8, String> {
    let failed = |it: Error| it.to_string();
    let options = AttachContainerOptionsBuilder::new()
        .stdin(spec.has_input)
        .stdout(true)
        .stderr(true)
        .stream(true)
        .build();
    let attached = docker.attach_container(id, Some(options)).await.map_err(failed)?;
    docker.start_container(id, None).await.map_err(failed)?;
    let facts = docker.inspect_container(id, None).await.map_err(failed)?;
    let pid = facts.state.and_then(|it| it.pid).and_then(|it| u32::try_from(it).ok());
    tell(spec, &State { id: id.to_owned(), pid: pid.filter(|it| *it != 0), ..state })?;
    if spec.has_input {
        tokio::spawn(feed(attached.input));
    }
    let mut output = attached.output;
    let mut ended = docker.wait_container(id, None);
    let mut kill_at = None;
    let code = loop {
        tokio::select! {
            part = output.next() => match part {
                Some(part) => pass_on(part.map_err(failed)?),
                // The streams end with the container; its code is about to come.
                None => break code_of(timeout(DRAIN, ended.next()).await.ok().flatten()),
            },
            answer = ended.next() => {
                let drained = async { while let Some(Ok(part)) = output.next().await { pass_on(part); } };
                drop(timeout(DRAIN, drained).await);
                break code_of(answer);
            },
            () = ends.next() => {
                if kill_at.is_none() {
                    kill(docker, id, &spec.signal).await;
                    kill_at = Some(Instant::now() + Duration::from_millis(spec.grace_ms.into()));
                }
            },
            () = sleep_until(kill_at.unwrap_or_else(Instant::now)), if kill_at.is_some() => {
                kill(docker, id, "SIGKILL").await;
                kill_at = Some(Instant::now() + DRAIN);
            },
        }
    };
    let ended = docker.inspect_container(id, None).await.ok().and_then(|it| it.state);
    if ended.is_some_and(|it| it.oom_killed == Some(true)) {
        say("the kernel ended it: it was out of memory");
    }
    code.ok_or_else(|| "the connection to it was lost".to_owned())
}

/// The exit code that the engine tells; none: it tells none.
fn code_of(answer: Option<Result<bollard::models::ContainerWaitResponse, Error>>) -> Option<u8> {
    match answer? {
        Ok(_) => Some(0),
        Err(Error::DockerContainerWaitError { code, .. }) => {
            Some(u8::try_from(code).unwrap_or(u8::MAX))
        }
        Err(_) => None,
    }
}

async fn kill(docker: &Docker, id: &str, signal: &str) {
    let options = KillContainerOptionsBuilder::new().signal(signal).build();
    if let Err(error) = docker.kill_container(id, Some(options)).await {
        say(&format!("{signal}: {error}"));
    }
}

/// Leaves word of how it runs, whole or not at all.
pub(super) fn tell(spec: &Spec, state: &State) -> Result<(), String> {
    let text = serde_json::to_string(state).expect("a state has string keys only");
    let partial = spec.state.with_extension("partial");
    std::fs::write(&partial, text)
        .and_then(|()| std::fs::rename(&partial, &spec.state))
        .map_err(|it| format!("`{}`: {it}", spec.state.display()))
}

/// Passes on what the container says; a reader that went away is no failure.
fn pass_on(part: LogOutput) {
    match part {
        LogOutput::StdOut { message } | LogOutput::Console { message } => {
            let mut out = std::io::stdout().lock();
            drop(out.write_all(&message).and_then(|()| out.flush()));
        }
        LogOutput::StdErr { message } => drop(std::io::stderr().lock().write_all(&message)),
        LogOutput::StdIn { .. } => (),
    }
}

/// Passes on what the host says, until it says no more.
async fn feed(mut input: std::pin::Pin<Box<dyn AsyncWrite + Send>>) {
    let (sender, mut receiver) = mpsc::channel::<Vec<u8>>(16);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = std::io::stdin().lock().read(&mut buffer) {
            if sender.blocking_send(buffer[..read].to_vec()).is_err() {
                return;
            }
        }
    });
    while let Some(part) = receiver.recv().await {
        if input.write_all(&part).await.is_err() || input.flush().await.is_err() {
            return;
        }
    }
    drop(input.shutdown().await);
}

/// The signals that ask for an end.
pub(super) struct Ends {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
}

impl Ends {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => (),
            _ = self.int.recv() => (),
        }
    }
}
