//! The encrypted side of a connection to an endpoint elsewhere: bytes of the socket in, bytes of HTTP out.
//!
//! Trusts the system's certificate authorities, or those of a file. Owns no socket.

use std::{
    env,
    io::{self, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

/// Where Linux distributions keep the certificates of authorities, after the variable that says so.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// The variable that other programs know as well.
const VARIABLE: &str = "SSL_CERT_FILE";

/// Why connections can't be encrypted.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No file of certificates.
    #[error("no certificates of authorities: `SSL_CERT_FILE` is not set, and none of {} exists", BUNDLES.join(", "))]
    NoBundle,
    /// The file holds no certificates.
    #[error("no certificate of an authority in `{path}`: {reason}")]
    Bundle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The library refuses.
    #[error("TLS can't be set up for `{host}`: {reason}")]
    Refused {
        /// The server's name.
        host: String,
        /// What it said.
        reason: String,
    },
}

/// What all connections to one server share.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Trust {
    /// Trusts the authorities of a file, by default the system's, to name this host.
    pub(crate) fn new(host: &str, authorities: Option<&Path>) -> Result<Self, TlsError> {
        let refused = |reason: String| TlsError::Refused { host: host.to_owned(), reason };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| refused(error.to_string()))?
            .with_root_certificates(authorities.map_or_else(systems_roots, roots)?)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
            .map_err(|error| refused(error.to_string()))?;
        Ok(Self { config: Arc::new(config), name })
    }

    /// A new connection over a socket that blocks.
    pub(crate) fn over(
        &self,
        socket: TcpStream,
    ) -> Result<StreamOwned<ClientConnection, TcpStream>, rustls::Error> {
        Ok(StreamOwned::new(self.connection()?, socket))
    }

    fn connection(&self) -> Result<ClientConnection, rustls::Error> {
        ClientConnection::new(Arc::clone(&self.config), self.name.clone())
    }

    /// The state of a new connection.
    pub(crate) fn connect(&self) -> Result<Tls, rustls::Error> {
        let mut connection = self.connection()?;
        // A request is handed over whole.
        connection.set_buffer_limit(None);
        Ok(Tls { connection })
    }
}

/// The system's, read once: a metrics page is asked for every second.
fn systems_roots() -> Result<Arc<RootCertStore>, TlsError> {
    static READ: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(known) = READ.get() {
        return Ok(Arc::clone(known));
    }
    let path = env::var_os(VARIABLE)
        .map(PathBuf::from)
        .or_else(|| BUNDLES.iter().map(PathBuf::from).find(|path| path.is_file()))
        .ok_or(TlsError::NoBundle)?;
    let found = roots(&path)?;
    Ok(Arc::clone(READ.get_or_init(|| found)))
}

fn roots(path: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    let wrong = |reason: String| TlsError::Bundle { path: path.to_owned(), reason };
    let found = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    // A bundle may hold one that this library does not know how to read.
    roots.add_parsable_certificates(found.filter_map(Result::ok));
    if roots.is_empty() { Err(wrong("it has none".to_owned())) } else { Ok(Arc::new(roots)) }
}

/// The state of one encrypted connection.
#[derive(Debug)]
pub(crate) struct Tls {
    connection: ClientConnection,
}

impl Tls {
    /// Takes a request; it is encrypted when the handshake is done.
    pub(crate) fn take_request(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.connection.writer().write_all(bytes)
    }

    /// Whether there are bytes for the socket.
    pub(crate) fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Whether the server is not known yet.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Hands bytes to the socket, as many as there is room for.
    pub(crate) fn write_to(&mut self, socket: &mut impl Write) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(socket)?;
        }
        Ok(())
    }

    /// Takes what was read from the socket and appends what it says; whether the server closed the stream in order.
    pub(crate) fn read(&mut self, mut bytes: &[u8], plain: &mut Vec<u8>) -> io::Result<bool> {
        let mut is_closed = false;
        while !bytes.is_empty() && !is_closed {
            self.connection.read_tls(&mut bytes)?;
            let state = self
                .connection
                .process_new_packets()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            is_closed = state.peer_has_closed();
            let ready = u64::try_from(state.plaintext_bytes_to_read()).unwrap_or(u64::MAX);
            self.connection.reader().take(ready).read_to_end(plain)?;
        }
        Ok(is_closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_read_from_a_file_that_has_some() {
        let file = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        assert!(Trust::new("localhost", Some(&file("tests/tls/authority.pem"))).is_ok());
        for (name, message) in [("Cargo.toml", "it has none"), ("nowhere.pem", "nowhere.pem")] {
            let error = Trust::new("localhost", Some(&file(name))).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
        }
        let error = Trust::new("not a name", Some(&file("tests/tls/authority.pem"))).unwrap_err();
        assert!(error.to_string().contains("not a name"), "{error}");
    }
}
