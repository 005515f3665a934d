//! Gets a component from a container registry: a manifest with one layer of WebAssembly.
//!
//! As `wkg` publishes them: <https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>.

use serde::Deserialize;
use ureq::{Agent, Body, http::Response};

use super::source::{Fetched, MAX_BYTES, SourceError, agent, check, is_local_host};

const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
const LAYERS: &[&str] = &["application/wasm", "application/vnd.wasm.content.layer.v1+wasm"];
const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// `HOST/REPOSITORY[:TAG][@DIGEST]`.
#[derive(Debug, PartialEq, Eq)]
struct Reference<'a> {
    host: &'a str,
    repository: &'a str,
    tag: Option<&'a str>,
    digest: Option<&'a str>,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
struct Layer {
    #[serde(rename = "mediaType")]
    media_type: String,
    digest: String,
    size: u64,
}

#[derive(Deserialize)]
struct Token {
    #[serde(alias = "access_token")]
    token: String,
}

/// Gets the component that a reference names.
pub(super) fn fetch(text: &str) -> Result<Fetched, SourceError> {
    let wrong =
        |why: &str| SourceError::Registry { reference: text.to_owned(), why: why.to_owned() };
    let reference = parse(text).ok_or_else(|| wrong("write `oci://HOST/REPOSITORY:TAG`"))?;
    let scheme = if is_local_host(reference.host) { "http" } else { "https" };
    let host = if reference.host == "docker.io" { "registry-1.docker.io" } else { reference.host };
    let base = format!("{scheme}://{host}/v2/{}", reference.repository);
    let session = Session { agent: agent(&base)?, text };
    let version = reference.digest.or(reference.tag).unwrap_or("latest");
    let (manifest, token) =
        session.get(&format!("{base}/manifests/{version}"), MANIFESTS, None, MAX_MANIFEST_BYTES)?;
    let digest = format!("sha256:{}", super::source::sha256(&manifest));
    if reference.digest.is_some_and(|it| it != digest) {
        return Err(wrong(&format!("its manifest has the digest {digest}")));
    }
    let manifest: Manifest =
        serde_json::from_slice(&manifest).map_err(|it| wrong(&it.to_string()))?;
    let mut layers = manifest.layers.iter().filter(|it| LAYERS.contains(&it.media_type.as_str()));
    let (Some(layer), None) = (layers.next(), layers.next()) else {
        return Err(wrong("it has not exactly one layer of WebAssembly"));
    };
    let wanted = layer.digest.strip_prefix("sha256:").filter(|it| it.len() == 64);
    let wanted = wanted.ok_or_else(|| wrong("its layer has no sha256 digest"))?;
    if layer.size > MAX_BYTES {
        return Err(wrong(&format!("{} bytes, at most {MAX_BYTES} are taken", layer.size)));
    }
    let blob = format!("{base}/blobs/sha256:{wanted}");
    let (bytes, _) = session.get(&blob, "*/*", token.as_deref(), MAX_BYTES)?;
    check(&bytes, Some(wanted), text)?;
    Ok(Fetched { bytes, source: format!("oci://{text}"), digest: Some(digest) })
}

struct Session<'a> {
    agent: Agent,
    text: &'a str,
}

impl Session<'_> {
    /// Gets a document, with an anonymous token where the registry wants one.
    fn get(
        &self,
        address: &str,
        accept: &str,
        token: Option<&str>,
        limit: u64,
    ) -> Result<(Vec<u8>, Option<String>), SourceError> {
        let mut token = token.map(str::to_owned);
        let mut answer = self.ask(address, accept, token.as_deref())?;
        if answer.status() == 401 && token.is_none() {
            let challenge =
                answer.headers().get("www-authenticate").and_then(|it| it.to_str().ok());
            let place = challenge.and_then(token_address);
            let place = place.ok_or_else(|| self.failed(address, "it asks for a login"))?;
            let text = self.read(&place, self.ask(&place, "application/json", None)?, 1 << 20)?;
            let found: Token = serde_json::from_slice(&text)
                .map_err(|it| self.failed(&place, &format!("no token: {it}")))?;
            answer = self.ask(address, accept, Some(&found.token))?;
            token = Some(found.token);
        }
        Ok((self.read(address, answer, limit)?, token))
    }

    fn ask(
        &self,
        address: &str,
        accept: &str,
        token: Option<&str>,
    ) -> Result<Response<Body>, SourceError> {
        let request = self.agent.get(address).header("accept", accept);
        let request = match token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        request.call().map_err(|it| self.failed(address, &it.to_string()))
    }

    fn read(
        &self,
        address: &str,
        mut answer: Response<Body>,
        limit: u64,
    ) -> Result<Vec<u8>, SourceError> {
        if answer.status() != 200 {
            return Err(self.failed(address, &format!("status {}", answer.status())));
        }
        let bytes = answer.body_mut().with_config().limit(limit).read_to_vec();
        bytes.map_err(|it| self.failed(address, &it.to_string()))
    }

    fn failed(&self, address: &str, why: &str) -> SourceError {
        SourceError::Network {
            address: format!("oci://{} ({address})", self.text),
            why: why.to_owned(),
        }
    }
}

fn parse(text: &str) -> Option<Reference<'_>> {
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    let (host, rest) = name.split_once('/')?;
    let (repository, tag) = match rest.rsplit_once(':') {
        Some((repository, tag)) => (repository, Some(tag)),
        None => (rest, None),
    };
    let plain = |it: &str| {
        !it.is_empty()
            && it
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':'))
            && it.split('/').all(|it| !it.is_empty() && it != "." && it != "..")
    };
    let sound = plain(host)
        && plain(repository)
        && tag.is_none_or(plain)
        && digest.is_none_or(|it| it.starts_with("sha256:") && plain(it));
    sound.then_some(Reference { host, repository, tag, digest })
}

/// Where a registry's challenge says that tokens are had.
fn token_address(challenge: &str) -> Option<String> {
    let parameters = challenge.strip_prefix("Bearer ")?;
    let value = |name: &str| {
        let rest = parameters.split_once(&format!("{name}=\""))?.1;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let realm = value("realm")?;
    let local = realm
        .strip_prefix("http://")
        .is_some_and(|it| is_local_host(it.split('/').next().unwrap_or_default()));
    if !realm.starts_with("https://") && !local {
        return None;
    }
    let query: Vec<String> = ["service", "scope"]
        .iter()
        .filter_map(|name| Some(format!("{name}={}", value(name)?.replace(' ', "%20"))))
        .collect();
    Some(format!("{realm}?{}", query.join("&")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_have_a_host_and_a_repository() {
        let it = parse("ghcr.io/org/llem-x:1.2.0@sha256:ab").expect("it is one");
        assert_eq!(
            (it.host, it.repository, it.tag, it.digest),
            ("ghcr.io", "org/llem-x", Some("1.2.0"), Some("sha256:ab"))
        );
        assert_eq!(parse("127.0.0.1:5000/x").expect("it is one").tag, None);
        for text in ["", "x", "ghcr.io/../x", "ghcr.io/a b", "ghcr.io/x@md5:1", "ghcr.io//x"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn tokens_are_not_asked_for_in_the_clear_from_elsewhere() {
        let challenge = |realm: &str| {
            format!("Bearer realm=\"{realm}\",service=\"r\",scope=\"repository:x:pull\"")
        };
        assert_eq!(
            token_address(&challenge("https://auth.example.org/token")).as_deref(),
            Some("https://auth.example.org/token?service=r&scope=repository:x:pull")
        );
        assert_eq!(token_address(&challenge("http://auth.example.org/token")), None);
    }
}
