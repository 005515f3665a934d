//! A real model from a GGUF file, which `LLEM_TEST_GGUF` names: SmolLM2-135M-Instruct.

use serde_json::json;

use crate::common::{Server, Worker, gguf};

const PROMPT: &str = "The capital of France is";

#[test]
#[ignore = "needs the file that `LLEM_TEST_GGUF` names"]
fn a_real_model_says_the_same_sensible_words_in_both_modes() {
    let server = Server::start(&gguf(), &["--context-length=512"]);
    let body = json!({"prompt": PROMPT, "max_tokens": 24});
    let (_, whole) = server.post("/v1/completions", &body);
    let served = whole["choices"][0]["text"].as_str().expect("a text").to_owned();
    assert!(served.starts_with(" Paris."), "{served}");

    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    let events = server.stream("/v1/completions", &streamed);
    let pieces: String =
        events.iter().filter_map(|event| event["choices"][0]["text"].as_str()).collect();
    assert_eq!((pieces.as_str(), events.len()), (served.as_str(), 24));

    let (mut worker, loaded) = Worker::load(&gguf(), &[], &json!({"context_length": 512}));
    assert_eq!(loaded["effective"]["quantization"], "none", "{loaded}");
    let texts = json!([PROMPT, "Once upon a time", "1234 and 5678"]);
    let batch = json!({"op": "generate", "id": 1, "texts": texts, "max_tokens": 24, "exact": false, "return_text": true});
    let events = worker.generate(&batch);
    let requests = &events[events.len() - 1]["requests"];
    assert_eq!(requests[0]["text"], served.as_str());
    assert_eq!(requests[0]["input_tokens"], 5);
    assert_eq!(requests[2]["input_tokens"], 10, "digits are tokens of their own");
}

#[test]
#[ignore = "needs the file that `LLEM_TEST_GGUF` names"]
fn a_real_model_chats_and_stops_by_itself() {
    let server = Server::start(&gguf(), &["--context-length=512"]);
    let body = json!({"messages": [{"role": "user", "content": "What is 2 + 2? Answer with one word."}], "max_tokens": 60});
    let (status, whole) = server.post("/v1/chat/completions", &body);
    assert_eq!(status, 200, "{whole}");
    let text = whole["choices"][0]["message"]["content"].as_str().expect("a text");
    assert!(!text.is_empty() && !text.contains("<|im_end|>"), "{text}");
    assert_eq!(whole["choices"][0]["finish_reason"], "stop", "{whole}");
    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    let events = server.stream("/v1/chat/completions", &streamed);
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    let pieces: String = events
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(pieces, text);
    let tokens = whole["usage"]["completion_tokens"]
        .as_u64()
        .and_then(|tokens| usize::try_from(tokens).ok());
    assert_eq!(Some(events.len() - 1), tokens, "one event a token, after the one that opens");
    let quantised =
        Server::start(&gguf(), &["--context-length=512", "--quantization=q8_0", "--dtype=f16"]);
    let (_, other) = quantised.post("/v1/completions", &json!({"prompt": PROMPT, "max_tokens": 8}));
    assert!(
        other["choices"][0]["text"].as_str().is_some_and(|text: &str| text.starts_with(" Paris")),
        "{other}"
    );
}
