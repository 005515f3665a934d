//! The load generator over TLS: a proxy that decrypts stands before the fake engine.
//!
//! The certificates are made for these tests and name nobody.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use llem_core::{
    arrival::Arrival,
    latency::{RequestLog, Status},
    workload::{Form, Length, Synthetic, Workload},
};
use llem_fake_engine::{Behaviour, FakeEngine};
use llem_load::{
    http::{self, Control, LoadError, Plan, Protocol, Stop},
    probe::{ProbeError, probe},
    target::{ApiKey, Target},
};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name)
}

/// The heads of the requests that came through.
type Heads = Arc<Mutex<Vec<String>>>;

/// Decrypts for the server behind it, one request after the other on each connection.
fn proxy(behind: SocketAddr) -> (SocketAddr, Heads) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = CertificateDer::from_pem_file(file("server.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(file("server.key")).expect("a key");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("it has versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("they belong together");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it has one");
    let heads = Heads::default();
    let seen = Arc::clone(&heads);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, seen) = (Arc::clone(&config), Arc::clone(&seen));
            thread::spawn(move || {
                let tls = ServerConnection::new(config).expect("it is configured");
                // A client that distrusts or leaves ends the connection.
                drop(pass(StreamOwned::new(tls, stream), behind, &seen));
            });
        }
    });
    (address, heads)
}

fn pass(
    mut client: StreamOwned<ServerConnection, TcpStream>,
    behind: SocketAddr,
    seen: &Heads,
) -> std::io::Result<()> {
    let mut server = TcpStream::connect(behind)?;
    let mut buffer = [0; 4096];
    loop {
        let mut request = Vec::new();
        while !is_whole(&request) {
            let read = client.read(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            request.extend_from_slice(&buffer[..read]);
        }
        let text = String::from_utf8_lossy(&request);
        let head = text.split("\r\n\r\n").next().unwrap_or_default().to_owned();
        seen.lock().expect("not poisoned").push(head);
        server.write_all(&request)?;
        let mut end = Vec::new();
        while !end.ends_with(b"0\r\n\r\n") {
            let read = server.read(&mut buffer)?;
            end.extend_from_slice(&buffer[..read]);
            client.write_all(&buffer[..read])?;
            client.flush()?;
        }
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    length.map_or(Some(0), |it| it.parse().ok()) == Some(body.len())
}

fn plan(url: &str) -> Plan {
    let workload = Workload::Synthetic(Synthetic {
        vocabulary: 10..1000,
        input_tokens: Length::Exact(6000),
        output_tokens: Length::Exact(20),
        shared_prefix_tokens: 0,
        form: Form::TokenIds,
        seed: 1,
    });
    let target = target(url);
    let arrival = Arrival::ClosedLoop { concurrency: 4 };
    let mut plan = Plan::new(target, Protocol::OpenAiCompletions, "fake", workload, arrival);
    plan.stop = Stop::After(12);
    plan.request_timeout = Duration::from_mins(1);
    plan
}

fn target(url: &str) -> Target {
    let key = ApiKey::new("not-so-secret".to_owned());
    let target = Target::parse(url).expect("an address");
    target.with_key(key).with_authorities(Some(file("authority.pem")))
}

fn run(plan: &Plan) -> RequestLog {
    http::run(plan, &Control::new()).expect("the load runs")
}

#[test]
fn answers_come_whole_over_kept_connections_and_the_key_goes_with_each_request() {
    for host in ["localhost", "127.0.0.1"] {
        let behaviour = Behaviour { first_token_ms: 5.0, gap_ms: 1.0, ..Behaviour::default() };
        let engine = FakeEngine::start(behaviour).expect("the fake engine starts");
        let (address, heads) = proxy(engine.address());
        let log = run(&plan(&format!("https://{host}:{}/v1", address.port())));
        assert_eq!(log.requests.len(), 12);
        for request in &log.requests {
            assert_eq!(request.status, Status::Completed, "{request:?}");
            assert_eq!((request.input_tokens, request.output_tokens), (Some(6000), Some(20)));
            assert!(request.time_to_first_token().is_some_and(|it| it >= 0.005), "{request:?}");
        }
        let heads = heads.lock().expect("not poisoned");
        let key = "\r\nauthorization: Bearer not-so-secret\r\n";
        assert_eq!(heads.iter().filter(|head| head.contains(key)).count(), 12, "{heads:?}");
        let logged = serde_json::to_string(&log).expect("it has string keys");
        assert!(!logged.contains("not-so-secret"), "the log does not hold the key");
        let truth = engine.stop().expect("the fake engine ends");
        assert_eq!((truth.tokens(), truth.most_connections), (240, 4));
    }
}

#[test]
fn a_server_that_no_authority_names_is_not_talked_to() {
    let engine = FakeEngine::start(Behaviour::default()).expect("the fake engine starts");
    let (address, heads) = proxy(engine.address());
    let mut plan = plan(&format!("https://localhost:{}/v1", address.port()));
    // The certificate of the server is none of an authority that named it.
    plan.target = plan.target.with_authorities(Some(file("server.pem")));
    plan.stop = Stop::After(2);
    let log = run(&plan);
    for request in &log.requests {
        assert_eq!(request.status, Status::ConnectFailed, "{request:?}");
        assert!(request.detail.as_deref().is_some_and(|it| it.contains("certificate")));
    }
    let asked = probe(&plan.target, "GET", "/models", None, Duration::from_secs(5));
    assert!(matches!(asked, Err(ProbeError::Io { .. })), "{asked:?}");
    assert_eq!(*heads.lock().expect("not poisoned"), Vec::<String>::new(), "nothing was said");
}

#[test]
fn questions_are_asked_over_the_same_connections_and_with_the_same_key() {
    let engine = FakeEngine::start(Behaviour::default()).expect("the fake engine starts");
    let (address, heads) = proxy(engine.address());
    let target = target(&format!("https://localhost:{}/v1", address.port()));
    let answer =
        probe(&target, "GET", "/models", None, Duration::from_secs(5)).expect("it answers");
    assert_eq!(answer.status, 200);
    assert!(String::from_utf8_lossy(&answer.body).contains("\"data\""), "{answer:?}");
    let heads = heads.lock().expect("not poisoned");
    assert!(heads[0].contains("\r\nauthorization: Bearer not-so-secret\r\n"), "{heads:?}");
}

#[test]
fn what_is_not_encrypted_fails_and_nothing_is_said_in_the_clear() {
    let engine = FakeEngine::start(Behaviour::default()).expect("the fake engine starts");
    let url = format!("https://localhost:{}/v1", engine.address().port());
    let mut plan = plan(&url);
    plan.stop = Stop::After(1);
    plan.request_timeout = Duration::from_millis(300);
    let request = &run(&plan).requests[0];
    assert!(
        matches!(request.status, Status::ConnectFailed | Status::TimedOut | Status::ConnectionLost),
        "{request:?}"
    );
    let asked = probe(&plan.target, "GET", "/health", None, Duration::from_millis(300));
    assert!(matches!(asked, Err(ProbeError::Io { .. })), "{asked:?}");
    plan.target = plan.target.with_authorities(Some(file("nowhere.pem")));
    let refused = http::run(&plan, &Control::new());
    assert!(matches!(refused, Err(LoadError::Tls(_))), "{refused:?}");
    let asked = probe(&plan.target, "GET", "/health", None, Duration::from_secs(1));
    assert!(matches!(asked, Err(ProbeError::Tls { .. })), "{asked:?}");
}
