//! Reading what an engine said: failures by their traces in the log.

use crate::{Failure, Measure, Observation, RunOutput};

/// A trace that a failure leaves in an engine's log.
///
/// ```
/// # use llem_sdk::prelude::*;
/// let pattern = LogPattern { any_of: &["out of memory"], kind: "out-of-memory", hint: None, permanent: true };
/// let output = RunOutput { log_tail: "CUDA out of memory\n".to_owned(), ..RunOutput::default() };
/// assert_eq!(Failure::in_log(&output, &[pattern]).unwrap().kind, "out-of-memory");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LogPattern {
    /// Texts of which one must occur in a line, whatever the case of its ASCII letters; stated in lower case.
    pub any_of: &'static [&'static str],
    /// Kind of the failure: `out-of-memory`, `model-not-found`, …
    pub kind: &'static str,
    /// What the user can do.
    pub hint: Option<&'static str>,
    /// The same configuration will fail again.
    pub permanent: bool,
}

impl Failure {
    /// The failure that the first matching pattern tells; its message is the matching line.
    ///
    /// Earlier patterns win over later ones, within a pattern the last line wins: engines tend to
    /// end a traceback with its cause. None where no pattern matches.
    ///
    /// ```
    /// use llem_sdk::{Failure, LogPattern, RunOutput};
    /// const PATTERNS: &[LogPattern] =
    ///     &[LogPattern { any_of: &["out of memory"], kind: "out-of-memory", hint: None, permanent: true }];
    /// let output = RunOutput { log_tail: "start\nCUDA out of memory. Tried\n".to_owned(), ..RunOutput::default() };
    /// assert_eq!(Failure::in_log(&output, PATTERNS).unwrap().message, "CUDA out of memory. Tried");
    /// ```
    pub fn in_log(output: &RunOutput, patterns: &[LogPattern]) -> Option<Self> {
        let lines: Vec<&str> = output.log_head.lines().chain(output.log_tail.lines()).collect();
        let lower: Vec<String> = lines.iter().map(|line| line.to_ascii_lowercase()).collect();
        patterns.iter().find_map(|pattern| {
            let at = lower
                .iter()
                .rposition(|line| pattern.any_of.iter().any(|text| line.contains(text)))?;
            Some(Self {
                kind: pattern.kind.to_owned(),
                message: lines[at].trim().to_owned(),
                hint: pattern.hint.map(str::to_owned),
                permanent: pattern.permanent,
            })
        })
    }

    /// A crash with the last line of the log; none where the engine ended well or the host
    /// stopped it.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let output = RunOutput { exit_code: Some(1), log_tail: "boom\n".to_owned(), ..RunOutput::default() };
    /// assert_eq!(Failure::crash(&output).unwrap().message, "ended with exit code 1: boom");
    /// ```
    pub fn crash(output: &RunOutput) -> Option<Self> {
        if output.stopped_by_host || (output.exit_code == Some(0) && output.signal.is_none()) {
            return None;
        }
        let how = match (output.exit_code, output.signal) {
            (Some(code), _) => format!("ended with exit code {code}"),
            (None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, None) => return None,
        };
        let last = output.log_tail.lines().rev().find(|line| !line.trim().is_empty());
        let message = last.map_or_else(|| how.clone(), |line| format!("{how}: {}", line.trim()));
        Some(Self { kind: "crash".to_owned(), message, hint: None, permanent: false })
    }
}

#[expect(clippy::derivable_impls, reason = "the type is generated")]
impl Default for RunOutput {
    fn default() -> Self {
        Self {
            exit_code: None,
            signal: None,
            stopped_by_host: false,
            log_head: String::new(),
            log_tail: String::new(),
            inspections: Vec::new(),
            signals: Vec::new(),
        }
    }
}

#[expect(clippy::derivable_impls, reason = "the type is generated")]
impl Default for Observation {
    fn default() -> Self {
        Self {
            engine_version: None,
            effective: Vec::new(),
            measures: Vec::new(),
            warnings: Vec::new(),
            failure: None,
            extra: Vec::new(),
        }
    }
}

impl Measure {
    /// A quantity; its name ends in the unit.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// assert_eq!(Measure::new("weights_bytes", 1e9, "bytes").unit, "bytes");
    /// ```
    pub fn new(name: &str, value: f64, unit: &str) -> Self {
        Self { name: name.to_owned(), value, unit: unit.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_the_host_stopped_did_not_crash() {
        let stopped = RunOutput { signal: Some(15), stopped_by_host: true, ..RunOutput::default() };
        assert_eq!(Failure::crash(&stopped), None);
        let crashed = RunOutput {
            exit_code: Some(1),
            log_tail: "a\nboom\n\n".to_owned(),
            ..RunOutput::default()
        };
        assert_eq!(Failure::crash(&crashed).unwrap().message, "ended with exit code 1: boom");
    }
}
