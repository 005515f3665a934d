//! Interpolation of the counter within its period, for windows whose edges lie between publications.
//!
//! Inside a period the energy follows the driver's samples, scaled so that the period's sum is what
//! the counter says; without samples it is a straight line.

use super::{
    Component, Method, Series, Window,
    check::Unusable,
    ticks::{Curve, Estimate},
};

/// Energy between two arbitrary times.
pub(super) fn interpolated(
    series: &Series,
    curve: &Curve<'_>,
    window: Window,
) -> Result<Estimate, Unusable> {
    let begin = edge(series, curve, curve.seconds(window.begin_ns))?;
    let end = edge(series, curve, curve.seconds(window.end_ns))?;
    curve.sound(begin.index, end.index + 1)?;
    let components = vec![
        curve.edges(begin.index, end.index + 1, (begin.power, end.power)),
        Component::type_b("edge_shape", begin.standard.hypot(end.standard)),
    ];
    Ok(Estimate {
        method: Method::CounterInterpolated,
        joules: end.joules - begin.joules,
        window,
        ticks: end.index - begin.index,
        components,
        flags: Vec::new(),
    })
}

/// The curve at one time.
struct Edge {
    index: usize,
    joules: f64,
    power: f64,
    standard: f64,
}

fn edge(series: &Series, curve: &Curve<'_>, at: f64) -> Result<Edge, Unusable> {
    let index = curve.time.partition_point(|&t| t <= at);
    if index == 0 || index >= curve.len() {
        return Err(Unusable::NoTicks);
    }
    let index = index - 1;
    let (from, to) = (curve.time[index], curve.time[index + 1]);
    if to - from > curve.still() {
        return Err(Unusable::Stuck);
    }
    let pieces = pieces(series, curve, from, to);
    let whole: f64 = pieces.iter().map(Piece::energy).sum();
    let part: f64 = pieces.iter().map(|piece| piece.before(at).energy()).sum();
    let total = curve.energy[index + 1] - curve.energy[index];
    let share = if whole > 0.0 { part / whole } else { (at - from) / (to - from) };
    Ok(Edge {
        index,
        joules: curve.energy[index] + total * share,
        power: total / (to - from),
        standard: 0.29 * range(curve, &pieces, index) * (to - from),
    })
}

/// A stretch of constant power.
struct Piece {
    from: f64,
    to: f64,
    watts: f64,
}

impl Piece {
    fn energy(&self) -> f64 {
        self.watts * (self.to - self.from)
    }

    fn before(&self, at: f64) -> Self {
        Self { to: self.to.min(at).max(self.from), ..*self }
    }
}

/// The samples that fall into one period, or nothing where they do not fill it.
fn pieces(series: &Series, curve: &Curve<'_>, from: f64, to: f64) -> Vec<Piece> {
    let samples = &series.samples;
    let time_of = |k: usize| curve.seconds(samples.at_ns[k]);
    let first = samples.at_ns.partition_point(|&ns| curve.seconds(ns) <= from);
    let mut pieces = Vec::new();
    let mut reached = from;
    for k in first..samples.at_ns.len() {
        let end = time_of(k).min(to);
        if end - reached > 0.5 * (to - from) {
            return Vec::new();
        }
        pieces.push(Piece { from: reached, to: end, watts: samples.power_watts[k].get().max(0.0) });
        reached = end;
        if reached >= to {
            return pieces;
        }
    }
    Vec::new()
}

/// How much the power varies within a period, from the samples or else from the neighbours.
fn range(curve: &Curve<'_>, pieces: &[Piece], index: usize) -> f64 {
    let spread = |values: &mut dyn Iterator<Item = f64>| {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        if high > low { high - low } else { 0.0 }
    };
    if !pieces.is_empty() {
        // The samples give the shape; what remains open is where in a sample the power changed.
        let widest = pieces.iter().map(|p| p.to - p.from).fold(0.0, f64::max);
        let period = curve.time[index + 1] - curve.time[index];
        return spread(&mut pieces.iter().map(|piece| piece.watts)) * widest / period;
    }
    let from = index.saturating_sub(1);
    let to = (index + 2).min(curve.len() - 1);
    spread(&mut (from..to).map(|i| curve.power(i, i + 1)))
}
