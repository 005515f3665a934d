//! The batch worker: its events, counts and times.

use serde_json::{Value, json};

use crate::common::{Worker, tiny_model};

#[test]
fn a_batch_has_true_counts_and_times_in_order() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let settings = json!({"max_batch_size": 2, "prefill_chunk": 8, "quantization": "q8_0"});
    let (mut worker, loaded) =
        Worker::load(&tiny_model(folder.path()), &["--random-weights"], &settings);
    assert_eq!(
        (&loaded["ev"], &loaded["engine"]),
        (&json!("loaded"), &json!("candle")),
        "{loaded}"
    );
    assert_eq!(loaded["effective"]["quantization"], "q8_0");
    assert_eq!(loaded["effective"]["threads"], 1);
    let prompts = json!([vec![1; 20], [2], vec![3; 9]]);
    let events = worker.generate(
        &json!({"op": "generate", "id": 7, "prompts": prompts, "max_tokens": 10, "exact": true}),
    );
    assert!(events.iter().all(|event| event["id"] == 7));
    let (begin, end) = (&events[0], &events[events.len() - 1]);
    assert_eq!((&begin["ev"], &end["ev"]), (&json!("begin"), &json!("end")));
    let sum = |name: &str| events.iter().filter_map(|event| event[name].as_u64()).sum::<u64>();
    assert_eq!((sum("prefill_tokens"), sum("decode_tokens")), (30, 30));
    let requests = end["requests"].as_array().expect("requests");
    let inputs: Vec<&Value> = requests.iter().map(|request| &request["input_tokens"]).collect();
    assert_eq!(inputs, [20, 1, 9]);
    for request in requests {
        assert_eq!((&request["output_tokens"], &request["finish"]), (&json!(10), &json!("length")));
        let times =
            ["scheduled_ns", "first_token_ns", "last_token_ns"].map(|name| request[name].as_u64());
        let bounds = [begin["at_ns"].as_u64(), times[0], times[1], times[2], end["at_ns"].as_u64()];
        assert!(bounds.iter().all(Option::is_some) && bounds.is_sorted(), "{bounds:?}");
    }
    let waited = requests[2]["first_token_ns"].as_u64()
        > requests[0]["last_token_ns"].as_u64().min(requests[1]["last_token_ns"].as_u64());
    assert!(waited, "only two run together");
    worker.say(&json!({"op": "quit"}));
    assert_eq!(worker.hear(), json!({"ev": "bye"}));
    assert_eq!(worker.end(), Some(0));
}

#[test]
fn a_mistake_in_a_batch_is_told_and_the_worker_goes_on() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let (mut worker, _) =
        Worker::load(&tiny_model(folder.path()), &["--random-weights"], &json!({}));
    for (message, expected) in [
        (json!({"prompts": [[400]]}), "vocabulary ends at 300"),
        (json!({"prompts": [[1]], "settings": {"beam": 1}}), "unknown"),
        (json!({"prompts": [[1]], "max_tokens": 300}), "context length of 256"),
        (json!({"texts": ["hello"]}), "no tokenizer.json"),
    ] {
        let mut generate = json!({"op": "generate", "id": 1, "max_tokens": 4, "exact": true});
        for (name, value) in message.as_object().expect("tests pass objects") {
            generate[name] = value.clone();
        }
        let events = worker.generate(&generate);
        assert_eq!(
            (events.len(), &events[0]["kind"], &events[0]["fatal"]),
            (1, &json!("bad-parameter"), &json!(false))
        );
        assert!(
            events[0]["message"].as_str().is_some_and(|text| text.contains(expected)),
            "{}",
            events[0]
        );
    }
    let events = worker.generate(
        &json!({"op": "generate", "id": 2, "prompts": [[1]], "max_tokens": 4, "exact": true}),
    );
    assert_eq!(events[events.len() - 1]["ev"], "end");
    assert_eq!(worker.end(), Some(0), "a host that closes stdin ends the worker");
}

#[test]
fn settings_of_the_load_message_change_numbers_and_memory() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let model = tiny_model(folder.path());
    let bytes = |settings: Value| {
        let (_worker, loaded) = Worker::load(&model, &["--random-weights"], &settings);
        loaded["memory_bytes"].as_u64().unwrap_or_else(|| panic!("{loaded}"))
    };
    let plain = bytes(json!({}));
    assert_eq!(bytes(json!({"dtype": "f16"})) * 2, plain);
    assert_eq!(bytes(json!({"dtype": "bf16"})) * 2, plain);
    assert_eq!(bytes(json!({"quantization": "q8_0"})) * 32, plain / 4 * 34);
    assert_eq!(bytes(json!({"quantization": "q4_0"})) * 32, plain / 4 * 18);
}
