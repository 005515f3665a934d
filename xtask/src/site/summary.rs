//! The list of pages, which lies in `docs` and speaks of the whole repository.

use std::path::PathBuf;

use super::tree;

/// Its pages, from the root of the repository, in their order.
pub(super) fn pages(summary: &str) -> Vec<PathBuf> {
    tree::links(summary).iter().map(|link| tree::joined("docs", link)).collect()
}

/// The same list as seen from the root.
pub(super) fn at_root(summary: &str) -> String {
    let lines = summary.lines().map(|line| {
        let Some((before, link)) = line.split_once("](") else { return line.to_owned() };
        let Some(link) = link.strip_suffix(')').filter(|it| !it.is_empty()) else {
            return line.to_owned();
        };
        format!("{before}]({})", tree::joined("docs", link).display())
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_other_folders_are_found_from_the_root() {
        let summary = "# Summary\n\n[llem](../README.md)\n\n- [Study](study.md)\n  - [Keys](a/keys.md)\n- [Soon]()\n";
        let paths = ["README.md", "docs/study.md", "docs/a/keys.md"].map(PathBuf::from);
        assert_eq!(pages(summary), paths);
        assert_eq!(
            at_root(summary),
            "# Summary\n\n[llem](README.md)\n\n- [Study](docs/study.md)\n  - [Keys](docs/a/keys.md)\n- [Soon]()\n"
        );
    }
}
