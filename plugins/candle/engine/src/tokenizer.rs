//! Text to tokens and back, from `tokenizer.json` or from a GGUF file's metadata. Knows no chat format.

mod gguf;
mod stream;

use std::path::Path;

use candle_core::quantized::gguf_file::Content;
use tokenizers::Tokenizer;

pub(crate) use self::stream::TextStream;

/// A model's tokenizer.
pub(crate) struct TextTokenizer {
    inner: Tokenizer,
}

impl TextTokenizer {
    /// Reads `tokenizer.json`.
    pub(crate) fn from_file(path: &Path) -> Result<Self, String> {
        let inner =
            Tokenizer::from_file(path).map_err(|error| format!("`{}`: {error}", path.display()))?;
        Ok(Self { inner })
    }

    /// Builds the tokenizer that a GGUF file describes.
    pub(crate) fn from_gguf(content: &Content) -> Result<Self, String> {
        Ok(Self { inner: gguf::build(content)? })
    }

    /// Turns a text into tokens; `with_special` adds what the model expects around a plain text.
    pub(crate) fn encode(&self, text: &str, with_special: bool) -> Result<Vec<u32>, String> {
        let encoding =
            self.inner.encode_fast(text, with_special).map_err(|error| error.to_string())?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Turns tokens into text, special ones left out.
    pub(crate) fn decode(&self, tokens: &[u32]) -> String {
        // Only a token outside of the vocabulary can fail, and the model makes none.
        self.inner.decode(tokens, true).unwrap_or_default()
    }

    /// Returns the text of one token as the vocabulary has it.
    pub(crate) fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A byte-level tokenizer without merges: a token a byte.
    pub(crate) fn bytes() -> TextTokenizer {
        use tokenizers::{
            models::bpe::{BPE, Vocab},
            pre_tokenizers::byte_level::ByteLevel,
        };
        let mut letters: Vec<char> = ByteLevel::alphabet().into_iter().collect();
        letters.sort_unstable();
        let vocabulary = letters.iter().map(char::to_string).zip(0..).collect::<Vocab>();
        let model =
            BPE::builder().vocab_and_merges(vocabulary, Vec::new()).build().expect("well-formed");
        let mut inner = Tokenizer::new(model);
        inner.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
        inner.with_decoder(Some(ByteLevel::default()));
        TextTokenizer { inner }
    }

    #[test]
    fn text_comes_back_as_it_went_in() {
        let tokenizer = bytes();
        let text = "Grüße, 世界! 42";
        let tokens = tokenizer.encode(text, true).expect("every byte is a token");
        assert_eq!(tokens.len(), text.len());
        assert_eq!(tokenizer.decode(&tokens), text);
    }
}
