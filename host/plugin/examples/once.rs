//! Loads one plugin and makes one call: what a whole process costs.
//!
//! `cargo run --release -p llem-plugin --example once -- NAME_OR_PATH CACHE`
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement for its author's terminal"
)]

use llem_plugin::{Cache, Registry};

fn main() {
    let name = std::env::args().nth(1).unwrap_or_else(|| "candle".to_owned());
    let cache = std::env::args().nth(2).map_or_else(Cache::none, Cache::in_folder);
    let registry = Registry::new(None, cache);
    println!("{}", registry.load(&name).unwrap().describe().unwrap().title);
}
