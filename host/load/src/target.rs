//! Where requests go: an address taken apart once, resolved before the load starts.

use std::{
    fmt,
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    str::FromStr,
};

use crate::tls::{TlsError, Trust};

/// A server and the path that all its endpoints share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    host: String,
    port: u16,
    base_path: String,
    is_encrypted: bool,
    key: Option<ApiKey>,
    authorities: Option<PathBuf>,
}

/// A secret that no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Takes a key; none where it can't stand in a header.
    ///
    /// ```
    /// # use llem_load::target::ApiKey;
    /// assert!(ApiKey::new("sk-1".to_owned()).is_some() && ApiKey::new("a\nb".to_owned()).is_none());
    /// ```
    pub fn new(key: String) -> Option<Self> {
        let fits = !key.is_empty() && key.chars().all(|it| it.is_ascii_graphic());
        fits.then_some(Self(key))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ApiKey(…)")
    }
}

/// Why an address is no target.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Another scheme, or none.
    #[error("`{found}` must start with `http://` or `https://`")]
    Scheme {
        /// As given.
        found: String,
    },
    /// No host, or no number after the colon.
    #[error("`{found}` must name a host and, after a colon, a port")]
    Authority {
        /// As given.
        found: String,
    },
    /// The name has no address.
    #[error("no address for `{host}`")]
    Resolve {
        /// The host's name.
        host: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl Target {
    /// Takes `http://host:port/base/path` or the same with `https` apart; the port may be absent.
    ///
    /// ```
    /// let target = llem_load::target::Target::parse("http://127.0.0.1:8000/v1/").unwrap();
    /// assert_eq!(target.to_string(), "http://127.0.0.1:8000/v1");
    /// ```
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let (rest, is_encrypted) = match (url.strip_prefix("http://"), url.strip_prefix("https://"))
        {
            (Some(rest), _) => (rest, false),
            (None, Some(rest)) => (rest, true),
            (None, None) => return Err(TargetError::Scheme { found: url.to_owned() }),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let wrong = || TargetError::Authority { found: url.to_owned() };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') && !port.ends_with(']') => {
                (host, port.parse().map_err(|_| wrong())?)
            }
            _ => (authority, if is_encrypted { 443 } else { 80 }),
        };
        if host.is_empty() || host.contains(|found: char| found.is_whitespace() || found == '@') {
            return Err(wrong());
        }
        let base_path = path.trim_end_matches('/').to_owned();
        Ok(Self {
            host: host.to_owned(),
            port,
            base_path,
            is_encrypted,
            key: None,
            authorities: None,
        })
    }

    /// The same server with another path that its endpoints share.
    #[must_use]
    pub fn below(self, base_path: &str) -> Self {
        Self { base_path: base_path.trim_end_matches('/').to_owned(), ..self }
    }

    /// Sends a key as a bearer token with everything that is asked.
    #[must_use]
    pub fn with_key(self, key: Option<ApiKey>) -> Self {
        Self { key, ..self }
    }

    /// Trusts the authorities of a file of certificates in PEM, not the system's, to name an encrypted server.
    #[must_use]
    pub fn with_authorities(self, authorities: Option<PathBuf>) -> Self {
        Self { authorities, ..self }
    }

    /// Who may name the server, where connections are encrypted.
    pub(crate) fn trust(&self) -> Result<Option<Trust>, TlsError> {
        let trust = || Trust::new(&self.host, self.authorities.as_deref());
        self.is_encrypted.then(trust).transpose()
    }

    /// A server at an address, with a base path such as `/v1`.
    pub fn at(address: SocketAddr, base_path: &str) -> Self {
        let host = if address.is_ipv6() {
            format!("[{}]", address.ip())
        } else {
            address.ip().to_string()
        };
        let base_path = base_path.trim_end_matches('/').to_owned();
        Self {
            host,
            port: address.port(),
            base_path,
            is_encrypted: false,
            key: None,
            authorities: None,
        }
    }

    /// The addresses of the host.
    pub fn resolve(&self) -> Result<Vec<SocketAddr>, TargetError> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let failed = |source| TargetError::Resolve { host: self.host.clone(), source };
        let addresses: Vec<SocketAddr> =
            (host, self.port).to_socket_addrs().map_err(failed)?.collect();
        if addresses.is_empty() {
            Err(failed(std::io::ErrorKind::NotFound.into()))
        } else {
            Ok(addresses)
        }
    }

    /// The value of the `Host` header.
    pub(crate) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The header that shows the key, with its end of line; nothing without a key.
    pub(crate) fn authorization(&self) -> String {
        self.key
            .as_ref()
            .map_or_else(String::new, |key| format!("authorization: Bearer {}\r\n", key.0))
    }

    /// Whether connections are encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path that all endpoints share, without a slash at its end.
    pub fn base_path(&self) -> &str {
        &self.base_path
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_encrypted { "https" } else { "http" };
        write!(formatter, "{scheme}://{}:{}{}", self.host, self.port, self.base_path)
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(url: &str) -> Result<Self, TargetError> {
        Self::parse(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        for (url, host, port, base) in [
            ("http://localhost", "localhost", 80, ""),
            ("http://localhost/", "localhost", 80, ""),
            ("http://10.0.0.1:8000/v1", "10.0.0.1", 8000, "/v1"),
            ("http://[::1]:8000/a/b/", "[::1]", 8000, "/a/b"),
            ("http://[::1]", "[::1]", 80, ""),
            ("https://api.example.org/v1", "api.example.org", 443, "/v1"),
            ("https://10.0.0.1:8443", "10.0.0.1", 8443, ""),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!(target.is_encrypted(), url.starts_with("https"));
            assert_eq!(
                (target.host.as_str(), target.port, target.base_path()),
                (host, port, base),
                "{url}"
            );
        }
        assert_eq!(
            Target::parse("http://[::1]:80").unwrap().resolve().unwrap()[0].to_string(),
            "[::1]:80"
        );
    }

    #[test]
    fn a_key_is_not_shown() {
        let key = ApiKey::new("not-so-secret".to_owned());
        let target = Target::parse("https://h").unwrap().with_key(key);
        assert_eq!(target.authorization(), "authorization: Bearer not-so-secret\r\n");
        assert!(!format!("{target:?} {target}").contains("secret"));
        for wrong in ["", "two words", "a\r\nhost: b", "ключ"] {
            assert_eq!(ApiKey::new(wrong.to_owned()), None, "{wrong:?}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in
            ["localhost:80", "ftp://x", "http://", "http://:80", "http://host:port", "http://a@b"]
        {
            assert!(Target::parse(url).is_err(), "{url}");
        }
    }
}
