//! Reading an engine's output: an answer for anything that an engine may print.

use llem_core::backend::{Inspection, RunOutput, SeenSignal, Value};

use crate::{Subject, draw::Dice, report::Flaws};

/// Outputs that are drawn for each release.
const DRAWN: usize = 48;

/// Words that engines print, and what breaks readers.
const PIECES: &[&str] = &[
    "",
    "\n",
    "\r\n",
    "\0",
    " ",
    "{",
    "}",
    "[",
    "\"",
    "null",
    "true",
    "NaN",
    "1e999",
    "-",
    "=",
    ":",
    "%",
    "\u{1b}[31m",
    "\u{202e}",
    "é",
    "🦀",
    "\u{feff}",
    "0",
    "-1",
    "9223372036854775808",
    "ERROR",
    "WARNING",
    "CUDA out of memory",
    "Traceback (most recent call last):",
    "version",
    "0.33.0",
    "GiB",
    "tokens",
    "KV cache",
    "{\"data\":[]}",
    "{\"version\":3}",
    "model",
    "port",
    "Address already in use",
    "http://",
];

/// Checks `parse`.
pub(crate) fn check(subject: &Subject<'_>, flaws: &mut Flaws) {
    let Some(context) = subject.contexts().into_iter().next() else { return };
    let config = subject.base();
    let mut dice = Dice::new(13);
    for (number, output) in outputs(&mut dice).into_iter().enumerate() {
        flaws.tried("outputs");
        let at = format!("release {}, drawn output {number}", subject.release.id);
        let read = || subject.plugin.parse(&config, &context, &output);
        match read() {
            Ok(observation) => {
                flaws.unless(read().as_ref() == Ok(&observation), "parse.pure", &at, || {
                    "the second observation differs from the first".to_owned()
                });
            }
            Err(error) => match crate::fault(&error) {
                Some(fault) if matches!(fault.cause, llem_plugin::Cause::Trap(_)) => {
                    let log = subject.plugin.take_log();
                    let why = log.last().map_or_else(String::new, |it| format!(" ({})", it.text));
                    flaws.add("parse.total", &at, format!("{}{why}", fault.cause));
                }
                Some(fault) => flaws.fault(fault, &at),
                None => (),
            },
        }
    }
}

fn outputs(dice: &mut Dice) -> Vec<RunOutput> {
    let mut all = vec![
        RunOutput::default(),
        RunOutput { exit_code: Some(i32::MIN), ..RunOutput::default() },
        RunOutput { signal: Some(9), ..RunOutput::default() },
        RunOutput { exit_code: Some(0), stopped_by_host: true, ..RunOutput::default() },
        RunOutput { log_head: "x".repeat(200_000), ..RunOutput::default() },
    ];
    all.extend((0..DRAWN).map(|_| drawn(dice)));
    all
}

fn drawn(dice: &mut Dice) -> RunOutput {
    let status = u16::try_from(dice.below(1000)).unwrap_or(0);
    let code = i32::try_from(dice.below(300)).unwrap_or(0);
    let inspections = (0..dice.below(3)).map(|number: usize| Inspection {
        id: if number == 0 { text(dice, 1) } else { "models".to_owned() },
        moment: if dice.below(2) == 0 { "ready" } else { "end" }.to_owned(),
        status,
        body: text(dice, 8),
    });
    let inspections = inspections.collect();
    let signals = (0..dice.below(4)).map(|_| SeenSignal {
        id: text(dice, 1),
        at_ms: u32::MAX,
        captures: vec![(text(dice, 1), Value::Text(text(dice, 3)))],
    });
    let signals = signals.collect();
    RunOutput {
        exit_code: (dice.below(2) == 0).then_some(code),
        signal: None,
        stopped_by_host: false,
        signals,
        log_head: text(dice, 40),
        log_tail: text(dice, 40),
        inspections,
    }
}

fn text(dice: &mut Dice, most: usize) -> String {
    let count = dice.below(most + 1);
    (0..count)
        .map(|_| {
            let piece = PIECES[dice.below(PIECES.len())];
            if dice.below(3) == 0 { format!("{piece}\n") } else { format!("{piece} ") }
        })
        .collect()
}
