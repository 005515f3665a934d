//! The model's own tokenizer: texts cut to a number of tokens, and answers counted, before any engine sees them. Every
//! engine gets the same.

use std::path::{Path, PathBuf};

use llem_core::{
    backend::ModelSource,
    workload::{Content, Prompt},
};
use tokenizers::Tokenizer;

use crate::{machine, models::ResolvedModel};

/// Cuts prompts to at most `limit` tokens. Shorter ones stay as they are.
pub(super) fn truncate(
    prompts: &mut [Prompt],
    limit: u32,
    model: &ResolvedModel,
) -> Result<(), String> {
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    // A text has at least one byte for each token, so short texts need no tokenizer.
    let is_long = |it: &Prompt| matches!(&it.content, Content::Text(text) if text.len() > most);
    let tokenizer = if prompts.iter().any(is_long) {
        Some(load(model, "`workload.input_tokens` cuts texts")?)
    } else {
        None
    };
    for prompt in prompts {
        match &mut prompt.content {
            Content::Tokens(ids) => ids.truncate(most),
            Content::Text(text) => {
                if let Some(tokenizer) = tokenizer.as_ref().filter(|_| text.len() > most) {
                    cut(text, most, tokenizer)?;
                }
            }
            Content::Messages(_) => {
                let what =
                    "conversations are sent whole and can't be cut to `workload.input_tokens`";
                return Err(what.to_owned());
            }
        }
    }
    Ok(())
}

/// Counts a text's tokens; the tokenizer is loaded with the first.
pub(super) fn counter(model: &ResolvedModel) -> impl FnMut(&str) -> Result<u32, String> {
    let mut loaded = None;
    move |text| {
        let tokenizer = match &loaded {
            Some(tokenizer) => tokenizer,
            None => loaded.insert(load(model, "the lengths of answers are counted")?),
        };
        let encoding = tokenizer.encode(text, false).map_err(|it| it.to_string())?;
        Ok(u32::try_from(encoding.len()).unwrap_or(u32::MAX))
    }
}

/// Shortens a text until it has at most `most` tokens, without those that the model adds around it.
fn cut(text: &mut String, most: usize, tokenizer: &Tokenizer) -> Result<(), String> {
    let mut kept = most;
    loop {
        let encoding = tokenizer.encode(text.as_str(), false).map_err(|it| it.to_string())?;
        let offsets = encoding.get_offsets();
        if offsets.len() <= most {
            return Ok(());
        }
        let end = kept.checked_sub(1).map_or(0, |last| offsets[last.min(offsets.len() - 1)].1);
        // A token may end within a character; and the shortened text may fall into more tokens than before.
        let end = (0..=end).rev().find(|it| text.is_char_boundary(*it)).unwrap_or(0);
        text.truncate(end);
        kept = kept.saturating_sub(1);
    }
}

fn load(model: &ResolvedModel, purpose: &str) -> Result<Tokenizer, String> {
    let path = tokenizer_path(model).ok_or_else(|| {
        format!(
            "{purpose} with the model's tokenizer, and `{}` has no `tokenizer.json` on this machine; name a directory that has one",
            model.reference.id
        )
    })?;
    Tokenizer::from_file(&path)
        .map_err(|it| format!("the tokenizer `{}` can't be read: {it}", path.display()))
}

fn tokenizer_path(model: &ResolvedModel) -> Option<PathBuf> {
    let here = |directory: &Path| Some(directory.join("tokenizer.json")).filter(|it| it.is_file());
    match model.reference.source {
        ModelSource::Directory | ModelSource::Random => here(Path::new(&model.location)),
        ModelSource::File => here(Path::new(&model.location).parent()?),
        ModelSource::Hub => {
            let repository = format!("models--{}", model.location.replace('/', "--"));
            let snapshots = machine::hub_cache()?.join("hub").join(repository).join("snapshots");
            let found = std::fs::read_dir(snapshots).ok()?;
            found.filter_map(Result::ok).find_map(|it| here(&it.path()))
        }
    }
}

#[cfg(test)]
mod tests {
    use llem_core::backend::ModelRef;

    use super::*;

    /// A directory with a tokenizer that makes a token of each word.
    fn model(directory: &Path, tokenizer: bool) -> ResolvedModel {
        if tokenizer {
            let json = r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,
                "pre_tokenizer":{"type":"WhitespaceSplit"},"post_processor":null,"decoder":null,
                "model":{"type":"WordLevel","vocab":{"?":0},"unk_token":"?"}}"#;
            std::fs::write(directory.join("tokenizer.json"), json).unwrap();
        }
        ResolvedModel {
            reference: ModelRef {
                id: "m".to_owned(),
                revision: None,
                source: ModelSource::Directory,
            },
            location: directory.display().to_string(),
            facts: None,
            config: None,
        }
    }

    fn prompt(content: Content) -> Prompt {
        Prompt { content, output_tokens: 1 }
    }

    #[test]
    fn texts_and_token_ids_are_cut_to_the_limit() {
        let directory = tempfile::tempdir().unwrap();
        let long = "größe über alles one two three".to_owned();
        let mut prompts = [
            prompt(Content::Text(long)),
            prompt(Content::Text("a b".to_owned())),
            prompt(Content::Tokens(vec![1, 2, 3, 4])),
        ];
        truncate(&mut prompts, 3, &model(directory.path(), true)).unwrap();
        let contents = prompts.map(|it| it.content);
        let expected = [
            Content::Text("größe über alles".to_owned()),
            Content::Text("a b".to_owned()),
            Content::Tokens(vec![1, 2, 3]),
        ];
        assert_eq!(contents, expected);
    }

    #[test]
    fn answers_are_counted_in_tokens_of_the_model() {
        let directory = tempfile::tempdir().unwrap();
        let model = model(directory.path(), true);
        let mut count = counter(&model);
        assert_eq!((count("one two  three"), count("")), (Ok(3), Ok(0)));
    }

    #[test]
    fn a_model_without_tokenizer_and_a_conversation_say_why_they_can_not_be_cut() {
        let directory = tempfile::tempdir().unwrap();
        let model = model(directory.path(), false);
        let long = prompt(Content::Text("a long text".to_owned()));
        let error = truncate(&mut [long], 3, &model).unwrap_err();
        assert!(error.contains("has no `tokenizer.json`"), "{error}");
        let error = truncate(&mut [prompt(Content::Messages(vec![]))], 3, &model).unwrap_err();
        assert!(error.contains("can't be cut"), "{error}");
    }
}
