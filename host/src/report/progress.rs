//! Live progress: lines that change on a terminal, plain lines elsewhere, JSON lines for machines.

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use console::Term;
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

/// More redraws than 4 a second would cost power on the machine that is measured.
const REDRAW: Duration = Duration::from_millis(240);

/// The changing lines of a terminal.
struct Live {
    terminal: Term,
    /// What is drawn: the cursor is on the line below.
    drawn: Vec<String>,
    drawn_at: Option<Instant>,
    view: View,
    place: Place,
    started: Instant,
}

impl Live {
    fn new() -> Self {
        Self {
            terminal: Term::buffered_stderr(),
            drawn: Vec::new(),
            drawn_at: None,
            view: View::default(),
            place: Place::default(),
            started: Instant::now(),
        }
    }

    fn show(&mut self, event: &Event) {
        self.view.take(event);
        let mut line = None;
        match event {
            Event::StudyStarted { trials, .. } => {
                self.place.of = *trials;
                line = plain(event);
            }
            Event::TrialStarted { of, .. } => {
                self.place.of = *of;
                self.started = Instant::now();
            }
            Event::TrialFinished { .. } => {
                self.place.done += 1;
                line = plain(event);
            }
            Event::Warning { .. } => line = plain(event),
            Event::Progress { .. } if self.drawn_at.is_some_and(|it| it.elapsed() < REDRAW) => {
                return;
            }
            Event::Progress { .. }
            | Event::PhaseStarted { .. }
            | Event::Shards { .. }
            | Event::StudyFinished { .. } => (),
        }
        let is_over = matches!(event, Event::StudyFinished { .. });
        // A terminal that went away is no reason to stop measuring.
        drop(self.draw(line.as_deref(), is_over));
    }

    /// Replaces what is drawn, below a line that stays.
    fn draw(&mut self, line: Option<&str>, is_over: bool) -> std::io::Result<()> {
        let columns = usize::from(self.terminal.size().1).max(1);
        // A terminal that became narrower has wrapped them.
        let rows = |it: &String| console::measure_text_width(it).div_ceil(columns).max(1);
        let above: usize = self.drawn.iter().map(rows).sum();
        self.terminal.move_cursor_left(columns)?;
        self.terminal.move_cursor_up(above)?;
        self.terminal.clear_to_end_of_screen()?;
        if let Some(line) = line {
            self.terminal.write_line(line)?;
        }
        self.drawn.clear();
        if !is_over {
            self.drawn.extend(self.view.lines(columns, self.place, self.started.elapsed()));
        }
        for line in &self.drawn {
            self.terminal.write_line(line)?;
        }
        self.drawn_at = Some(Instant::now());
        self.terminal.flush()
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
