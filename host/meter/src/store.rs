//! Where a loop writes and others read: preallocated tables of atomic cells.
//!
//! One writer, any number of readers, no lock: a row counts once the length says so. A full table
//! keeps what it has and counts what it loses.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use llem_core::{
    energy::{Calibration, Device, Incident, IncidentKind, Lane, Samples, Series, Slow, Ticks},
    units::{Seconds, Watts},
};

use crate::sensor::{LaneRow, MISSING, SlowRow};

/// Rows of `N` cells.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    cells: Box<[AtomicU64]>,
    rows: AtomicUsize,
    lost: AtomicU64,
}

impl<const N: usize> Table<N> {
    fn with_capacity(rows: usize) -> Self {
        let cells = (0..rows * N).map(|_| AtomicU64::new(0)).collect();
        Self { cells, rows: AtomicUsize::new(0), lost: AtomicU64::new(0) }
    }

    pub(crate) fn push(&self, row: [u64; N]) {
        let index = self.rows.load(Ordering::Relaxed);
        let Some(cells) = self.cells.get(index * N..(index + 1) * N) else {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        };
        for (cell, value) in cells.iter().zip(row) {
            cell.store(value, Ordering::Relaxed);
        }
        self.rows.store(index + 1, Ordering::Release);
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.load(Ordering::Acquire)
    }

    pub(crate) fn row(&self, index: usize) -> [u64; N] {
        std::array::from_fn(|cell| self.cells[index * N + cell].load(Ordering::Relaxed))
    }

    fn column<T>(&self, cell: usize, convert: impl Fn(u64) -> T) -> Vec<T> {
        let rows = 0..self.len();
        rows.map(|row| convert(self.cells[row * N + cell].load(Ordering::Relaxed))).collect()
    }

    fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// Everything that is recorded of one device.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) ticks: Table<3>,
    samples: Table<2>,
    pub(crate) lane: Table<11>,
    slow: Table<7>,
    incidents: Table<3>,
}

impl Store {
    /// Room for this long at ten ticks and fifty samples a second.
    pub(crate) fn with_capacity(time: Duration) -> Self {
        let seconds = usize::try_from(time.as_secs().max(1)).expect("usize has 64 bits here");
        Self {
            ticks: Table::with_capacity(seconds * 11),
            samples: Table::with_capacity(seconds * 60),
            lane: Table::with_capacity(seconds * 11),
            slow: Table::with_capacity(seconds + 10),
            incidents: Table::with_capacity(256),
        }
    }

    pub(crate) fn incident(&self, at_ns: u64, kind: IncidentKind, detail: u64) {
        let code = IncidentKind::ALL.iter().position(|&known| known == kind);
        let code = code.and_then(|code| u64::try_from(code).ok()).unwrap_or(0);
        self.incidents.push([at_ns, code, detail]);
    }

    pub(crate) fn sample(&self, at_ns: u64, milliwatts: u64) {
        self.samples.push([at_ns, milliwatts]);
    }

    /// Time of the newest power sample.
    pub(crate) fn newest_sample(&self) -> Option<u64> {
        self.samples.len().checked_sub(1).map(|row| self.samples.row(row)[0])
    }

    pub(crate) fn lane(&self, at_ns: u64, row: LaneRow) {
        self.lane.push([
            at_ns,
            row.average_milliwatts,
            row.instant_milliwatts,
            row.temperature,
            row.memory_temperature,
            row.sm_clock,
            row.memory_clock,
            row.throttle_bits,
            row.utilization,
            row.performance_state,
            row.busy_ns,
        ]);
    }

    pub(crate) fn slow(&self, at_ns: u64, row: SlowRow) {
        self.slow.push([
            at_ns,
            row.power_violation_ns,
            row.thermal_violation_ns,
            row.limit_milliwatts,
            row.memory_used,
            row.processes,
            row.foreign,
        ]);
    }

    /// What has been recorded so far, as plain columns.
    pub(crate) fn series(&self, device: Device, calibration: Calibration) -> Series {
        Series {
            device,
            calibration,
            ticks: Ticks {
                lo_ns: self.ticks.column(0, |ns| ns),
                hi_ns: self.ticks.column(1, |ns| ns),
                counts: self.ticks.column(2, |count| count),
            },
            samples: Samples {
                at_ns: self.samples.column(0, |ns| ns),
                power_watts: self.samples.column(1, |mw| watts(mw).unwrap_or_default()),
            },
            lane: self.lane_columns(),
            slow: self.slow_columns(),
            incidents: self.incident_list(),
        }
    }

    fn lane_columns(&self) -> Lane {
        Lane {
            at_ns: self.lane.column(0, |ns| ns),
            average_power_watts: self.lane.column(1, watts),
            instant_power_watts: self.lane.column(2, watts),
            temperature_celsius: self.lane.column(3, small),
            memory_temperature_celsius: self.lane.column(4, small),
            sm_clock_megahertz: self.lane.column(5, small),
            memory_clock_megahertz: self.lane.column(6, small),
            throttle_bits: self.lane.column(7, present),
            utilization_percent: self.lane.column(8, small),
            performance_state: self.lane.column(9, small),
            machine_busy_seconds: self
                .lane
                .column(10, |ns| present(ns).map(|ns| Seconds::between(0, ns))),
        }
    }

    fn slow_columns(&self) -> Slow {
        Slow {
            at_ns: self.slow.column(0, |ns| ns),
            power_violation_ns: self.slow.column(1, present),
            thermal_violation_ns: self.slow.column(2, present),
            power_limit_watts: self.slow.column(3, watts),
            memory_used_bytes: self.slow.column(4, present),
            processes: self.slow.column(5, small),
            foreign_processes: self.slow.column(6, small),
        }
    }

    fn incident_list(&self) -> Vec<Incident> {
        let rows = (0..self.incidents.len()).map(|row| self.incidents.row(row));
        let mut incidents: Vec<Incident> = rows
            .filter_map(|[at_ns, code, detail]| {
                let kind = *IncidentKind::ALL.get(usize::try_from(code).ok()?)?;
                Some(Incident { at_ns, kind, detail })
            })
            .collect();
        let lost = self.ticks.lost() + self.samples.lost() + self.lane.lost() + self.slow.lost();
        if let (true, Some(last)) = (lost > 0, self.ticks.len().checked_sub(1)) {
            let at_ns = self.ticks.row(last)[1];
            incidents.push(Incident { at_ns, kind: IncidentKind::Overrun, detail: lost });
        }
        incidents
    }
}

fn present(cell: u64) -> Option<u64> {
    (cell != MISSING).then_some(cell)
}

fn small(cell: u64) -> Option<u32> {
    u32::try_from(cell).ok()
}

pub(crate) fn watts(cell: u64) -> Option<Watts> {
    small(cell).map(Watts::from_milliwatts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_keeps_what_it_has_and_says_what_it_lost() {
        let store = Store::with_capacity(Duration::from_secs(1));
        for n in 0..20 {
            store.ticks.push([n, n + 1, n]);
        }
        let series = store.series(Device::default(), Calibration::default());
        assert_eq!(series.ticks.len(), 11);
        let overrun = Incident { at_ns: 11, kind: IncidentKind::Overrun, detail: 9 };
        assert_eq!(series.incidents, [overrun]);
    }

    #[test]
    fn a_missing_cell_is_none() {
        let store = Store::with_capacity(Duration::from_secs(1));
        store.lane(5, LaneRow { temperature: 40, ..LaneRow::default() });
        let lane = store.series(Device::default(), Calibration::default()).lane;
        assert_eq!(lane.temperature_celsius, [Some(40)]);
        assert_eq!(lane.average_power_watts, [None]);
        assert_eq!(lane.machine_busy_seconds, [None]);
    }
}
