//! Whether an engine that was stopped is gone: from its port, and from the memory of its GPUs. Its processes are its
//! supervisor's affair.

use std::{
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use llem_launch::{listener, process_name};
use llem_meter::Occupied;

/// A driver, or a container engine's forwarder, may take that long to be done with what has ended.
const LONGEST: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(100);
/// Memory in use goes up and down by a little without any engine.
const TOLERANCE_BYTES: u64 = 256 << 20;

/// Waits until nothing of an engine is left; names what still is. `before` is what its GPUs held before it was started.
pub(super) fn after(
    port: Option<u16>,
    before: &[Occupied],
    now: &dyn Fn() -> Vec<Occupied>,
    longest: Duration,
) -> Vec<String> {
    let started = Instant::now();
    loop {
        let found: Vec<String> =
            port.and_then(held).into_iter().chain(on_gpus(before, now)).collect();
        if found.is_empty() || started.elapsed() >= longest {
            return found;
        }
        thread::sleep(LOOK);
    }
}

/// As long as a driver may take.
pub(super) fn after_stop(
    port: Option<u16>,
    before: &[Occupied],
    now: &dyn Fn() -> Vec<Occupied>,
) -> Vec<String> {
    after(port, before, now, LONGEST)
}

/// Who still listens at a port.
fn held(port: u16) -> Option<String> {
    TcpListener::bind(("127.0.0.1", port)).err()?;
    let who =
        listener(port)?.pid().map_or_else(|| "another user's process".to_owned(), process_name);
    Some(format!("after the engine was stopped, {who} still listens at its port {port}"))
}

/// What GPUs hold that they did not hold before.
fn on_gpus(before: &[Occupied], now: &dyn Fn() -> Vec<Occupied>) -> Vec<String> {
    if before.is_empty() {
        return Vec::new();
    }
    let now = now();
    let found = before.iter().filter_map(|earlier| {
        let later = now.iter().find(|it| it.device == earlier.device)?;
        let came: Vec<String> = later
            .processes
            .iter()
            .filter(|it| !earlier.processes.contains(it))
            .map(|it| process_name(*it))
            .collect();
        let grown = later.memory_bytes?.saturating_sub(earlier.memory_bytes?);
        if !came.is_empty() {
            let came = came.join(", ");
            return Some(format!(
                "after the engine was stopped, {came} still computed on {}",
                later.device
            ));
        }
        (grown > TOLERANCE_BYTES).then(|| {
            format!(
                "after the engine was stopped, {} MiB more of {} were in use than before it was started",
                grown >> 20,
                later.device
            )
        })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn gpu(mebibytes: u64, processes: &[u32]) -> Occupied {
        Occupied {
            device: "GPU-a".into(),
            memory_bytes: Some(mebibytes << 20),
            processes: processes.to_vec(),
        }
    }

    #[test]
    fn memory_and_processes_that_stay_are_named() {
        let before = [gpu(1_000, &[1])];
        let look = |now: Occupied| after(None, &before, &|| vec![now.clone()], Duration::ZERO);
        assert_eq!(look(gpu(1_200, &[1])), Vec::<String>::new());
        let grown = look(gpu(6_000, &[1])).join("");
        assert!(grown.contains("5000 MiB more of GPU-a"), "{grown}");
        let came = look(gpu(6_000, &[1, std::process::id()])).join("");
        assert!(came.contains(&format!("process {})", std::process::id())), "{came}");
    }

    #[test]
    fn what_goes_within_a_moment_is_waited_for() {
        let looks = Cell::new(0);
        let now = || {
            looks.set(looks.get() + 1);
            vec![gpu(if looks.get() < 3 { 9_000 } else { 1_000 }, &[])]
        };
        assert_eq!(after(None, &[gpu(1_000, &[])], &now, LONGEST), Vec::<String>::new());
        assert_eq!(looks.get(), 3);
    }

    #[test]
    fn a_port_that_is_still_open_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let found = after(Some(port), &[], &Vec::new, Duration::ZERO).join("");
        assert!(found.contains(&format!("its port {port}")), "{found}");
        drop(listener);
        assert_eq!(after(Some(port), &[], &Vec::new, LONGEST), Vec::<String>::new());
    }
}
