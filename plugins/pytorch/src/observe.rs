//! What the worker's log tells: failures by kind.

use llem_sdk::prelude::*;

const FAILURES: &[LogPattern] = &[
    LogPattern {
        any_of: &[
            "out of memory",
            "can't allocate memory",
            "cannot allocate memory",
            "outofmemoryerror",
        ],
        kind: "out-of-memory",
        hint: Some(
            "lower `engine.batch_size`, the prompt length or the output length, or use a narrower `engine.dtype`",
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
            "no model directory at",
            "no model file at",
            "does not appear to have a file named",
        ],
        kind: "model-not-found",
        hint: Some("check the model's name, or download it first"),
        permanent: true,
    },
    LogPattern {
        any_of: &[
            "no kernel image is available",
            "torch not compiled with cuda",
            "torch sees no gpu",
            "no cuda gpus are available",
            "compute capability",
        ],
        kind: "unsupported-hardware",
        hint: Some("the setting needs another GPU, or another build of torch"),
        permanent: true,
    },
    LogPattern {
        any_of: &["no module named 'transformers'", "no module named 'torch'"],
        kind: "bad-parameter",
        hint: Some("point the plugin to a Python environment that has torch and transformers"),
        permanent: true,
    },
    LogPattern {
        any_of: &[
            "workerfailure:",
            "valueerror:",
            "typeerror:",
            "importerror:",
            "notimplementederror:",
        ],
        kind: "bad-parameter",
        hint: Some("the engine refuses a setting; its message says which"),
        permanent: true,
    },
];

/// Patterns that the host looks for while the worker runs.
pub(crate) fn signals() -> Vec<LogSignal> {
    vec![
        LogSignal::new("oom", "cuda-oom", "CUDA out of memory|OutOfMemoryError"),
        LogSignal::new(
            "progress",
            "loading",
            r"Loading (weights|checkpoint shards):\s+(?<percent>\d+)%",
        )
        .capturing("percent", "loading_percent"),
        LogSignal::new("warning", "slow-attention", "(?i)attention.*(not supported|falling back)"),
        LogSignal::new("warning", "recompiles", "(?i)(recompile_limit|cache_size_limit) reached"),
    ]
}

/// Reads the log of a finished trial.
pub(crate) fn observe(output: &RunOutput) -> Observation {
    let mut seen = Observation::default();
    for signal in &output.signals {
        if signal.id == "slow-attention" || signal.id == "recompiles" {
            seen.warnings.push(format!("the log has a warning: {}", signal.id));
        }
    }
    seen.warnings.dedup();
    if let Some(crash) = Failure::crash(output) {
        seen.failure = Some(Failure::in_log(output, FAILURES).unwrap_or(crash));
    }
    seen
}

#[cfg(test)]
mod tests {
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
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB",
                "out-of-memory",
            ),
            (
                "OSError: x is not a local folder and is not a valid model identifier",
                "model-not-found",
            ),
            ("llem_worker.failures.WorkerFailure: no model directory at: /nope", "model-not-found"),
            ("You are trying to access a gated repo.", "gated-model"),
            ("RuntimeError: CUDA error: no kernel image is available", "unsupported-hardware"),
            ("ModuleNotFoundError: No module named 'transformers'", "bad-parameter"),
            ("ValueError: `nbits` has to be one of [2, 4]", "bad-parameter"),
            ("Fatal Python error: Segmentation fault", "crash"),
        ];
        for (log, expected) in cases {
            assert_eq!(kind(log).as_deref(), Some(expected), "{log}");
        }
    }

    #[test]
    fn a_run_that_ended_well_has_no_failure_whatever_its_log_says() {
        let output = RunOutput {
            exit_code: Some(0),
            log_tail: "ValueError: ignored".to_owned(),
            ..RunOutput::default()
        };
        assert_eq!(observe(&output).failure, None);
    }
}
