//! Energy series: one file a table, all devices of a trial in it, told apart by `device`.

use std::{fs, path::Path};

use llem_core::{
    energy::{Calibration, Device, Incident, IncidentKind, Lane, Samples, Series, Slow, Ticks},
    record::TrialId,
    units::{Seconds, Watts},
};
use serde::{Deserialize, Serialize};

use super::{
    RawError, series_of,
    table::{Column, Table},
};

/// What is not in the columns.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Metadata {
    devices: Vec<Described>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Described {
    device: Device,
    calibration: Calibration,
}

/// Writes a trial's series below a results directory.
pub fn write_series(results: &Path, trial: &TrialId, series: &[Series]) -> Result<(), RawError> {
    let directory = series_of(results, trial);
    fs::create_dir_all(&directory)
        .map_err(|source| RawError::Io { path: directory.clone(), source })?;
    let described = series
        .iter()
        .map(|it| Described { device: it.device.clone(), calibration: it.calibration.clone() });
    let metadata = Metadata { devices: described.collect() };
    let metadata = toml::to_string(&metadata).expect("it has string keys only");
    for (name, mut table) in [
        ("ticks", ticks(series)),
        ("samples", samples(series)),
        ("lane", lane(series)),
        ("slow", slow(series)),
        ("incidents", incidents(series)),
    ] {
        table.metadata.clone_from(&metadata);
        table.write(&directory.join(format!("{name}.parquet")))?;
    }
    Ok(())
}

/// One column of all devices.
fn all<T: Clone>(series: &[Series], of: impl Fn(&Series) -> &Vec<T>) -> Vec<T> {
    series.iter().flat_map(|it| of(it).iter().cloned()).collect()
}

fn present(cells: Vec<u64>) -> impl Iterator<Item = Option<u64>> {
    cells.into_iter().map(Some)
}

fn small(cells: Vec<Option<u32>>) -> impl Iterator<Item = Option<u64>> {
    cells.into_iter().map(|it| it.map(u64::from))
}

fn watts(cells: Vec<Option<Watts>>) -> impl Iterator<Item = Option<f64>> {
    cells.into_iter().map(|it| it.map(Watts::get))
}

/// A table that begins with which device a row is of.
fn by_device(series: &[Series], rows: impl Fn(&Series) -> usize) -> Table {
    let mut table = Table::default();
    let devices = (0_u64..).zip(series);
    table.whole(
        "device",
        devices.flat_map(|(place, it)| std::iter::repeat_n(Some(place), rows(it))),
    );
    table
}

fn ticks(series: &[Series]) -> Table {
    let mut table = by_device(series, |it| it.ticks.len());
    table.whole("lo_ns", present(all(series, |it| &it.ticks.lo_ns)));
    table.whole("hi_ns", present(all(series, |it| &it.ticks.hi_ns)));
    table.whole("counts", present(all(series, |it| &it.ticks.counts)));
    table
}

fn samples(series: &[Series]) -> Table {
    let mut table = by_device(series, |it| it.samples.at_ns.len());
    table.whole("at_ns", present(all(series, |it| &it.samples.at_ns)));
    let power = all(series, |it| &it.samples.power_watts);
    table.real("power_watts", power.into_iter().map(|it| Some(it.get())));
    table
}

fn lane(series: &[Series]) -> Table {
    let mut table = by_device(series, |it| it.lane.at_ns.len());
    table.whole("at_ns", present(all(series, |it| &it.lane.at_ns)));
    table.real("average_power_watts", watts(all(series, |it| &it.lane.average_power_watts)));
    table.real("instant_power_watts", watts(all(series, |it| &it.lane.instant_power_watts)));
    table.whole("temperature_celsius", small(all(series, |it| &it.lane.temperature_celsius)));
    table.whole(
        "memory_temperature_celsius",
        small(all(series, |it| &it.lane.memory_temperature_celsius)),
    );
    table.whole("sm_clock_megahertz", small(all(series, |it| &it.lane.sm_clock_megahertz)));
    table.whole("memory_clock_megahertz", small(all(series, |it| &it.lane.memory_clock_megahertz)));
    table.whole("throttle_bits", all(series, |it| &it.lane.throttle_bits));
    table.whole("utilization_percent", small(all(series, |it| &it.lane.utilization_percent)));
    table.whole("performance_state", small(all(series, |it| &it.lane.performance_state)));
    let busy = all(series, |it| &it.lane.machine_busy_seconds);
    table.real("machine_busy_seconds", busy.into_iter().map(|it| it.map(Seconds::get)));
    table
}

fn slow(series: &[Series]) -> Table {
    let mut table = by_device(series, |it| it.slow.at_ns.len());
    table.whole("at_ns", present(all(series, |it| &it.slow.at_ns)));
    table.whole("power_violation_ns", all(series, |it| &it.slow.power_violation_ns));
    table.whole("thermal_violation_ns", all(series, |it| &it.slow.thermal_violation_ns));
    table.real("power_limit_watts", watts(all(series, |it| &it.slow.power_limit_watts)));
    table.whole("memory_used_bytes", all(series, |it| &it.slow.memory_used_bytes));
    table.whole("processes", small(all(series, |it| &it.slow.processes)));
    table.whole("foreign_processes", small(all(series, |it| &it.slow.foreign_processes)));
    table
}

fn incidents(series: &[Series]) -> Table {
    let mut table = by_device(series, |it| it.incidents.len());
    let all = all(series, |it| &it.incidents);
    table.whole("at_ns", all.iter().map(|it| Some(it.at_ns)));
    table.push("kind", Column::Text(all.iter().map(|it| Some(kind_name(it.kind))).collect()));
    table.whole("detail", all.iter().map(|it| Some(it.detail)));
    table
}

fn kind_name(kind: IncidentKind) -> String {
    match serde_json::to_value(kind) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

/// Reads a trial's series; none where it has none.
pub(crate) fn read_series(
    results: &Path,
    trial: &TrialId,
) -> Result<Option<Vec<Series>>, RawError> {
    let directory = series_of(results, trial);
    if !directory.is_dir() {
        return Ok(None);
    }
    let path = directory.join("ticks.parquet");
    let mut reader = Reader::open(&path)?;
    let metadata: Metadata = toml::from_str(&reader.table.metadata)
        .map_err(|it| reader.missing(&format!("metadata ({it})")))?;
    let mut series: Vec<Series> = metadata
        .devices
        .into_iter()
        .map(|it| Series { device: it.device, calibration: it.calibration, ..Series::default() })
        .collect();
    let (lo, hi, counts) = (reader.full("lo_ns")?, reader.full("hi_ns")?, reader.full("counts")?);
    reader.share(&mut series, |it, rows| {
        it.ticks = Ticks {
            lo_ns: lo[rows.clone()].to_vec(),
            hi_ns: hi[rows.clone()].to_vec(),
            counts: counts[rows].to_vec(),
        };
    });
    let path = directory.join("samples.parquet");
    let mut reader = Reader::open(&path)?;
    let (at, power) = (reader.full("at_ns")?, reader.watts("power_watts")?);
    reader.share(&mut series, |it, rows| {
        it.samples = Samples {
            at_ns: at[rows.clone()].to_vec(),
            power_watts: power[rows].iter().copied().flatten().collect(),
        };
    });
    read_lane(&directory.join("lane.parquet"), &mut series)?;
    read_slow(&directory.join("slow.parquet"), &mut series)?;
    read_incidents(&directory.join("incidents.parquet"), &mut series)?;
    Ok(Some(series))
}

fn read_lane(path: &Path, series: &mut [Series]) -> Result<(), RawError> {
    let mut reader = Reader::open(path)?;
    let lane = Lane {
        at_ns: reader.full("at_ns")?,
        average_power_watts: reader.watts("average_power_watts")?,
        instant_power_watts: reader.watts("instant_power_watts")?,
        temperature_celsius: reader.small("temperature_celsius")?,
        memory_temperature_celsius: reader.small("memory_temperature_celsius")?,
        sm_clock_megahertz: reader.small("sm_clock_megahertz")?,
        memory_clock_megahertz: reader.small("memory_clock_megahertz")?,
        throttle_bits: reader.whole("throttle_bits")?,
        utilization_percent: reader.small("utilization_percent")?,
        performance_state: reader.small("performance_state")?,
        machine_busy_seconds: reader
            .real("machine_busy_seconds")?
            .into_iter()
            .map(|it| it.map(Seconds::new))
            .collect(),
    };
    reader.share(series, |it, rows| {
        it.lane = Lane {
            at_ns: lane.at_ns[rows.clone()].to_vec(),
            average_power_watts: lane.average_power_watts[rows.clone()].to_vec(),
            instant_power_watts: lane.instant_power_watts[rows.clone()].to_vec(),
            temperature_celsius: lane.temperature_celsius[rows.clone()].to_vec(),
            memory_temperature_celsius: lane.memory_temperature_celsius[rows.clone()].to_vec(),
            sm_clock_megahertz: lane.sm_clock_megahertz[rows.clone()].to_vec(),
            memory_clock_megahertz: lane.memory_clock_megahertz[rows.clone()].to_vec(),
            throttle_bits: lane.throttle_bits[rows.clone()].to_vec(),
            utilization_percent: lane.utilization_percent[rows.clone()].to_vec(),
            performance_state: lane.performance_state[rows.clone()].to_vec(),
            machine_busy_seconds: lane.machine_busy_seconds[rows].to_vec(),
        };
    });
    Ok(())
}

fn read_slow(path: &Path, series: &mut [Series]) -> Result<(), RawError> {
    let mut reader = Reader::open(path)?;
    let slow = Slow {
        at_ns: reader.full("at_ns")?,
        power_violation_ns: reader.whole("power_violation_ns")?,
        thermal_violation_ns: reader.whole("thermal_violation_ns")?,
        power_limit_watts: reader.watts("power_limit_watts")?,
        memory_used_bytes: reader.whole("memory_used_bytes")?,
        processes: reader.small("processes")?,
        foreign_processes: reader.small("foreign_processes")?,
    };
    reader.share(series, |it, rows| {
        it.slow = Slow {
            at_ns: slow.at_ns[rows.clone()].to_vec(),
            power_violation_ns: slow.power_violation_ns[rows.clone()].to_vec(),
            thermal_violation_ns: slow.thermal_violation_ns[rows.clone()].to_vec(),
            power_limit_watts: slow.power_limit_watts[rows.clone()].to_vec(),
            memory_used_bytes: slow.memory_used_bytes[rows.clone()].to_vec(),
            processes: slow.processes[rows.clone()].to_vec(),
            foreign_processes: slow.foreign_processes[rows].to_vec(),
        };
    });
    Ok(())
}

fn read_incidents(path: &Path, series: &mut [Series]) -> Result<(), RawError> {
    let mut reader = Reader::open(path)?;
    let (at, detail) = (reader.full("at_ns")?, reader.full("detail")?);
    let kinds = reader.table.take_text("kind").ok_or_else(|| reader.missing("kind"))?;
    let kind = |name: &Option<String>| {
        let found = IncidentKind::ALL.into_iter().find(|it| Some(kind_name(*it)) == *name);
        found.ok_or_else(|| reader.missing("kind"))
    };
    let kinds: Vec<IncidentKind> = kinds.iter().map(kind).collect::<Result<_, _>>()?;
    reader.share(series, |it, rows| {
        it.incidents = rows
            .map(|row| Incident { at_ns: at[row], kind: kinds[row], detail: detail[row] })
            .collect();
    });
    Ok(())
}

/// A table under the path that errors name.
struct Reader<'a> {
    path: &'a Path,
    table: Table,
    devices: Vec<u64>,
}

impl<'a> Reader<'a> {
    fn open(path: &'a Path) -> Result<Self, RawError> {
        let mut reader = Self { path, table: Table::read(path)?, devices: Vec::new() };
        reader.devices = reader.full("device")?;
        Ok(reader)
    }

    fn missing(&self, what: &str) -> RawError {
        RawError::Missing { path: self.path.to_owned(), what: what.to_owned() }
    }

    fn whole(&mut self, name: &str) -> Result<Vec<Option<u64>>, RawError> {
        self.table.take_whole(name).ok_or_else(|| self.missing(name))
    }

    fn full(&mut self, name: &str) -> Result<Vec<u64>, RawError> {
        let cells = self.whole(name)?;
        cells.into_iter().collect::<Option<_>>().ok_or_else(|| self.missing(name))
    }

    fn small(&mut self, name: &str) -> Result<Vec<Option<u32>>, RawError> {
        let cells = self.whole(name)?;
        Ok(cells.into_iter().map(|it| it.and_then(|it| u32::try_from(it).ok())).collect())
    }

    fn real(&mut self, name: &str) -> Result<Vec<Option<f64>>, RawError> {
        self.table.take_real(name).ok_or_else(|| self.missing(name))
    }

    fn watts(&mut self, name: &str) -> Result<Vec<Option<Watts>>, RawError> {
        Ok(self.real(name)?.into_iter().map(|it| it.map(Watts::new)).collect())
    }

    /// Gives each device its rows; they stand together, in the order of the devices.
    fn share(
        &self,
        series: &mut [Series],
        mut give: impl FnMut(&mut Series, std::ops::Range<usize>),
    ) {
        for (place, series) in (0_u64..).zip(series) {
            let first = self.devices.partition_point(|it| *it < place);
            let last = self.devices.partition_point(|it| *it <= place);
            give(series, first..last);
        }
    }
}
