//! Whether a study may set GPUs as it asks, before anything of it runs.

use std::collections::BTreeSet;

use llem_core::{
    energy::{Device, Instrument},
    study::{Experiment, GpuSettings},
};
use llem_meter::{Control, ControlError};

use super::Gpus;
use crate::{config, diagnostics::Failure, exit::ExitStatus};

/// Permissions as the user writes them after `--allow`.
const POWER_LIMIT: &str = "gpu:power_limit";
const SM_CLOCK: &str = "gpu:sm_clock";

/// What a study asks for, each value once.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    watts: BTreeSet<u32>,
    megahertz: BTreeSet<u32>,
}

impl Wanted {
    fn of(experiments: &[Experiment]) -> Self {
        let mut wanted = Self::default();
        for GpuSettings { power_limit, sm_clock } in experiments.iter().map(|it| it.gpu) {
            wanted.watts.extend(power_limit.map(u32::from));
            wanted.megahertz.extend(sm_clock.map(u32::from));
        }
        wanted
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The permissions that it needs.
    fn permissions(&self) -> Vec<&'static str> {
        let power = (!self.watts.is_empty()).then_some(POWER_LIMIT);
        let clock = (!self.megahertz.is_empty()).then_some(SM_CLOCK);
        power.into_iter().chain(clock).collect()
    }
}

/// What `llem run` must be given for these experiments to set GPUs; none where none does.
pub(crate) fn needed(experiments: &[Experiment]) -> Option<String> {
    let permissions = Wanted::of(experiments).permissions();
    (!permissions.is_empty()).then(|| flags(&permissions))
}

fn flags(permissions: &[&str]) -> String {
    permissions.iter().map(|it| format!("--allow {it}")).collect::<Vec<_>>().join(" ")
}

/// Fails where experiments set GPUs in a way that the user does not allow: a study file alone changes no machine.
pub(crate) fn permitted(experiments: &[Experiment], allowed: &[String]) -> Result<(), Failure> {
    let missing: Vec<&str> = Wanted::of(experiments)
        .permissions()
        .into_iter()
        .filter(|it| allowed.iter().all(|allowed| allowed != it))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!(
        "the study sets GPUs of this machine and that is not allowed: {}",
        missing.join(", ")
    );
    Err(Failure::message(ExitStatus::Usage, message).hint(format!(
        "what was set is put back when the study ends or dies; if that is what you want, add {}",
        flags(&missing)
    )))
}

/// Checks everything that experiments ask of the GPUs that are this study's; they must be locked.
pub(crate) fn prepare(
    experiments: &[Experiment],
    devices: &[Device],
    allowed: &[String],
) -> Result<Gpus, Failure> {
    permitted(experiments, allowed)?;
    let wanted = Wanted::of(experiments);
    if wanted.is_empty() {
        return Ok(Gpus::default());
    }
    let refused = |message: String| Failure::message(ExitStatus::Environment, message);
    let gpus: Vec<&Device> =
        devices.iter().filter(|it| it.instrument == Instrument::Nvml).collect();
    if gpus.is_empty() {
        return Err(refused("the study sets GPUs, and this machine shows none".to_owned())
            .hint("`llem doctor` says why; CUDA_VISIBLE_DEVICES chooses the GPUs of a study"));
    }
    let is_divided = |it: &&&Device| it.facts.get("mig_mode").is_some_and(|it| it == "enabled");
    if let Some(gpu) = gpus.iter().find(is_divided) {
        let message = format!(
            "the study sets {}, which MIG divides: its limits are those of all its slices",
            gpu.id
        );
        return Err(refused(message).hint(format!(
            "turn MIG off (`sudo nvidia-smi -i {} -mig 0`), or take `gpu.*` out of the study",
            gpu.id
        )));
    }
    let uuids: Vec<String> = gpus.iter().map(|it| it.id.clone()).collect();
    let library = config::meter_options().nvml_library;
    let controls = Control::open(library.as_deref(), &uuids).map_err(|it| failure(&it, &wanted))?;
    let mut faults = Vec::new();
    for control in &controls {
        faults.extend(limits(control, &wanted).map_err(|it| failure(&it, &wanted))?);
        faults.extend(clocks(control, &wanted).map_err(|it| failure(&it, &wanted))?);
    }
    if !faults.is_empty() {
        return Err(Failure::message(ExitStatus::Usage, faults.join("\n"))
            .hint("`nvidia-smi -q -d POWER,SUPPORTED_CLOCKS` lists what each GPU takes"));
    }
    // Only an attempt tells whether this user may. It changes nothing: the limit becomes what it is, and a clock that
    // somebody locked is let go as it will be in the end.
    for control in &controls {
        may(control, &wanted).map_err(|it| failure(&it, &wanted))?;
    }
    Ok(Gpus::of(uuids))
}

/// Power limits that a GPU does not take.
fn limits(control: &Control, wanted: &Wanted) -> Result<Vec<String>, ControlError> {
    if wanted.watts.is_empty() {
        return Ok(Vec::new());
    }
    let (least, most) = control.power_limits()?;
    let is_outside = |watts: &&u32| !(least..=most).contains(&watts.saturating_mul(1_000));
    let faults = wanted.watts.iter().filter(is_outside).map(|watts| {
        let (least, most) = (f64::from(least) / 1e3, f64::from(most) / 1e3);
        format!("`gpu.power_limit` of {watts} W: {} takes {least} to {most} W", control.uuid())
    });
    Ok(faults.collect())
}

/// SM clocks that a GPU does not have.
fn clocks(control: &Control, wanted: &Wanted) -> Result<Vec<String>, ControlError> {
    if wanted.megahertz.is_empty() {
        return Ok(Vec::new());
    }
    let known = control.sm_clocks()?;
    let unknown = wanted.megahertz.iter().filter(|it| !known.contains(it));
    Ok(unknown.map(|it| format!("{} {}", unknown_clock(*it, &known), control.uuid())).collect())
}

/// What is wrong with a clock, and which are next to it.
fn unknown_clock(megahertz: u32, known: &[u32]) -> String {
    let below = known.iter().rev().find(|it| **it < megahertz);
    let above = known.iter().find(|it| **it > megahertz);
    let near: Vec<String> = below.into_iter().chain(above).map(|it| format!("{it} MHz")).collect();
    let (least, most) = (known.first().unwrap_or(&0), known.last().unwrap_or(&0));
    format!(
        "`gpu.sm_clock` of {megahertz} MHz: nearest is {}, allowed are {} clocks from {least} to {most} MHz of",
        near.join(" or "),
        known.len()
    )
}

fn may(control: &Control, wanted: &Wanted) -> Result<(), ControlError> {
    if !wanted.watts.is_empty() {
        control.set_power_limit(control.power_limit()?)?;
    }
    if !wanted.megahertz.is_empty() {
        control.unlock_sm_clock()?;
    }
    Ok(())
}

fn failure(error: &ControlError, wanted: &Wanted) -> Failure {
    let failure = Failure::new(ExitStatus::Environment, error);
    match error {
        ControlError::Denied { gpu } => {
            let first = |values: &BTreeSet<u32>| values.first().copied();
            let by_hand = match (first(&wanted.watts), first(&wanted.megahertz)) {
                (Some(watts), _) => format!("`sudo nvidia-smi -i {gpu} -pl {watts}`"),
                (None, clock) => {
                    format!("`sudo nvidia-smi -i {gpu} -lgc {}`", clock.unwrap_or_default())
                }
            };
            failure
                .hint(format!(
                    "the driver lets only root do that: `sudo llem run STUDY {}`; in a container, root with `--cap-add SYS_ADMIN`",
                    flags(&wanted.permissions())
                ))
                .hint(format!(
                    "or set one value by hand, {by_hand}, and take it out of the study: records say which limit was in force"
                ))
        }
        ControlError::Unsupported { .. } => {
            failure.hint("take `gpu.power_limit` or `gpu.sm_clock` out of the study for this GPU")
        }
        ControlError::Library(_) | ControlError::Missing(_) | ControlError::Failed { .. } => {
            failure.hint("`llem doctor` looks at every GPU")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_between_two_names_both_and_one_beyond_the_last_the_last() {
        let known = [1395, 1410, 1425];
        let between = unknown_clock(1400, &known);
        assert!(between.contains("nearest is 1395 MHz or 1410 MHz"), "{between}");
        assert!(between.contains("3 clocks from 1395 to 1425 MHz"), "{between}");
        let beyond = unknown_clock(2000, &known);
        assert!(beyond.contains("nearest is 1425 MHz, allowed"), "{beyond}");
    }

    #[test]
    fn each_setting_needs_a_permission_of_its_own() {
        let wanted = |watts: &[u32], megahertz: &[u32]| Wanted {
            watts: watts.iter().copied().collect(),
            megahertz: megahertz.iter().copied().collect(),
        };
        assert!(wanted(&[], &[]).is_empty());
        assert_eq!(wanted(&[300], &[]).permissions(), [POWER_LIMIT]);
        assert_eq!(wanted(&[300, 400], &[1410]).permissions(), [POWER_LIMIT, SM_CLOCK]);
    }
}
