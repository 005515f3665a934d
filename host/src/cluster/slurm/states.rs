//! What Slurm's commands print.

use super::super::executor::{Task, TaskState};

/// The lines of `squeue --format=%j|%K|%T|%r`.
pub(super) fn tasks(text: &str) -> Vec<Task> {
    text.lines().filter_map(task).collect()
}

fn task(line: &str) -> Option<Task> {
    let mut fields = line.trim().split('|');
    let (job, index, state, reason) =
        (fields.next()?, fields.next()?, fields.next()?, fields.next().unwrap_or_default());
    let state = match state {
        "PENDING" | "REQUEUED" | "REQUEUE_HOLD" | "REQUEUE_FED" | "SPECIAL_EXIT" | "SUSPENDED"
        | "RESV_DEL_HOLD" => TaskState::Waiting(reason.to_owned()),
        "RUNNING" | "COMPLETING" | "CONFIGURING" | "STAGE_OUT" | "STOPPED" | "SIGNALING"
        | "RESIZING" => TaskState::Running,
        ended => TaskState::Ended(ended.to_owned()),
    };
    Some(Task { job: job.to_owned(), index: index.parse().ok()?, state })
}

/// How many tasks an array may have, from `scontrol show config`.
pub(super) fn largest_array(config: &str) -> Option<usize> {
    let line = config.lines().find(|it| it.trim_start().starts_with("MaxArraySize"))?;
    // The number is one above the greatest index.
    let size: usize = line.split_once('=')?.1.trim().parse().ok()?;
    (size > 1).then_some(size - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_queue_are_tasks() {
        let found =
            tasks("llem-a|0|RUNNING|None\nllem-a|12|PENDING|Resources\nllem-b|3|NODE_FAIL|\n");
        assert_eq!(found[0].state, TaskState::Running);
        assert_eq!(
            (found[1].index, &found[1].state),
            (12, &TaskState::Waiting("Resources".into()))
        );
        assert_eq!(
            (found[2].job.as_str(), &found[2].state),
            ("llem-b", &TaskState::Ended("NODE_FAIL".into()))
        );
    }

    #[test]
    fn what_is_no_task_of_an_array_is_passed_over() {
        assert_eq!(tasks("other|N/A|RUNNING|None\n\nnonsense\n"), []);
    }

    #[test]
    fn the_largest_index_bounds_an_array() {
        let config = "MailProg = /bin/mail\nMaxArraySize            = 1001\nMaxDBDMsgs = 20\n";
        assert_eq!(largest_array(config), Some(1000));
        assert_eq!(largest_array(""), None);
    }
}
