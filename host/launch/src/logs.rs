//! Captures what a step prints: its first and last part, a capped file, and the signals in it.

use std::{
    collections::VecDeque,
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Instant,
};

use llem_core::backend::{LogSignal, SeenSignal, Value};
use regex::{Regex, RegexBuilder};

use crate::Secrets;

const HEAD_BYTES: usize = 32 * 1024;
const TAIL_BYTES: usize = 64 * 1024;
const LINE_BYTES: usize = 16 * 1024;
const FILE_BYTES: u64 = 16 * 1024 * 1024;
const MAX_SEEN: usize = 10_000;

/// What a step printed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogSummary {
    /// First part.
    pub head: String,
    /// Last part.
    pub tail: String,
    /// Signals that were seen, at most 10,000.
    pub signals: Vec<SeenSignal>,
    /// Bytes in all.
    pub bytes: u64,
}

struct Captured {
    head: String,
    tail: VecDeque<String>,
    tail_bytes: usize,
    signals: Vec<SeenSignal>,
    bytes: u64,
    last_output: Instant,
    file: Option<File>,
}

/// A running capture.
pub(crate) struct Logs {
    captured: Arc<Mutex<Captured>>,
    patterns: Arc<Vec<(LogSignal, Regex)>>,
    secrets: Arc<Secrets>,
    started: Instant,
    readers: Vec<JoinHandle<()>>,
}

impl Logs {
    /// Starts a capture; patterns that are no regular expressions are left out and returned.
    pub(crate) fn new(
        signals: &[LogSignal],
        secrets: Secrets,
        file: Option<&Path>,
    ) -> (Self, Vec<String>) {
        let mut patterns = Vec::new();
        let mut bad = Vec::new();
        for signal in signals {
            match pattern(signal) {
                Some(regex) => patterns.push((signal.clone(), regex)),
                None => bad.push(signal.id.clone()),
            }
        }
        let captured = Captured {
            head: String::new(),
            tail: VecDeque::new(),
            tail_bytes: 0,
            signals: Vec::new(),
            bytes: 0,
            last_output: Instant::now(),
            file: file.and_then(|it| File::create(it).ok()),
        };
        let logs = Self {
            captured: Arc::new(Mutex::new(captured)),
            patterns: Arc::new(patterns),
            secrets: Arc::new(secrets),
            started: Instant::now(),
            readers: Vec::new(),
        };
        (logs, bad)
    }

    /// Reads a stream to its end on a thread of its own.
    pub(crate) fn read(&mut self, stream: impl Read + Send + 'static) {
        let (captured, patterns, secrets) =
            (Arc::clone(&self.captured), Arc::clone(&self.patterns), Arc::clone(&self.secrets));
        let started = self.started;
        let reader = thread::Builder::new().name("llem-log".into()).spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while let Ok((1.., is_cut)) = read_line(&mut stream, &mut line) {
                let text = String::from_utf8_lossy(&line).into_owned();
                let text = if is_cut { secrets.mask_cut(text) } else { secrets.mask(text) };
                let at_ms = u32::try_from(started.elapsed().as_millis()).unwrap_or(u32::MAX);
                let seen = matches(&patterns, &text, at_ms);
                captured.lock().unwrap_or_else(PoisonError::into_inner).add(text, seen);
                line.clear();
            }
        });
        self.readers.extend(reader);
    }

    pub(crate) fn saw(&self, id: &str) -> bool {
        self.with(|it| it.signals.iter().any(|seen| seen.id == id))
    }

    pub(crate) fn silent_for(&self) -> std::time::Duration {
        self.with(|it| it.last_output.elapsed())
    }

    pub(crate) fn summary(&self) -> LogSummary {
        self.with(|it| LogSummary {
            head: it.head.clone(),
            tail: it.tail.iter().map(String::as_str).collect(),
            signals: it.signals.clone(),
            bytes: it.bytes,
        })
    }

    /// Waits for the ends of the streams.
    pub(crate) fn finish(&mut self) {
        for reader in self.readers.drain(..) {
            drop(reader.join());
        }
    }

    fn with<T>(&self, read: impl FnOnce(&Captured) -> T) -> T {
        read(&self.captured.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A signal's pattern, bounded in size: matching is linear, so that bounds its time as well.
pub(crate) fn pattern(signal: &LogSignal) -> Option<Regex> {
    RegexBuilder::new(&signal.pattern).size_limit(1 << 20).build().ok()
}

impl Captured {
    fn add(&mut self, line: String, seen: Vec<SeenSignal>) {
        self.last_output = Instant::now();
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if self.bytes < FILE_BYTES
            && let Some(file) = &mut self.file
        {
            drop(file.write_all(line.as_bytes()));
        }
        self.bytes += length;
        if self.signals.len() < MAX_SEEN {
            self.signals.extend(seen);
        }
        if self.head.len() < HEAD_BYTES {
            self.head.push_str(&line);
            return;
        }
        self.tail_bytes += line.len();
        self.tail.push_back(line);
        while self.tail_bytes > TAIL_BYTES
            && let Some(oldest) = self.tail.pop_front()
        {
            self.tail_bytes -= oldest.len();
        }
    }
}

/// Reads to the line's end; what exceeds the cap is read and dropped. Says how much was read, and whether some was dropped.
fn read_line(stream: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<(usize, bool)> {
    let (mut total, mut is_cut) = (0, false);
    loop {
        let buffer = match stream.fill_buf() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        let end = buffer.iter().position(|it| *it == b'\n').map(|it| it + 1);
        let taken = end.unwrap_or(buffer.len());
        let kept = taken.min(LINE_BYTES.saturating_sub(line.len()));
        line.extend_from_slice(&buffer[..kept]);
        stream.consume(taken);
        total += taken;
        is_cut |= kept < taken;
        if end.is_some() || taken == 0 {
            if end.is_some() && line.last() != Some(&b'\n') {
                line.push(b'\n');
            }
            return Ok((total, is_cut));
        }
    }
}

fn matches(patterns: &[(LogSignal, Regex)], line: &str, at_ms: u32) -> Vec<SeenSignal> {
    let seen = |(signal, regex): &(LogSignal, Regex)| {
        let found = regex.captures(line)?;
        let value = |(group, target): &(String, String)| {
            let text = found.name(group)?.as_str();
            let value = serde_json::from_str(text)
                .map_or_else(|_| Value::Text(text.to_owned()), serde_json::Value::into);
            Some((target.clone(), value))
        };
        Some(SeenSignal {
            id: signal.id.clone(),
            at_ms,
            captures: signal.captures.iter().filter_map(value).collect(),
        })
    };
    patterns.iter().filter_map(seen).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(text: &str, signals: &[LogSignal], secrets: Secrets) -> LogSummary {
        let (mut logs, bad) = Logs::new(signals, secrets, None);
        assert_eq!(bad, Vec::<String>::new());
        logs.read(std::io::Cursor::new(text.to_owned().into_bytes()));
        logs.finish();
        logs.summary()
    }

    #[test]
    fn a_signal_captures_typed_values() {
        let signal = LogSignal {
            id: "blocks".into(),
            pattern: r"GPU blocks: (?P<n>\d+)".into(),
            kind: "observe".into(),
            captures: vec![("n".into(), "kv_cache_blocks".into())],
        };
        let summary = capture("start\nGPU blocks: 512\n", &[signal], Secrets::default());
        assert_eq!(
            summary.signals[0].captures,
            [("kv_cache_blocks".to_owned(), Value::Integer(512))]
        );
    }

    #[test]
    fn secrets_never_reach_the_log() {
        let summary = capture("token hf_abc used\n", &[], Secrets::new([&"hf_abc".to_owned()]));
        assert_eq!(summary.head, "token [secret] used\n");
    }

    #[test]
    fn a_cut_line_ends_before_a_secret_that_it_would_cut() {
        let secret = "hf_abcdefgh".to_owned();
        for shown in 0..=secret.len() {
            let text = "x".repeat(LINE_BYTES - shown) + &secret + "\n";
            let head = capture(&text, &[], Secrets::new([&secret])).head;
            assert!(!head.contains("hf_a") && head.len() <= LINE_BYTES + 1, "{shown} bytes");
        }
    }

    #[test]
    fn a_flood_keeps_its_first_and_last_part() {
        let lines: Vec<String> = (0..20_000).map(|it| format!("line {it}")).collect();
        let text = lines.join("\n") + "\n";
        let summary = capture(&text, &[], Secrets::default());
        assert!(summary.head.starts_with("line 0\n") && summary.tail.ends_with("line 19999\n"));
        assert!(summary.head.len() + summary.tail.len() < 128 * 1024);
        assert_eq!(summary.bytes, u64::try_from(text.len()).expect("small"));
    }

    #[test]
    fn a_line_without_an_end_is_cut() {
        let summary = capture(&"x".repeat(1 << 20), &[], Secrets::default());
        assert_eq!(summary.head.len(), LINE_BYTES);
    }
}
