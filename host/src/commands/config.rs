//! `llem config`: what holds on this machine, and who said so.

use std::fmt::Write as _;

use llem_core::energy::{CarbonIntensity, Settings};
use serde::Serialize;

use super::{output, output_json};
use crate::{
    cli::ConfigArgs,
    config::{self, KEYS, Origin},
    diagnostics::{Failure, printable},
    exit::ExitStatus,
};

#[derive(Serialize)]
struct Shown {
    file: Option<String>,
    keys: Vec<Line>,
    settings: Settings,
}

#[derive(Serialize)]
struct Line {
    key: &'static str,
    variable: &'static str,
    /// Null where nobody gave one; `default` says what holds then.
    value: Option<String>,
    /// `environment`, `file` or `default`.
    from: &'static str,
    default: &'static str,
    about: &'static str,
}

/// Shows the configuration.
pub(crate) fn run(args: &ConfigArgs) -> Result<ExitStatus, Failure> {
    config::check()?;
    let file = config::location().map(|it| it.display().to_string());
    let shown =
        Shown { file, keys: KEYS.iter().map(|it| line(it)).collect(), settings: config::read()? };
    if args.json { output_json(&shown) } else { output(&text(&shown)) }
}

fn line(key: &config::Key) -> Line {
    let (value, origin) = key.found();
    let from = match origin {
        Origin::Environment => "environment",
        Origin::File => "file",
        Origin::Default => "default",
    };
    let (name, variable, default, about) = (key.name, key.variable, key.default, key.about);
    Line { key: name, variable, value, from, default, about }
}

fn text(shown: &Shown) -> String {
    let file = shown.file.as_deref().unwrap_or("none; ~/.config/llem/config.toml would be read");
    let mut text = format!("file: {}\n\n", printable(file));
    for it in &shown.keys {
        let value = it.value.as_deref().unwrap_or(it.default);
        let from = match it.from {
            "environment" => format!("from {}", it.variable),
            "file" => "from the file".to_owned(),
            _ => format!("default; {} would set it", it.variable),
        };
        let value = printable(value);
        writeln!(text, "{} = {value}\n    {}\n    {from}", it.key, it.about)
            .expect("a string takes everything");
    }
    let Settings { calibrations, carbon } = &shown.settings;
    let devices: Vec<String> = calibrations.iter().map(|it| printable(&it.device)).collect();
    let devices = if devices.is_empty() { "none".to_owned() } else { devices.join(", ") };
    let electricity = match carbon.as_ref().map(|it| &it.intensity) {
        None => "unknown, so emissions are not computed".to_owned(),
        Some(CarbonIntensity::Constant(grams)) => format!("{grams} g/kWh"),
        Some(CarbonIntensity::Series(points)) => format!("a series of {} points", points.len()),
    };
    text + &format!("\ncalibrated devices: {devices}\nelectricity: {electricity}\n")
}
