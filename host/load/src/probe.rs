//! One request, one answer, blocking: readiness and inspections.
//!
//! Not for load, and not within a window: each call opens a connection and waits.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::{
    response::{Response, ResponseError},
    target::{Target, TargetError},
    tls::TlsError,
};

/// The most of a body that is kept, in bytes.
pub const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status code.
    pub status: u16,
    /// Its body, up to [`MAX_BODY_BYTES`].
    pub body: Vec<u8>,
    /// Whether the body was longer.
    pub is_cut: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The server's name has no address.
    #[error("the server can't be found")]
    Target(#[from] TargetError),
    /// No connection, or a broken one.
    #[error("no answer from `{target}`")]
    Io {
        /// The server.
        target: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The server can't be asked over an encrypted connection.
    #[error("`{target}` is encrypted, and that can't be set up")]
    Tls {
        /// The server.
        target: String,
        /// Why not.
        #[source]
        source: TlsError,
    },
    /// The answer is no HTTP.
    #[error("no proper answer from `{target}`")]
    Response {
        /// The server.
        target: String,
        /// What is wrong with it.
        #[source]
        source: ResponseError,
    },
}

/// Makes one request; the whole exchange may take `timeout`. The path is appended to the target's base path.
///
/// A status other than success is an answer, not an error. A body is sent as JSON.
pub fn probe(
    target: &Target,
    method: &str,
    path: &str,
    body: Option<&[u8]>,
    timeout: Duration,
) -> Result<Answer, ProbeError> {
    let failed = |source| ProbeError::Io { target: target.to_string(), source };
    let deadline = Instant::now() + timeout;
    let trust =
        target.trust().map_err(|source| ProbeError::Tls { target: target.to_string(), source })?;
    let address = target.resolve()?[0];
    let socket = TcpStream::connect_timeout(&address, timeout).map_err(failed)?;
    let left = Some(left(deadline).map_err(failed)?);
    socket.set_write_timeout(left).map_err(failed)?;
    // A handshake reads while it writes.
    socket.set_read_timeout(left).map_err(failed)?;
    let content = body.map_or_else(String::new, |body| {
        format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len())
    });
    let head = format!(
        "{method} {}{path} HTTP/1.1\r\nhost: {}\r\n{}connection: close\r\n{content}\r\n",
        target.base_path(),
        target.authority(),
        target.authorization(),
    );
    let request = [head.as_bytes(), body.unwrap_or_default()].concat();
    let Some(trust) = trust else {
        (&socket).write_all(&request).map_err(failed)?;
        return receive(&mut &socket, &socket, target, deadline);
    };
    let other = socket.try_clone().map_err(failed)?;
    let mut encrypted = trust.over(other).map_err(|it| failed(io::Error::other(it)))?;
    encrypted.write_all(&request).map_err(failed)?;
    receive(&mut encrypted, &socket, target, deadline)
}

fn receive(
    stream: &mut impl Read,
    socket: &TcpStream,
    target: &Target,
    deadline: Instant,
) -> Result<Answer, ProbeError> {
    let failed = |source| ProbeError::Io { target: target.to_string(), source };
    let improper = |source| ProbeError::Response { target: target.to_string(), source };
    let (mut response, mut body, mut is_cut) = (Response::default(), Vec::new(), false);
    let mut buffer = vec![0; 64 * 1024];
    while !response.is_done() && !is_cut {
        socket.set_read_timeout(Some(left(deadline).map_err(failed)?)).map_err(failed)?;
        let read = match stream.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(failed(io::ErrorKind::TimedOut.into()))?
            }
            result => result.map_err(failed)?,
        };
        if read == 0 {
            response.end().map_err(improper)?;
        }
        let pushed = response.push(&buffer[..read], |_, bytes| {
            let room = MAX_BODY_BYTES - body.len();
            is_cut |= bytes.len() > room;
            body.extend_from_slice(&bytes[..bytes.len().min(room)]);
        });
        pushed.map_err(improper)?;
    }
    let status = response.status().ok_or_else(|| improper(ResponseError::Incomplete("head")))?;
    Ok(Answer { status, body, is_cut })
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// Answers one connection with these bytes and gives back what was asked.
    fn serve(answer: &'static [u8]) -> (Target, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::at(listener.local_addr().unwrap(), "/v1");
        let asked = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).unwrap();
            stream.write_all(answer).unwrap();
            String::from_utf8(buffer[..read].to_vec()).unwrap()
        });
        (target, asked)
    }

    #[test]
    fn an_answer_is_returned_whatever_its_status() {
        let (target, asked) = serve(b"HTTP/1.1 503 Busy\r\ncontent-length: 2\r\n\r\nno");
        let answer = probe(&target, "POST", "/x", Some(b"{}"), Duration::from_secs(5)).unwrap();
        assert_eq!(
            (answer.status, answer.body.as_slice(), answer.is_cut),
            (503, &b"no"[..], false)
        );
        let asked = asked.join().unwrap();
        assert!(
            asked.starts_with("POST /v1/x HTTP/1.1\r\n")
                && asked.ends_with("content-length: 2\r\n\r\n{}"),
            "{asked}"
        );
    }

    #[test]
    fn an_answer_that_breaks_off_is_an_error() {
        let (target, _asked) = serve(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nno");
        let error = probe(&target, "GET", "/", None, Duration::from_secs(5)).unwrap_err();
        assert!(matches!(error, ProbeError::Response { .. }), "{error:?}");
    }

    #[test]
    fn silence_ends_at_the_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::at(listener.local_addr().unwrap(), "");
        let error = probe(&target, "GET", "/health", None, Duration::from_millis(30)).unwrap_err();
        let ProbeError::Io { source, .. } = error else {
            panic!("an I/O error expected, found {error:?}")
        };
        assert_eq!(source.kind(), io::ErrorKind::TimedOut);
    }
}
