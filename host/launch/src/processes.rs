//! What the kernel says of processes: who descends from whom, when one was started, who listens on a port.

use procfs::{
    net::{TcpNetEntry, TcpState, tcp, tcp6},
    process::{FDTarget, Process, all_processes},
};

/// When a process was started, in the kernel's ticks; none: there is no such process, or it is dead.
pub(crate) fn started(pid: u32) -> Option<u64> {
    let stat = Process::new(i32::try_from(pid).ok()?).ok()?.stat().ok()?;
    (stat.state != 'Z').then_some(stat.starttime)
}

/// All living processes below one.
pub(crate) fn descendants(of: u32) -> Vec<i32> {
    let (Ok(processes), Ok(of)) = (all_processes(), i32::try_from(of)) else { return Vec::new() };
    let stats: Vec<(i32, i32, char)> = processes
        .flatten()
        .filter_map(|it| it.stat().ok())
        .map(|it| (it.pid, it.ppid, it.state))
        .collect();
    let mut family = vec![of];
    let mut next = 0;
    while next < family.len() {
        let parent = family[next];
        family.extend(stats.iter().filter(|it| it.1 == parent).map(|it| it.0));
        next += 1;
    }
    let is_alive = |pid: &i32| stats.iter().any(|it| it.0 == *pid && it.2 != 'Z');
    family.into_iter().skip(1).filter(is_alive).collect()
}

/// Who accepts connections at a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its processes, the first started first; none: they can't be seen, being another user's.
    pub pids: Vec<u32>,
    /// Number of the user that made the socket.
    pub user: u32,
}

impl Listener {
    /// The process that made the socket: workers inherit it.
    pub fn pid(&self) -> Option<u32> {
        self.pids.first().copied()
    }
}

/// Who of this machine accepts connections at a port; none: nobody does.
pub fn listener(port: u16) -> Option<Listener> {
    let entries = [tcp(), tcp6()].into_iter().flatten().flatten();
    let listens =
        |it: &TcpNetEntry| it.state == TcpState::Listen && it.local_address.port() == port;
    let sockets: Vec<TcpNetEntry> = entries.filter(listens).collect();
    let user = sockets.first()?.uid;
    let holds = |target: &FDTarget| matches!(target, FDTarget::Socket(inode) if sockets.iter().any(|it| it.inode == *inode));
    let found = all_processes().into_iter().flatten().filter_map(Result::ok).filter(|process| {
        process.fd().is_ok_and(|mut fds| fds.any(|fd| fd.is_ok_and(|it| holds(&it.target))))
    });
    let mut pids: Vec<u32> = found.filter_map(|it| u32::try_from(it.pid).ok()).collect();
    pids.sort_unstable();
    Some(Listener { pids, user })
}

/// A process as people know it: its name and number.
pub fn named(pid: u32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
    name.map_or_else(
        |_| format!("process {pid}"),
        |it| format!("{} (process {pid})", it.trim().escape_debug()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_by_its_port() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = socket.local_addr().expect("bound").port();
        let found = listener(port).expect("it listens");
        assert_eq!(found.pid(), Some(std::process::id()));
        assert_eq!(found.user, rustix::process::geteuid().as_raw());
        drop(socket);
        assert_eq!(listener(port), None);
    }

    #[test]
    fn children_are_descendants_and_strangers_are_not() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("it starts");
        let number = i32::try_from(child.id()).expect("small");
        assert!(descendants(std::process::id()).contains(&number));
        assert!(!descendants(child.id()).contains(&number));
        child.kill().expect("it runs");
        child.wait().expect("it is ours");
    }
}
