//! Slurm: whether studies can be submitted from here.

use std::{sync::mpsc, thread, time::Duration};

use super::Line;
use crate::cluster::{Executor as _, ExecutorError, Slurm};

/// A controller that is down keeps its commands waiting for longer than anybody should.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn lines() -> Vec<Line> {
    let (sender, answer) = mpsc::channel();
    // Not joined: what does not answer must not hold up the rest.
    thread::spawn(move || sender.send(Slurm::find()));
    vec![match answer.recv_timeout(PATIENCE) {
        Ok(Ok(slurm)) => {
            Line::good("slurm", format!("job arrays of up to {} tasks", slurm.most_tasks()))
        }
        Ok(Err(ExecutorError::Missing(missing))) => {
            let missing = missing.join("`, `");
            Line::note("slurm", format!("no `{missing}`: studies run on this machine only"))
        }
        Ok(Err(error)) => Line::warning("slurm", error.to_string()).fix("scontrol ping"),
        Err(_) => Line::warning("slurm", "its controller gave no answer within two seconds")
            .fix("scontrol ping"),
    }]
}
