//! Entry of `cargo xtask`: reads the arguments, prints what was done.

use std::path::Path;

use anyhow::{Context as _, bail};
use xtask::{plugins, site};

const USAGE: &str = "usage: cargo xtask plugins build [NAME…] | cargo xtask plugins check | cargo xtask site OUT [LLEM]";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Asked of cargo now, not when compiling: a copied build folder must not point elsewhere.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").context("run this by `cargo xtask`")?;
    let root = Path::new(&manifest).parent().context("xtask has no parent folder")?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let lines = match arguments.as_slice() {
        ["plugins", "build", names @ ..] => plugins::build(root, names)?,
        ["plugins", "check"] => plugins::check(root)?,
        ["site", out] => site::build(root, &site::Program::build(root)?, Path::new(out))?,
        ["site", out, llem] => site::build(root, &site::Program::at(*llem), Path::new(out))?,
        _ => bail!(USAGE),
    };
    for line in lines {
        say(&line);
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a development task talks on its terminal")]
fn say(line: &str) {
    println!("{line}");
}
