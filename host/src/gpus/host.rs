//! The study's side of the guard: starts it, tells it what to set, and lets it go.

use std::{
    fmt,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use llem_core::record::GpuSetting;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::guard::{Answer, Order};

/// Longest time for an answer: a guard may first wait for another one that is about to be done.
const PATIENCE: Duration = Duration::from_secs(20);

/// A guard that runs. Dropping it lets it put everything back.
pub(super) struct Running {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("pid", &self.child.id()).finish_non_exhaustive()
    }
}

/// Why a guard gives no answer.
#[derive(Debug)]
pub(super) enum Silence {
    /// It is gone, or hangs.
    Gone(String),
    /// It says why it did not do what it was told.
    Refused(String),
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Gone(why) | Self::Refused(why)) = self;
        f.write_str(why)
    }
}

impl Running {
    /// Starts one for these GPUs, and waits until it is in charge of them.
    pub(super) fn start(gpus: &[String]) -> Result<Self, Silence> {
        let gone = |it: std::io::Error| {
            Silence::Gone(format!("the guard of the GPUs did not start: {it}"))
        };
        let mut child = Command::new(std::env::current_exe().map_err(gone)?)
            .arg("guard")
            .args(gpus)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(gone)?;
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut guard = Self { child, orders, answers };
        guard.answer()?;
        Ok(guard)
    }

    /// Tells it how GPUs are to be.
    pub(super) fn tell(&mut self, order: &Order) -> Result<Vec<GpuSetting>, Silence> {
        let line = serde_json::to_string(order).expect("it has string keys only");
        let orders = self.orders.as_mut().expect("it is open until this is dropped");
        let told = writeln!(orders, "{line}").and_then(|()| orders.flush());
        told.map_err(|it| Silence::Gone(format!("the guard of the GPUs is gone: {it}")))?;
        self.answer()
    }

    fn answer(&mut self) -> Result<Vec<GpuSetting>, Silence> {
        let gone = |why: &str| Silence::Gone(format!("the guard of the GPUs {why}"));
        let mut fds = [PollFd::new(self.answers.get_ref(), PollFlags::IN)];
        let seconds = i64::try_from(PATIENCE.as_secs()).unwrap_or(i64::MAX);
        let ready = poll(&mut fds, Some(&Timespec { tv_sec: seconds, tv_nsec: 0 }));
        if !ready.is_ok_and(|count| count > 0) {
            return Err(gone("gave no answer"));
        }
        let mut line = String::new();
        match self.answers.read_line(&mut line) {
            Ok(1..) => (),
            Ok(_) | Err(_) => return Err(gone("ended by itself")),
        }
        let answer: Answer = serde_json::from_str(&line).map_err(|_| gone("spoke nonsense"))?;
        answer.map_err(Silence::Refused)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The end of its orders is what the death of the host does, too.
        self.orders = None;
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
