//! The study's TOML as a small tree in which everything knows its place in the file.
//!
//! Knows TOML, not studies.

use std::ops::Range;

use toml_edit::{Document, Item, TableLike};

use super::problem::{Fault, Problem, Source};
use crate::backend::Value;

/// A value with its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) data: Data,
}

#[derive(Clone, Debug)]
pub(super) enum Data {
    Scalar(Value),
    Array(Vec<Node>),
    /// A table; `inline` where it was written in braces.
    Table {
        entries: Vec<Entry>,
        inline: bool,
    },
}

/// A key of a table.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) node: Node,
}

impl Node {
    /// The entries of a table; none for anything else.
    pub(super) fn entries(&self) -> Option<&[Entry]> {
        match &self.data {
            Data::Table { entries, .. } => Some(entries),
            Data::Scalar(_) | Data::Array(_) => None,
        }
    }

    /// What a person would call it.
    pub(super) fn kind(&self) -> String {
        match &self.data {
            Data::Scalar(value) => found(value),
            Data::Array(_) => "a list".to_owned(),
            Data::Table { .. } => "a table".to_owned(),
        }
    }

    /// The value as data.
    pub(super) fn value(&self) -> Value {
        match &self.data {
            Data::Scalar(value) => value.clone(),
            // TOML has no null; this is how a study writes it.
            Data::Table { entries, inline: true } if is_null(entries) => Value::Null,
            Data::Array(_) | Data::Table { .. } => Value::Json(self.json()),
        }
    }

    fn json(&self) -> serde_json::Value {
        match &self.data {
            Data::Scalar(value) => value.clone().into(),
            Data::Table { entries, inline: true } if is_null(entries) => serde_json::Value::Null,
            Data::Array(items) => items.iter().map(Self::json).collect(),
            Data::Table { entries, .. } => {
                entries.iter().map(|entry| (entry.key.clone(), entry.node.json())).collect()
            }
        }
    }
}

/// Whether a table is `{ null = true }`.
fn is_null(entries: &[Entry]) -> bool {
    matches!(entries, [Entry { key, node: Node { data: Data::Scalar(Value::Boolean(true)), .. }, .. }] if key == "null")
}

/// A value as messages show it.
pub(super) fn found(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Text(text) => format!("\"{}\"", text.chars().take(60).collect::<String>()),
        Value::Json(serde_json::Value::Array(_)) => "a list".to_owned(),
        Value::Json(_) => "a table".to_owned(),
        scalar => scalar.to_string(),
    }
}

/// Reads TOML; what is no data of a study (dates, not-a-number) is a problem.
pub(super) fn read(source: &Source, problems: &mut Vec<Problem>) -> Option<Vec<Entry>> {
    match Document::parse(source.text.as_str()) {
        Ok(document) => Some(entries(document.as_table(), source, problems)),
        Err(error) => {
            let message = error.message().trim().replace('\n', ", ");
            problems.push(source.problem(
                &error.span().unwrap_or(0..0),
                Fault::new(format!("not TOML: {message}")),
            ));
            None
        }
    }
}

fn entries(table: &dyn TableLike, source: &Source, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let mut read = Vec::new();
    for (name, item) in table.iter() {
        let key_span =
            table.key(name).and_then(toml_edit::Key::span).or_else(|| item.span()).unwrap_or(0..0);
        if let Some(node) = item_node(item, &key_span, source, problems) {
            read.push(Entry { key: name.to_owned(), key_span, node });
        }
    }
    read
}

fn item_node(
    item: &Item,
    key_span: &Range<usize>,
    source: &Source,
    problems: &mut Vec<Problem>,
) -> Option<Node> {
    let span = item.span().unwrap_or_else(|| key_span.clone());
    match item {
        Item::None => None,
        Item::Value(value) => value_node(value, key_span, source, problems),
        Item::Table(inner) => {
            let entries = entries(inner, source, problems);
            // The span of a table that dotted keys made is that of its first key.
            Some(Node { span, data: Data::Table { entries, inline: false } })
        }
        Item::ArrayOfTables(tables) => {
            let nodes = tables
                .iter()
                .map(|it| Node {
                    span: it.span().unwrap_or_else(|| span.clone()),
                    data: Data::Table { entries: entries(it, source, problems), inline: false },
                })
                .collect();
            Some(Node { span, data: Data::Array(nodes) })
        }
    }
}

fn value_node(
    value: &toml_edit::Value,
    near: &Range<usize>,
    source: &Source,
    problems: &mut Vec<Problem>,
) -> Option<Node> {
    let span = value.span().unwrap_or_else(|| near.clone());
    let data = match value {
        toml_edit::Value::String(it) => Data::Scalar(Value::Text(it.value().clone())),
        toml_edit::Value::Integer(it) => Data::Scalar(Value::Integer(*it.value())),
        toml_edit::Value::Boolean(it) => Data::Scalar(Value::Boolean(*it.value())),
        toml_edit::Value::Float(it) if it.value().is_finite() => {
            Data::Scalar(Value::Number(*it.value()))
        }
        toml_edit::Value::Float(it) => {
            problems.push(source.problem(
                &span,
                Fault::new(format!("expected a finite number, found {}", it.value())),
            ));
            return None;
        }
        toml_edit::Value::Datetime(it) => {
            let fault = Fault::new(format!("a study has no dates, found {}", it.value()))
                .help("quote it if it is text");
            problems.push(source.problem(&span, fault));
            return None;
        }
        toml_edit::Value::Array(items) => Data::Array(
            items.iter().filter_map(|item| value_node(item, &span, source, problems)).collect(),
        ),
        toml_edit::Value::InlineTable(inner) => {
            Data::Table { entries: entries(inner, source, problems), inline: !inner.is_dotted() }
        }
    };
    Some(Node { span, data })
}

/// The settings below some entries by their dotted path. Tables written in braces are values.
pub(super) fn flatten<'a>(
    entries: &'a [Entry],
    visit: &mut dyn FnMut(String, &'a Range<usize>, &'a Node),
) {
    fn walk<'a>(
        prefix: &str,
        entries: &'a [Entry],
        visit: &mut dyn FnMut(String, &'a Range<usize>, &'a Node),
    ) {
        for entry in entries {
            let path = if prefix.is_empty() {
                entry.key.clone()
            } else {
                format!("{prefix}.{}", entry.key)
            };
            match &entry.node.data {
                Data::Table { entries, inline: false } => walk(&path, entries, visit),
                _ => visit(path, &entry.key_span, &entry.node),
            }
        }
    }
    walk("", entries, visit);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<(String, String)> {
        let source = Source { file: "s".to_owned(), text: text.to_owned() };
        let mut problems = Vec::new();
        let entries = read(&source, &mut problems).unwrap();
        assert!(problems.is_empty(), "{problems:?}");
        let mut found = Vec::new();
        flatten(&entries, &mut |path, _, node| {
            found.push((path, source.text[node.span.clone()].to_owned()));
        });
        found
    }

    #[test]
    fn dotted_keys_quoted_keys_and_headers_are_the_same_path() {
        for text in ["a.b.c = 1", "\"a.b.c\" = 1", "[a]\nb.c = 1", "[a.b]\nc = 1"] {
            assert_eq!(paths(text), [("a.b.c".to_owned(), "1".to_owned())], "{text}");
        }
    }

    #[test]
    fn a_table_in_braces_is_a_value() {
        assert_eq!(paths("a.b = { c = 1 }"), [("a.b".to_owned(), "{ c = 1 }".to_owned())]);
    }

    #[test]
    fn what_is_no_data_is_a_problem_at_its_place() {
        let source = Source { file: "s".to_owned(), text: "a = nan\nb = 1979-05-27".to_owned() };
        let mut problems = Vec::new();
        read(&source, &mut problems).unwrap();
        assert_eq!(
            problems.iter().map(|it| (it.line, it.column)).collect::<Vec<_>>(),
            [(1, 5), (2, 5)]
        );
    }
}
