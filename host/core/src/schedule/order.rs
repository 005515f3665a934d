//! The orders themselves, as pairs of experiment and repeat.

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

type Pair = (usize, u32);

pub(super) fn sequential(experiments: usize, repeats: u32) -> Vec<Pair> {
    (0..experiments)
        .flat_map(|experiment| (0..repeats).map(move |repeat| (experiment, repeat)))
        .collect()
}

pub(super) fn interleaved(experiments: usize, repeats: u32) -> Vec<Pair> {
    (0..repeats)
        .flat_map(|repeat| (0..experiments).map(move |experiment| (experiment, repeat)))
        .collect()
}

/// All trials of one engine, then those of the next.
pub(super) fn grouped(engines: &[u64], repeats: u32) -> Vec<Pair> {
    super::groups(engines)
        .into_iter()
        .flat_map(|group| {
            (0..repeats)
                .flat_map(move |repeat| group.clone().into_iter().map(move |it| (it, repeat)))
        })
        .collect()
}

pub(super) fn shuffled(experiments: usize, repeats: u32, seed: u64) -> Vec<Pair> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..repeats)
        .flat_map(|repeat| {
            let mut order: Vec<usize> = (0..experiments).collect();
            order.shuffle(&mut rng);
            order.into_iter().map(move |experiment| (experiment, repeat))
        })
        .collect()
}

/// Rows of a Williams square, each followed by its mirror image.
///
/// For an even number the square's rows put every experiment once in every position and once after each other one;
/// for an odd number the rows and their mirror images do so together, twice (Williams, Aust. J. Sci. Res. A 2
/// (1949) 149). The mirror image of a row of an even square is itself a row, and it comes right after, so that
/// already two repeats cancel a linear drift. Which experiment gets which symbol, and the order of the pairs of rows,
/// are drawn from the seed.
pub(super) fn counterbalanced(experiments: usize, repeats: u32, seed: u64) -> Vec<Pair> {
    if experiments == 0 {
        return Vec::new();
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let first = zigzag(experiments);
    // Rows shifted by the same symbol; with an even number, row i + n/2 is the mirror image of row i.
    let pairs = if experiments.is_multiple_of(2) { experiments / 2 } else { experiments };
    let mut pair_order = Vec::new();
    let mut symbols: Vec<usize> = (0..experiments).collect();
    let mut order = Vec::new();
    let mut shift = 0;
    for repeat in 0..repeats {
        let mirrored = repeat % 2 == 1;
        if !mirrored {
            if pair_order.is_empty() {
                // A new square: new symbols.
                symbols.shuffle(&mut rng);
                pair_order = (0..pairs).collect();
                pair_order.shuffle(&mut rng);
            }
            shift = pair_order.pop().expect("refilled when empty");
        }
        let row = first.iter().map(|symbol| symbols[(symbol + shift) % experiments]);
        if mirrored {
            order.extend(row.rev().map(|experiment| (experiment, repeat)));
        } else {
            order.extend(row.map(|experiment| (experiment, repeat)));
        }
    }
    order
}

/// 0, 1, n-1, 2, n-2, …: the differences of neighbours are all different.
fn zigzag(n: usize) -> Vec<usize> {
    (0..n).map(|at| if at % 2 == 1 { at.div_ceil(2) } else { (n - at / 2) % n }).collect()
}
