//! Which configurations a study wants of a plugin: the product of dimensions, or a sample, and explicit ones.

use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::{
    super::{
        Study,
        experiment::{compact, index},
        problem::{Fault, Problem},
        sweep::Method,
    },
    MOST,
    levels::{self, Dim, Level, last},
    space::Space,
};
use crate::units::{length, whole};

/// The points of a plugin.
pub(super) struct Points {
    pub(super) dims: Vec<Dim>,
    /// Chosen points; none: the whole product.
    chosen: Option<Vec<Box<[u32]>>>,
    pub(super) explicit: Vec<Level>,
    /// Prefixes of labels, one a dimension.
    names: Vec<String>,
    product: bool,
}

impl Points {
    pub(super) fn new(study: &Study, space: &mut Space<'_>, problems: &mut Vec<Problem>) -> Self {
        let sampled = study.vary.sample.is_some_and(|sample| sample.method != Method::OneAtATime);
        let dimensions = &study.vary.dimensions;
        let mut dims: Vec<Dim> = dimensions
            .iter()
            .filter_map(|it| levels::dim(study, it, space, sampled, problems))
            .collect();
        let own = |explicit: &&super::super::sweep::Explicit| {
            let named = explicit.plugin.as_deref().is_none_or(|plugin| plugin == space.plugin.id);
            let plugins = explicit
                .assignments
                .iter()
                .any(|it| matches!(it.target, super::super::sweep::Target::Plugin { .. }));
            let ours = explicit.assignments.iter().any(|it| {
                matches!(&it.target, super::super::sweep::Target::Plugin { plugin, .. } if *plugin == space.plugin.id)
            });
            named && (explicit.plugin.is_some() || !plugins || ours)
        };
        let wanted: Vec<_> = study.vary.explicit.iter().filter(own).collect();
        let explicit: Vec<Level> = wanted
            .iter()
            .map(|it| levels::explicit(study, &it.assignments, space, problems))
            .collect();
        // A plugin that has only explicit experiments gets only those.
        let product = !dims.is_empty() || explicit.is_empty();
        let mut points =
            Self { names: Vec::new(), chosen: None, dims: Vec::new(), explicit, product };
        if !problems.is_empty() {
            return points;
        }
        points.chosen =
            study.vary.sample.filter(|_| !dims.is_empty()).and_then(|sample| match sample.method {
                Method::OneAtATime => Some(one_at_a_time(&dims)),
                method => sample_points(study, method, sample.points, &mut dims, space, problems),
            });
        points.names = short_names(&dims, &space.plugin.id);
        points.dims = dims;
        let declared = points.declared();
        if declared > MOST {
            let fault = Fault::new(format!(
                "the sweep has {declared} configurations, at most {MOST} are allowed"
            ))
            .help("`[sweep.sample]` chooses among them");
            problems.push(study.source.problem(&space.plugin.span, fault));
        }
        for level in points.dims.iter().flat_map(|dim| &dim.levels).chain(&points.explicit) {
            for (slot, _) in &level.sets {
                space.slots[*slot].varying = true;
            }
        }
        points
    }

    /// How many there are, explicit ones included.
    pub(super) fn declared(&self) -> u64 {
        let product = match &self.chosen {
            _ if !self.product => 0,
            Some(chosen) => u64::try_from(chosen.len()).unwrap_or(u64::MAX),
            None => self
                .dims
                .iter()
                .try_fold(1_u64, |product, dim| {
                    product.checked_mul(u64::try_from(dim.levels.len()).ok()?)
                })
                .unwrap_or(u64::MAX),
        };
        product.saturating_add(u64::try_from(self.explicit.len()).unwrap_or(u64::MAX))
    }

    /// Visits every point of the sweep: one level a dimension.
    pub(super) fn visit(&self, mut visit: impl FnMut(&[u32])) {
        if !self.product || self.dims.iter().any(|dim| dim.levels.is_empty()) {
            return;
        }
        if let Some(chosen) = &self.chosen {
            for picks in chosen {
                visit(picks);
            }
            return;
        }
        let mut picks = vec![0_u32; self.dims.len()];
        loop {
            visit(&picks);
            // The last dimension moves fastest.
            let mut at = picks.len();
            loop {
                if at == 0 {
                    return;
                }
                at -= 1;
                picks[at] += 1;
                if index(picks[at]) < self.dims[at].levels.len() {
                    break;
                }
                picks[at] = 0;
            }
        }
    }

    /// What makes a point differ, for people.
    pub(super) fn label(&self, picks: &[u32]) -> String {
        let mut label = String::with_capacity(16 * picks.len());
        for ((dim, name), pick) in self.dims.iter().zip(&self.names).zip(picks) {
            if !label.is_empty() {
                label.push(' ');
            }
            label.push_str(name);
            label.push('=');
            label.push_str(&dim.levels[index(*pick)].label);
        }
        label
    }
}

/// The last part of each dimension's name, or all of it where two would be alike.
fn short_names(dims: &[Dim], plugin: &str) -> Vec<String> {
    let short = |name: &str| name.split('+').map(last).collect::<Vec<_>>().join("+");
    dims.iter()
        .map(|dim| {
            let name = short(&dim.name);
            let alike = dims.iter().filter(|it| short(&it.name) == name).count() > 1;
            if alike {
                dim.name.trim_start_matches(plugin).trim_start_matches('.').to_owned()
            } else {
                name
            }
        })
        .collect()
}

/// The first level of every dimension, then each other level alone.
fn one_at_a_time(dims: &[Dim]) -> Vec<Box<[u32]>> {
    let baseline = vec![0_u32; dims.len()];
    let mut points = vec![baseline.clone().into_boxed_slice()];
    for (at, dim) in dims.iter().enumerate() {
        for level in 1..compact(dim.levels.len()) {
            let mut point = baseline.clone();
            point[at] = level;
            points.push(point.into());
        }
    }
    points
}

fn sample_points(
    study: &Study,
    method: Method,
    count: u32,
    dims: &mut [Dim],
    space: &mut Space<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Vec<Box<[u32]>>> {
    let positions = positions(method, count, dims.len(), study.seed());
    let mut points: Vec<Box<[u32]>> = Vec::new();
    for row in positions {
        let mut point = Vec::with_capacity(dims.len());
        for (dim, position) in dims.iter_mut().zip(row) {
            let Some(continuous) = &dim.continuous else {
                point.push(share(position, dim.levels.len()));
                continue;
            };
            match continuous.level(space, position) {
                Ok(level) => {
                    let at = dim.levels.iter().position(|it| *it == level).unwrap_or_else(|| {
                        dim.levels.push(level);
                        dim.levels.len() - 1
                    });
                    point.push(compact(at));
                }
                Err((fault, span)) => {
                    problems.push(study.source.problem(&span, fault));
                    return None;
                }
            }
        }
        points.push(point.into());
    }
    Some(points)
}

/// Which of so many equal shares of 0 to 1 a position is in.
fn share(position: f64, shares: usize) -> u32 {
    let most = compact(shares).saturating_sub(1);
    (0..most).find(|at| position < f64::from(at + 1) / length(shares)).unwrap_or(most)
}

/// Positions from 0 to 1, one row a point.
fn positions(method: Method, count: u32, dims: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    match method {
        // A generator of 256 dimensions and 2^16 points; the parser allows no more points.
        Method::Sobol => {
            let scramble = u32::try_from(seed & 0xffff_ffff).expect("masked");
            let at = |point, dim| {
                let (set, dim) = (compact(dim / 256), compact(dim % 256));
                f64::from(sobol_burley::sample(point, dim, scramble.wrapping_add(set)))
            };
            (0..count).map(|point| (0..dims).map(|dim| at(point, dim)).collect()).collect()
        }
        Method::LatinHypercube => {
            let columns: Vec<Vec<f64>> = (0..dims)
                .map(|_| {
                    let mut strata: Vec<u32> = (0..count).collect();
                    strata.shuffle(&mut rng);
                    strata
                        .into_iter()
                        .map(|at| (f64::from(at) + rng.random::<f64>()) / whole(count.into()))
                        .collect()
                })
                .collect();
            (0..index(count))
                .map(|point| columns.iter().map(|column| column[point]).collect())
                .collect()
        }
        Method::Random | Method::OneAtATime => {
            (0..count).map(|_| (0..dims).map(|_| rng.random::<f64>()).collect()).collect()
        }
    }
}
