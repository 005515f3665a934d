//! The process between host and engine: it starts the engine, and when the host says so or dies it
//! ends the engine and every descendant of it, wherever those moved to.
//!
//! It is a child subreaper, so a daemon that an engine forks becomes its child and can't escape; where it may, it puts the
//! engine into a control group, which ends as a whole. It measures nothing and sleeps in system calls while the engine runs.

use std::{
    ffi::OsString,
    fs::File,
    io::{Read, Write},
    os::{
        fd::{FromRawFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    process::{Command, ExitCode},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    process::{Pid, Signal, WaitOptions},
    thread::{CpuSet, sched_setaffinity},
};
use serde::{Deserialize, Serialize};

use crate::{cgroup::Group, processes};

/// Where the host's orders arrive: `s` asks for a stop, end of file means that the host is gone.
pub(crate) const CONTROL_FD: RawFd = 3;
/// Where the supervisor reports.
pub(crate) const STATUS_FD: RawFd = 4;

/// One line of the supervisor's report.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// The engine runs.
    Started { pid: u32 },
    /// The engine could not be started.
    NotStarted { reason: String },
    /// The engine ended; its descendants too.
    Ended { code: Option<i32>, signal: Option<i32>, left_over: u32 },
}

/// What the host asks of its supervisor beside the program; it travels as one argument.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Orders {
    /// `term`, `int` or `kill`.
    pub(crate) signal: String,
    /// Time after the signal, where the host asks.
    pub(crate) grace_ms: u32,
    /// The same where the host is dead; none: it is killed at once.
    pub(crate) orphan_ms: u32,
    /// Memory that it may have, where a control group can bound it.
    pub(crate) memory_mib: Option<u32>,
    /// Processors that it may use; none: those of the host.
    pub(crate) cores: Vec<usize>,
}

/// Runs the supervisor: `ORDERS PROGRAM ARGUMENT…`.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter();
    let orders = args.next().and_then(|it| serde_json::from_str(it.to_str()?).ok());
    let (Some(orders), Some(program)) = (orders, args.next()) else { return ExitCode::from(64) };
    let Ok((control, status)) = channels() else { return ExitCode::from(64) };
    supervise(Command::new(program).args(args), &orders, control, status)
}

/// How an engine ends.
#[derive(Clone, Copy)]
struct Ends {
    signal: Signal,
    /// Time after the signal, where the host asks.
    grace: Duration,
    /// The same where the host is dead; none: it is killed at once.
    orphan: Duration,
}

impl Ends {
    fn of(orders: &Orders) -> Self {
        Self {
            signal: match orders.signal.as_str() {
                "int" => Signal::INT,
                "kill" => Signal::KILL,
                _ => Signal::TERM,
            },
            grace: Duration::from_millis(orders.grace_ms.into()),
            orphan: Duration::from_millis(orders.orphan_ms.into()),
        }
    }
}

/// The two descriptors that the host handed over.
fn channels() -> std::io::Result<(File, File)> {
    let own = |fd: RawFd| -> std::io::Result<File> {
        // Refuses to run where somebody starts this by hand, without the descriptors.
        std::fs::read_link(format!("/proc/self/fd/{fd}"))?;
        #[expect(unsafe_code, reason = "the host's descriptors arrive by number")]
        // SAFETY: the host maps both numbers for this process alone, and nothing else here uses them.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
        Ok(File::from(fd))
    };
    Ok((own(CONTROL_FD)?, own(STATUS_FD)?))
}

fn supervise(command: &mut Command, orders: &Orders, control: File, mut status: File) -> ExitCode {
    let ends = Ends::of(orders);
    // A new session: the terminal's Ctrl-C reaches the host alone, which then stops its engines in order.
    rustix::process::setsid().ok();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).ok();
    let mut report = move |it: &Status| {
        let line = serde_json::to_string(it).expect("a status has string keys only");
        drop(writeln!(status, "{line}"));
    };
    let group = Group::create();
    if let Some(group) = &group {
        group.limit(MOST_PROCESSES, orders.memory_mib.map(|it| u64::from(it) << 20));
    }
    let door = group.as_ref().and_then(|it| it.door().ok());
    let cores = cores(&orders.cores);
    #[expect(unsafe_code, reason = "the death signal must be set between fork and exec")]
    // SAFETY: the closure makes a few system calls and allocates nothing.
    unsafe {
        command.process_group(0).pre_exec(move || {
            let death = if ends.orphan.is_zero() { Signal::KILL } else { ends.signal };
            rustix::process::set_parent_process_death_signal(Some(death))?;
            if let Some(door) = &door {
                rustix::io::write(door, b"0")?;
            }
            if let Some(cores) = &cores {
                sched_setaffinity(None, cores)?;
            }
            limit_processes()?;
            rustix::process::setrlimit(
                rustix::process::Resource::Core,
                rustix::process::Rlimit { current: Some(0), maximum: Some(0) },
            )?;
            Ok(())
        });
    }
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            report(&Status::NotStarted { reason: error.to_string() });
            return ExitCode::FAILURE;
        }
    };
    report(&Status::Started { pid: child.id() });
    let pid = Pid::from_child(&child);
    let group = Arc::new(group);
    let same = Arc::clone(&group);
    thread::spawn(move || obey(control, pid, ends, Option::as_ref(&same)));
    let (code, ended_by) = wait_for(pid);
    let left_over = end_descendants(pid, Option::as_ref(&group));
    // By hand, since the thread that obeys never ends.
    if let Some(group) = Option::as_ref(&group) {
        group.remove();
    }
    report(&Status::Ended { code, signal: ended_by, left_over });
    ExitCode::SUCCESS
}

/// Processes and threads that an engine's user may have in all: far above any engine's need, far below a fork bomb's.
const MOST_PROCESSES: u64 = 32_768;

/// The processors as the kernel wants them; none: the host's.
fn cores(numbers: &[usize]) -> Option<CpuSet> {
    let mut set = CpuSet::new();
    numbers.iter().filter(|it| **it < CpuSet::MAX_CPU).for_each(|it| set.set(*it));
    (set.count() > 0).then_some(set)
}

/// Lowers the limit on processes where it is higher. It does not bind root, whom only a control group can bind.
fn limit_processes() -> rustix::io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nproc).maximum.unwrap_or(u64::MAX).min(MOST_PROCESSES);
    setrlimit(Resource::Nproc, Rlimit { current: Some(maximum), maximum: Some(maximum) })
}

/// Waits until the engine itself has ended, and reaps orphans on the way.
fn wait_for(pid: Pid) -> (Option<i32>, Option<i32>) {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((reaped, status))) if reaped == pid => {
                return (status.exit_status(), status.terminating_signal());
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => (),
            Err(_) => return (None, None),
        }
    }
}

/// Carries out the host's orders.
fn obey(mut control: File, pid: Pid, ends: Ends, group: Option<&Group>) {
    let mut order = [0];
    let asked_to_stop = matches!(control.read(&mut order), Ok(1));
    let wait = if asked_to_stop { ends.grace } else { ends.orphan };
    if asked_to_stop || !wait.is_zero() {
        rustix::process::kill_process_group(pid, ends.signal).ok();
        let deadline = Instant::now() + wait;
        // The host may die during the grace as well; then there is nobody left to be gentle for.
        let goes_on = || !ends.orphan.is_zero() || !is_gone(&control);
        while Instant::now() < deadline && goes_on() {
            thread::sleep(Duration::from_millis(20));
        }
    }
    loop {
        rustix::process::kill_process_group(pid, Signal::KILL).ok();
        if let Some(group) = group {
            group.kill();
        }
        kill_all(&descendants());
        thread::sleep(Duration::from_millis(50));
    }
}

fn is_gone(control: &File) -> bool {
    let mut fds = [rustix::event::PollFd::new(control, rustix::event::PollFlags::IN)];
    let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut fds, Some(&at_once)).is_ok()
        && fds[0].revents().contains(rustix::event::PollFlags::HUP)
}

/// Kills whatever the engine left behind and returns how many processes that were.
fn end_descendants(pid: Pid, group: Option<&Group>) -> u32 {
    let mut left_over = 0;
    loop {
        let mut found = descendants();
        found.extend(group.map(Group::processes).unwrap_or_default());
        found.sort_unstable_by_key(|it| it.as_raw_nonzero());
        found.dedup();
        left_over = left_over.max(u32::try_from(found.len()).unwrap_or(u32::MAX));
        // Groups first: a process that forks while it is looked for is in one of them.
        if found.iter().any(|it| rustix::process::getpgid(Some(*it)) == Ok(pid)) {
            rustix::process::kill_process_group(pid, Signal::KILL).ok();
        }
        if let Some(group) = group {
            group.kill();
        }
        kill_all(&found);
        if rustix::process::wait(WaitOptions::empty()).err() == Some(rustix::io::Errno::CHILD) {
            return left_over;
        }
    }
}

fn kill_all(pids: &[Pid]) {
    for pid in pids {
        rustix::process::kill_process(*pid, Signal::KILL).ok();
    }
}

/// All living processes below this one.
fn descendants() -> Vec<Pid> {
    processes::descendants(std::process::id()).into_iter().filter_map(Pid::from_raw).collect()
}
