//! Prompts of stated lengths from a seed, random enough that no prefix cache helps by accident.
//!
//! Every prompt is a function of seed and index alone, so the order in which they are drawn, and by
//! how many threads, does not matter.

use std::ops::Range;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use serde::{Deserialize, Serialize};

use super::{Content, Prompt};

/// A length in tokens, exact or drawn for each request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Length {
    /// Always the same.
    Exact(u32),
    /// Normal, rounded, drawn again until within the bounds.
    Normal {
        /// Mean before the bounds apply.
        mean: f64,
        /// Standard deviation before the bounds apply.
        stddev: f64,
        /// Least.
        min: u32,
        /// Most.
        max: u32,
    },
    /// One of these, each equally likely.
    Values {
        /// The lengths to choose from.
        values: Vec<u32>,
    },
}

/// Why a length can't be drawn.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LengthError {
    /// A length of no tokens.
    #[error("a length must be at least 1 token, found 0")]
    Zero,
    /// Nothing to choose from.
    #[error("`values` must have at least one length")]
    NoValues,
    /// The bounds exclude everything, or the spread is no number.
    #[error(
        "a normal length needs finite `mean`, `stddev` of at least 0 and `min` up to `max`, found {mean} ± {stddev} in {min} to {max}"
    )]
    BadNormal {
        /// As given.
        mean: f64,
        /// As given.
        stddev: f64,
        /// As given.
        min: u32,
        /// As given.
        max: u32,
    },
}

impl Length {
    /// Says whether the length can be drawn.
    pub fn check(&self) -> Result<(), LengthError> {
        match self {
            Self::Exact(0) | Self::Normal { min: 0, .. } => Err(LengthError::Zero),
            Self::Values { values } if values.is_empty() => Err(LengthError::NoValues),
            Self::Values { values } if values.contains(&0) => Err(LengthError::Zero),
            Self::Normal { mean, stddev, min, max }
                if !mean.is_finite() || !stddev.is_finite() || *stddev < 0.0 || min > max =>
            {
                Err(LengthError::BadNormal { mean: *mean, stddev: *stddev, min: *min, max: *max })
            }
            Self::Exact(_) | Self::Normal { .. } | Self::Values { .. } => Ok(()),
        }
    }

    /// The greatest length that can come.
    pub fn max(&self) -> u32 {
        match self {
            Self::Exact(length) => *length,
            Self::Normal { max, .. } => *max,
            Self::Values { values } => values.iter().copied().max().unwrap_or(0),
        }
    }

    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> u32 {
        match self {
            Self::Exact(length) => *length,
            Self::Values { values } => values[rng.random_range(0..values.len())],
            Self::Normal { mean, stddev, min, max } => {
                let normal = Normal::new(*mean, *stddev).expect("`check` saw a finite spread");
                // Bounds far from the mean would take for ever; after this many tries the nearest bound is the answer.
                for _ in 0..64 {
                    let drawn = normal.sample(rng).round();
                    if drawn >= f64::from(*min) && drawn <= f64::from(*max) {
                        return whole(drawn);
                    }
                }
                whole(mean.clamp(f64::from(*min), f64::from(*max)).round())
            }
        }
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded and within the bounds of a u32"
)]
fn whole(length: f64) -> u32 {
    length as u32
}

/// The form in which synthetic prompts are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Token ids: the length is exact.
    TokenIds,
    /// Common words, one for each token wanted: about the length, for endpoints that take only text. The engine's
    /// usage says what it was.
    Words,
}

/// A source of synthetic prompts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Synthetic {
    /// Ids to draw from: the vocabulary without its special tokens.
    pub vocabulary: Range<u32>,
    /// Prompt length, shared prefix included.
    pub input_tokens: Length,
    /// Output length wanted.
    pub output_tokens: Length,
    /// Tokens at the start that all prompts share; 0 leaves nothing in common.
    pub shared_prefix_tokens: u32,
    /// The form of the prompts.
    pub form: Form,
    /// Seed of everything drawn.
    pub seed: u64,
}

/// The stream of random numbers that the shared prefix comes from; prompts have their index.
const PREFIX_STREAM: u64 = u64::MAX;

impl Synthetic {
    /// The prompt of the request with this index.
    ///
    /// ```
    /// use llem_core::workload::{Content, Form, Length, Synthetic};
    /// let source = Synthetic {
    ///     vocabulary: 100..32_000,
    ///     input_tokens: Length::Exact(8),
    ///     output_tokens: Length::Exact(16),
    ///     shared_prefix_tokens: 2,
    ///     form: Form::TokenIds,
    ///     seed: 42,
    /// };
    /// let (Content::Tokens(a), Content::Tokens(b)) = (source.prompt(0).content, source.prompt(1).content) else { panic!() };
    /// assert_eq!(a.len(), 8);
    /// assert_eq!(a[..2], b[..2]);
    /// assert_ne!(a[2..], b[2..]);
    /// ```
    pub fn prompt(&self, index: u64) -> Prompt {
        let mut rng = self.stream(index);
        let input = self.input_tokens.draw(&mut rng);
        let output_tokens = self.output_tokens.draw(&mut rng);
        let prefix = self.shared_prefix_tokens.min(input);
        let mut shared = self.prefix_stream();
        let content = match self.form {
            Form::TokenIds => {
                let id = |rng: &mut ChaCha8Rng| rng.random_range(self.vocabulary.clone());
                let mut tokens: Vec<u32> = (0..prefix).map(|_| id(&mut shared)).collect();
                tokens.extend((prefix..input).map(|_| id(&mut rng)));
                Content::Tokens(tokens)
            }
            Form::Words => {
                let word = |rng: &mut ChaCha8Rng| WORDS[rng.random_range(0..WORDS.len())];
                let mut words: Vec<&str> = (0..prefix).map(|_| word(&mut shared)).collect();
                words.extend((prefix..input).map(|_| word(&mut rng)));
                Content::Text(words.join(" "))
            }
        };
        Prompt { content, output_tokens }
    }

    /// Where the shared prefix is drawn from.
    pub(super) fn prefix_stream(&self) -> ChaCha8Rng {
        self.stream(PREFIX_STREAM)
    }

    pub(super) fn stream(&self, stream: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(stream);
        rng
    }
}

/// Words that common vocabularies hold as one token with their leading space.
pub(super) const WORDS: [&str; 64] = [
    "time",
    "year",
    "people",
    "way",
    "day",
    "man",
    "thing",
    "woman",
    "life",
    "child",
    "world",
    "school",
    "state",
    "family",
    "student",
    "group",
    "country",
    "problem",
    "hand",
    "part",
    "place",
    "case",
    "week",
    "company",
    "system",
    "program",
    "question",
    "work",
    "government",
    "number",
    "night",
    "point",
    "home",
    "water",
    "room",
    "mother",
    "area",
    "money",
    "story",
    "fact",
    "month",
    "lot",
    "right",
    "study",
    "book",
    "eye",
    "job",
    "word",
    "business",
    "issue",
    "side",
    "kind",
    "head",
    "house",
    "service",
    "friend",
    "father",
    "power",
    "hour",
    "game",
    "line",
    "end",
    "member",
    "law",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn source(input_tokens: Length, shared_prefix_tokens: u32) -> Synthetic {
        Synthetic {
            vocabulary: 10..1000,
            input_tokens,
            output_tokens: Length::Exact(4),
            shared_prefix_tokens,
            form: Form::TokenIds,
            seed: 1,
        }
    }

    fn tokens(prompt: Prompt) -> Vec<u32> {
        match prompt.content {
            Content::Tokens(tokens) => tokens,
            other => panic!("token ids expected, found {other:?}"),
        }
    }

    #[test]
    fn no_two_prompts_share_their_first_block() {
        let source = source(Length::Exact(64), 0);
        let blocks: BTreeSet<Vec<u32>> =
            (0..2000).map(|index| tokens(source.prompt(index))[..16].to_vec()).collect();
        assert_eq!(blocks.len(), 2000);
    }

    #[test]
    fn normal_lengths_keep_their_mean_and_their_bounds() {
        let source = source(Length::Normal { mean: 100.0, stddev: 20.0, min: 50, max: 150 }, 0);
        let lengths: Vec<usize> =
            (0..4000).map(|index| tokens(source.prompt(index)).len()).collect();
        assert!(lengths.iter().all(|length| (50..=150).contains(length)));
        let sum: usize = lengths.iter().sum();
        assert!((396_000..404_000).contains(&sum), "{sum}");
    }

    #[test]
    fn words_are_as_many_as_tokens_wanted() {
        let source = Synthetic { form: Form::Words, ..source(Length::Exact(12), 3) };
        let Content::Text(text) = source.prompt(5).content else { panic!("text expected") };
        assert_eq!(text.split(' ').count(), 12);
    }

    #[test]
    fn lengths_that_cannot_be_drawn_are_refused() {
        for (length, message) in [
            (Length::Exact(0), "a length must be at least 1 token, found 0"),
            (Length::Values { values: vec![] }, "`values` must have at least one length"),
            (
                Length::Normal { mean: 5.0, stddev: 1.0, min: 9, max: 3 },
                "a normal length needs finite `mean`, `stddev` of at least 0 and `min` up to `max`, found 5 ± 1 in 9 to 3",
            ),
        ] {
            assert_eq!(length.check().unwrap_err().to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn lengths_are_exact_ids_are_within_the_vocabulary_and_the_prefix_is_shared(
            length in 1_u32..300, prefix in 0_u32..300, seed: u64, index: u64,
        ) {
            let source = Synthetic { seed, ..source(Length::Exact(length), prefix) };
            let (one, other) = (tokens(source.prompt(index)), tokens(source.prompt(index ^ 1)));
            prop_assert_eq!(u32::try_from(one.len()).unwrap(), length);
            prop_assert!(one.iter().all(|id| (10..1000).contains(id)));
            let shared = usize::try_from(prefix.min(length)).unwrap();
            prop_assert_eq!(&one[..shared], &other[..shared]);
            prop_assert_eq!(tokens(source.prompt(index)), one);
        }
    }
}
