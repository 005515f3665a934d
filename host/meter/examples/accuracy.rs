//! Prints how far each estimator is from an energy that is known exactly, over 1,000 seeded trials on a
//! simulated H100: `cargo run --release -p llem-meter --example accuracy`.

#[path = "../tests/simulated/simulation.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod simulation;
#[path = "../tests/simulated/trials.rs"]
mod trials;

use trials::{Errors, NAMES, run, share, spread};

#[expect(clippy::print_stdout, reason = "this program prints a table")]
fn main() {
    let trials = run(0..1_000);
    println!("| window | estimator | rms | bias | max | in k = 2 interval | with edges alone |");
    println!("|---|---|---|---|---|---|---|");
    for (place, name) in NAMES.into_iter().enumerate() {
        let of = || trials.iter().map(move |trial| trial[place]);
        let within = format!(
            "{:.1} % | {:.1} %",
            100.0 * share(of().map(|e| e.covered)),
            100.0 * share(of().map(|e| e.covered_by_edges))
        );
        let row = |estimator: &str, error: fn(&Errors) -> f64, within: &str| {
            let errors: Vec<f64> = of().map(|e| 100.0 * error(&e)).collect();
            let [rms, bias, most] = spread(errors.iter().copied());
            println!(
                "| {name} | {estimator} | {rms:.4} % | {bias:+.4} % | {most:.4} % | {within} |"
            );
        };
        row("llem", |e| e.own, &within);
        row("counter at begin and end", |e| e.begin_end, "- | -");
        row("trapezoids of averaged power", |e| e.trapezoid, "- | -");
    }
}
