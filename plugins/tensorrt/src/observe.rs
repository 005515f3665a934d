//! What TensorRT-LLM tells of itself: metrics, log lines, versions, and failures by kind.

use llem_sdk::prelude::*;

const FAILURES: &[LogPattern] = &[
    LogPattern {
        any_of: &[
            "out of memory",
            "outofmemoryerror",
            "cudaerrormemoryallocation",
            "insufficient memory",
        ],
        kind: "out-of-memory",
        hint: Some(
            "lower `engine.max_batch_size`, `engine.max_num_tokens` or `engine.kv_cache_config.free_gpu_memory_fraction`",
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
            "does not appear to have a file named",
        ],
        kind: "model-not-found",
        hint: Some("check the model's name, or download it first"),
        permanent: true,
    },
    LogPattern {
        any_of: &[
            "no kernel image is available",
            "unsupported sm",
            "unsupported architecture",
            "compute capability",
            "no cuda-capable device",
        ],
        kind: "unsupported-hardware",
        hint: Some("the setting needs another GPU"),
        permanent: true,
    },
    LogPattern {
        any_of: &["address already in use", "errno 98"],
        kind: "port-in-use",
        hint: None,
        permanent: false,
    },
    LogPattern {
        any_of: &["no module named 'tensorrt_llm'"],
        kind: "bad-parameter",
        hint: Some(
            "run in the container, or point the plugin to an environment that has TensorRT-LLM",
        ),
        permanent: true,
    },
    LogPattern {
        any_of: &[
            "error: no such option",
            "error: invalid value",
            "validation error for",
            "extra inputs are not permitted",
            "workerfailure:",
            "valueerror:",
        ],
        kind: "bad-parameter",
        hint: Some("the engine refuses a setting; its message says which"),
        permanent: true,
    },
];

/// Patterns that the host looks for while the engine runs.
pub(crate) fn signals() -> Vec<LogSignal> {
    vec![
        LogSignal::new(
            "oom",
            "cuda-oom",
            "CUDA out of memory|OutOfMemoryError|cudaErrorMemoryAllocation",
        ),
        LogSignal::new("observe", "version", r"TensorRT[- ]LLM version: (?<version>\d+\.\d+\.\d+)")
            .capturing("version", "engine_version"),
    ]
}

/// What to keep of the metrics page.
pub(crate) fn series() -> Vec<MetricSeries> {
    let histogram = |name: &str, target: &str| {
        MetricSeries::histogram(&format!("trtllm_{name}"), target).scaled(1.0, "s")
    };
    vec![
        MetricSeries::counter("trtllm_request_success_total", "requests_completed"),
        histogram("time_to_first_token_seconds", "time_to_first_token"),
        histogram("time_per_output_token_seconds", "inter_token_latency"),
        histogram("request_queue_time_seconds", "queue_time"),
        histogram("e2e_request_latency_seconds", "request_latency"),
    ]
}

/// Reads signals, inspections and the log of a finished trial.
pub(crate) fn observe(output: &RunOutput) -> Observation {
    let mut seen = Observation::default();
    for signal in output.signals.iter().filter(|signal| signal.id == "version") {
        seen.engine_version = signal.captures.first().map(|capture| capture.value.to_string());
    }
    if let Some(page) = output.inspections.iter().find(|it| it.id == "version" && it.status == 200)
    {
        seen.engine_version = version(&page.body).or(seen.engine_version);
    }
    if let Some(crash) = Failure::crash(output) {
        seen.failure = Some(Failure::in_log(output, FAILURES).unwrap_or(crash));
    }
    seen
}

/// The version in `{"version":"1.2.1"}`.
fn version(body: &str) -> Option<String> {
    let rest = body.split_once("\"version\"")?.1;
    rest.split('"').nth(1).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use llem_sdk::Inspection;

    use super::*;

    #[test]
    fn failures_are_told_apart_by_the_log() {
        let cases = [
            ("RuntimeError: CUDA out of memory", "out-of-memory"),
            ("pydantic: Extra inputs are not permitted", "bad-parameter"),
            ("Error: No such option: --tp", "bad-parameter"),
            ("OSError: [Errno 98] Address already in use", "port-in-use"),
            ("ModuleNotFoundError: No module named 'tensorrt_llm'", "bad-parameter"),
            ("mpirun noticed that process rank 0 exited on signal 11", "crash"),
        ];
        for (log, expected) in cases {
            let output =
                RunOutput { exit_code: Some(1), log_tail: log.to_owned(), ..RunOutput::default() };
            let kind = observe(&output).failure.map(|failure| failure.kind);
            assert_eq!(kind.as_deref(), Some(expected), "{log}");
        }
    }

    #[test]
    fn the_version_page_tells_the_version() {
        let page = Inspection {
            id: "version".to_owned(),
            moment: "ready".to_owned(),
            status: 200,
            body: r#"{"version": "1.2.1"}"#.to_owned(),
        };
        let output =
            RunOutput { stopped_by_host: true, inspections: vec![page], ..RunOutput::default() };
        assert_eq!(observe(&output).engine_version.as_deref(), Some("1.2.1"));
    }
}
