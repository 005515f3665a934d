//! What vLLM tells of itself: metrics, log lines, versions, and failures by kind.

use llem_sdk::{Setting, prelude::*};

const FAILURES: &[LogPattern] = &[
    LogPattern {
        any_of: &[
            "out of memory",
            "outofmemoryerror",
            "no available memory for the cache blocks",
            "is less than desired gpu memory utilization",
            "larger than the available kv cache memory",
            "larger than the maximum number of tokens that can be stored in kv cache",
        ],
        kind: "out-of-memory",
        hint: Some(
            "lower `engine.max_model_len`, `engine.max_num_seqs` or the model's size, or raise `engine.gpu_memory_utilization`",
        ),
        permanent: true,
    },
    LogPattern {
        any_of: &["gated repo", "gatedrepoerror", "awaiting a review"],
        kind: "gated-model",
        hint: Some("accept the model's terms on the hub and grant the secret `hf-token`"),
        permanent: true,
    },
    LogPattern {
        any_of: &[
            "is not a valid model identifier",
            "repositorynotfounderror",
            "localentrynotfounderror",
            "invalid repository id or local directory",
            "does not appear to have a file named",
        ],
        kind: "model-not-found",
        hint: Some("check the model's name, or download it first"),
        permanent: true,
    },
    LogPattern {
        any_of: &[
            "compute capability",
            "no kernel image is available",
            "failed to infer device type",
            "no cuda gpus are available",
            "is not supported on this gpu",
            "torch not compiled with cuda",
        ],
        kind: "unsupported-hardware",
        hint: Some("the setting needs another GPU, or another build of vLLM"),
        permanent: true,
    },
    LogPattern {
        any_of: &["address already in use", "errno 98"],
        kind: "port-in-use",
        hint: None,
        permanent: false,
    },
    LogPattern {
        any_of: &["no module named 'vllm'", "no module named vllm"],
        kind: "bad-parameter",
        hint: Some("point the plugin to a Python environment that has vLLM"),
        permanent: true,
    },
    LogPattern {
        any_of: &[
            "error: argument",
            "error: unrecognized arguments",
            "validation error for",
            "workerfailure:",
            "valueerror:",
            "notimplementederror:",
        ],
        kind: "bad-parameter",
        hint: Some("the engine refuses a setting; its message says which"),
        permanent: true,
    },
];

/// Patterns that the host looks for while the engine runs.
pub(crate) fn signals() -> Vec<LogSignal> {
    vec![
        LogSignal::new("oom", "cuda-oom", "CUDA out of memory|OutOfMemoryError"),
        LogSignal::new(
            "observe",
            "version",
            r"(?:vLLM API server version|V1 LLM engine \(v)\s*v?(?<version>\d+\.\d+\.\d+)",
        )
        .capturing("version", "engine_version"),
        LogSignal::new("observe", "kv-cache", r"GPU KV cache size: (?<tokens>[\d,]+) tokens")
            .capturing("tokens", "kv_cache_tokens"),
        LogSignal::new("observe", "kv-memory", r"Available KV cache memory: (?<gib>[\d.]+) GiB")
            .capturing("gib", "kv_cache_gib"),
        LogSignal::new(
            "observe",
            "weights",
            r"Model loading took (?<gib>[\d.]+) GiB(?: memory)? and (?<seconds>[\d.]+) seconds",
        )
        .capturing("gib", "weights_gib")
        .capturing("seconds", "weights_loading_seconds"),
        LogSignal::new(
            "observe",
            "graphs",
            r"Graph capturing finished in (?<seconds>\d+) secs, took (?<gib>[\d.]+) GiB",
        )
        .capturing("seconds", "graph_capture_seconds")
        .capturing("gib", "graph_memory_gib"),
        LogSignal::new("observe", "compile", r"torch\.compile took (?<seconds>[\d.]+) s in total")
            .capturing("seconds", "compile_seconds"),
        LogSignal::new(
            "observe",
            "attention",
            r"Using (?:AttentionBackendEnum\.)?(?<backend>[A-Z_0-9]+) (?:attention )?backend",
        )
        .capturing("backend", "engine.attention_backend"),
        LogSignal::new(
            "warning",
            "preemption",
            "(?i)preempt(ed|ion).*(recompute|not enough|insufficient)",
        ),
        LogSignal::new(
            "progress",
            "loading",
            r"Loading safetensors checkpoint shards:\s+(?<percent>\d+)%",
        )
        .capturing("percent", "loading_percent"),
    ]
}

/// What to keep of the metrics page.
pub(crate) fn series() -> Vec<MetricSeries> {
    let counter =
        |name: &str, target: &str| MetricSeries::counter(&format!("vllm:{name}_total"), target);
    let histogram = |name: &str, target: &str| {
        MetricSeries::histogram(&format!("vllm:{name}"), target).scaled(1.0, "s")
    };
    vec![
        MetricSeries::gauge("vllm:num_requests_running", "requests_running"),
        MetricSeries::gauge("vllm:num_requests_waiting", "requests_waiting"),
        MetricSeries::gauge("vllm:kv_cache_usage_perc", "kv_cache_usage_ratio"),
        counter("prompt_tokens", "prompt_tokens"),
        counter("generation_tokens", "generation_tokens"),
        counter("prompt_tokens_cached", "prompt_tokens_cached"),
        counter("num_preemptions", "preemptions"),
        counter("prefix_cache_queries", "prefix_cache_queries"),
        counter("prefix_cache_hits", "prefix_cache_hits"),
        counter("spec_decode_num_draft_tokens", "draft_tokens"),
        counter("spec_decode_num_accepted_tokens", "draft_tokens_accepted"),
        counter("request_success", "requests_completed"),
        histogram("time_to_first_token_seconds", "time_to_first_token"),
        histogram("inter_token_latency_seconds", "inter_token_latency"),
        histogram("request_queue_time_seconds", "queue_time"),
        histogram("request_prefill_time_seconds", "prefill_time"),
        histogram("request_decode_time_seconds", "decode_time"),
        MetricSeries::histogram("vllm:iteration_tokens_total", "tokens_per_step"),
    ]
}

/// Quantities by the name of their capture, with their unit and the factor to it.
const MEASURES: &[(&str, &str, &str, f64)] = &[
    ("kv_cache_tokens", "kv_cache_tokens", "tokens", 1.0),
    ("kv_cache_gib", "kv_cache_bytes", "B", GIB),
    ("weights_gib", "weights_bytes", "B", GIB),
    ("weights_loading_seconds", "weights_loading_seconds", "s", 1.0),
    ("graph_capture_seconds", "graph_capture_seconds", "s", 1.0),
    ("graph_memory_gib", "graph_memory_bytes", "B", GIB),
    ("compile_seconds", "compile_seconds", "s", 1.0),
];

const GIB: f64 = 1_073_741_824.0;

/// Reads signals, inspections and the log of a finished trial.
pub(crate) fn observe(output: &RunOutput) -> Observation {
    let mut seen = Observation::default();
    for signal in &output.signals {
        for capture in &signal.captures {
            keep(&mut seen, &capture.name, &capture.value);
        }
        if signal.id == "preemption" {
            seen.warnings
                .push("requests were preempted: the key/value cache was too small".to_owned());
        }
    }
    seen.warnings.dedup();
    if let Some(body) = output.inspections.iter().find(|it| it.id == "version" && it.status == 200)
    {
        seen.engine_version = version(&body.body).or(seen.engine_version);
    }
    if let Some(crash) = Failure::crash(output) {
        seen.failure = Some(Failure::in_log(output, FAILURES).unwrap_or(crash));
    }
    seen
}

fn keep(seen: &mut Observation, name: &str, value: &Value) {
    if name == "engine_version" {
        seen.engine_version = Some(value.to_string());
    } else if name.starts_with("engine.") {
        seen.effective.push(Setting { path: name.to_owned(), value: value.clone() });
    } else if let Some((_, target, unit, factor)) = MEASURES.iter().find(|it| it.0 == name)
        && let Ok(number) = value.to_string().replace(',', "").parse::<f64>()
    {
        seen.measures.push(Measure::new(target, number * factor, unit));
    }
}

/// The version in `{"version":"0.24.0"}`.
fn version(body: &str) -> Option<String> {
    let rest = body.split_once("\"version\"")?.1;
    rest.split('"').nth(1).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use llem_sdk::{Inspection, SeenSignal};

    use super::*;

    fn kind(log: &str) -> Option<String> {
        let output =
            RunOutput { exit_code: Some(1), log_tail: log.to_owned(), ..RunOutput::default() };
        observe(&output).failure.map(|failure| failure.kind)
    }

    #[test]
    fn failures_are_told_apart_by_the_log() {
        let cases = [
            (
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB",
                "out-of-memory",
            ),
            ("ValueError: No available memory for the cache blocks.", "out-of-memory"),
            (
                "ValueError: Free memory on device cuda:0 (2/79 GiB) on startup is less than desired GPU memory utilization",
                "out-of-memory",
            ),
            (
                "OSError: nobody/nothing is not a local folder and is not a valid model identifier",
                "model-not-found",
            ),
            ("RuntimeError: Failed to infer device type", "unsupported-hardware"),
            (
                "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0.",
                "unsupported-hardware",
            ),
            ("OSError: [Errno 98] Address already in use", "port-in-use"),
            ("vllm serve: error: argument --dtype: invalid choice: 'int3'", "bad-parameter"),
            ("Segmentation fault (core dumped)", "crash"),
        ];
        for (log, expected) in cases {
            assert_eq!(kind(log).as_deref(), Some(expected), "{log}");
        }
    }

    #[test]
    fn log_lines_and_the_version_page_become_measures_and_effective_values() {
        let capture = |path: &str, value: &str| SeenSignal {
            id: "any".to_owned(),
            at_ms: 1,
            captures: vec![Field::new(path, value)],
        };
        let output = RunOutput {
            stopped_by_host: true,
            signals: vec![
                capture("kv_cache_tokens", "1,204,336"),
                capture("weights_gib", "0.5"),
                capture("engine.attention_backend", "FLASH_ATTN"),
            ],
            inspections: vec![Inspection {
                id: "version".to_owned(),
                moment: "ready".to_owned(),
                status: 200,
                body: r#"{"version":"0.24.0"}"#.to_owned(),
            }],
            ..RunOutput::default()
        };
        let seen = observe(&output);
        assert_eq!(seen.engine_version.as_deref(), Some("0.24.0"));
        assert_eq!(seen.effective[0].path, "engine.attention_backend");
        let measures: Vec<(&str, f64)> =
            seen.measures.iter().map(|it| (it.name.as_str(), it.value)).collect();
        assert_eq!(measures, [("kv_cache_tokens", 1_204_336.0), ("weights_bytes", 536_870_912.0)]);
        assert_eq!(seen.failure, None);
    }
}
