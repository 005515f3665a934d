//! The instruments, and how uncertain the energies are and why.

use std::collections::{BTreeMap, BTreeSet};

use llem_core::{
    energy::{EnergyReading, Evaluation},
    units::{Joules, Watts},
};
use serde_json::Value;

use super::{shown, table, words};
use crate::results::ResultSet;

/// A reading's kind: device, instrument.
type Kind = (String, String);

/// What is known of one kind of reading.
#[derive(Default)]
struct Gathered {
    readings: usize,
    scopes: BTreeSet<String>,
    methods: BTreeSet<String>,
    verdicts: BTreeMap<String, usize>,
    flags: BTreeMap<String, usize>,
    reasons: BTreeSet<String>,
    powers: Vec<f64>,
    /// Relative standard uncertainties of each component, and whether they are statistical or of the gain.
    components: BTreeMap<(String, &'static str), Vec<f64>>,
    compare: Vec<f64>,
    absolute: Vec<f64>,
}

pub(super) fn of(results: &ResultSet) -> String {
    let mut kinds: BTreeMap<Kind, Gathered> = BTreeMap::new();
    let windows =
        results.records().iter().filter_map(|it| it.measured()).flat_map(|it| &it.windows);
    for reading in windows.flat_map(|it| &it.energy) {
        let kind = (reading.device.clone(), words(&reading.instrument));
        kinds.entry(kind).or_default().add(reading);
    }
    let mut text = String::from(
        "<h2 id=\"instruments\">Instruments and uncertainty</h2>\n<div class=\"panel\">",
    );
    text.push_str(&table(
        &["device", "instrument", "scope", "windows", "mean power", "method", "verdicts", "flags"],
        &kinds.iter().map(|(kind, it)| it.row(kind)).collect::<Vec<_>>(),
    ));
    let reasons: Vec<Vec<String>> = kinds
        .iter()
        .flat_map(|((device, _), it)| {
            it.reasons.iter().map(|why| vec![device.clone(), why.clone()])
        })
        .collect();
    if !reasons.is_empty() {
        text.push_str("<h3>Energies that are absent</h3>");
        text.push_str(&table(&["device", "reason"], &reasons));
    }
    text.push_str(
        "<h3>Uncertainty budget</h3><p class=\"note\">Standard uncertainties relative to the energy, medians over windows. \
         Comparisons on one device leave the sensor's gain out, figures that stand alone have it. Type A is from \
         statistics, type B from other knowledge (JCGM 100).</p>",
    );
    let rows: Vec<Vec<String>> = kinds.iter().flat_map(|(kind, it)| it.budget(kind)).collect();
    text.push_str(&table(&["device", "component", "evaluation", "relative, %"], &rows));
    text.push_str(&devices(results));
    text.push_str("</div>\n");
    text
}

impl Gathered {
    fn add(&mut self, reading: &EnergyReading) {
        self.readings += 1;
        self.scopes.insert(words(&reading.scope));
        self.methods.extend(reading.method.as_ref().map(words));
        self.reasons.extend(reading.reason.clone());
        *self.verdicts.entry(words(&reading.verdict)).or_default() += 1;
        for flag in &reading.flags {
            *self.flags.entry(words(flag)).or_default() += 1;
        }
        self.powers.extend(reading.average_power_watts.map(Watts::get));
        let Some((energy, uncertainty)) =
            reading.energy_joules.map(Joules::get).zip(reading.uncertainty.as_ref())
        else {
            return;
        };
        if energy <= 0.0 {
            return;
        }
        for it in &uncertainty.components {
            let evaluation = match (it.gain, it.evaluation) {
                (true, _) => "type B, gain",
                (false, Evaluation::TypeA) => "type A",
                (false, Evaluation::TypeB) => "type B",
            };
            let key = (it.name.replace('_', " "), evaluation);
            self.components.entry(key).or_default().push(it.standard_joules.get() / energy);
        }
        self.compare.push(uncertainty.compare_joules.get() / energy);
        self.absolute.push(uncertainty.absolute_joules.get() / energy);
    }

    fn row(&self, (device, instrument): &Kind) -> Vec<String> {
        let counts = |of: &BTreeMap<String, usize>| {
            of.iter().map(|(name, count)| format!("{name}: {count}")).collect::<Vec<_>>().join(", ")
        };
        let joined = |of: &BTreeSet<String>| of.iter().cloned().collect::<Vec<_>>().join(", ");
        let power = median(&self.powers).map_or_else(|| "–".to_owned(), |it| format!("{it:.1} W"));
        vec![
            device.clone(),
            instrument.clone(),
            joined(&self.scopes),
            self.readings.to_string(),
            power,
            joined(&self.methods),
            counts(&self.verdicts),
            counts(&self.flags),
        ]
    }

    fn budget(&self, (device, _): &Kind) -> Vec<Vec<String>> {
        let percent = |of: &[f64]| {
            median(of).map_or_else(|| "–".to_owned(), |it| format!("{:.4}", 100.0 * it))
        };
        let parts = self.components.iter().map(|((name, evaluation), values)| {
            vec![device.clone(), name.clone(), (*evaluation).to_owned(), percent(values)]
        });
        let sums =
            [("all, for comparisons", &self.compare), ("all, with the gain", &self.absolute)];
        let sums =
            sums.into_iter().filter(|(_, values)| !values.is_empty()).map(|(name, values)| {
                vec![device.clone(), name.to_owned(), "combined".to_owned(), percent(values)]
            });
        parts.chain(sums).collect()
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let sample = llem_core::stats::Sample::new(values.to_vec()).ok()?;
    Some(sample.quantile(0.5))
}

/// What the instruments say of themselves.
fn devices(results: &ResultSet) -> String {
    let devices = results.environment().and_then(|it| it.get("devices")).and_then(Value::as_array);
    let mut rows = Vec::new();
    for device in devices.into_iter().flatten() {
        let name = |key: &str| device.get(key).map(shown).unwrap_or_default();
        let facts = device.get("facts").and_then(Value::as_object);
        let facts = facts
            .into_iter()
            .flatten()
            .map(|(key, value)| format!("{}: {}", key.replace('_', " "), shown(value)));
        rows.push(vec![
            name("id"),
            name("name"),
            name("power_limit_watts"),
            facts.collect::<Vec<_>>().join("; "),
        ]);
    }
    if rows.is_empty() {
        return String::new();
    }
    let header = ["device", "name", "power limit (W)", "what the driver states"];
    format!("<h3>Devices</h3>{}", table(&header, &rows))
}
