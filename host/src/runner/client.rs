//! Where and how urgently the load generator runs: a property of the machine, so it is set by the environment and is no
//! part of a study.

use std::env;

use llem_core::event::Phase;
use llem_load::http::Plan;

use super::failure::Fault;

/// Cores for the load generator's thread: `0,2`.
const CORES: &str = "LLEM_CLIENT_CORES";
/// `1` asks for a higher priority of the load generator's thread.
const PRIORITY: &str = "LLEM_CLIENT_PRIORITY";

/// Puts what the environment says into a plan; the request log notes what was done and what was refused.
pub(super) fn place(plan: &mut Plan) -> Result<(), Fault> {
    if let Ok(text) = env::var(CORES) {
        plan.cores = cores(&text).ok_or_else(|| {
            let message =
                format!("`{CORES}` must be numbers of cores such as `0,2`, found `{text}`");
            Fault::new(Phase::Warmup, "bad-plan", message)
        })?;
    }
    plan.raise_priority = env::var(PRIORITY).is_ok_and(|it| it == "1");
    Ok(())
}

fn cores(text: &str) -> Option<Vec<usize>> {
    let numbers = text.split(',').filter(|it| !it.trim().is_empty());
    numbers.map(|it| it.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_numbers_between_commas() {
        assert_eq!(cores("0, 2"), Some(vec![0, 2]));
        assert_eq!(cores(""), Some(vec![]));
        assert_eq!(cores("0-3"), None);
    }
}
