//! What the load asks of the operating system before it starts: descriptors, cores, priority.
//!
//! Refusals are either errors, where the load would be wrong without it, or notes for the log.

use std::num::NonZeroU64;

use rustix::{
    process::{Resource, Rlimit, getpriority_process, getrlimit, setpriority_process, setrlimit},
    thread::{CpuSet, sched_setaffinity, set_current_timer_slack},
};

use super::{LoadError, Plan};

/// Descriptors that the process needs beside the connections.
const OTHER_DESCRIPTORS: u64 = 128;
const RAISED_PRIORITY: i32 = -10;

/// Raises the limit of open files as far as the system allows, and refuses a closed loop that would not fit.
pub(super) fn raise_descriptor_limit(connections: Option<u32>) -> Result<(), LoadError> {
    let limit = getrlimit(Resource::Nofile);
    let allowed = limit.maximum.unwrap_or(u64::MAX);
    let needed = u64::from(connections.unwrap_or(0)) + OTHER_DESCRIPTORS;
    if needed > allowed {
        return Err(LoadError::Descriptors { needed, allowed });
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).map_err(
        |error| LoadError::System { action: "raise the limit of open files", source: error.into() },
    )
}

/// Pins the calling thread and raises its priority where the plan asks for it; notes what was refused.
pub(super) fn place_thread(plan: &Plan) -> Result<Vec<String>, LoadError> {
    let mut notes = Vec::new();
    // The system's default lets short pauses last half as long again.
    if set_current_timer_slack(NonZeroU64::new(1)).is_err() {
        notes.push("the load generator's timers kept their slack".to_owned());
    }
    if !plan.cores.is_empty() {
        let mut cores = CpuSet::new();
        for core in plan.cores.iter().filter(|core| **core < CpuSet::MAX_CPU) {
            cores.set(*core);
        }
        sched_setaffinity(None, &cores).map_err(|error| LoadError::System {
            action: "run on the chosen cores",
            source: error.into(),
        })?;
        notes.push(format!("the load generator ran on cores {:?}", plan.cores));
    }
    if plan.raise_priority {
        // On Linux this is the priority of the calling thread alone.
        match setpriority_process(None, RAISED_PRIORITY) {
            Ok(()) => notes.push(format!("the load generator ran at nice {RAISED_PRIORITY}")),
            Err(error) => {
                let nice = getpriority_process(None)
                    .map_or_else(|_| "unknown".to_owned(), |nice| nice.to_string());
                notes.push(format!(
                    "the load generator ran at nice {nice}: a higher priority was refused ({error})"
                ));
            }
        }
    }
    Ok(notes)
}
