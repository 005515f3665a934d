//! The documentation as a site: the pages of the repository, and a reference that is written from the program itself.
//!
//! A book's source has the layout of the repository, so that links between pages hold in both.

mod command_line;
mod contract;
mod parameters;
mod program;
mod record;
mod study;
mod summary;
mod tree;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

pub use program::Program;
pub use tree::{anchors, links};

/// The list of pages.
pub const SUMMARY: &str = "docs/SUMMARY.md";

/// A page that is written anew for each site.
#[derive(Debug)]
pub struct Page {
    /// Where it stands, from the root of the repository.
    pub path: String,
    /// What it says, as Markdown.
    pub text: String,
}

/// All pages that are written from the program.
pub fn reference(root: &Path, program: &Program) -> anyhow::Result<Vec<Page>> {
    let mut pages = vec![
        page("command-line", command_line::page(program)?),
        page("study-keys", study::page(&program.json(&["schema", "study"])?)),
        page("results", record::page(&program.json(&["schema", "results"])?)),
        page("contract", contract::page(&root.join("wit"))?),
    ];
    for id in parameters::engines(program)? {
        let schema = program.json(&["params", &id, "--all", "--json"])?;
        pages.push(page(&format!("parameters-{id}"), parameters::page(&id, &schema)));
    }
    Ok(pages)
}

fn page(name: &str, text: String) -> Page {
    Page { path: format!("docs/reference/{name}.md"), text }
}

/// Writes the source of the book below a folder: `book.toml` and `src`.
pub fn write(root: &Path, program: &Program, out: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let source = out.join("src");
    if source.exists() {
        fs::remove_dir_all(&source).with_context(|| format!("removing {}", source.display()))?;
    }
    let mut pages = Vec::new();
    let mut put = |path: &Path, text: &[u8]| -> anyhow::Result<()> {
        let place = source.join(path);
        let folder = place.parent().context("a page lies in a folder")?;
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        fs::write(&place, text).with_context(|| format!("writing {}", place.display()))?;
        pages.push(path.to_owned());
        Ok(())
    };
    let written = reference(root, program)?;
    for it in &written {
        put(Path::new(&it.path), it.text.as_bytes())?;
    }
    let listed = read(root, SUMMARY)?;
    put(Path::new("SUMMARY.md"), summary::at_root(&listed).as_bytes())?;
    for path in summary::pages(&listed) {
        if written.iter().any(|it| Path::new(&it.path) == path) {
            continue;
        }
        let text = read(root, &path)?;
        put(&path, text.as_bytes())?;
        for file in tree::files_beside(root, &path, &text) {
            put(&file, &fs::read(root.join(&file))?)?;
        }
    }
    for name in ["book.toml", "site.css"] {
        fs::write(out.join(name), read(root, Path::new("docs").join(name))?)?;
    }
    Ok(pages)
}

/// The same, and the site itself by `mdbook`, which `MDBOOK` may name: `OUT/book`.
pub fn build(root: &Path, program: &Program, out: &Path) -> anyhow::Result<Vec<String>> {
    fs::create_dir_all(out).with_context(|| format!("making {}", out.display()))?;
    let pages = write(root, program, out)?;
    let mdbook = std::env::var_os("MDBOOK").unwrap_or_else(|| "mdbook".into());
    let status = Command::new(&mdbook).arg("build").arg(out).status().with_context(|| {
        format!("starting {}; `cargo install mdbook` gives one", mdbook.to_string_lossy())
    })?;
    ensure!(status.success(), "mdbook failed");
    let index = out.join("book/index.html");
    Ok(vec![format!("{} files; the site begins at {}", pages.len(), index.display())])
}

fn read(root: &Path, path: impl AsRef<Path>) -> anyhow::Result<String> {
    let path = root.join(path);
    fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
}

/// Text as a cell of a table: one line, without what Markdown would take for something else.
fn cell(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    outside_code(&line.replace('|', "\\|"))
}

/// Escapes brackets outside of code, so that a sentence's `<NAME>` is no tag and its `[a]` no link.
fn outside_code(text: &str) -> String {
    let parts = text.split('`').enumerate().map(|(at, part)| {
        if at % 2 == 1 {
            return part.to_owned();
        }
        part.replace('<', "&lt;").replace('[', "\\[").replace('*', "\\*").replace('_', "\\_")
    });
    parts.collect::<Vec<_>>().join("`")
}

/// Text as code, whatever marks it has.
fn code(text: &str) -> String {
    let text = text.replace('|', "\\|");
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_keep_their_marks_and_code_its_own() {
        assert_eq!(cell("a <b> | `x_<y>`\n c_d"), "a &lt;b> \\| `x_<y>` c\\_d");
        assert_eq!(code("a|b"), "`a\\|b`");
    }
}
