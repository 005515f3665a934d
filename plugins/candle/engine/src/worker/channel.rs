//! The worker's end of the protocol: stdin, and a private descriptor of what was stdout. Knows no model.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Stdin, Write},
};

use llem_batch::{Event, MAX_LINE_BYTES, Request, WorkerError, decode, encode};
use rustix::{
    io::fcntl_dupfd_cloexec,
    stdio::{dup2_stdout, stderr, stdout},
};

use crate::{
    arithmetic::count,
    error::{EngineError, chain},
};

/// Lowest number of the private descriptor: above the standard streams.
const ABOVE_STANDARD: i32 = 3;

/// Both directions of the protocol.
pub(super) struct Channel {
    input: BufReader<Stdin>,
    output: File,
}

impl Channel {
    /// Takes the protocol's descriptor away from stdout, which becomes stderr.
    pub(super) fn open() -> Result<Self, EngineError> {
        let refused = |source: rustix::io::Errno| EngineError::System {
            action: "keep stdout for the protocol",
            source: source.into(),
        };
        let output = fcntl_dupfd_cloexec(stdout(), ABOVE_STANDARD).map_err(refused)?;
        dup2_stdout(stderr()).map_err(refused)?;
        Ok(Self { input: BufReader::new(io::stdin()), output: output.into() })
    }

    /// Waits for the next request; `None` is the end of stdin.
    pub(super) fn receive(&mut self) -> Result<Option<Request>, EngineError> {
        let mut line = Vec::new();
        let most = count(MAX_LINE_BYTES) + 1;
        let read = self.input.by_ref().take(most).read_until(b'\n', &mut line);
        read.map_err(|source| EngineError::System { action: "read the protocol", source })?;
        if line.is_empty() {
            return Ok(None);
        }
        let broken = |reason: String| EngineError::Protocol { reason };
        let line = String::from_utf8(line).map_err(|error| broken(error.to_string()))?;
        decode(&line).map(Some).map_err(|error| broken(chain(&error)))
    }

    /// Writes an event, whole and at once.
    pub(super) fn send(&mut self, event: &Event) -> Result<(), EngineError> {
        self.output
            .write_all(encode(event).as_bytes())
            .map_err(|source| EngineError::System { action: "write the protocol", source })
    }

    /// Writes an error.
    pub(super) fn send_error(
        &mut self,
        error: &EngineError,
        fatal: bool,
    ) -> Result<(), EngineError> {
        self.send(&Event::Error(WorkerError {
            kind: error.kind().to_owned(),
            message: chain(error),
            fatal,
        }))
    }
}
