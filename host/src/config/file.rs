//! The configuration as its file has it: keys of the table, calibrations and electricity.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use llem_core::energy::{Calibrated, Carbon, CarbonIntensity, Settings};
use serde::Deserialize;
use toml::{Table, Value};

use super::keys::{KEYS, Key, Kind};

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) settings: Settings,
    /// By the name of the key, as the environment would have it.
    pub(super) values: BTreeMap<&'static str, String>,
}

/// The tables beside those of the keys.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    /// Calibrations of sensors against a reference.
    #[serde(default)]
    calibration: Vec<Calibrated>,
    /// The electricity.
    carbon: Option<Electricity>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Electricity {
    grams_per_kilowatt_hour: Option<f64>,
    /// Lines of a time (RFC 3339 or Unix seconds), a comma, and the intensity from then on.
    series: Option<PathBuf>,
    #[serde(default = "one")]
    power_usage_effectiveness: f64,
}

fn one() -> f64 {
    1.0
}

/// Reads a file; an error is a sentence without its name.
pub(super) fn read(path: &Path) -> Result<File, String> {
    let text = fs::read_to_string(path).map_err(|it| it.to_string())?;
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut table: Table = toml::from_str(&text).map_err(|it| it.to_string())?;
    let values = values(&mut table, directory)?;
    let known: Known = table.try_into().map_err(|it: toml::de::Error| it.to_string())?;
    for it in &known.calibration {
        let sound = it.gain > 0.0 && it.gain.is_finite() && it.offset_watts.is_finite();
        if !sound || !(0.0..1.0).contains(&it.relative_uncertainty) {
            return Err(format!(
                "the calibration of `{}` needs a gain above 0 and a relative uncertainty from 0 to 1",
                it.device
            ));
        }
    }
    let carbon = known.carbon.map(|it| carbon(it, directory)).transpose()?;
    Ok(File { settings: Settings { calibrations: known.calibration, carbon }, values })
}

/// Takes the keys of the table out of a file's tables.
fn values(table: &mut Table, directory: &Path) -> Result<BTreeMap<&'static str, String>, String> {
    let mut values = BTreeMap::new();
    for key in KEYS {
        let (section, name) = key.name.split_once('.').expect("keys have a table");
        let Some(Value::Table(inner)) = table.get_mut(section) else { continue };
        if let Some(value) = inner.remove(name) {
            let text = text(key, &value, directory);
            if let Some(fault) = key.fault(&text) {
                return Err(format!("`{}` {fault}", key.name));
            }
            values.insert(key.name, text);
        }
        if inner.is_empty() {
            table.remove(section);
        }
    }
    let sections: Vec<&str> =
        KEYS.iter().filter_map(|it| Some(it.name.split_once('.')?.0)).collect();
    let unknown = table.iter().find(|(section, _)| sections.contains(&section.as_str()));
    if let Some((section, value)) = unknown {
        let name = value.as_table().and_then(|it| it.keys().next());
        let found = name.map_or_else(|| section.clone(), |it| format!("{section}.{it}"));
        let own = KEYS.iter().filter(|it| it.name.starts_with(&format!("{section}.")));
        let known: Vec<String> = own.map(|it| format!("`{}`", it.name)).collect();
        return Err(format!("there is no key `{found}`; there are {}", known.join(", ")));
    }
    Ok(values)
}

/// A value as the environment would have it.
fn text(key: &Key, value: &Value, directory: &Path) -> String {
    let plain = match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    };
    if key.kind != Kind::Path {
        return plain;
    }
    let home = plain.strip_prefix("~/").zip(std::env::home_dir());
    let path = home.map_or_else(|| directory.join(&plain), |(rest, home)| home.join(rest));
    path.display().to_string()
}

fn carbon(it: Electricity, directory: &Path) -> Result<Carbon, String> {
    let intensity = match (it.grams_per_kilowatt_hour, it.series) {
        (Some(constant), None) if constant >= 0.0 => CarbonIntensity::Constant(constant),
        (None, Some(path)) => {
            let path = directory.join(path);
            let text = fs::read_to_string(&path);
            let text = text.map_err(|error| format!("`{}`: {error}", path.display()))?;
            CarbonIntensity::Series(series(&text)?)
        }
        _ => {
            return Err("`carbon` needs either `grams_per_kilowatt_hour`, which is not negative, \
                        or `series`, a file"
                .to_owned());
        }
    };
    let power_usage_effectiveness = it.power_usage_effectiveness;
    if !(power_usage_effectiveness >= 1.0 && power_usage_effectiveness.is_finite()) {
        return Err(format!(
            "`power_usage_effectiveness` must be at least 1, found {power_usage_effectiveness}"
        ));
    }
    Ok(Carbon { intensity, power_usage_effectiveness })
}

fn series(text: &str) -> Result<Vec<(f64, f64)>, String> {
    let lines = text.lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(number, line)| {
            let point = line.split_once(',').and_then(|(time, grams)| {
                let time = time.trim();
                let instant = || time.parse::<jiff::Timestamp>().ok();
                let at = time.parse().ok().or_else(|| Some(instant()?.as_duration().as_secs_f64()));
                Some((at?, grams.trim().parse().ok()?))
            });
            point.ok_or_else(|| {
                format!("line {} of the series has no `time,grams`: `{line}`", number + 1)
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(File, PathBuf), String> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("config.toml");
        fs::write(&path, text).expect("writable");
        let hours = "# hourly\n2026-01-01T00:00:00Z, 310\n1767229200, 280.5\n";
        fs::write(directory.path().join("hours.csv"), hours).expect("writable");
        read(&path).map(|it| (it, directory.path().to_owned()))
    }

    #[test]
    fn a_calibration_and_a_series_of_intensities_are_read() {
        let (file, _) = check(
            "[[calibration]]\ndevice = \"GPU-1\"\ngain = 1.02\nrelative_uncertainty = 0.004\n\
             certificate = \"bench 7\"\n\n[carbon]\nseries = \"hours.csv\"\n\
             power_usage_effectiveness = 1.2\n",
        )
        .expect("it is sound");
        assert_eq!(file.settings.calibrations[0].certificate, "bench 7");
        let carbon = file.settings.carbon.expect("it is there");
        let expected = vec![(1_767_225_600.0, 310.0), (1_767_229_200.0, 280.5)];
        assert_eq!(carbon.intensity, CarbonIntensity::Series(expected));
    }

    #[test]
    fn values_are_as_the_environment_would_have_them() {
        let (file, directory) = check(
            "[client]\ncores = [0, 2]\npriority = true\n[cache]\ndirectory = \"fast\"\n\
             limit_gib = 7\n[data]\ndirectory = \"/data\"\n",
        )
        .expect("it is sound");
        let beside = directory.join("fast").display().to_string();
        let expected = [
            ("cache.directory", beside.as_str()),
            ("cache.limit_gib", "7"),
            ("client.cores", "0,2"),
            ("client.priority", "true"),
            ("data.directory", "/data"),
        ];
        let values: Vec<(&str, &str)> =
            file.values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(values, expected);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (text, why) in [
            (
                "[carbon]\ngrams_per_kilowatt_hour = 300\npower_usage_effectiveness = 0.9\n",
                "at least 1",
            ),
            ("[carbon]\npower_usage_effectiveness = 1.1\n", "either"),
            ("[carbon]\nseries = \"missing.csv\"\n", "missing.csv"),
            (
                "[[calibration]]\ndevice = \"a\"\ngain = 0\nrelative_uncertainty = 0.1\n\
                 certificate = \"x\"\n",
                "a gain above 0",
            ),
            ("colour = 1\n", "colour"),
            (
                "[cache]\nlimit_gib = \"much\"\n",
                "`cache.limit_gib` must be a whole number, found `much`",
            ),
            (
                "[cache]\nlimit = 3\n",
                "no key `cache.limit`; there are `cache.directory`, `cache.limit_gib`",
            ),
        ] {
            let error = check(text).map(drop).expect_err(text);
            assert!(error.contains(why), "{error}");
        }
    }
}
