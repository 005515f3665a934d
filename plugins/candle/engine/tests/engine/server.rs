//! The HTTP server: shapes of answers, streams, cancellation and metrics.

use std::io::Read;

use serde_json::{Value, json};

use crate::common::{Server, Worker, shape, tiny_model};

fn completion(server: &Server, changes: &Value) -> (u16, Value) {
    let mut body =
        json!({"model": "tiny", "prompt": [1, 2, 3], "max_tokens": 5, "return_token_ids": true});
    for (name, value) in changes.as_object().expect("tests pass objects") {
        body[name] = value.clone();
    }
    server.post("/v1/completions", &body)
}

#[test]
fn a_completion_counts_its_tokens_and_health_and_models_tell_of_the_model() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(&tiny_model(folder.path()), &["--random-weights", "--dtype=bf16"]);
    assert_eq!(server.request("GET", "/health", "").0, 200);
    let (status, answer) = completion(&server, &json!({}));
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        answer["usage"],
        json!({"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8})
    );
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    assert_eq!(answer["choices"][0]["token_ids"].as_array().map(Vec::len), Some(5));
    let (_, models) = server.request("GET", "/v1/models", "");
    let models: Value = serde_json::from_str(&models).expect("JSON");
    assert_eq!(models["data"][0]["id"], "tiny");
    assert_eq!(models["data"][0]["effective"]["dtype"], "bf16");
    assert_eq!(models["data"][0]["effective"]["kv_cache_dtype"], "bf16");
    assert_eq!(models["data"][0]["max_model_len"], 256);
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn a_stream_has_one_event_a_token_and_the_usage_at_its_end() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(&tiny_model(folder.path()), &["--random-weights"]);
    let body = json!({
        "prompt": [[1, 2, 3], [4, 5]], "max_tokens": 6, "stream": true, "return_token_ids": true,
        "stream_options": {"include_usage": true, "continuous_usage_stats": true},
    });
    let mut events = server.stream("/v1/completions", &body);
    let closing = events.pop().expect("events");
    assert_eq!(
        closing["usage"],
        json!({"prompt_tokens": 5, "completion_tokens": 12, "total_tokens": 17})
    );
    assert_eq!(closing["choices"], json!([]));
    assert_eq!(events.len(), 12);
    for (index, prompt_tokens) in [(0, 3), (1, 2)] {
        let own: Vec<&Value> =
            events.iter().filter(|event| event["choices"][0]["index"] == index).collect();
        let counts: Vec<u64> =
            own.iter().filter_map(|event| event["usage"]["completion_tokens"].as_u64()).collect();
        assert_eq!(counts, [1, 2, 3, 4, 5, 6]);
        assert!(own.iter().all(|event| event["usage"]["prompt_tokens"] == prompt_tokens));
        let ends: Vec<&Value> =
            own.iter().map(|event| &event["choices"][0]["finish_reason"]).collect();
        assert_eq!(ends[5], "length");
        assert!(ends[..5].iter().all(|end| end.is_null()));
    }
}

#[test]
fn greedy_tokens_are_the_same_alone_in_a_batch_in_chunks_and_by_the_worker() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let model = tiny_model(folder.path());
    let prompts: Vec<Vec<u32>> =
        (1..8).map(|n| (0..n * 5).map(|i| (i * 37 + n) % 300).collect()).collect();
    let tokens = |server: &Server, prompts: &Value| -> Vec<Value> {
        let (status, answer) =
            completion(server, &json!({"prompt": prompts, "max_tokens": 24, "ignore_eos": true}));
        assert_eq!(status, 200, "{answer}");
        answer["choices"]
            .as_array()
            .expect("choices")
            .iter()
            .map(|choice| choice["token_ids"].clone())
            .collect()
    };
    let flags = ["--random-weights", "--seed=3"];
    let together = tokens(&Server::start(&model, &flags), &json!(prompts));
    let distinct = together[0].as_array().expect("tokens").iter().map(Value::to_string);
    assert!(
        distinct.collect::<std::collections::HashSet<_>>().len() > 8,
        "a constant text would prove little"
    );
    let chunked =
        Server::start(&model, &[flags[0], flags[1], "--prefill-chunk=4", "--max-batch-size=3"]);
    assert_eq!(tokens(&chunked, &json!(prompts)), together);
    let alone: Vec<Value> =
        prompts.iter().flat_map(|prompt| tokens(&chunked, &json!(prompt))).collect();
    assert_eq!(alone, together);

    // The worker returns no token ids; a tokenizer with a word for each token makes texts of them.
    let words: serde_json::Map<String, Value> =
        (0..300).map(|id| (format!("w{id}"), json!(id))).collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "w0"},
    });
    std::fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).expect("writable");
    let (mut worker, loaded) =
        Worker::load(&model, &["--random-weights"], &json!({"max_batch_size": 4}));
    assert_eq!(loaded["ev"], "loaded", "{loaded}");
    let batch = json!({"op": "generate", "id": 1, "prompts": prompts, "max_tokens": 24, "exact": true, "return_text": true});
    let events = worker.generate(&batch);
    let requests =
        events[events.len() - 1]["requests"].as_array().expect("the batch ended").clone();
    for (request, tokens) in requests.iter().zip(&together) {
        let words: Vec<String> =
            tokens.as_array().expect("tokens").iter().map(|id| format!("w{id}")).collect();
        assert_eq!(request["text"], words.join(" "));
    }
}

#[test]
fn a_client_that_goes_away_frees_its_place_for_the_next() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let model = shape(folder.path(), &json!({"max_position_embeddings": 1_000_000}));
    let server = Server::start(&model, &["--random-weights", "--max-batch-size=1"]);
    let endless = json!({"prompt": [1], "max_tokens": 900_000, "stream": true, "ignore_eos": true})
        .to_string();
    let mut leaving = server.send("POST", "/v1/completions", &endless);
    leaving.read_exact(&mut [0; 200]).expect("the stream began");
    server.wait_for("num_requests_running", 1.0);
    drop(leaving);
    let (status, answer) = completion(&server, &json!({}));
    assert_eq!(status, 200, "{answer}");
    server.wait_for(r#"request_success_total{finished_reason="abort"}"#, 1.0);
    server.wait_for(r#"request_success_total{finished_reason="length"}"#, 1.0);
    server.wait_for("num_requests_running", 0.0);
    server.wait_for("kv_cache_usage_ratio", 0.0);
}

#[test]
fn end_tokens_end_a_text_unless_they_are_ignored_or_come_too_early() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let model = tiny_model(folder.path());
    let flags = ["--random-weights"];
    let (_, answer) = completion(&Server::start(&model, &flags), &json!({"max_tokens": 8}));
    let tokens = answer["choices"][0]["token_ids"].as_array().expect("tokens").clone();
    let model = shape(folder.path(), &json!({"eos_token_id": tokens[2]}));
    let server = Server::start(&model, &flags);
    let end = |changes: Value| {
        let (_, answer) = completion(&server, &changes);
        (
            answer["usage"]["completion_tokens"].as_u64(),
            answer["choices"][0]["finish_reason"].clone(),
        )
    };
    let first = tokens.iter().position(|token| *token == tokens[2]).expect("it is there");
    assert_eq!(end(json!({"max_tokens": 8})), (u64::try_from(first + 1).ok(), json!("stop")));
    assert_eq!(end(json!({"max_tokens": 8, "ignore_eos": true})), (Some(8), json!("length")));
    let (least, _) = end(json!({"max_tokens": 8, "min_tokens": 6}));
    assert!(least >= Some(6), "{least:?}");
}

#[test]
fn the_number_of_compute_threads_is_the_one_asked_for_and_changes_no_token() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let model = tiny_model(folder.path());
    let tokens = |flag: &str, threads: usize| {
        let server = Server::start(&model, &["--random-weights", flag]);
        let (_, answer) = completion(&server, &json!({"prompt": vec![5; 100], "max_tokens": 8}));
        assert_eq!(server.compute_threads(), threads);
        answer["choices"][0]["token_ids"].clone()
    };
    assert_eq!(tokens("--threads=1", 1), tokens("--threads=3", 3));
}

#[test]
fn sampling_is_repeatable_by_its_seed() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(&tiny_model(folder.path()), &["--random-weights"]);
    let draw = |seed: u64| {
        let (_, answer) = completion(
            &server,
            &json!({"max_tokens": 16, "temperature": 1.0, "top_p": 0.9, "seed": seed}),
        );
        answer["choices"][0]["token_ids"].clone()
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn mistakes_in_requests_are_answered_by_name() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let server = Server::start(&tiny_model(folder.path()), &["--random-weights"]);
    for (changes, status, parameter) in [
        (json!({"prompt": "hello"}), 400, json!("prompt")),
        (json!({"prompt": [300]}), 400, json!("prompt")),
        (json!({"prompt": []}), 400, json!("prompt")),
        (json!({"prompt": vec![1; 256]}), 400, json!("prompt")),
        (json!({"max_tokens": 0}), 400, json!("max_tokens")),
        (json!({"max_tokens": 500}), 400, json!("max_tokens")),
        (json!({"temperature": -1}), 400, json!("temperature")),
        (json!({"stream": "yes"}), 400, json!("stream")),
        (json!({"stop": ["."]}), 400, json!("stop")),
        (json!({"n": 2}), 400, json!("n")),
        (json!({"model": "other"}), 404, Value::Null),
        (json!({"some_unknown_field": 1, "n": 1, "stop": null}), 200, Value::Null),
    ] {
        let (found, answer) = completion(&server, &changes);
        assert_eq!((found, &answer["error"]["param"]), (status, &parameter), "{changes}: {answer}");
    }
    let (status, body) = server.request("POST", "/v1/completions", "{");
    assert!(status == 400 && body.contains("no JSON object"), "{body}");
    let (status, answer) = server
        .post("/v1/chat/completions", &json!({"messages": [{"role": "user", "content": "x"}]}));
    assert_eq!((status, &answer["error"]["param"]), (400, &json!("messages")));
    assert!(
        answer["error"]["message"].as_str().is_some_and(|text| text.contains("no chat template")),
        "{answer}"
    );
    assert_eq!(server.request("GET", "/nothing", "").0, 404);
}
