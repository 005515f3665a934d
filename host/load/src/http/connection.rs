//! One connection: a socket that never blocks, and the exchange that uses it.

use std::{
    io::{self, ErrorKind, Write},
    net::{SocketAddr, TcpStream},
};

use llem_core::latency::{Request, Status};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, ipproto, socket_with, sockopt};

use super::{
    body::Prepared,
    exchange::{End, Exchange, Gain},
    receive::{Stamps, ask_for_stamps},
};

/// A connection and where its exchange stands.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) phase: Phase,
    pub(super) exchange: Exchange,
    /// Whether the reactor watches for room to write.
    pub(super) watches_writes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Connecting,
    Writing,
    Reading,
    Idle,
}

/// What reading from a connection brought.
pub(super) enum Received {
    /// Nothing yet.
    Nothing,
    /// Bytes for the exchange.
    Gain(Gain),
    /// The connection is gone.
    Closed(End),
}

impl Connection {
    /// Puts a request on a socket that [`begin_connect`] gave.
    pub(super) fn new(stream: TcpStream, request: Request, prepared: Prepared) -> Self {
        Self {
            stream,
            phase: Phase::Connecting,
            exchange: Exchange::new(request, prepared),
            watches_writes: true,
        }
    }

    /// Sends as much as there is room for; after the last byte the answer is awaited.
    pub(super) fn write(&mut self) -> Result<(), End> {
        if self.phase == Phase::Connecting {
            if let Some(error) = self.stream.take_error().unwrap_or_else(Some) {
                return Err(End::failure(Status::ConnectFailed, error.to_string()));
            }
            self.phase = Phase::Writing;
        }
        while self.phase == Phase::Writing {
            match self.stream.write(self.exchange.unsent()) {
                Ok(written) => {
                    self.exchange.written += written;
                    if self.exchange.unsent().is_empty() {
                        self.phase = Phase::Reading;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(End::failure(Status::ConnectionLost, error.to_string())),
            }
        }
        Ok(())
    }

    /// Reads once, and says when the bytes arrived.
    pub(super) fn read(&mut self, buffer: &mut [u8], stamps: &mut Stamps) -> (Received, u64) {
        let (result, at_ns) = stamps.receive(&self.stream, buffer);
        let received = match result {
            Ok(0) if self.phase == Phase::Idle => {
                Received::Closed(End::failure(Status::ConnectionLost, "idle"))
            }
            Ok(0) => Received::Closed(self.exchange.receive_end()),
            Ok(_) if self.phase == Phase::Idle => {
                Received::Closed(End::failure(Status::Malformed, "unasked"))
            }
            Ok(read) => Received::Gain(self.exchange.receive(&buffer[..read], at_ns)),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Received::Nothing
            }
            Err(error) => Received::Closed(End::failure(Status::ConnectionLost, error.to_string())),
        };
        (received, at_ns)
    }
}

/// Begins to connect.
pub(super) fn begin_connect(address: SocketAddr) -> io::Result<TcpStream> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    ask_for_stamps(&socket);
    match connect(&socket, &address) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(socket.into()),
        Err(error) => Err(error.into()),
    }
}
