//! Estimators and their stated uncertainty against an energy that is known exactly.

use crate::trials::{NAMES, run, share, spread};

#[test]
fn errors_are_within_their_bounds_and_their_intervals() {
    let trials = run(0..60);
    // Bounds of the root mean square, relative.
    for (place, bound) in [0.002, 0.000_3, 0.001_5, 0.000_2].into_iter().enumerate() {
        let of = || trials.iter().map(|trial| trial[place]);
        let [rms, bias, most] = spread(of().map(|e| e.own));
        let name = NAMES[place];
        assert!(rms <= bound, "{name}: rms {rms:.6}, bias {bias:.6}, max {most:.6}");
        assert!(share(of().map(|e| e.covered)) >= 0.95, "{name}");
        assert!(share(of().map(|e| e.covered_by_edges)) >= 0.9, "{name}");
        let [naive, ..] = spread(of().map(|e| e.begin_end));
        let [sampled, ..] = spread(of().map(|e| e.trapezoid));
        assert!(rms < naive.min(sampled) / 3.0, "{name}: {rms} beside {naive} and {sampled}");
    }
}
