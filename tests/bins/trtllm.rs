//! A stand-in for `trtllm-serve` of TensorRT-LLM 1.2.1: takes its command line and its file of options, refuses what the real one
//! refuses, and serves the same paths. It generates nothing, and says on its output what it was told.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    net::TcpListener,
    process::ExitCode,
    sync::atomic::AtomicBool,
};

use llem_fake_engine::{Behaviour, serve};
use serde_json::{Map, Value, json};

/// Options of `trtllm-serve serve`, beside the model.
const FLAGS: [&str; 6] =
    ["--backend", "--host", "--port", "--extra_llm_api_options", "--log_level", "--max_seq_len"];

/// Some arguments of the LLM class; others are refused, as its validation does.
const ARGUMENTS: [&str; 8] = [
    "cuda_graph_config",
    "enable_chunked_prefill",
    "kv_cache_config",
    "load_format",
    "max_batch_size",
    "max_num_tokens",
    "return_perf_metrics",
    "tensor_parallel_size",
];

/// What fits into the memory of the GPU that is not there.
const LARGEST_BATCH: u64 = 2048;

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, error)) => {
            drop(writeln!(io::stderr(), "{error}"));
            ExitCode::from(code)
        }
    }
}

fn run(arguments: impl Iterator<Item = String>) -> Result<(), (u8, String)> {
    let mut given = BTreeMap::new();
    let mut model = None;
    for argument in arguments {
        match argument.split_once('=') {
            Some((flag, value)) if FLAGS.contains(&flag) => {
                given.insert(flag.to_owned(), value.to_owned());
            }
            None if !argument.starts_with('-') && model.is_none() => model = Some(argument),
            _ => return Err((2, format!("Error: No such option: {argument}"))),
        }
    }
    let model = model.ok_or((2, "Error: Missing argument 'MODEL'.".to_owned()))?;
    let options = options(given.get("--extra_llm_api_options"))?;
    say("TensorRT-LLM version: 1.2.1");
    say(&format!("told {}", json!({"model": model, "flags": given, "options": options})));
    if options.get("max_batch_size").and_then(Value::as_u64).is_some_and(|it| it > LARGEST_BATCH) {
        return Err((1, "RuntimeError: CUDA out of memory".to_owned()));
    }
    let value = |flag: &str| given.get(flag).map(String::as_str).unwrap_or_default();
    let address = format!("{}:{}", value("--host"), value("--port"));
    let listener = TcpListener::bind(address).map_err(|it| (1, it.to_string()))?;
    let pages = [
        ("/version", r#"{"version": "1.2.1"}"#),
        ("/prometheus/metrics", "trtllm_request_success_total @REQUESTS@\n"),
    ];
    let behaviour = Behaviour {
        first_token_ms: 5.0,
        gap_ms: 1.0,
        pages: pages.map(|(path, page)| (path.to_owned(), page.to_owned())).into(),
        ..Behaviour::default()
    };
    serve(listener, behaviour, &AtomicBool::new(false)).map_err(|it| (1, it.to_string()))?;
    Ok(())
}

fn options(path: Option<&String>) -> Result<Map<String, Value>, (u8, String)> {
    let path = path.ok_or((2, "Error: no options".to_owned()))?;
    let text = std::fs::read_to_string(path).map_err(|it| (1, format!("{path}: {it}")))?;
    let options: Map<String, Value> =
        serde_json::from_str(&text).map_err(|it| (1, format!("{path}: {it}")))?;
    match options.keys().find(|it| !ARGUMENTS.contains(&it.as_str())) {
        Some(name) => Err((1, format!("{name}: Extra inputs are not permitted"))),
        None => Ok(options),
    }
}

fn say(text: &str) {
    drop(writeln!(io::stdout(), "{text}"));
}
