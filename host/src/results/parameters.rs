//! What differs between the experiments of a study: one column a varied setting, whatever way the
//! study varied it.

use std::collections::BTreeMap;

use llem_core::{
    backend::{Mode, Value},
    study::{Expansion, Experiment, GpuSettings, Source, Traffic},
};

/// A setting that takes more than one value in a study.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Path without the backend's name, or name of a zip or of variants.
    pub name: String,
    /// Its values, in the order in which the study names them; numbers ascend.
    pub levels: Vec<Setting>,
    /// The level of each experiment, in the order of the plan; none where it does not apply.
    pub of_experiment: Vec<Option<usize>>,
}

/// One value of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// For people.
    pub label: String,
    /// As a number, where it is one.
    pub number: Option<f64>,
}

/// The parameters that vary over the experiments of a plan.
///
/// ```
/// use llem::results::{ResultSet, parameters};
///
/// # let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/h100/pytorch-batch");
/// let results = ResultSet::open(directory)?;
/// let varied = parameters(results.plan());
/// assert_eq!(varied[0].name, "engine.batch_size");
/// assert_eq!(varied[0].levels.iter().map(|it| it.label.as_str()).collect::<Vec<_>>(), ["1", "8", "64"]);
/// # Ok::<(), llem::results::ResultsError>(())
/// ```
pub fn parameters(plan: &Expansion) -> Vec<Parameter> {
    let mut names: Vec<String> = Vec::new();
    let mut cells: Vec<BTreeMap<String, Setting>> = Vec::new();
    for experiment in &plan.experiments {
        let settings = settings(plan, experiment);
        for (name, _) in &settings {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        cells.push(settings.into_iter().collect());
    }
    names.into_iter().filter_map(|name| parameter(name, &cells)).collect()
}

fn parameter(name: String, cells: &[BTreeMap<String, Setting>]) -> Option<Parameter> {
    let mut levels: Vec<Setting> = Vec::new();
    let mut position: BTreeMap<&str, usize> = BTreeMap::new();
    for setting in cells.iter().filter_map(|it| it.get(&name)) {
        position.entry(&setting.label).or_insert_with(|| {
            levels.push(setting.clone());
            levels.len() - 1
        });
    }
    let is_everywhere = cells.iter().all(|it| it.contains_key(&name));
    if levels.len() + usize::from(!is_everywhere) < 2 {
        return None;
    }
    let mut order: Vec<usize> = (0..levels.len()).collect();
    if levels.iter().all(|it| it.number.is_some()) {
        let number = |at: usize| levels[at].number.unwrap_or_default();
        order.sort_by(|one, other| number(*one).total_cmp(&number(*other)));
    }
    let mut rank = vec![0; levels.len()];
    for (place, at) in order.iter().enumerate() {
        rank[*at] = place;
    }
    let level =
        |it: &BTreeMap<String, Setting>| Some(rank[*position.get(it.get(&name)?.label.as_str())?]);
    let of_experiment = cells.iter().map(level).collect();
    let levels = order.into_iter().map(|at| levels[at].clone()).collect();
    Some(Parameter { name, levels, of_experiment })
}

/// What an experiment was set to: its factors' levels where the study has factors, else its settings.
fn settings(plan: &Expansion, experiment: &Experiment) -> Vec<(String, Setting)> {
    let mut found = Vec::new();
    if let Some(levels) = &experiment.levels {
        let own = plan.factors.iter().filter(|it| it.plugin == experiment.plugin);
        for (factor, level) in own.zip(levels) {
            let at = usize::try_from(*level).unwrap_or(usize::MAX);
            let Some(label) = factor.levels.get(at) else { continue };
            let prefix = format!("{}.", factor.plugin);
            let name = factor.name.strip_prefix(&prefix).unwrap_or(&factor.name);
            let number = factor.numbers.as_ref().and_then(|it| it.get(at).copied());
            found.push((name.to_owned(), Setting { label: label.clone(), number }));
        }
    } else {
        for (path, value) in experiment.settings.iter() {
            found.push((path.to_string(), setting(value)));
        }
        found.extend(of_study(experiment));
    }
    let mut fixed = |name: &str, label: String| {
        if found.iter().all(|(it, _)| it != name) {
            found.push((name.to_owned(), Setting { label, number: None }));
        }
    };
    fixed("backend", experiment.plugin.to_string());
    fixed("mode", mode(experiment.mode).to_owned());
    found
}

/// Model, workload, traffic and settings of GPUs of an experiment that stands by itself.
fn of_study(experiment: &Experiment) -> Vec<(String, Setting)> {
    let text = |label: &str| Setting { label: label.to_owned(), number: None };
    let number = |value: f64| Setting { label: value.to_string(), number: Some(value) };
    let source = match &experiment.workload.source {
        Source::Synthetic => "synthetic",
        Source::Dataset(name) | Source::Trace(name) => name,
    };
    let mut found = vec![
        ("model.id".to_owned(), text(&experiment.model.id)),
        ("workload.source".to_owned(), text(source)),
        ("workload.requests".to_owned(), number(f64::from(experiment.workload.requests.get()))),
    ];
    match experiment.traffic.as_deref() {
        Some(Traffic::ClosedLoop { concurrency }) => {
            found.push(("traffic.concurrency".to_owned(), number(f64::from(concurrency.get()))));
        }
        Some(
            Traffic::Constant { rate }
            | Traffic::Poisson { rate }
            | Traffic::Gamma { rate, .. }
            | Traffic::Ramp { rate, .. },
        ) => found.push(("traffic.rate".to_owned(), number(*rate))),
        Some(_) | None => (),
    }
    let GpuSettings { power_limit, sm_clock } = experiment.gpu;
    for (name, value) in [("gpu.power_limit", power_limit), ("gpu.sm_clock", sm_clock)] {
        found.extend(value.map(|it| (name.to_owned(), number(f64::from(it.get())))));
    }
    found
}

fn setting(value: &Value) -> Setting {
    let number = match value.to_string().parse::<f64>() {
        Ok(number) if !matches!(value, Value::Text(_)) => Some(number),
        _ => None,
    };
    Setting { label: value.to_string(), number }
}

/// A mode's name for people.
pub(crate) fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Server => "server",
        Mode::Offline => "offline",
    }
}
