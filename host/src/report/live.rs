//! What the changing lines of a terminal say: pure, so that it can be tested without one.

use std::{collections::VecDeque, time::Duration};

use llem_core::event::{Event, Phase};

use super::progress::duration;
use crate::diagnostics::printable;

/// Points of the power's curve.
const CURVE: usize = 32;
/// Eighths of a line's height.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The running trial as its events tell it.
#[derive(Debug, Default)]
pub(super) struct View {
    title: String,
    phase: Option<Phase>,
    done: Option<f64>,
    /// The last powers in watts.
    powers: VecDeque<f64>,
    is_estimated: bool,
    tokens_per_second: Option<f64>,
    celsius: Option<f64>,
    seconds_left: Option<f64>,
    joules_left: Option<f64>,
}

impl View {
    /// Takes an event in.
    pub(super) fn take(&mut self, event: &Event) {
        match event {
            Event::TrialStarted { trial, label, seconds_left, energy_joules_left, .. } => {
                let powers = std::mem::take(&mut self.powers);
                *self = Self {
                    title: format!("{} #{}", printable(label), trial.repeat),
                    powers,
                    is_estimated: self.is_estimated,
                    seconds_left: *seconds_left,
                    joules_left: *energy_joules_left,
                    ..Self::default()
                };
            }
            Event::PhaseStarted { phase, .. } => {
                self.phase = Some(*phase);
                (self.done, self.tokens_per_second) = (None, None);
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
                self.done = *done;
            }
            Event::StudyStarted { .. }
            | Event::Shards { .. }
            | Event::TrialFinished { .. }
            | Event::StudyFinished { .. }
            | Event::Warning { .. } => (),
        }
    }

    /// The trial and its phase.
    pub(super) fn trial(&self) -> String {
        let phase = self.phase.map_or("", Phase::title);
        let done = self.done.map_or_else(String::new, |it| format!(" {:.0} %", 100.0 * it));
        format!("{}  {phase}{done}", self.title)
    }

    /// Power, speed, temperature, and what is left `since` the trial began.
    pub(super) fn figures(&self, since: Duration) -> String {
        let about = if self.is_estimated { "~" } else { "" };
        let power = self.powers.back().map(|it| format!("{} {about}{it:.1} W", self.curve()));
        let seconds = self.seconds_left.map(|it| (it - since.as_secs_f64()).max(0.0));
        let parts = [
            power,
            self.tokens_per_second.map(|it| format!("{it:.0} tokens/s")),
            self.celsius.map(|it| format!("{it:.0} °C")),
            left(seconds, self.joules_left, self.is_estimated),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join("  ")
    }

    /// The last powers, from zero to the largest of them.
    fn curve(&self) -> String {
        let most = self.powers.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let block = |watts: &f64| {
            let share = watts.max(0.0) / most;
            let steps = (1..BLOCKS.len()).take_while(|it| share * 8.0 > f64_of(*it)).count();
            BLOCKS[steps]
        };
        self.powers.iter().map(block).collect()
    }
}

fn f64_of(steps: usize) -> f64 {
    u32::try_from(steps).map_or(f64::INFINITY, f64::from)
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
        assert_eq!(view.trial(), "batch_size=8 #2  measure 50 %");
        assert_eq!(
            view.figures(Duration::from_secs(20)),
            "▁▄█▁ ~12.5 W  398 tokens/s  45 °C  about 3 min 0 s and ~1.2 kJ left"
        );
    }

    #[test]
    fn the_curve_keeps_the_last_powers_only() {
        let mut view = view();
        for watts in 0..100_u32 {
            view.take(&progress(f64::from(watts)));
        }
        assert_eq!(view.curve().chars().count(), CURVE);
        assert!(view.curve().ends_with('█'));
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        let mut view = View::default();
        view.take(&Event::PhaseStarted { trial: trial(), phase: Phase::Load });
        assert_eq!(view.figures(Duration::ZERO), "");
        assert_eq!(left(None, Some(7.2e6), false).as_deref(), Some("about 2.00 kWh left"));
    }
}
