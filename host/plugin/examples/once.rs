//! Loads one plugin and makes one call: what a whole process costs.
//!
//! `cargo run --release -p llem-plugin --example once -- NAME_OR_PATH`
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement for its author's terminal"
)]

use llem_plugin::Registry;

fn main() {
    let name = std::env::args().nth(1).unwrap_or_else(|| "candle".to_owned());
    println!("{}", Registry::from_env().load(&name).unwrap().describe().unwrap().title);
}
