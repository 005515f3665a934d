//! What the changing lines of a terminal say: pure, so that it can be tested without one.

use std::{collections::VecDeque, time::Duration};

use llem_core::event::{Event, Phase};

use super::progress::duration;
use crate::diagnostics::printable;

/// Points of the power's curve.
const CURVE: usize = 32;
/// Columns that stay free, so that no line fills its row.
const SPARE: usize = 4;
/// Cells of the bar.
const BAR: usize = 20;
/// Terminals with fewer columns get a shorter bar.
const NARROW: usize = 70;
const NARROW_BAR: usize = 8;
/// Eighths of a line's height.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The running trial as its events tell it.
#[derive(Debug, Default)]
pub(super) struct View {
    trial: Option<Title>,
    phase: Option<Phase>,
    /// Part of the phase that is over.
    share: Option<f64>,
    /// The last powers in watts.
    powers: VecDeque<f64>,
    is_estimated: bool,
    tokens_per_second: Option<f64>,
    celsius: Option<f64>,
    seconds_left: Option<f64>,
    joules_left: Option<f64>,
    /// Where the shards of a cluster stand, which has no trial of its own to show.
    shards: Option<String>,
}

#[derive(Debug)]
struct Title {
    title: String,
    repeat: u32,
}

impl View {
    /// Takes an event in.
    pub(super) fn take(&mut self, event: &Event) {
        match event {
            Event::TrialStarted { trial, label, seconds_left, energy_joules_left, .. } => {
                let powers = std::mem::take(&mut self.powers);
                *self = Self {
                    trial: Some(Title { title: printable(label), repeat: trial.repeat }),
                    powers,
                    is_estimated: self.is_estimated,
                    seconds_left: *seconds_left,
                    joules_left: *energy_joules_left,
                    ..Self::default()
                };
            }
            Event::PhaseStarted { phase, .. } => {
                self.phase = Some(*phase);
                (self.share, self.tokens_per_second) = (None, None);
            }
            Event::Progress {
                power_watts,
                power_is_estimated,
                output_tokens_per_second,
                temperature_celsius,
                done,
                ..
            } => {
                if self.powers.len() == CURVE {
                    self.powers.pop_front();
                }
                self.powers.extend(power_watts);
                self.is_estimated = *power_is_estimated;
                self.tokens_per_second = *output_tokens_per_second;
                self.celsius = *temperature_celsius;
                self.share = *done;
            }
            Event::Shards { waiting, running, complete, given_up } => {
                self.shards = Some(shards(*waiting, *running, *complete, *given_up));
            }
            Event::StudyStarted { .. }
            | Event::TrialFinished { .. }
            | Event::StudyFinished { .. }
            | Event::Warning { .. } => (),
        }
    }

    /// Two lines that fit into so many columns: how far the study is with its trial and phase; then power, speed, temperature
    /// and what is left `since` the trial began.
    pub(super) fn lines(&self, columns: usize, place: Place, since: Duration) -> [String; 2] {
        let room = columns.saturating_sub(SPARE);
        let bar = place.bar(if columns < NARROW { NARROW_BAR } else { BAR });
        let head = format!("{bar} {}/{}", place.done, place.of);
        let Some(trial) = &self.trial else {
            let shards = self.shards.as_deref().unwrap_or_default();
            return [fit(&head, room), fit(shards, room)];
        };
        let phase = self.phase.map_or("", Phase::title);
        let done = self.share.map_or_else(String::new, |it| format!(" {:.0} %", 100.0 * it));
        let tail = format!(" #{}  {phase}{done}", trial.repeat);
        let title = fit(&trial.title, room.saturating_sub(width(&head) + 2 + width(&tail)));
        let first = fit(&format!("{head}  {title}{tail}"), room);
        [first, self.figures(room, since)]
    }

    /// Figures, as many as fit.
    fn figures(&self, room: usize, since: Duration) -> String {
        let about = if self.is_estimated { "~" } else { "" };
        let curve = self.curve(CURVE.min(room / 3));
        let power = self.powers.back().map(|it| format!("{curve} {about}{it:.1} W"));
        let seconds = self.seconds_left.map(|it| (it - since.as_secs_f64()).max(0.0));
        let parts = [
            power,
            self.tokens_per_second.map(|it| format!("{it:.0} tokens/s")),
            self.celsius.map(|it| format!("{it:.0} °C")),
            left(seconds, self.joules_left, self.is_estimated),
        ];
        let mut line = String::new();
        for part in parts.into_iter().flatten() {
            let gap = if line.is_empty() { "" } else { "  " };
            if width(&line) + width(gap) + width(&part) <= room {
                line.push_str(gap);
                line.push_str(&part);
            }
        }
        line
    }

    /// The last powers, from zero to the largest of them.
    fn curve(&self, points: usize) -> String {
        let most = self.powers.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let block = |watts: &f64| {
            let share = watts.max(0.0) / most;
            let steps = (1..BLOCKS.len()).take_while(|it| share * 8.0 > f64_of(*it)).count();
            BLOCKS[steps]
        };
        let skipped = self.powers.len().saturating_sub(points);
        self.powers.iter().skip(skipped).map(block).collect()
    }
}

/// How many trials are done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    pub(super) done: u32,
    pub(super) of: u32,
}

impl Place {
    fn bar(self, cells: usize) -> String {
        let share = f64::from(self.done) / f64::from(self.of.max(1));
        let full = (1..=cells).take_while(|it| f64_of(*it) <= share * f64_of(cells) + 1e-9).count();
        "█".repeat(full) + &"░".repeat(cells - full)
    }
}

fn width(text: &str) -> usize {
    console::measure_text_width(text)
}

/// A text, cut where it is longer than the room for it.
pub(super) fn fit(text: &str, room: usize) -> String {
    let mark = if room == 0 { "" } else { "…" };
    console::truncate_str(text, room, mark).into_owned()
}

fn f64_of(steps: usize) -> f64 {
    u32::try_from(steps).map_or(f64::INFINITY, f64::from)
}

/// Where the shards of a study on a cluster stand.
pub(super) fn shards(waiting: u32, running: u32, complete: u32, given_up: u32) -> String {
    let lost = if given_up > 0 { format!(", {given_up} given up") } else { String::new() };
    format!("shards: {waiting} waiting, {running} running, {complete} complete{lost}")
}

/// Time and energy left, for people.
pub(super) fn left(seconds: Option<f64>, joules: Option<f64>, estimated: bool) -> Option<String> {
    let about = if estimated { "~" } else { "" };
    let energy = joules.map(|it| format!("{about}{}", energy(it)));
    let parts: Vec<String> = seconds.map(duration).into_iter().chain(energy).collect();
    (!parts.is_empty()).then(|| format!("about {} left", parts.join(" and ")))
}

/// An energy in a unit that suits it.
fn energy(joules: f64) -> String {
    match joules {
        it if it >= 3.6e6 => format!("{:.2} kWh", it / 3.6e6),
        it if it >= 1e3 => format!("{:.1} kJ", it / 1e3),
        it => format!("{it:.0} J"),
    }
}

#[cfg(test)]
mod tests {
    use llem_core::record::TrialId;

    use super::*;

    fn trial() -> TrialId {
        TrialId { experiment: "e".into(), repeat: 2 }
    }

    fn progress(watts: f64) -> Event {
        Event::Progress {
            trial: trial(),
            power_watts: Some(watts),
            power_is_estimated: true,
            output_tokens_per_second: Some(398.4),
            temperature_celsius: Some(45.0),
            done: Some(0.5),
        }
    }

    fn view() -> View {
        let mut view = View::default();
        view.take(&Event::TrialStarted {
            trial: trial(),
            label: "batch_size=8".into(),
            number: 2,
            of: 6,
            seconds_left: Some(200.0),
            energy_joules_left: Some(1234.0),
        });
        view.take(&Event::PhaseStarted { trial: trial(), phase: Phase::Window });
        view
    }

    #[test]
    fn phase_power_speed_temperature_time_and_energy_are_there() {
        let mut view = view();
        for watts in [0.0, 50.0, 100.0, 12.5] {
            view.take(&progress(watts));
        }
        let lines =
            |columns| view.lines(columns, Place { done: 1, of: 6 }, Duration::from_secs(20));
        assert_eq!(
            lines(80),
            [
                "███░░░░░░░░░░░░░░░░░ 1/6  batch_size=8 #2  measure 50 %",
                "▁▄█▁ ~12.5 W  398 tokens/s  45 °C  about 3 min 0 s and ~1.2 kJ left",
            ]
        );
        // What is longest is cut, or left out.
        assert_eq!(
            lines(40),
            ["█░░░░░░░ 1/6  batc… #2  measure 50 %", "▁▄█▁ ~12.5 W  398 tokens/s  45 °C"]
        );
        for columns in 0..100_usize {
            let room = columns.saturating_sub(SPARE);
            assert!(lines(columns).iter().all(|it| width(it) <= room), "{columns}");
        }
    }

    #[test]
    fn the_curve_keeps_the_last_powers_only() {
        let mut view = view();
        for watts in 0..100_u32 {
            view.take(&progress(f64::from(watts)));
        }
        assert_eq!(view.curve(CURVE).chars().count(), CURVE);
        assert_eq!(view.curve(3), "███");
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        let mut view = View::default();
        view.take(&Event::PhaseStarted { trial: trial(), phase: Phase::Load });
        assert_eq!(view.figures(80, Duration::ZERO), "");
        assert_eq!(Place { done: 6, of: 6 }.bar(4), "████");
        assert_eq!(left(None, Some(7.2e6), false).as_deref(), Some("about 2.00 kWh left"));
    }
}
