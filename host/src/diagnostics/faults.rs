//! Faults of a study file, each with the lines that it is in.

use std::{
    fmt,
    io::{IsTerminal as _, stderr},
};

use llem_core::study::Problem;
use miette::{
    Diagnostic, LabeledSpan, MietteError, MietteHandlerOpts, MietteSpanContents,
    ReportHandler as _, SourceCode, SourceSpan, SpanContents,
};

use super::{is_harmful, printable};

/// All faults of one file, and its text.
#[derive(Clone, Debug)]
pub(super) struct Faults {
    problems: Vec<Problem>,
    text: String,
}

impl Faults {
    pub(super) fn new(problems: &[Problem], text: &str) -> Self {
        // Of the same length, so that places stay where they are; a lone return counts as the end of a line.
        let harmless = |c: char| match c.len_utf8() {
            _ if c == '\r' || !is_harmful(c) => c,
            1 => '?',
            2 => '¿',
            _ => '\u{fffd}',
        };
        Self { problems: problems.to_vec(), text: text.chars().map(harmless).collect() }
    }

    /// All of them in one line.
    pub(super) fn line(&self) -> String {
        self.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    /// Drawn for standard error: plain and without line breaks where it is no terminal.
    pub(super) fn drawn(&self) -> String {
        let options = MietteHandlerOpts::new();
        self.drawn_as(if stderr().is_terminal() { options } else { plain(options) })
    }

    fn drawn_as(&self, options: MietteHandlerOpts) -> String {
        let handler = options.terminal_links(false).break_words(false).build();
        let drawn = |problem| {
            let fault = Fault { problem, text: &self.text };
            fmt::from_fn(|f| handler.debug(&fault, f)).to_string()
        };
        self.problems.iter().map(drawn).collect::<Vec<_>>().join("\n")
    }
}

fn plain(options: MietteHandlerOpts) -> MietteHandlerOpts {
    options.color(false).unicode(false).wrap_lines(false)
}

/// One fault in its file.
#[derive(Debug)]
struct Fault<'a> {
    problem: &'a Problem,
    text: &'a str,
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.problem.message))
    }
}

impl std::error::Error for Fault<'_> {}

impl Diagnostic for Fault<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(printable(self.problem.help.as_deref()?)))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let nearest = self.problem.nearest.as_deref();
        let label = nearest.map(|it| format!("did you mean `{}`?", printable(it)));
        let span = SourceSpan::from(self.problem.span.clone());
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(label, span))))
    }
}

impl SourceCode for Fault<'_> {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let found = self.text.read_span(span, lines_before, lines_after)?;
        // The library counts a column's bytes, editors its characters.
        let before = &self.text[..found.span().offset()];
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
        Ok(Box::new(MietteSpanContents::new_named(
            printable(&self.problem.file),
            found.data(),
            *found.span(),
            found.line(),
            column,
            found.line_count(),
        )))
    }
}

#[cfg(test)]
mod tests {
    use llem_core::study::parse;

    use super::*;

    fn faults(text: &str) -> Faults {
        Faults::new(&parse(text, "s.toml").expect_err("it has faults"), text)
    }

    #[test]
    fn every_fault_is_drawn_at_its_place_with_what_was_meant() {
        let drawn = faults("name = \"ß\"\nmodel = { id = \"ß\", revisoin = \"x\" }\nsede = 1\n")
            .drawn_as(plain(MietteHandlerOpts::new()));
        for part in [
            "[s.toml:1:8]",
            "[s.toml:2:21]",
            " 2 | model = { id = \"ß\", revisoin = \"x\" }",
            "did you mean `revision`?",
            "[s.toml:3:1]",
            "did you mean `seed`?",
        ] {
            assert!(drawn.contains(part), "`{part}` is not in\n{drawn}");
        }
        assert!(drawn.chars().all(|it| it.is_ascii() || it == 'ß'), "{drawn}");
    }

    #[test]
    fn colours_are_for_terminals_and_never_come_from_the_file() {
        let faults = faults("name = \"a\u{1b}[2J\u{202e}b\"\r\nsede = 1\r\n");
        let coloured = faults.drawn_as(MietteHandlerOpts::new().color(true).unicode(true));
        assert!(coloured.contains("\u{1b}[") && coloured.contains('╭'), "{coloured}");
        assert!(!coloured.contains("[2J") || coloured.contains("a?[2J\u{fffd}b"), "{coloured}");
        let plain = faults.drawn_as(plain(MietteHandlerOpts::new()));
        assert!(!plain.contains('\u{1b}') && plain.contains("a?[2J"), "{plain}");
    }

    #[test]
    fn a_fault_at_the_end_of_an_empty_file_has_a_place() {
        let drawn = faults("").drawn_as(plain(MietteHandlerOpts::new()));
        assert!(drawn.contains("[s.toml:1:1]"), "{drawn}");
    }
}
