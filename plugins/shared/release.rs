//! One table for several releases: which of its rows a release has.
//!
//! Shared by the plugins whose engines have more than one release. Knows no engine.

use llem_sdk::{Error, Schema, SchemaTable};

/// The schema of a release: the table's rows that it has, and the rules that name nothing else.
pub(crate) fn schema(table: &SchemaTable, known: &[&str], release: &str) -> Result<Schema, Error> {
    if !known.contains(&release) {
        return Err(Error::unknown_release(release));
    }
    let mut schema = table.to_schema();
    release.clone_into(&mut schema.release);
    schema.parameters.retain(|it| has(it.since.as_deref(), it.until.as_deref(), release));
    let lacking: Vec<&str> = table
        .parameters
        .iter()
        .filter(|it| !has(it.since, it.until, release))
        .map(|it| it.path)
        .collect();
    schema.rules.retain_mut(|rule| {
        rule.effects.retain(|effect| !lacking.contains(&effect.path.as_str()));
        !lacking.iter().any(|path| names(&rule.when, path))
    });
    Ok(schema)
}

/// Whether a release lies in the span of a parameter.
pub(crate) fn has(since: Option<&str>, until: Option<&str>, release: &str) -> bool {
    let wanted = version(release);
    since.is_none_or(|since| version(since) <= wanted)
        && until.is_none_or(|until| wanted < version(until))
}

/// Whether an expression contains a path that is not the start of a longer one.
fn names(when: &str, path: &str) -> bool {
    let continues = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    when.match_indices(path).any(|(at, _)| !when[at + path.len()..].starts_with(continues))
}

fn version(text: &str) -> Vec<u32> {
    text.split('.').filter_map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_exists_from_since_to_before_until() {
        assert!(has(None, None, "1.2.3"));
        assert!(has(Some("0.24.0"), Some("0.33.0"), "0.24.0"));
        assert!(!has(Some("0.33.0"), None, "0.24.0"));
        assert!(!has(None, Some("0.33.0"), "0.33.0"));
        assert!(has(Some("5.9.0"), None, "5.17.0"), "parts are numbers, not text");
    }

    #[test]
    fn a_path_is_not_found_in_a_longer_one() {
        assert!(names("engine.mode == 1", "engine.mode"));
        assert!(!names("engine.mode_b == 1 && engine.mode.c", "engine.mode"));
    }
}
