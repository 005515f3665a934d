//! What there is of a container engine, for people who ask.

use std::{io, os::unix::net::UnixStream, path::PathBuf};

use bollard::Docker;

use super::client::socket;

/// Seconds that an engine has for an answer.
const ANSWER_SECONDS: u64 = 2;

/// A container engine as it is found.
#[derive(Debug)]
pub enum ContainerEngine {
    /// No socket of one is there.
    Absent,
    /// Its socket is there, and does not take this user's connections.
    Refused {
        /// The socket.
        socket: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It takes connections.
    Ready {
        /// The socket.
        socket: PathBuf,
        /// Its version, unless it did not answer.
        version: Option<String>,
        /// Names of its runtimes, such as `runc` and `nvidia`.
        runtimes: Vec<String>,
    },
}

impl ContainerEngine {
    /// Looks for one at this address, or at the usual ones.
    pub fn find(named: Option<&str>) -> Self {
        let Some(socket) = socket(named) else { return Self::Absent };
        if let Err(error) = UnixStream::connect(&socket) {
            return Self::Refused { socket, error };
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let path = socket.display().to_string();
        let asked = async {
            let docker =
                Docker::connect_with_unix(&path, ANSWER_SECONDS, bollard::API_DEFAULT_VERSION);
            let docker = docker.ok()?.negotiate_version().await.ok()?;
            let version = docker.version().await.ok()?.version;
            let runtimes = docker.info().await.ok()?.runtimes.unwrap_or_default();
            Some((version, runtimes.into_keys().collect()))
        };
        let answer = runtime.ok().and_then(|it| it.block_on(asked));
        let (version, mut runtimes): (_, Vec<String>) = answer.unwrap_or_default();
        runtimes.sort();
        Self::Ready { socket, version, runtimes }
    }
}
