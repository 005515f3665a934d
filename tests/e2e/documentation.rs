//! The documentation as its readers use it: commands run as they stand, links lead somewhere, the reference is whole.

mod blocks;
mod commands;
mod site;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Markdown files in some folders and files, by their paths from the root.
fn pages(places: &[&str]) -> Vec<String> {
    let mut left: Vec<PathBuf> = places.iter().map(|it| root().join(it)).collect();
    let mut pages = Vec::new();
    while let Some(place) = left.pop() {
        if place.is_dir() {
            let entries = fs::read_dir(&place).expect("readable");
            let paths = entries.map(|it| it.expect("readable").path());
            left.extend(paths.filter(|it| !it.ends_with("target")));
        } else if place.extension().is_some_and(|it| it == "md") {
            let page = place.strip_prefix(root()).expect("below the root");
            pages.push(page.to_str().expect("UTF-8").to_owned());
        }
    }
    pages.sort();
    pages
}

fn text(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}
