//! Plugins of others: taken in by their hash, allowed by name, and nothing kept where either fails.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use llem_tests::Workspace;

use crate::workspace;

/// A component that asks for the program `true`.
const HOSTILE: &[u8] = include_bytes!("../../host/plugin/tests/hostile.wasm");

fn with_component() -> Workspace {
    let workspace = workspace();
    std::fs::write(workspace.path().join("hostile.wasm"), HOSTILE).expect("writable");
    workspace
}

fn sha256(workspace: &Workspace) -> String {
    let answer = workspace.llem(&["plugin", "inspect", "./hostile.wasm", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&answer.stdout).expect("it is JSON");
    json["sha256"].as_str().expect("a text").to_owned()
}

#[test]
fn without_permission_nothing_is_kept() {
    let workspace = with_component();
    let answer = workspace.llem(&["plugin", "add", "./hostile.wasm"]);
    assert_eq!(answer.code, Some(2), "{}", answer.stdout);
    assert!(answer.stderr.contains("--allow 'program:true'"), "{}", answer.stderr);
    assert!(!workspace.path().join("data").exists());
    let inspected = workspace.llem(&["plugin", "inspect", "./hostile.wasm"]);
    assert!(inspected.stdout.contains("not allowed  program:true"), "{}", inspected.stdout);
}

#[test]
fn an_added_plugin_is_used_by_its_name_until_its_bytes_change() {
    let workspace = with_component();
    let added = workspace.llem(&["plugin", "add", ".", "--allow", "program:true"]);
    assert_eq!(added.code, Some(0), "{}", added.stderr);
    let listed = workspace.llem(&["plugin", "list"]);
    assert!(listed.stdout.contains("\nhostile    1.0.0    added"), "{}", listed.stdout);
    assert!(!listed.stdout.contains("not allowed"), "{}", listed.stdout);
    assert_eq!(workspace.llem(&["plugin", "verify"]).code, Some(0));
    assert_eq!(workspace.llem(&["params", "hostile"]).code, Some(0));

    let hash = sha256(&workspace);
    let component = workspace.path().join(format!("data/plugins/{hash}.wasm"));
    let mut bytes = HOSTILE.to_vec();
    // A custom section: another component that behaves the same.
    bytes.extend(b"\0\x04\x03abc");
    std::fs::write(&component, &bytes).expect("it is ours");
    let verified = workspace.llem(&["plugin", "verify"]);
    assert_eq!(verified.code, Some(1), "{}", verified.stdout);
    assert!(verified.stdout.contains("was added with"), "{}", verified.stdout);
    let used = workspace.llem(&["params", "hostile"]);
    assert_eq!(used.code, Some(2), "{}", used.stdout);

    // The changed component is another one: it takes a word to replace, and grants of its own.
    std::fs::write(workspace.path().join("hostile.wasm"), &bytes).expect("writable");
    let again = ["plugin", "add", "./hostile.wasm", "--replace"];
    assert_eq!(workspace.llem(&again[..3]).code, Some(2));
    let refused = workspace.llem(&again);
    assert!(refused.stderr.contains("--allow 'program:true'"), "{}", refused.stderr);
    let allowed = workspace.llem(&[&again[..], &["--allow", "program:true"]].concat());
    assert_eq!(allowed.code, Some(0), "{}", allowed.stderr);
    assert!(!component.exists(), "the replaced component is gone");
    assert_eq!(workspace.llem(&["plugin", "verify"]).code, Some(0));

    assert_eq!(workspace.llem(&["plugin", "remove", "hostile"]).code, Some(0));
    let grants = std::fs::read_to_string(workspace.path().join("data/grants.toml"));
    assert!(!grants.expect("there is a book").contains("program:true"));
    assert_eq!(workspace.llem(&["plugin", "remove", "hostile"]).code, Some(2));
}

#[test]
fn an_added_component_is_compiled_in_a_process_with_limits() {
    let workspace = workspace();
    // A pipe without a writer holds the process where it opens its component.
    let pipe = workspace.path().join("pipe.wasm");
    let (kind, mode) =
        (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).expect("writable");
    let mut compiler = workspace.command(&["compile", "pipe.wasm"]).spawn().expect("it starts");
    let limit = |name: &str| {
        let text = std::fs::read_to_string(format!("/proc/{}/limits", compiler.id()));
        let text = text.expect("it runs");
        let row = text.lines().find_map(|it| it.strip_prefix(name)).expect("Linux has it");
        row.split_whitespace().next().map(str::to_owned)
    };
    let wanted = [("Max cpu time", "120"), ("Max address space", "4294967296")];
    let deadline = Instant::now() + Duration::from_mins(1);
    let missing = loop {
        let missing = wanted.iter().find(|it| limit(it.0).as_deref() != Some(it.1));
        if missing.is_none() || Instant::now() > deadline {
            break missing;
        }
        thread::sleep(Duration::from_millis(10));
    };
    compiler.kill().expect("it is ours");
    compiler.wait().expect("it is ours");
    assert_eq!(missing, None);
}

#[test]
fn no_plugin_takes_the_name_of_a_built_in_one() {
    let workspace = workspace();
    let component = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/components/candle.wasm");
    let answer = workspace.llem(&["plugin", "add", component, "--allow", "bundled:candle"]);
    assert_eq!(answer.code, Some(2), "{}", answer.stdout);
    assert!(answer.stderr.contains("built-in"), "{}", answer.stderr);
}

/// Answers requests on a port of this machine until the process ends: by path, with what it takes to be let in.
fn serve(answers: impl Fn(&str, bool) -> (u16, String, Vec<u8>) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
            while !request.windows(4).any(|it| it == b"\r\n\r\n") {
                match stream.read(&mut buffer) {
                    Ok(read @ 1..) => request.extend_from_slice(&buffer[..read]),
                    Ok(_) | Err(_) => break,
                }
            }
            let text = String::from_utf8_lossy(&request).into_owned();
            let path = text.split(' ').nth(1).unwrap_or_default();
            let (status, header, body) = answers(path, text.contains("Bearer let-me-in"));
            let head = format!(
                "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n{}\r\n",
                body.len(),
                header.replace("PORT", &port.to_string())
            );
            drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)));
        }
    });
    port
}

#[test]
fn a_component_comes_from_an_address_with_the_hash_that_was_promised() {
    let workspace = with_component();
    let hash = sha256(&workspace);
    let port = serve(|path, _| match path {
        "/x.wasm" => (200, String::new(), HOSTILE.to_vec()),
        "/away" => (302, "location: http://example.org/x.wasm\r\n".into(), Vec::new()),
        _ => (404, String::new(), Vec::new()),
    });
    let add = |rest: &str| {
        let address = format!("http://127.0.0.1:{port}/{rest}");
        workspace.llem(&["plugin", "add", &address, "--allow", "program:true", "--replace"])
    };
    let wrong = add(&format!("x.wasm#sha256={}", "0".repeat(64)));
    assert_eq!(wrong.code, Some(2), "{}", wrong.stdout);
    assert!(wrong.stderr.contains(&hash), "{}", wrong.stderr);
    assert!(add("y.wasm").stderr.contains("status 404"));
    assert!(!workspace.path().join("data").exists());
    let right = add(&format!("x.wasm#sha256={hash}"));
    assert_eq!(right.code, Some(0), "{}", right.stderr);
}

#[test]
fn a_component_comes_from_a_registry_that_wants_a_token() {
    let workspace = with_component();
    let hash = sha256(&workspace);
    let layer = format!(
        r#"{{"mediaType":"application/wasm","digest":"sha256:{hash}","size":{}}}"#,
        HOSTILE.len()
    );
    let port = serve(move |path, let_in| {
        let manifest =
            |layers: &str| (200, String::new(), format!(r#"{{"layers":[{layers}]}}"#).into_bytes());
        match path {
            "/token?service=r&scope=pull" => (200, String::new(), br#"{"token":"let-me-in"}"#.to_vec()),
            _ if !let_in => {
                (401, "www-authenticate: Bearer realm=\"http://127.0.0.1:PORT/token\",service=\"r\",scope=\"pull\"\r\n".into(), Vec::new())
            }
            it if it.starts_with("/v2/org/x/manifests/") => manifest(&layer),
            "/v2/org/two/manifests/1.0.0" => manifest(&format!("{layer},{layer}")),
            "/v2/org/other/manifests/1.0.0" => manifest(&layer.replace(&hash, &"1".repeat(64))),
            it if it.starts_with("/v2/org/") && it.contains("/blobs/") => (200, String::new(), HOSTILE.to_vec()),
            _ => (404, String::new(), Vec::new()),
        }
    });
    let add = |name: &str| {
        let reference = format!("oci://127.0.0.1:{port}/org/{name}");
        workspace.llem(&["plugin", "add", &reference, "--allow", "program:true"])
    };
    assert!(add("two:1.0.0").stderr.contains("exactly one layer"), "{}", add("two:1.0.0").stderr);
    assert!(add("other:1.0.0").stderr.contains(&"1".repeat(64)));
    assert!(add(&format!("x:1.0.0@sha256:{}", "0".repeat(64))).stderr.contains("has the digest"));
    assert!(!workspace.path().join("data").exists());
    let added = add("x:1.0.0");
    assert_eq!(added.code, Some(0), "{}", added.stderr);
    let lock =
        std::fs::read_to_string(workspace.path().join("data/plugins.lock")).expect("it is there");
    assert!(lock.contains("digest = \"sha256:") && lock.contains("oci://127.0.0.1"), "{lock}");
}
