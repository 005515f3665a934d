//! `llem recompute`: every figure of a results directory again, from its raw data.

use std::path::Path;

use llem_core::{
    account::account,
    energy::Settings,
    record::{Measured, Outcome, Record, WindowRecord, figures},
};
use serde::Serialize;

use super::{output, output_json, run::unusable};
use crate::{
    cli::RecomputeArgs,
    config,
    diagnostics::Failure,
    exit::ExitStatus,
    store::{Entry, Results, ResultsError, read_requests, read_series},
};

/// What a trial's raw data gave.
#[derive(Debug, Serialize)]
struct Compared {
    trial: String,
    /// Why nothing was computed.
    skipped: Option<String>,
    /// Whether every bit of every derived figure is as recorded.
    identical: bool,
    differences: Vec<Difference>,
}

/// A figure that is not as recorded.
#[derive(Debug, Serialize)]
struct Difference {
    figure: String,
    recorded: Option<f64>,
    recomputed: Option<f64>,
}

/// Computes all figures again and tells what differs.
pub(crate) fn run(args: &RecomputeArgs) -> Result<ExitStatus, Failure> {
    let settings = match &args.config {
        Some(path) => config::read_from(path)?,
        None => of_results(&args.results)?,
    };
    let entries = Results::read(&args.results).map_err(|it| unusable(&it))?;
    let mut compared = Vec::new();
    let mut changed = Vec::new();
    for record in super::run::records(entries, false) {
        let (result, new) = compare(&args.results, record, &settings)?;
        changed.extend(new);
        compared.push(result);
    }
    if args.write && !changed.is_empty() {
        write(&args.results, changed, &settings)?;
    }
    let differs = compared.iter().any(|it| it.skipped.is_none() && !it.identical);
    let status = if differs { ExitStatus::Failures } else { ExitStatus::Success };
    if args.json {
        output_json(&compared)?;
    } else {
        output(&shown(&compared, args.write))?;
    }
    Ok(status)
}

/// The settings that the run had, as they now are in its directory.
fn of_results(results: &Path) -> Result<Settings, Failure> {
    if !results.join(SETTINGS).is_file() {
        return Ok(Settings::default());
    }
    Results::read_json(results, SETTINGS).map_err(|it| unusable(&it))
}

const SETTINGS: &str = "settings.json";

/// Recomputes one trial; gives the new record where it differs.
fn compare(
    results: &Path,
    record: Record,
    settings: &Settings,
) -> Result<(Compared, Option<Record>), Failure> {
    let trial = record.trial.to_string();
    let skip = |trial: &str, why: &str| Compared {
        trial: trial.to_owned(),
        skipped: Some(why.to_owned()),
        identical: false,
        differences: Vec::new(),
    };
    let Some(recorded) = record.measured() else {
        return Ok((skip(&trial, "it has no figures"), None));
    };
    let Some(basis) = &recorded.basis else {
        return Ok((skip(&trial, "its record is of a release that kept too little"), None));
    };
    let raw = |error| unusable(&ResultsError::Raw(error));
    let series = read_series(results, &record.trial).map_err(raw)?;
    let log = read_requests(results, &record.trial).map_err(raw)?;
    let (Some(series), Some(log)) = (series, log) else {
        return Ok((skip(&trial, "its raw data are gone"), None));
    };
    let found = account(basis, &series, &log, settings);
    let mut windows: Vec<WindowRecord> = as_recorded(&found.windows);
    for (new, old) in windows.iter_mut().zip(&recorded.windows) {
        // Observed while it ran, not derived from this raw data.
        new.server.clone_from(&old.server);
        new.host_cpu_seconds = old.host_cpu_seconds;
    }
    let new = Measured {
        baselines_bare: as_recorded(&found.bare),
        baselines: as_recorded(&found.before),
        baselines_after: as_recorded(&found.after),
        windows,
        ..recorded.clone()
    };
    let identical = new == *recorded;
    let differences = differences(recorded, &new);
    let result = Compared { trial, skipped: None, identical, differences };
    let changed =
        (!identical).then(|| Record { outcome: Outcome::Completed(Box::new(new)), ..record });
    Ok((result, changed))
}

/// Through the text that a journal holds, which has no number that is not finite.
fn as_recorded<T: Serialize + serde::de::DeserializeOwned>(values: &[T]) -> Vec<T> {
    let text = serde_json::to_string(values).expect("records have string keys only");
    serde_json::from_str(&text).expect("a record is read as it was written")
}

fn differences(recorded: &Measured, recomputed: &Measured) -> Vec<Difference> {
    let (old, new) = (figures(recorded), figures(recomputed));
    let names = old.iter().chain(&new).map(|it| it.name.as_str());
    let mut seen: Vec<&str> = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    let of = |all: &[llem_core::record::Figure], name: &str| {
        all.iter().find(|it| it.name == name).map(|it| it.value)
    };
    let pairs = seen.into_iter().map(|name| Difference {
        figure: name.to_owned(),
        recorded: of(&old, name),
        recomputed: of(&new, name),
    });
    pairs.filter(|it| it.recorded != it.recomputed).collect()
}

/// Appends the new records, of which the last of each trial counts, and summarises anew.
fn write(results: &Path, changed: Vec<Record>, settings: &Settings) -> Result<(), Failure> {
    let append = || -> Result<Results, ResultsError> {
        let mut open = Results::open_again(results)?;
        for record in changed {
            open.append(&Entry::Record(Box::new(record)))?;
        }
        open.write_json(SETTINGS, settings)?;
        Ok(open)
    };
    let open = append().map_err(|it| unusable(&it))?;
    let summary = super::run::summary_of(results)?;
    open.write_json("summary.json", &summary).map_err(|it| unusable(&it))
}

fn shown(compared: &[Compared], written: bool) -> String {
    let mut lines: Vec<String> = compared.iter().flat_map(lines_of).collect();
    let of = |wanted: fn(&Compared) -> bool| compared.iter().filter(|it| wanted(it)).count();
    let differ = of(|it| it.skipped.is_none() && !it.identical);
    lines.push(format!(
        "{} of {} trials are identical, {differ} differ, {} skipped{}",
        of(|it| it.identical),
        compared.len(),
        of(|it| it.skipped.is_some()),
        if written && differ > 0 { "; the new records are written" } else { "" }
    ));
    lines.push(String::new());
    lines.join("\n")
}

fn lines_of(it: &Compared) -> Vec<String> {
    let what = match &it.skipped {
        Some(why) => format!("skipped: {why}"),
        None if it.identical => "identical".to_owned(),
        None if it.differences.is_empty() => "differs in details of its record".to_owned(),
        None => format!("{} figures differ", it.differences.len()),
    };
    let one = |it: &Difference| {
        let value = |it: Option<f64>| it.map_or_else(|| "none".to_owned(), |it| it.to_string());
        let relative = it.recorded.zip(it.recomputed).filter(|(old, _)| *old != 0.0);
        let relative = relative.map_or_else(String::new, |(old, new)| {
            format!(" ({:+.4} %)", 100.0 * (new / old - 1.0))
        });
        format!(
            "  {}: recorded {}, recomputed {}{relative}",
            it.figure,
            value(it.recorded),
            value(it.recomputed)
        )
    };
    std::iter::once(format!("{}: {what}", it.trial)).chain(it.differences.iter().map(one)).collect()
}
