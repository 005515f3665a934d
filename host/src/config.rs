//! The user's configuration: what is known of this machine's sensors and electricity.
//!
//! One TOML file, named by `LLEM_CONFIG` or found at `~/.config/llem/config.toml`; without one nothing is
//! calibrated and no emissions are computed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use llem_core::energy::{Calibrated, Carbon, CarbonIntensity, Settings};
use serde::Deserialize;

use crate::{diagnostics::Failure, exit::ExitStatus};

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
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

/// Where the configuration is; none: nowhere.
fn location() -> Option<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
    from("LLEM_CONFIG").or_else(|| {
        let directory = from("XDG_CONFIG_HOME").or_else(|| Some(from("HOME")?.join(".config")))?;
        Some(directory.join("llem/config.toml")).filter(|it| it.is_file())
    })
}

/// Reads the user's configuration.
pub(crate) fn read() -> Result<Settings, Failure> {
    location().map_or_else(|| Ok(Settings::default()), |path| read_from(&path))
}

/// Reads a configuration.
pub(crate) fn read_from(path: &Path) -> Result<Settings, Failure> {
    let wrong = |why: String| {
        Failure::message(
            ExitStatus::Usage,
            format!("the configuration `{}`: {why}", path.display()),
        )
        .hint("docs/measurement.md says what it can hold")
    };
    let text = fs::read_to_string(path).map_err(|it| wrong(it.to_string()))?;
    let file: File = toml::from_str(&text).map_err(|it| wrong(it.to_string()))?;
    for it in &file.calibration {
        let sound = it.gain > 0.0 && it.gain.is_finite() && it.offset_watts.is_finite();
        if !sound || !(0.0..1.0).contains(&it.relative_uncertainty) {
            return Err(wrong(format!(
                "the calibration of `{}` needs a gain above 0 and a relative uncertainty from 0 to 1",
                it.device
            )));
        }
    }
    let directory = path.parent().unwrap_or(Path::new("."));
    let carbon = file.carbon.map(|it| carbon(it, directory)).transpose().map_err(wrong)?;
    Ok(Settings { calibrations: file.calibration, carbon })
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

    fn check(text: &str) -> Result<Settings, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("config.toml");
        fs::write(&path, text).expect("writable");
        let hours = "# hourly\n2026-01-01T00:00:00Z, 310\n1767229200, 280.5\n";
        fs::write(directory.path().join("hours.csv"), hours).expect("writable");
        read_from(&path).map_err(|it| format!("{it:?}"))
    }

    #[test]
    fn a_calibration_and_a_series_of_intensities_are_read() {
        let settings = check(
            "[[calibration]]\ndevice = \"GPU-1\"\ngain = 1.02\nrelative_uncertainty = 0.004\n\
             certificate = \"bench 7\"\n\n[carbon]\nseries = \"hours.csv\"\n\
             power_usage_effectiveness = 1.2\n",
        )
        .expect("it is sound");
        assert_eq!(settings.calibrations[0].certificate, "bench 7");
        let carbon = settings.carbon.expect("it is there");
        let expected = vec![(1_767_225_600.0, 310.0), (1_767_229_200.0, 280.5)];
        assert_eq!(carbon.intensity, CarbonIntensity::Series(expected));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "[carbon]\ngrams_per_kilowatt_hour = 300\npower_usage_effectiveness = 0.9\n",
            "[carbon]\npower_usage_effectiveness = 1.1\n",
            "[carbon]\nseries = \"missing.csv\"\n",
            "[[calibration]]\ndevice = \"a\"\ngain = 0\nrelative_uncertainty = 0.1\n\
             certificate = \"x\"\n",
            "colour = 1\n",
        ] {
            assert!(check(text).is_err(), "{text}");
        }
    }
}
