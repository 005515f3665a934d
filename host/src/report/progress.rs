//! Live progress: lines that change on a terminal, plain lines elsewhere, JSON lines for machines.

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use llem_core::event::{Event, Phase};

use super::live::{Place, View, left, shards};
use crate::{cli::Progress, diagnostics::printable};

/// Something that is told every event.
pub(crate) type Reporter = Box<dyn FnMut(&Event)>;

/// The reporter of a kind.
pub(crate) fn reporter(kind: Progress) -> Reporter {
    match kind {
        Progress::Quiet => Box::new(|_| ()),
        Progress::Json => Box::new(|event| {
            let line = serde_json::to_string(event).expect("events have string keys only");
            drop(writeln!(std::io::stdout().lock(), "{line}"));
        }),
        Progress::Human if std::io::stderr().is_terminal() => {
            let mut live = Live::new();
            Box::new(move |event| live.show(event))
        }
        Progress::Human => Box::new(|event| {
            if let Some(line) = plain(event) {
                drop(writeln!(std::io::stderr().lock(), "{line}"));
            }
        }),
    }
}

/// The changing lines of a terminal.
struct Live {
    bar: ProgressBar,
    terminal: console::Term,
    view: View,
    place: Place,
    started: Instant,
}

impl Live {
    fn new() -> Self {
        // More than 4 redraws a second would cost power on the machine that is measured.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(4));
        bar.set_style(ProgressStyle::with_template("{msg}\n{prefix}").expect("it is valid"));
        let terminal = console::Term::stderr();
        Self {
            bar,
            terminal,
            view: View::default(),
            place: Place::default(),
            started: Instant::now(),
        }
    }

    fn show(&mut self, event: &Event) {
        self.view.take(event);
        let columns = usize::from(self.terminal.size().1);
        match event {
            Event::StudyStarted { trials, .. } => self.place.of = *trials,
            Event::TrialStarted { of, .. } => {
                self.place.of = *of;
                self.started = Instant::now();
            }
            Event::TrialFinished { .. } => self.place.done += 1,
            Event::StudyFinished { .. } => return self.bar.finish_and_clear(),
            Event::Shards { .. }
            | Event::PhaseStarted { .. }
            | Event::Progress { .. }
            | Event::Warning { .. } => (),
        }
        let [first, second] = self.view.lines(columns, self.place, self.started.elapsed());
        self.bar.set_message(first);
        self.bar.set_prefix(second);
        if matches!(
            event,
            Event::StudyStarted { .. } | Event::TrialFinished { .. } | Event::Warning { .. }
        ) && let Some(line) = plain(event)
        {
            self.bar.println(line);
        }
    }
}

/// An event as one line, if it is worth one.
fn plain(event: &Event) -> Option<String> {
    match event {
        Event::StudyStarted { study, results, experiments, trials, finished_before } => {
            let before = if *finished_before > 0 {
                format!(", {finished_before} finished before")
            } else {
                String::new()
            };
            Some(format!(
                "study `{}`: {experiments} experiments, {trials} trials to run{before}\nresults in {results}",
                printable(study)
            ))
        }
        Event::TrialStarted { trial, label, number, of, seconds_left, energy_joules_left } => {
            let left = left(*seconds_left, *energy_joules_left, false)
                .map_or_else(String::new, |it| format!(", {it}"));
            Some(format!("[{number}/{of}] {} #{}{left}", printable(label), trial.repeat))
        }
        Event::PhaseStarted { phase: Phase::Window, .. } => Some("      measuring".to_owned()),
        Event::TrialFinished { failure: Some(failure), trial, .. } => {
            Some(format!("      {trial} failed: {}", printable(failure)))
        }
        Event::TrialFinished { figures, seconds, failure: None, .. } => {
            let shown: Vec<String> =
                figures.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
            Some(format!("      done in {}: {}", duration(*seconds), shown.join(", ")))
        }
        Event::Shards { waiting, running, complete, given_up } => {
            Some(shards(*waiting, *running, *complete, *given_up))
        }
        Event::Warning { message } => Some(format!("warning: {}", printable(message))),
        Event::PhaseStarted { .. } | Event::Progress { .. } | Event::StudyFinished { .. } => None,
    }
}

/// A duration for people.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default().as_secs();
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, _) => format!("{seconds:.1} s"),
        (0, minutes, rest) => format!("{minutes} min {rest} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let shown: Vec<String> = [0.25, 59.0, 61.0, 7_322.0].into_iter().map(duration).collect();
        assert_eq!(shown, ["0.2 s", "59.0 s", "1 min 1 s", "2 h 2 min"]);
    }
}
