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
use crate::tls::Tls;

/// A connection and where its exchange stands.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    /// Boxed, since few connections have it.
    tls: Option<Box<Tls>>,
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
    pub(super) fn new(
        stream: TcpStream,
        tls: Option<Tls>,
        request: Request,
        prepared: Prepared,
    ) -> Self {
        Self {
            stream,
            tls: tls.map(Box::new),
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
        if self.tls.is_some() {
            return self.write_encrypted();
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

    fn write_encrypted(&mut self) -> Result<(), End> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        let lost = |error: io::Error| End::failure(Status::ConnectionLost, error.to_string());
        let unsent = self.exchange.unsent();
        if !unsent.is_empty() {
            tls.take_request(unsent).map_err(lost)?;
            self.exchange.written += unsent.len();
        }
        match tls.write_to(&mut self.stream) {
            Ok(()) => {}
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(lost(error)),
        }
        if self.phase == Phase::Writing && !tls.is_handshaking() && !tls.wants_write() {
            self.phase = Phase::Reading;
        }
        Ok(())
    }

    /// Whether room to write is waited for.
    pub(super) fn wants_writes(&self) -> bool {
        match &self.tls {
            // A handshake waits for the server as well.
            Some(tls) => self.phase == Phase::Connecting || tls.wants_write(),
            None => matches!(self.phase, Phase::Connecting | Phase::Writing),
        }
    }

    /// Takes what the server sent encrypted.
    fn decrypt(&mut self, bytes: &[u8], at_ns: u64) -> Received {
        let Some(tls) = &mut self.tls else { return Received::Nothing };
        let mut plain = Vec::new();
        let is_closed = match tls.read(bytes, &mut plain) {
            Ok(is_closed) => is_closed,
            Err(error) if tls.is_handshaking() => {
                let detail = format!("no encrypted connection: {error}");
                return Received::Closed(End::failure(Status::ConnectFailed, detail));
            }
            Err(error) => {
                return Received::Closed(End::failure(Status::ConnectionLost, error.to_string()));
            }
        };
        let is_idle = self.phase == Phase::Idle;
        if !plain.is_empty() && is_idle {
            return Received::Closed(End::failure(Status::Malformed, "unasked"));
        }
        let gain = (!plain.is_empty()).then(|| self.exchange.receive(&plain, at_ns));
        match gain {
            Some(gain) if gain.end.is_some() || !is_closed => Received::Gain(gain),
            _ if is_closed && is_idle => {
                Received::Closed(End::failure(Status::ConnectionLost, "idle"))
            }
            _ if is_closed => Received::Closed(self.exchange.receive_end()),
            _ => Received::Nothing,
        }
    }

    /// Reads once, and says when the bytes arrived.
    pub(super) fn read(&mut self, buffer: &mut [u8], stamps: &mut Stamps) -> (Received, u64) {
        let (result, at_ns) = stamps.receive(&self.stream, buffer);
        let received = match result {
            Ok(0) if self.phase == Phase::Idle => {
                Received::Closed(End::failure(Status::ConnectionLost, "idle"))
            }
            Ok(0) => Received::Closed(self.exchange.receive_end()),
            Ok(read) if self.tls.is_some() => self.decrypt(&buffer[..read], at_ns),
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
