//! What plugins say while they run: capped in rate and size, and made safe to print.

/// Weight of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// For the plugin's author.
    Trace,
    /// For the plugin's author.
    Debug,
    /// For a curious user.
    Info,
    /// For every user.
    Warn,
    /// For every user.
    Error,
}

/// One line, without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Its weight.
    pub level: LogLevel,
    /// Its text.
    pub text: String,
}

/// Lines that one call may leave.
const MAX_LINES: usize = 64;
/// Bytes of one line; the rest is cut.
const MAX_LINE_BYTES: usize = 1024;

/// The lines of one call.
#[derive(Debug, Default)]
pub(crate) struct CallLog {
    lines: Vec<LogLine>,
    dropped: u64,
}

impl CallLog {
    /// Keeps a line, cut and escaped, or counts it as dropped.
    pub(crate) fn push(&mut self, level: LogLevel, text: &str) {
        if self.lines.len() < MAX_LINES {
            self.lines.push(LogLine { level, text: safe(text) });
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// All that was kept, and a line that counts what was not.
    pub(crate) fn into_lines(mut self) -> Vec<LogLine> {
        if self.dropped > 0 {
            let text = format!("{} more lines were dropped", self.dropped);
            self.lines.push(LogLine { level: LogLevel::Warn, text });
        }
        self.lines
    }
}

/// Escapes control, bidirectional and invisible characters and cuts a text to a line.
pub(crate) fn safe(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if out.len() >= MAX_LINE_BYTES {
            out.push('…');
            break;
        }
        let unsafe_to_print = c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if unsafe_to_print { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_a_terminal_s_cursor_or_turns_its_text_gets_through() {
        assert_eq!(safe("a\u{1b}[31m\r\u{202e}é"), "a\\u{1b}[31m\\u{d}\\u{202e}é");
    }

    #[test]
    fn a_flood_leaves_the_first_lines_and_a_count() {
        let mut log = CallLog::default();
        (0..1000).for_each(|_| log.push(LogLevel::Info, &"x".repeat(5000)));
        let lines = log.into_lines();
        assert_eq!((lines.len(), lines[64].text.as_str()), (65, "936 more lines were dropped"));
        assert!(lines[0].text.len() < 1030);
    }
}
