//! Conversations of several turns: each prompt holds the turns before it and their answers.

use std::num::NonZeroU32;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Content, Form, Prompt, Synthetic, synthetic::WORDS};

/// Sessions drawn from a seed. The answers within a prompt are drawn as well and are as long as the answers that were
/// wanted, so that every engine is asked the same whatever it answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Sessions {
    /// What each turn adds: its input, then an answer of its output length.
    pub source: Synthetic,
    /// Turns of a session.
    pub turns: NonZeroU32,
}

impl Sessions {
    /// The prompt of a turn: sessions follow each other, each with its turns in order.
    ///
    /// ```
    /// use llem_core::workload::{Content, Form, Length, Sessions, Synthetic};
    /// let source = Synthetic {
    ///     vocabulary: 100..32_000,
    ///     input_tokens: Length::Exact(8),
    ///     output_tokens: Length::Exact(4),
    ///     shared_prefix_tokens: 0,
    ///     form: Form::TokenIds,
    ///     seed: 42,
    /// };
    /// let sessions = Sessions { source, turns: 3.try_into().unwrap() };
    /// let ids = |index| match sessions.prompt(index).content {
    ///     Content::Tokens(ids) => ids,
    ///     _ => unreachable!(),
    /// };
    /// assert_eq!((ids(0).len(), ids(1).len(), ids(2).len()), (8, 8 + 4 + 8, 8 + 4 + 8 + 4 + 8));
    /// assert_eq!(ids(2)[..20], ids(1));
    /// assert_ne!(ids(3), ids(0));
    /// ```
    pub fn prompt(&self, index: u64) -> Prompt {
        let turns = u64::from(self.turns.get());
        let mut rng = self.source.stream(index / turns);
        let mut shared = self.source.prefix_stream();
        let mut ids = Vec::new();
        let mut output_tokens = 0;
        for turn in 0..=index % turns {
            if turn > 0 {
                self.extend(&mut ids, output_tokens, &mut rng);
            }
            let input = self.source.input_tokens.draw(&mut rng);
            output_tokens = self.source.output_tokens.draw(&mut rng);
            let prefix = if turn == 0 { self.source.shared_prefix_tokens.min(input) } else { 0 };
            self.extend(&mut ids, prefix, &mut shared);
            self.extend(&mut ids, input - prefix, &mut rng);
        }
        let content = match self.source.form {
            Form::TokenIds => Content::Tokens(ids),
            Form::Words => {
                let word = |id: u32| WORDS[usize::try_from(id).unwrap_or(0) % WORDS.len()];
                Content::Text(ids.into_iter().map(word).collect::<Vec<_>>().join(" "))
            }
        };
        Prompt { content, output_tokens }
    }

    /// How many turns follow a turn in its session.
    pub fn turns_after(&self, index: u64) -> u64 {
        let turns = u64::from(self.turns.get());
        turns - 1 - index % turns
    }

    fn extend(&self, ids: &mut Vec<u32>, count: u32, rng: &mut ChaCha8Rng) {
        ids.extend((0..count).map(|_| rng.random_range(self.source.vocabulary.clone())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Length;

    fn sessions(turns: u32, form: Form) -> Sessions {
        let source = Synthetic {
            vocabulary: 10..1000,
            input_tokens: Length::Normal { mean: 20.0, stddev: 8.0, min: 5, max: 40 },
            output_tokens: Length::Values { values: vec![3, 9] },
            shared_prefix_tokens: 4,
            form,
            seed: 7,
        };
        Sessions { source, turns: turns.try_into().expect("some") }
    }

    fn ids(prompt: Prompt) -> Vec<u32> {
        match prompt.content {
            Content::Tokens(ids) => ids,
            other => panic!("token ids expected, found {other:?}"),
        }
    }

    #[test]
    fn each_turn_begins_with_the_turn_before_and_its_answer() {
        let sessions = sessions(4, Form::TokenIds);
        for session in 0..50 {
            for turn in 1..4 {
                let before = sessions.prompt(session * 4 + turn - 1);
                let answer = usize::try_from(before.output_tokens).unwrap();
                let (before, now) = (ids(before), ids(sessions.prompt(session * 4 + turn)));
                assert_eq!(now[..before.len()], before);
                assert!(now.len() >= before.len() + answer + 5, "an answer and an input are added");
            }
        }
        assert_eq!(ids(sessions.prompt(0))[..4], ids(sessions.prompt(4))[..4], "shared prefix");
        assert_ne!(ids(sessions.prompt(0))[4..9], ids(sessions.prompt(4))[4..9]);
        assert_eq!([0, 1, 2, 3, 4].map(|it| sessions.turns_after(it)), [3, 2, 1, 0, 3]);
    }

    #[test]
    fn one_turn_is_an_ordinary_prompt() {
        let sessions = sessions(1, Form::TokenIds);
        for index in 0..20 {
            assert_eq!(sessions.prompt(index), sessions.source.prompt(index));
        }
    }

    #[test]
    fn words_are_as_many_as_ids() {
        let (words, ids_of) = (sessions(3, Form::Words), sessions(3, Form::TokenIds));
        let Content::Text(text) = words.prompt(5).content else { panic!("text expected") };
        assert_eq!(text.split(' ').count(), ids(ids_of.prompt(5)).len());
    }
}
