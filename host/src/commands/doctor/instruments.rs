//! GPUs and processors as instruments, what disturbs them, and whether they agree.

use std::time::Duration;

use llem_meter::{Gpus, Instruments, Level, MeterOptions};

use super::Line;
use crate::{config, gpus, machine};

/// Long enough for one publication of every counter that is known.
const GLANCE: Duration = Duration::from_millis(130);
/// Long enough to learn a counter's period, and to compare it with a second instrument.
const MEASURE: Duration = Duration::from_millis(2_500);

/// The GPUs as they are found.
pub(super) struct Found {
    pub(super) lines: Vec<Line>,
    /// Whether there is one.
    pub(super) any: bool,
}

pub(super) fn gpus(measure: bool) -> Found {
    let options = MeterOptions { cpu: false, ..config::meter_options() };
    let (instruments, lines) = instruments(options, measure);
    let any = !instruments.devices().is_empty();
    let health = instruments.health().into_iter().map(Line::from);
    let gpus = machine::gpu_ids(&instruments.devices());
    let left = gpus.iter().filter_map(|it| left(it));
    Found { lines: lines.into_iter().chain(health).chain(left).collect(), any }
}

/// What a study that was killed has left set.
fn left(gpu: &str) -> Option<Line> {
    let by_hand = gpus::left(gpu)?.by_hand(gpu);
    let message = "a study that was killed has left its settings on it";
    Some(Line::warning(gpu, message).fix(format!("{by_hand}   # or any `llem run` on this GPU")))
}

pub(super) fn processors(measure: bool) -> Vec<Line> {
    let options = MeterOptions { gpus: Gpus::None, ..config::meter_options() };
    instruments(options, measure).1
}

fn instruments(options: MeterOptions, measure: bool) -> (Instruments, Vec<Line>) {
    let calibration = if measure { MEASURE } else { GLANCE };
    let (instruments, mut findings) =
        Instruments::discover(&MeterOptions { calibration, ..options });
    if measure && findings.iter().all(|it| it.level != Level::Warning) {
        findings.extend(instruments.rehearse(MEASURE));
    }
    (instruments, findings.into_iter().map(Line::from).collect())
}
