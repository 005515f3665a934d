//! The text of a sequence that grows token by token, with characters held back until they are whole.

use std::sync::Arc;

use super::TextTokenizer;

/// What a decoder writes for bytes that are no whole character.
const INCOMPLETE: char = '\u{FFFD}';

/// Tokens that are held back at most: more than the bytes of any character, so what is not whole then never will be.
const HELD: usize = 16;

/// Turns tokens into pieces of text that join to the whole text.
pub(crate) struct TextStream {
    tokenizer: Option<Arc<TextTokenizer>>,
    tokens: Vec<u32>,
    /// Start of the tokens that give the next piece its context.
    context: usize,
    /// End of the tokens whose text was given out.
    given: usize,
}

impl TextStream {
    /// Starts a text; without a tokenizer every piece is empty.
    pub(crate) fn new(tokenizer: Option<Arc<TextTokenizer>>) -> Self {
        Self { tokenizer, tokens: Vec::new(), context: 0, given: 0 }
    }

    /// Takes a token and returns the text that it completes, which may be empty.
    pub(crate) fn push(&mut self, token: u32) -> String {
        self.tokens.push(token);
        self.piece(false)
    }

    /// Returns what was held back.
    pub(crate) fn finish(&mut self) -> String {
        self.piece(true)
    }

    fn piece(&mut self, last: bool) -> String {
        let Some(tokenizer) = &self.tokenizer else { return String::new() };
        let before = tokenizer.decode(&self.tokens[self.context..self.given]);
        let after = tokenizer.decode(&self.tokens[self.context..]);
        let is_whole = after.len() > before.len() && !after.ends_with(INCOMPLETE);
        if !is_whole && !last && self.tokens.len() - self.given < HELD {
            return String::new();
        }
        // Decoders may treat the first token of a text in their own way, so the context stays in both texts.
        let piece = after.get(before.len()..).unwrap_or_default().to_owned();
        self.context = self.given;
        self.given = self.tokens.len();
        piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::tests::bytes;

    #[test]
    fn pieces_join_to_the_text_and_no_piece_splits_a_character() {
        let tokenizer = Arc::new(bytes());
        let text = "a世界 é!";
        let mut stream = TextStream::new(Some(tokenizer.clone()));
        let tokens = tokenizer.encode(text, false).expect("every byte is a token");
        let pieces: Vec<String> = tokens.iter().map(|token| stream.push(*token)).collect();
        assert_eq!(pieces.concat() + &stream.finish(), text);
        assert_eq!(pieces[..4], ["a", "", "", "世"]);
    }

    #[test]
    fn a_text_that_ends_within_a_character_says_so_at_the_end() {
        let tokenizer = Arc::new(bytes());
        let mut stream = TextStream::new(Some(tokenizer.clone()));
        let first = tokenizer.encode("世", false).expect("every byte is a token")[0];
        assert_eq!(stream.push(first), "");
        assert_eq!(stream.finish(), "\u{FFFD}");
    }

    #[test]
    fn bytes_that_never_become_a_character_are_not_held_for_ever() {
        let tokenizer = Arc::new(bytes());
        let mut stream = TextStream::new(Some(tokenizer.clone()));
        let first = tokenizer.encode("世", false).expect("every byte is a token")[0];
        let pieces: String = (0..HELD).map(|_| stream.push(first)).collect();
        assert_eq!(pieces, "\u{FFFD}".repeat(HELD));
        assert_eq!(
            stream.push(tokenizer.encode("a", false).expect("every byte is a token")[0]),
            "a"
        );
    }

    #[test]
    fn without_a_tokenizer_every_piece_is_empty() {
        let mut stream = TextStream::new(None);
        assert_eq!(stream.push(3) + &stream.finish(), "");
    }
}
