//! Data sets that are part of llem.

/// Begin of the name of one in a study.
const PREFIX: &str = "builtin:";

/// Name and records of each. They were written for llem, so its licence is theirs.
const CORPORA: &[(&str, &str)] = &[("prompts", include_str!("corpora/prompts.jsonl"))];

/// A data set that is not part of llem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no built-in data set `{0}`; there are {1}")]
pub struct UnknownCorpus(String, String);

/// The records of a built-in data set; none where the name is that of a file.
///
/// ```
/// use llem_core::workload::corpus;
/// assert!(corpus("builtin:prompts").unwrap().unwrap().starts_with("{\"prompt\":"));
/// assert!(corpus("requests.jsonl").is_none());
/// ```
pub fn corpus(name: &str) -> Option<Result<&'static str, UnknownCorpus>> {
    let wanted = name.strip_prefix(PREFIX)?;
    let found = CORPORA.iter().find(|(it, _)| *it == wanted).map(|(_, text)| *text);
    Some(found.ok_or_else(|| {
        let known: Vec<String> = CORPORA.iter().map(|(it, _)| format!("`{PREFIX}{it}`")).collect();
        UnknownCorpus(name.to_owned(), known.join(", "))
    }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::workload::{Content, parse_dataset};

    #[test]
    fn every_corpus_is_sound_and_no_prompt_is_there_twice() {
        for (name, text) in CORPORA {
            let prompts = parse_dataset(text, None, &mut |_| Ok(1)).expect("it is sound");
            let texts: BTreeSet<String> =
                prompts.iter().map(|it| format!("{:?}", it.content)).collect();
            assert_eq!(texts.len(), prompts.len(), "{name}");
            assert!(prompts.iter().all(|it| matches!(it.content, Content::Text(_))), "{name}");
        }
    }

    #[test]
    fn an_unknown_name_is_told_with_those_that_there_are() {
        let error = corpus("builtin:wiki").expect("a built-in name").expect_err("unknown");
        let expected = "there is no built-in data set `builtin:wiki`; there are `builtin:prompts`";
        assert_eq!(error.to_string(), expected);
    }
}
