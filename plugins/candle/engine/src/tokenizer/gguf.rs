//! Byte-level BPE tokenizers from the metadata of a GGUF file. Other kinds are refused by name.

use candle_core::quantized::gguf_file::{Content, Value};
use tokenizers::{
    AddedToken, Tokenizer,
    models::bpe::{BPE, Vocab},
    pre_tokenizers::{
        PreTokenizerWrapper,
        byte_level::ByteLevel,
        digits::Digits,
        sequence::Sequence,
        split::{Split, SplitPattern},
    },
    processors::template::TemplateProcessing,
    tokenizer::SplitDelimiterBehavior,
};

/// How Qwen2 splits a text before merging.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// How Llama 3 splits a text before merging.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Types of tokens that are never part of a text: control and unused ones.
const SPECIAL_TYPES: [i64; 2] = [3, 5];

/// Builds the tokenizer.
pub(super) fn build(content: &Content) -> Result<Tokenizer, String> {
    let kind = text(content, "model").ok_or("the file has no tokenizer")?;
    if kind != "gpt2" {
        return Err(format!(
            "the file's tokenizer is `{kind}`, only byte-level BPE (`gpt2`) is supported"
        ));
    }
    let tokens = texts(content, "tokens")?;
    let merges = texts(content, "merges")?
        .into_iter()
        .map(|merge| {
            let (left, right) =
                merge.split_once(' ').ok_or_else(|| format!("merge `{merge}` is no pair"))?;
            Ok((left.to_owned(), right.to_owned()))
        })
        .collect::<Result<Vec<_>, String>>()?;
    let vocabulary: Vocab = tokens.iter().cloned().zip(0..).collect();
    let model = BPE::builder()
        .vocab_and_merges(vocabulary, merges)
        .build()
        .map_err(|error| error.to_string())?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(splitter(text(content, "pre").unwrap_or("gpt-2"))?));
    tokenizer.with_decoder(Some(ByteLevel::default()));
    add_special(&mut tokenizer, content, &tokens)?;
    add_start(&mut tokenizer, content, &tokens)?;
    Ok(tokenizer)
}

fn splitter(pre: &str) -> Result<PreTokenizerWrapper, String> {
    let bytes = |use_regex| PreTokenizerWrapper::from(ByteLevel::new(false, true, use_regex));
    let by_pattern = |pattern: &str| {
        let pattern = SplitPattern::Regex(pattern.to_owned());
        let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
            .map_err(|error| error.to_string())?;
        Ok(Sequence::new(vec![split.into(), bytes(false)]).into())
    };
    match pre {
        "default" | "gpt-2" | "gpt2" => Ok(bytes(true)),
        "smollm" | "starcoder" | "refact" | "codeshell" => {
            Ok(Sequence::new(vec![Digits::new(true).into(), bytes(true)]).into())
        }
        "qwen2" => by_pattern(QWEN2),
        "llama-bpe" | "llama3" | "llama-v3" => by_pattern(LLAMA3),
        other => Err(format!(
            "the file's tokenizer splits texts as `{other}`, supported are gpt-2, smollm, qwen2 and llama-bpe"
        )),
    }
}

fn add_special(
    tokenizer: &mut Tokenizer,
    content: &Content,
    tokens: &[String],
) -> Result<(), String> {
    let Some(Value::Array(types)) = content.metadata.get("tokenizer.ggml.token_type") else {
        return Ok(());
    };
    let special: Vec<AddedToken> = tokens
        .iter()
        .zip(types)
        .filter(|(_, kind)| SPECIAL_TYPES.iter().any(|special| whole(kind) == Some(*special)))
        .map(|(token, _)| AddedToken::from(token.clone(), true))
        .collect();
    tokenizer.add_special_tokens(special).map_err(|error| error.to_string())?;
    Ok(())
}

fn add_start(
    tokenizer: &mut Tokenizer,
    content: &Content,
    tokens: &[String],
) -> Result<(), String> {
    if !matches!(content.metadata.get("tokenizer.ggml.add_bos_token"), Some(Value::Bool(true))) {
        return Ok(());
    }
    let id = content.metadata.get("tokenizer.ggml.bos_token_id").and_then(whole);
    let id = id
        .and_then(|id| u32::try_from(id).ok())
        .ok_or("texts start with a token that is not named")?;
    let token = tokens
        .get(crate::arithmetic::index(id))
        .ok_or("texts start with a token that does not exist")?;
    let template = TemplateProcessing::builder()
        .try_single(vec![token.clone(), "$0".to_owned()])
        .map_err(|error| error.clone())?
        .special_tokens(vec![(token.clone(), id)])
        .build()
        .map_err(|error| error.to_string())?;
    tokenizer.with_post_processor(Some(template));
    Ok(())
}

fn text<'a>(content: &'a Content, key: &str) -> Option<&'a str> {
    content.metadata.get(&format!("tokenizer.ggml.{key}"))?.to_string().ok().map(String::as_str)
}

fn texts(content: &Content, key: &str) -> Result<Vec<String>, String> {
    let Some(Value::Array(values)) = content.metadata.get(&format!("tokenizer.ggml.{key}")) else {
        return Err(format!("the file's tokenizer has no `{key}`"));
    };
    values
        .iter()
        .map(|value| {
            value.to_string().cloned().map_err(|_| format!("an element of `{key}` is no text"))
        })
        .collect()
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::I32(value) => Some(i64::from(*value)),
        Value::U32(value) => Some(i64::from(*value)),
        Value::I64(value) => Some(*value),
        Value::U64(value) => i64::try_from(*value).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tokenizers::tokenizer::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

    use super::splitter;

    fn parts(pre: &str, input: &str) -> Vec<String> {
        let mut text = PreTokenizedString::from(input);
        splitter(pre).expect("supported").pre_tokenize(&mut text).expect("splits");
        let splits = text.get_splits(OffsetReferential::Original, OffsetType::Byte);
        splits.into_iter().map(|(part, _, _)| part.replace('Ġ', "_")).collect()
    }

    #[test]
    fn each_family_splits_numbers_in_its_own_way() {
        assert_eq!(parts("gpt-2", "in 1234"), ["in", "_1234"]);
        assert_eq!(parts("smollm", "in 1234"), ["in", "_", "1", "2", "3", "4"]);
        assert_eq!(parts("qwen2", "in 1234"), ["in", "_", "1", "2", "3", "4"]);
        assert_eq!(parts("llama-bpe", "in 1234"), ["in", "_", "123", "4"]);
        assert!(splitter("tekken").expect_err("refused").contains("`tekken`"));
    }
}
