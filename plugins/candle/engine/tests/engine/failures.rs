//! What goes wrong, told by message, kind and exit code.

use serde_json::json;

use crate::common::{Server, Worker, run_to_end, shape, tiny_model};

#[test]
fn a_server_that_can_not_start_says_why_and_ends_with_its_own_code() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let tiny = tiny_model(folder.path()).display().to_string();
    let empty = tempfile::tempdir().expect("temporary directory");
    let empty = empty.path().display().to_string();
    let broken = tempfile::tempdir().expect("temporary directory");
    let broken = shape(broken.path(), &json!({"hidden_size": "wide"})).display().to_string();
    let not_gguf = format!("{tiny}/model.gguf");
    std::fs::write(&not_gguf, "this is no model").expect("writable");
    let huge_folder = tempfile::tempdir().expect("temporary directory");
    let huge = json!({"hidden_size": 65536, "intermediate_size": 262_144, "num_hidden_layers": 500, "num_attention_heads": 64});
    let huge = shape(huge_folder.path(), &huge).display().to_string();
    for (flags, code, expected) in [
        (
            vec!["--model=/nowhere/at/all", "--random-weights"],
            3,
            "found no model at `/nowhere/at/all`",
        ),
        (vec![&format!("--model={empty}"), "--random-weights"], 3, "config.json"),
        (vec![&format!("--model={tiny}")], 3, "no `*.safetensors` file"),
        (vec![&format!("--model={broken}"), "--random-weights"], 4, "invalid type"),
        (vec![&format!("--model={not_gguf}")], 4, "unknown magic"),
        (vec![&format!("--model={huge}"), "--random-weights"], 5, "out of memory: the weights"),
        (
            vec![&format!("--model={tiny}"), "--random-weights", "--dtype=f64"],
            2,
            "invalid value 'f64'",
        ),
        (
            vec![&format!("--model={tiny}"), "--random-weights", "--quantization=q4k"],
            2,
            "blocks of 256 weights don't fit",
        ),
        (
            vec![&format!("--model={tiny}"), "--random-weights", "--context-length=999"],
            2,
            "the model has at most 256",
        ),
        (
            vec![&format!("--model={tiny}"), "--random-weights", "--threads=100000"],
            2,
            "bad parameter `threads`",
        ),
        (vec!["--random-weights"], 2, "--model <PATH>"),
    ] {
        let mut arguments = vec!["serve", "--port=0"];
        arguments.extend(flags.iter().map(AsRef::<str>::as_ref));
        let (found, stderr) = run_to_end(&arguments);
        assert_eq!(found, Some(code), "{flags:?}: {stderr}");
        assert!(stderr.contains(expected), "{flags:?}: {stderr}");
    }
}

#[test]
fn an_occupied_port_is_named() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let model = tiny_model(folder.path());
    let server = Server::start(&model, &["--random-weights"]);
    let port = server.address.rsplit(':').next().expect("an address has a port");
    let model = format!("--model={}", model.display());
    let (code, stderr) =
        run_to_end(&["serve", &model, "--random-weights", &format!("--port={port}")]);
    assert_eq!(code, Some(6), "{stderr}");
    assert!(stderr.contains(&format!("address in use: `127.0.0.1:{port}`")), "{stderr}");
}

#[test]
fn a_worker_tells_kinds_of_failures_apart() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let tiny = tiny_model(folder.path());
    let load = |model: &str, settings| json!({"op": "load", "model": model, "settings": settings, "seed": 0});
    let tiny = tiny.display().to_string();
    for (message, kind, code) in [
        (load("/nowhere", json!({})), "model-not-found", 3),
        (load(&tiny, json!({"dtype": "f64"})), "bad-parameter", 2),
        (load(&tiny, json!({"colour": 1})), "bad-parameter", 2),
        (load("", json!({})), "bad-parameter", 2),
        (json!({"op": "sing"}), "protocol", 7),
        (
            json!({"op": "generate", "id": 1, "prompts": [[1]], "max_tokens": 1, "exact": true}),
            "protocol",
            7,
        ),
    ] {
        let mut worker = Worker::start(&["--random-weights"]);
        worker.say(&message);
        let event = worker.hear();
        assert_eq!(
            (&event["ev"], &event["kind"], &event["fatal"]),
            (&json!("error"), &json!(kind), &json!(true)),
            "{event}"
        );
        assert_eq!(worker.end(), Some(code), "{event}");
    }
}

#[test]
fn a_sequence_that_can_never_fit_is_refused_and_the_next_one_is_not() {
    let folder = tempfile::tempdir().expect("temporary directory");
    // Half a megabyte a position: a million of them are more than any machine here has.
    let wide = json!({"max_position_embeddings": 1_000_000, "num_hidden_layers": 1024, "hidden_size": 64,
        "intermediate_size": 32, "num_key_value_heads": 4});
    let server = Server::start(&shape(folder.path(), &wide), &["--random-weights"]);
    let (status, answer) =
        server.post("/v1/completions", &json!({"prompt": [1], "max_tokens": 990_000}));
    assert_eq!(status, 503, "{answer}");
    assert!(
        answer["error"]["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("out of memory: the key-value cache"))
    );
    let (status, answer) = server.post("/v1/completions", &json!({"prompt": [1], "max_tokens": 1}));
    assert_eq!(status, 200, "{answer}");
}
