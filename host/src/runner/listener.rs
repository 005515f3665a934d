//! Which process of this machine listens on a port.

use procfs::{
    net::{TcpState, tcp, tcp6},
    process::{FDTarget, all_processes},
};

/// The process that accepts connections at a port; none where it is another user's or is not there.
pub(super) fn process(port: u16) -> Option<u32> {
    let entries = [tcp(), tcp6()].into_iter().flatten().flatten();
    let sockets: Vec<u64> = entries
        .filter(|it| it.state == TcpState::Listen && it.local_address.port() == port)
        .map(|it| it.inode)
        .collect();
    let holds =
        |target: &FDTarget| matches!(target, FDTarget::Socket(inode) if sockets.contains(inode));
    let found = all_processes().ok()?.filter_map(Result::ok).filter(|process| {
        process.fd().is_ok_and(|mut fds| fds.any(|fd| fd.is_ok_and(|it| holds(&it.target))))
    });
    // Workers inherit a server's socket; the first of them is the one that made it.
    found.map(|it| it.pid).min().and_then(|it| u32::try_from(it).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_by_its_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        assert_eq!(process(port), Some(std::process::id()));
        drop(listener);
        assert_eq!(process(port), None);
    }
}
