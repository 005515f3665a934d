//! Traces of failures in the engine's log. What is done about them is the host's.

use llem_sdk::prelude::*;

const PATTERNS: &[LogPattern] = &[
    LogPattern {
        any_of: &["out of memory: ", "memory allocation of "],
        kind: "out-of-memory",
        hint: Some(
            "lower `engine.max_batch_size` or `engine.context_length`, or quantise the weights",
        ),
        permanent: true,
    },
    LogPattern {
        any_of: &["found no model at "],
        kind: "model-not-found",
        hint: Some(
            "name a directory with config.json and *.safetensors, a .gguf file, or `random:SHAPE`",
        ),
        permanent: true,
    },
    LogPattern {
        any_of: &["failed to use the model at "],
        kind: "bad-model",
        hint: Some("the engine runs llama-family models"),
        permanent: true,
    },
    LogPattern { any_of: &["address in use: "], kind: "port-in-use", hint: None, permanent: false },
    LogPattern {
        any_of: &["bad parameter `", "error: invalid value ", "error: unexpected argument "],
        kind: "bad-parameter",
        hint: None,
        permanent: true,
    },
];

/// The failure that an output tells of.
pub(crate) fn of(output: &RunOutput) -> Option<Failure> {
    Failure::crash(output).map(|crash| Failure::in_log(output, PATTERNS).unwrap_or(crash))
}

/// Lines that the host looks for while the engine runs.
pub(crate) fn signals() -> [LogSignal; 2] {
    [
        LogSignal::new("ready", "ready", "^llem-candle: ready on http://"),
        LogSignal::new("oom", "out-of-memory", "out of memory: |memory allocation of "),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(log: &str) -> Option<(String, bool)> {
        let output =
            RunOutput { exit_code: Some(1), log_tail: log.to_owned(), ..RunOutput::default() };
        of(&output).map(|failure| (failure.kind, failure.permanent))
    }

    #[test]
    fn every_message_of_the_engine_has_its_kind() {
        for (log, kind, permanent) in [
            (
                "out of memory: the key-value cache needs 9 bytes, 8 are available",
                "out-of-memory",
                true,
            ),
            ("found no model at `/m`: no config.json", "model-not-found", true),
            ("failed to use the model at `/m`: not a llama", "bad-model", true),
            ("address in use: `127.0.0.1:8000`", "port-in-use", false),
            ("bad parameter `threads`: found 99, at most 16 are allowed", "bad-parameter", true),
            ("error: invalid value 'x' for '--dtype <DTYPE>'", "bad-parameter", true),
            ("something else", "crash", false),
        ] {
            assert_eq!(kind_of(log), Some((kind.to_owned(), permanent)), "{log}");
        }
    }

    #[test]
    fn an_engine_that_ended_well_did_not_fail_whatever_it_said() {
        let output = RunOutput {
            exit_code: Some(0),
            log_tail: "bad parameter `x`".to_owned(),
            ..RunOutput::default()
        };
        assert_eq!(of(&output), None);
    }
}
