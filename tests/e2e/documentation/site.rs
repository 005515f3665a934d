//! The site's source: every page is listed, every link leads somewhere, and the reference has every item of the program.

use std::{collections::BTreeSet, fs, path::Path};

use xtask::site::{self, Program};

use super::{pages, root, text};

fn program() -> Program {
    Program::at(env!("CARGO_BIN_EXE_llem-under-test"))
}

/// The text of a page of the reference.
fn reference(name: &str) -> String {
    let pages = site::reference(&root(), &program()).expect("the reference is written");
    let path = format!("docs/reference/{name}.md");
    pages.into_iter().find(|it| it.path == path).unwrap_or_else(|| panic!("no page {path}")).text
}

#[test]
fn every_page_is_listed_and_every_link_and_anchor_leads_somewhere() {
    let folder = tempfile::tempdir().expect("a directory");
    let written = site::write(&root(), &program(), folder.path()).expect("the source is written");
    let source = folder.path().join("src");
    let listed: BTreeSet<&str> = written.iter().filter_map(|it| it.to_str()).collect();
    for page in pages(&["docs"]) {
        assert!(page == site::SUMMARY || listed.contains(&*page), "{page} is not in the summary");
    }
    let mut checked = 0;
    for page in written.iter().filter(|it| it.extension().is_some_and(|it| it == "md")) {
        let text = fs::read_to_string(source.join(page)).expect("it was written");
        for link in site::links(&text) {
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let folder = page.parent().expect("a page lies in a folder");
            let target = if path.is_empty() { page.clone() } else { folder.join(path) };
            let there = source.join(&target);
            assert!(
                there.is_file(),
                "{}: `{link}` is not a page or file of the site",
                page.display()
            );
            if !anchor.is_empty() {
                let anchors = site::anchors(&fs::read_to_string(there).expect("a page"));
                assert!(anchors.iter().any(|it| it == anchor), "{}: {link}", page.display());
            }
            checked += 1;
        }
    }
    assert!(checked > 200, "{checked} links");
}

#[test]
fn the_reference_has_every_command_with_its_options_and_exit_codes() {
    let page = reference("command-line");
    let mut left = vec![("llem".to_owned(), llem::command())];
    let mut seen = 0;
    while let Some((name, command)) = left.pop() {
        let section = page.split(&format!("\n## {name}\n")).nth(1);
        let section = section.unwrap_or_else(|| panic!("no section on `{name}`"));
        let section = section.split("\n## ").next().unwrap_or_default();
        for option in command.get_arguments().filter_map(clap::Arg::get_long) {
            assert!(section.contains(&format!("--{option}")), "`{name}` lacks --{option}");
        }
        seen += 1;
        let below = command.get_subcommands().filter(|it| it.get_name() != "help");
        left.extend(below.map(|it| (format!("{name} {}", it.get_name()), it.clone())));
    }
    assert!(seen > 25 && page.contains("130  interrupted"), "{seen} commands");
}

#[test]
fn the_reference_has_every_key_of_a_study() {
    let (page, explained) = (reference("study-keys"), text("docs/study-format.md"));
    let table = explained.split("\n## Keys\n").nth(1).and_then(|it| it.split("\n## ").next());
    let mut seen = 0;
    for row in table.expect("a table").lines().filter(|it| it.starts_with("| `")) {
        let key = row.split('`').nth(1).expect("a key");
        assert!(page.contains(&format!("| `{key}` |")), "{key}");
        seen += 1;
    }
    assert!(seen > 30, "{seen} keys");
}

#[test]
fn the_reference_has_every_type_and_field_of_the_results() {
    let page = reference("results");
    let schema: serde_json::Value =
        serde_json::from_str(&text("docs/results.schema.json")).expect("it is JSON");
    for (name, of) in schema["$defs"].as_object().expect("types") {
        let section = page.split(&format!("\n## {name}\n")).nth(1).unwrap_or_default();
        let section = section.split("\n## ").next().unwrap_or_default();
        for field in of["properties"].as_object().into_iter().flat_map(|it| it.keys()) {
            assert!(section.contains(&format!("| `{field}` |")), "{name}.{field}");
        }
        assert!(section.lines().count() > 3, "{name} is empty");
    }
}

#[test]
fn the_reference_has_every_item_of_the_contract() {
    let page = reference("contract");
    let mut seen = 0;
    for entry in fs::read_dir(root().join("wit")).expect("readable") {
        let source = fs::read_to_string(entry.expect("readable").path()).expect("readable");
        for line in source.lines().map(str::trim) {
            let mut words = line.split([' ', ':', '{', '=', ';', '(']);
            let (first, name) =
                (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let heading = match first {
                "interface" => format!("\n## interface `{name}`\n"),
                "record" | "variant" | "enum" | "flags" | "type" => {
                    format!("\n### {first} `{name}`\n")
                }
                _ if line.contains(": func(") => format!("\n### `{first}`\n"),
                _ => continue,
            };
            assert!(page.contains(&heading), "{heading:?} of {line}");
            seen += 1;
        }
    }
    assert!(seen > 60, "{seen} items");
}

#[test]
fn the_reference_has_every_parameter_of_every_engine() {
    let workspace = crate::workspace();
    for id in ["candle", "pytorch", "tensorrt", "vllm"] {
        let page = reference(&format!("parameters-{id}"));
        let schema = workspace.llem(&["params", id, "--all", "--json"]).stdout;
        let schema: serde_json::Value = serde_json::from_str(&schema).expect("it is JSON");
        for kind in ["parameters", "rules"] {
            for it in schema[kind].as_array().expect("a list") {
                let name = it["path"].as_str().or(it["id"].as_str()).expect("a name");
                let row = page.lines().find(|it| it.contains(&format!("`{name}`")));
                assert!(row.is_some_and(|it| it.starts_with("| ")), "{id}: {name}");
            }
        }
    }
}

#[test]
fn tables_of_the_reference_have_as_many_cells_in_each_row() {
    for page in site::reference(&root(), &program()).expect("the reference is written") {
        let mut columns = 0;
        for line in page.text.lines() {
            let cells = line.replace("\\|", "").matches('|').count();
            columns =
                if line.starts_with('|') { if columns == 0 { cells } else { columns } } else { 0 };
            assert_eq!(cells.min(columns), columns, "{}: {line}", page.path);
        }
        assert!(Path::new(&page.path).starts_with("docs/reference"));
    }
}
