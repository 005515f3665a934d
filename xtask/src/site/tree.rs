//! Links of pages: where they lead, and what can be led to.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

fn parser(text: &str) -> Parser<'_> {
    Parser::new_ext(text, Options::ENABLE_TABLES)
}

/// Destinations of a page's links and images that are not addresses of elsewhere, anchors included.
pub fn links(text: &str) -> Vec<String> {
    let found = parser(text).filter_map(|event| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
            Some(dest_url.into_string())
        }
        _ => None,
    });
    found.filter(|it| !it.is_empty() && !it.contains("://") && !it.starts_with("mailto:")).collect()
}

/// Anchors of a page's headings, as the site makes them.
pub fn anchors(text: &str) -> Vec<String> {
    let (mut anchors, mut heading) = (Vec::new(), None);
    let mut seen = BTreeMap::<String, u32>::new();
    for event in parser(text) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(part) | Event::Code(part) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&part);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let anchor = anchor(&heading.take().unwrap_or_default());
                let times = seen.entry(anchor.clone()).or_default();
                anchors.push(if *times == 0 { anchor } else { format!("{anchor}-{times}") });
                *times += 1;
            }
            _ => (),
        }
    }
    anchors
}

fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|c| match c {
        c if c.is_whitespace() => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c.to_ascii_lowercase()),
        _ => None,
    });
    kept.collect()
}

/// A relative link as a path from the root, without its anchor.
pub(super) fn joined(folder: impl AsRef<Path>, link: &str) -> PathBuf {
    let mut path = PathBuf::new();
    let link = link.split('#').next().unwrap_or_default();
    for part in folder.as_ref().join(link).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::Normal(name) => path.push(name),
            _ => (),
        }
    }
    path
}

/// Files that a page links to and that are no pages themselves: images, studies, schemas.
pub(super) fn files_beside(root: &Path, page: &Path, text: &str) -> Vec<PathBuf> {
    let folder = page.parent().unwrap_or(Path::new(""));
    let linked = links(text).into_iter().map(|link| joined(folder, &link));
    linked
        .filter(|it| it.extension().is_some_and(|it| it != "md") && root.join(it).is_file())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_those_within_the_repository() {
        let text = "[a](b.md#c) [x](https://example.org) ![i](../i.png)\n\n| [t](t.md) |\n|---|\n\n`[no](no.md)`";
        assert_eq!(links(text), ["b.md#c", "../i.png", "t.md"]);
        assert_eq!(joined("docs/how", "../../README.md#x"), Path::new("README.md"));
    }

    #[test]
    fn anchors_are_those_of_the_headings() {
        let text = "# The `run` command\n\n## 1. What, why?\n\n## Same\n\n## Same\n";
        assert_eq!(anchors(text), ["the-run-command", "1-what-why", "same", "same-1"]);
    }
}
