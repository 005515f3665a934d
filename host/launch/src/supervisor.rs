//! The process between host and engine: it starts the engine, and when the host says so or dies it
//! ends the engine and every descendant of it, wherever those moved to.
//!
//! It is a child subreaper, so a daemon that an engine forks becomes its child and can't escape. It
//! measures nothing and sleeps in system calls while the engine runs.

use std::{
    ffi::OsString,
    fs::File,
    io::{Read, Write},
    os::{
        fd::{FromRawFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    process::{Command, ExitCode},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitOptions};
use serde::{Deserialize, Serialize};

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

/// Runs the supervisor: `SIGNAL GRACE_MS ORPHAN_MS PROGRAM ARGUMENT…`; the last number is how long the
/// engine may take to end when the host is dead.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter();
    let (Some(signal), Some(grace), Some(orphan), Some(program)) =
        (args.next(), args.next(), args.next(), args.next())
    else {
        return ExitCode::from(64);
    };
    let signal = match signal.to_str() {
        Some("int") => Signal::INT,
        Some("kill") => Signal::KILL,
        _ => Signal::TERM,
    };
    let milliseconds = |it: &OsString, default| {
        Duration::from_millis(it.to_str().and_then(|it| it.parse().ok()).unwrap_or(default))
    };
    let ends =
        Ends { signal, grace: milliseconds(&grace, 5_000), orphan: milliseconds(&orphan, 0) };
    let Ok((control, status)) = channels() else { return ExitCode::from(64) };
    supervise(Command::new(program).args(args), ends, control, status)
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

fn supervise(command: &mut Command, ends: Ends, control: File, mut status: File) -> ExitCode {
    // A new session: the terminal's Ctrl-C reaches the host alone, which then stops its engines in order.
    rustix::process::setsid().ok();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).ok();
    let mut report = move |it: &Status| {
        let line = serde_json::to_string(it).expect("a status has string keys only");
        drop(writeln!(status, "{line}"));
    };
    #[expect(unsafe_code, reason = "the death signal must be set between fork and exec")]
    // SAFETY: the closure makes a few system calls and allocates nothing.
    unsafe {
        command.process_group(0).pre_exec(move || {
            let death = if ends.orphan.is_zero() { Signal::KILL } else { ends.signal };
            rustix::process::set_parent_process_death_signal(Some(death))?;
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
    thread::spawn(move || obey(control, pid, ends));
    let (code, ended_by) = wait_for(pid);
    let left_over = end_descendants();
    report(&Status::Ended { code, signal: ended_by, left_over });
    ExitCode::SUCCESS
}

/// Processes and threads that an engine's user may have in all: far above any engine's need, far below a fork bomb's.
const MOST_PROCESSES: u64 = 32_768;

/// Lowers the limit on processes where it is higher. It does not bind root, whom only a cgroup could bind.
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
fn obey(mut control: File, pid: Pid, ends: Ends) {
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
fn end_descendants() -> u32 {
    let mut left_over = 0;
    loop {
        let found = descendants();
        left_over = left_over.max(u32::try_from(found.len()).unwrap_or(u32::MAX));
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
    let Ok(processes) = procfs::process::all_processes() else { return Vec::new() };
    let stats: Vec<(i32, i32, char)> = processes
        .flatten()
        .filter_map(|it| it.stat().ok())
        .map(|it| (it.pid, it.ppid, it.state))
        .collect();
    let mut family = vec![rustix::process::getpid().as_raw_nonzero().get()];
    let mut next = 0;
    while next < family.len() {
        let parent = family[next];
        family.extend(stats.iter().filter(|it| it.1 == parent).map(|it| it.0));
        next += 1;
    }
    let is_alive = |pid: &i32| stats.iter().any(|it| it.0 == *pid && it.2 != 'Z');
    family.into_iter().skip(1).filter(is_alive).filter_map(Pid::from_raw).collect()
}
