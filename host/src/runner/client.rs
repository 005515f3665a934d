//! Where and how urgently the load generator runs: a property of the machine, so it is part of the configuration and
//! not of a study.

use llem_load::http::Plan;

use crate::config::{CLIENT_CORES, CLIENT_PRIORITY};

/// Puts what the user configured into a plan; the request log notes what was done and what was refused.
pub(super) fn place(plan: &mut Plan) {
    plan.cores = CLIENT_CORES.cores();
    plan.raise_priority = CLIENT_PRIORITY.is_on();
}
