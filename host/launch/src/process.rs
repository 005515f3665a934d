//! One step as a process: started under the supervisor, watched, stopped.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    io::{BufRead, BufReader, PipeReader, PipeWriter, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use command_fds::{CommandFdExt, FdMapping};
use llem_core::backend::{Drive, Program, Role, Runner, Step, StopSignal};

use crate::{
    HostEnvironment, LaunchError, LogSummary, NotReady, Programs, Scratch, Secrets, cgroup,
    container, environment,
    logs::Logs,
    processes::{self, Listener},
    readiness,
    render::render,
    supervisor::{CONTROL_FD, Orders, STATUS_FD, Status},
};

/// Where a step runs and what its placeholders stand for.
#[derive(Clone, Debug)]
pub struct Site {
    /// The executable that has the supervisor as its hidden subcommand.
    pub supervisor: PathBuf,
    /// Below this, scratch directories are made.
    pub scratch_parent: PathBuf,
    /// Model id or path.
    pub model: String,
    /// The reserved port.
    pub port: u16,
    /// Artefacts by name.
    pub artefacts: BTreeMap<String, PathBuf>,
    /// Where the whole log is kept.
    pub log_file: Option<PathBuf>,
}

impl Site {
    /// A port that was free a moment ago.
    pub fn free_port() -> std::io::Result<u16> {
        Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
    }
}

/// How a step ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Exit code.
    pub code: Option<i32>,
    /// Signal.
    pub signal: Option<i32>,
    /// Descendants that outlived it and were killed.
    pub left_over: u32,
    /// Whether the host had asked for it.
    pub stopped_by_host: bool,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exit code {code}"),
            (None, Some(signal)) => write!(f, "signal {signal}"),
            (None, None) => f.write_str("ended without a status"),
        }
    }
}

/// A step that runs. Dropping it kills everything that it started.
pub struct Running {
    supervisor: Child,
    control: Option<PipeWriter>,
    status: Receiver<Status>,
    pid: u32,
    port: u16,
    ended: Option<Ended>,
    asked_to_stop: bool,
    scratch: Scratch,
    logs: Logs,
    batch: Option<(ChildStdin, ChildStdout)>,
    step: Step,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("step", &self.step.id)
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

impl Running {
    /// Starts a step. The plan must have passed [`crate::check`].
    pub fn start(
        step: &Step,
        site: &Site,
        programs: &Programs,
        host: &HostEnvironment,
    ) -> Result<Self, LaunchError> {
        let scratch = Scratch::create(&site.scratch_parent, &step.files)?;
        let Started { program, args, variables, orders } = match step.runner {
            Runner::Process => of_process(step, site, &scratch, programs, host)?,
            Runner::Container => of_container(step, site, &scratch, programs, host)?,
        };
        let is_batch =
            matches!(&step.role, Role::Subject(it) if matches!(it.drive, Drive::Batch { .. }));
        let failed = || LaunchError::io(format!("failed to start `{}`", program.display()));

        let (control_read, control) = std::io::pipe().map_err(failed())?;
        let (status_read, status_write) = std::io::pipe().map_err(failed())?;
        let mut command = Command::new(&site.supervisor);
        command
            .arg("supervise")
            .arg(serde_json::to_string(&orders).expect("orders have string keys only"))
            .arg(&program)
            .args(&args)
            .env_clear()
            .envs(&variables)
            .current_dir(scratch.path())
            .stdin(if is_batch { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .fd_mappings(vec![
                FdMapping { parent_fd: control_read.into(), child_fd: CONTROL_FD },
                FdMapping { parent_fd: status_write.into(), child_fd: STATUS_FD },
            ])
            .expect("the two numbers differ");
        let mut supervisor = command.spawn().map_err(failed())?;
        // The command still holds the child's ends of both pipes.
        drop(command);

        let secrets = Secrets::new(host.secrets.values());
        let (mut logs, _) = Logs::new(&step.signals, secrets, site.log_file.as_deref());
        logs.read(supervisor.stderr.take().expect("it is piped"));
        let stdout = supervisor.stdout.take().expect("it is piped");
        let batch = if is_batch {
            Some((supervisor.stdin.take().expect("it is piped"), stdout))
        } else {
            logs.read(stdout);
            None
        };
        let status = read_status(status_read);
        let pid = match status.recv_timeout(Duration::from_secs(10)) {
            Ok(Status::Started { pid }) => pid,
            Ok(Status::NotStarted { reason }) => {
                return Err(failed()(std::io::Error::other(reason)));
            }
            Ok(Status::Ended { .. }) | Err(_) => {
                return Err(failed()(std::io::Error::other("the supervisor did not report")));
            }
        };
        Ok(Self {
            supervisor,
            control: Some(control),
            status,
            pid,
            port: site.port,
            ended: None,
            asked_to_stop: false,
            scratch,
            logs,
            batch,
            step: step.clone(),
        })
    }

    /// Waits until every readiness probe holds.
    pub fn wait_ready(&mut self, cancelled: &dyn Fn() -> bool) -> Result<(), NotReady> {
        let step = self.step.clone();
        readiness::wait(&step, self, cancelled)
    }

    /// The engine's process id; of a container, that of its first process.
    pub fn pid(&self) -> u32 {
        self.container().and_then(|it| it.pid).unwrap_or(self.pid)
    }

    /// Content of the image that it runs.
    pub fn image(&self) -> Option<String> {
        self.container().map(|it| it.image)
    }

    /// Whether it is a container that does not run yet: its image is being pulled.
    pub(crate) fn is_pulling(&self) -> bool {
        self.step.runner == Runner::Container && self.container().is_none()
    }

    fn container(&self) -> Option<container::State> {
        if self.step.runner != Runner::Container {
            return None;
        }
        let text = std::fs::read_to_string(self.scratch.path().join(container::STATE)).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// The port that the host reserved for it.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its scratch directory.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Standard input and output of a batch worker; the first call gets them.
    pub fn take_batch(&mut self) -> Option<(ChildStdin, ChildStdout)> {
        self.batch.take()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<Ended> {
        if self.ended.is_none() {
            match self.status.try_recv() {
                Ok(status) => self.note(&status),
                Err(mpsc::TryRecvError::Empty) => (),
                // The supervisor itself was killed; its death signal took the engine along.
                Err(mpsc::TryRecvError::Disconnected) => self.ended = Some(Ended::default()),
            }
        }
        self.ended.clone()
    }

    /// Whether a log signal was seen.
    pub fn saw(&self, signal: &str) -> bool {
        self.logs.saw(signal)
    }

    /// How long it has printed nothing.
    pub fn silent_for(&self) -> Duration {
        self.logs.silent_for()
    }

    /// What it has printed so far.
    pub fn log(&self) -> LogSummary {
        self.logs.summary()
    }

    /// Stops it: its signal, its grace, then everything is killed. Returns when nothing of it is left.
    pub fn stop(&mut self) -> Ended {
        if self.ended().is_none() {
            self.asked_to_stop = true;
            if let Some(control) = &mut self.control {
                drop(control.write_all(b"s"));
            }
            self.wait_for_end();
        }
        drop(self.supervisor.wait());
        if self.ended.is_none() || self.ended == Some(Ended::default()) {
            // Somebody killed the supervisor: what the engine had forked is not its child any more.
            cgroup::end_orphans();
        }
        self.logs.finish();
        self.ended.clone().unwrap_or_default()
    }

    /// Who answers at its port, where that is not the engine.
    pub(crate) fn stranger_at_port(&self) -> Option<String> {
        // Behind a network of its own, the container engine's own forwarder is who listens.
        if self.container().is_some_and(|it| !it.shares_network) {
            return None;
        }
        let Listener { pids, user } = processes::listener(self.port)?;
        let Some(first) = pids.first() else {
            let own = rustix::process::geteuid();
            return (!own.is_root() && user != own.as_raw()).then(|| format!("user {user}"));
        };
        let top = self.container().and_then(|it| it.pid).unwrap_or(self.supervisor.id());
        let family = processes::descendants(top);
        let is_own =
            |pid: &u32| *pid == top || family.iter().any(|it| u32::try_from(*it) == Ok(*pid));
        (!pids.iter().any(is_own)).then(|| processes::named(*first))
    }

    fn wait_for_end(&mut self) {
        // The supervisor kills after the grace; the margin is for a machine that is very busy.
        let margin =
            Duration::from_millis(u64::from(self.step.stop.grace_ms)) + Duration::from_secs(40);
        match self.status.recv_timeout(margin) {
            Ok(status) => self.note(&status),
            Err(RecvTimeoutError::Timeout) => drop(self.supervisor.kill()),
            Err(RecvTimeoutError::Disconnected) => (),
        }
    }

    fn note(&mut self, status: &Status) {
        if let Status::Ended { code, signal, left_over } = *status {
            self.ended =
                Some(Ended { code, signal, left_over, stopped_by_host: self.asked_to_stop });
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Closing the control pipe is what the death of the host does, too.
        self.control = None;
        drop(self.supervisor.wait());
    }
}

/// What the supervisor starts.
struct Started {
    program: PathBuf,
    args: Vec<OsString>,
    variables: BTreeMap<String, OsString>,
    orders: Orders,
}

fn of_process(
    step: &Step,
    site: &Site,
    scratch: &Scratch,
    programs: &Programs,
    host: &HostEnvironment,
) -> Result<Started, LaunchError> {
    let (program, mut args) = match &step.command.program {
        Program::Named(name) => (programs.find(name)?, Vec::new()),
        Program::Bundled(name) => {
            (programs.bundled(name)?.to_owned(), vec!["engine".into(), name.into()])
        }
        Program::Entrypoint => {
            let (step, name) = (step.id.clone(), "an entry point".to_owned());
            return Err(LaunchError::Dangling { step, what: "the program", name });
        }
    };
    for arg in &step.command.args {
        args.push(render(arg, step, site, scratch)?);
    }
    let variables = environment::build(step, site, scratch, programs, host)?;
    let orders = Orders {
        signal: signal_name(step.stop.signal).to_owned(),
        grace_ms: step.stop.grace_ms,
        orphan_ms: 0,
        memory_mib: step.limits.memory_mib,
        cores: host.cores.clone(),
    };
    Ok(Started { program, args, variables, orders })
}

/// The attendant of a container: it is told what to do in a file, and secrets by its environment.
fn of_container(
    step: &Step,
    site: &Site,
    scratch: &Scratch,
    programs: &Programs,
    host: &HostEnvironment,
) -> Result<Started, LaunchError> {
    let (spec, variables) = container::spec(step, site, scratch, host)?;
    let path = scratch.path().join("container.json");
    let text = serde_json::to_string(&spec).expect("a specification has string keys only");
    std::fs::write(&path, text)
        .map_err(LaunchError::io(format!("failed to write `{}`", path.display())))?;
    Ok(Started {
        program: programs.bundled("container")?.to_owned(),
        args: vec!["container".into(), path.into()],
        variables: environment::of_attendant(&variables, host),
        orders: Orders {
            // The attendant passes on the container's own signal.
            signal: "term".to_owned(),
            grace_ms: step.stop.grace_ms + ATTENDANT_MS,
            // Enough to end and remove the container.
            orphan_ms: ATTENDANT_MS,
            // The container engine bounds what runs in the container, not its attendant.
            memory_mib: None,
            // A container without an engine is a child of its attendant, and inherits its place.
            cores: host.cores.clone(),
        },
    })
}

/// Milliseconds that removing a container may take beyond its own grace.
const ATTENDANT_MS: u32 = 15_000;

fn read_status(pipe: PipeReader) -> Receiver<Status> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if let Ok(status) = serde_json::from_str(&line)
                && sender.send(status).is_err()
            {
                return;
            }
        }
    });
    receiver
}

fn signal_name(signal: StopSignal) -> &'static str {
    match signal {
        StopSignal::Term => "term",
        StopSignal::Int => "int",
        StopSignal::Kill => "kill",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use llem_core::backend::{
        Arg, ArgPart, Command, GpuNeed, Limits, Network, Probe, Program, Readiness, Role, Runner,
        Step, Stop, StopSignal, Subject,
    };

    fn literal(text: &str) -> Arg {
        vec![ArgPart::Literal(text.into())]
    }

    /// A subject that sleeps, for the tests of other modules to change.
    pub(crate) fn sleeping_step() -> Step {
        Step {
            id: "engine".into(),
            title: "sleep".into(),
            role: Role::Subject(Subject {
                drive: llem_core::backend::Drive::Http {
                    protocol: "openai-completions".into(),
                    base_path: "/v1".into(),
                    served_model: "m".into(),
                    body: Vec::new(),
                    reports_usage: true,
                },
                metrics: None,
                inspections: Vec::new(),
            }),
            runner: Runner::Process,
            image: None,
            command: Command { program: Program::Named("sleep".into()), args: vec![literal("60")] },
            env: Vec::new(),
            mounts: Vec::new(),
            files: Vec::new(),
            gpus: GpuNeed::default(),
            network: Network::Local,
            shm_mib: None,
            readiness: Readiness { probes: vec![Probe::Tcp], interval_ms: 10, deadline_ms: 500 },
            signals: Vec::new(),
            limits: Limits::default(),
            stop: Stop { signal: StopSignal::Term, grace_ms: 1_000 },
        }
    }
}
