//! From scores to a token: greedy, or drawn by temperature, top-k and top-p. Remembers only its random state.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value};

use crate::{
    arithmetic::{index, single},
    error::EngineError,
};

/// How tokens are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sampling {
    /// Spread of the distribution; 0 takes the best token.
    pub(crate) temperature: f32,
    /// Only so many of the best tokens are drawn from; 0 is all.
    pub(crate) top_k: usize,
    /// Only the best tokens that together reach this probability are drawn from.
    pub(crate) top_p: f32,
    /// Scores of tokens seen before are divided by this.
    pub(crate) repetition_penalty: f32,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, repetition_penalty: 1.0 }
    }
}

/// Names of the request-phase settings, for messages.
const NAMES: &str = "temperature, top_k, top_p, repetition_penalty, seed";

impl Sampling {
    /// Reads the known fields of a request; null leaves a field at its default, other fields are not looked at.
    pub(crate) fn from_fields(fields: &Map<String, Value>) -> Result<Self, EngineError> {
        let mut sampling = Self::default();
        if let Some(value) = number(fields, "temperature", "a number from 0 to 100", |value| {
            (0.0..=100.0).contains(&value)
        })? {
            sampling.temperature = value;
        }
        if let Some(value) = number(fields, "top_p", "a number above 0, at most 1", |value| {
            value > 0.0 && value <= 1.0
        })? {
            sampling.top_p = value;
        }
        if let Some(value) =
            number(fields, "repetition_penalty", "a number above 0, at most 100", |value| {
                value > 0.0 && value <= 100.0
            })?
        {
            sampling.repetition_penalty = value;
        }
        match fields.get("top_k") {
            None | Some(Value::Null) => {}
            // vLLM and others write "all" as -1.
            Some(value) if value.as_i64() == Some(-1) => {}
            Some(value) => {
                let reason = || format!("found `{value}`, a whole number from 0 or -1 is allowed");
                let wanted =
                    value.as_u64().ok_or_else(|| EngineError::bad_parameter("top_k", reason()))?;
                sampling.top_k = usize::try_from(wanted).unwrap_or(usize::MAX);
            }
        }
        Ok(sampling)
    }

    /// Reads the settings of a batch, where an unknown name is a mistake.
    pub(crate) fn from_settings(settings: &Map<String, Value>) -> Result<Self, EngineError> {
        let known = |name: &str| NAMES.split(", ").any(|known| known == name);
        match settings.keys().find(|name| !known(name)) {
            Some(name) => {
                Err(EngineError::bad_parameter(name, format!("unknown, there are {NAMES}")))
            }
            None => Self::from_fields(settings),
        }
    }
}

/// Reads the seed of a request.
pub(crate) fn seed(fields: &Map<String, Value>) -> Result<Option<u64>, EngineError> {
    match fields.get("seed") {
        None | Some(Value::Null) => Ok(None),
        // Negative seeds are as good as others; their bits count.
        Some(value) => {
            value.as_u64().or_else(|| value.as_i64().map(i64::cast_unsigned)).map(Some).ok_or_else(
                || {
                    EngineError::bad_parameter(
                        "seed",
                        format!("found `{value}`, a whole number is allowed"),
                    )
                },
            )
        }
    }
}

fn number(
    fields: &Map<String, Value>,
    name: &str,
    allowed: &str,
    is_allowed: impl Fn(f32) -> bool,
) -> Result<Option<f32>, EngineError> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_f64().map(single).filter(|value| is_allowed(*value)) {
            Some(value) => Ok(Some(value)),
            None => Err(EngineError::bad_parameter(
                name,
                format!("found `{value}`, {allowed} is allowed"),
            )),
        },
    }
}

/// Chooses the tokens of one sequence.
pub(crate) struct Sampler {
    sampling: Sampling,
    random: ChaCha8Rng,
}

impl Sampler {
    /// Starts with a seed.
    pub(crate) fn new(sampling: Sampling, seed: u64) -> Self {
        Self { sampling, random: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// Chooses the token after `seen`; `banned` ones are not chosen.
    pub(crate) fn choose(&mut self, scores: &mut [f32], seen: &[u32], banned: &[u32]) -> u32 {
        self.penalise(scores, seen);
        for token in banned {
            if let Some(score) = scores.get_mut(index(*token)) {
                *score = f32::NEG_INFINITY;
            }
        }
        if self.sampling.temperature == 0.0 { best(scores) } else { self.draw(scores) }
    }

    fn penalise(&self, scores: &mut [f32], seen: &[u32]) {
        let penalty = self.sampling.repetition_penalty;
        if (penalty - 1.0).abs() < f32::EPSILON {
            return;
        }
        let mut seen: Vec<u32> = seen.to_vec();
        seen.sort_unstable();
        seen.dedup();
        for token in seen {
            if let Some(score) = scores.get_mut(index(token)) {
                *score = if *score > 0.0 { *score / penalty } else { *score * penalty };
            }
        }
    }

    fn draw(&mut self, scores: &[f32]) -> u32 {
        let mut candidates: Vec<(u32, f32)> = (0..).zip(scores.iter().copied()).collect();
        let descending = |left: &(u32, f32), right: &(u32, f32)| {
            right.1.total_cmp(&left.1).then(left.0.cmp(&right.0))
        };
        let kept = if self.sampling.top_k == 0 {
            candidates.len()
        } else {
            self.sampling.top_k.min(candidates.len())
        };
        if kept < candidates.len() {
            candidates.select_nth_unstable_by(kept - 1, descending);
            candidates.truncate(kept);
        }
        candidates.sort_unstable_by(descending);
        let largest = candidates[0].1;
        let temperature = self.sampling.temperature;
        for (_, score) in &mut candidates {
            *score = ((*score - largest) / temperature).exp();
        }
        let total: f32 = candidates.iter().map(|(_, weight)| weight).sum();
        let mut reached = 0.0;
        let nucleus = candidates.iter().take_while(|(_, weight)| {
            let before = reached;
            reached += weight / total;
            before < self.sampling.top_p
        });
        let nucleus = nucleus.count().max(1);
        candidates.truncate(nucleus);
        let total: f32 = candidates.iter().map(|(_, weight)| weight).sum();
        let mut left = self.random.random::<f32>() * total;
        for (token, weight) in &candidates {
            left -= weight;
            if left <= 0.0 {
                return *token;
            }
        }
        candidates[candidates.len() - 1].0
    }
}

/// Derives the seed of a request that has none.
pub(crate) fn derived_seed(engine: u64, request: u64) -> u64 {
    // Two different engine seeds must not give shifted copies of one sequence of seeds.
    engine.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17) ^ request
}

fn best(scores: &[f32]) -> u32 {
    let mut best = (0, f32::NEG_INFINITY);
    for (token, score) in (0..).zip(scores) {
        // The first of equals, so that the choice is the same everywhere.
        if *score > best.1 {
            best = (token, *score);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sampling(fields: &Value) -> Result<Sampling, String> {
        Sampling::from_fields(fields.as_object().expect("tests pass objects"))
            .map_err(|error| error.to_string())
    }

    fn counts(fields: &Value, scores: &[f32]) -> Vec<usize> {
        let mut sampler = Sampler::new(sampling(fields).expect("allowed"), 5);
        let mut counts = vec![0; scores.len()];
        for _ in 0..2000 {
            counts[index(sampler.choose(&mut scores.to_vec(), &[], &[]))] += 1;
        }
        counts
    }

    #[test]
    fn greedy_takes_the_best_token_and_the_first_of_equals() {
        assert_eq!(counts(&json!({}), &[0.0, 3.0, 3.0, 1.0]), [0, 2000, 0, 0]);
    }

    #[test]
    fn drawn_tokens_follow_the_distribution() {
        let counts = counts(&json!({"temperature": 1.0}), &[0.0, 3.0_f32.ln(), f32::NEG_INFINITY]);
        assert!((counts[1].abs_diff(1500) < 80) && counts[2] == 0, "{counts:?}");
    }

    #[test]
    fn top_k_and_top_p_leave_only_the_best() {
        let scores = [0.5_f32.ln(), 0.3_f32.ln(), 0.2_f32.ln()];
        let of = |fields| counts(&fields, &scores).iter().filter(|count| **count > 0).count();
        assert_eq!(of(json!({"temperature": 1})), 3);
        assert_eq!(of(json!({"temperature": 1, "top_k": 2})), 2);
        assert_eq!(of(json!({"temperature": 1, "top_p": 0.6})), 2);
        assert_eq!(of(json!({"temperature": 1, "top_p": 0.1})), 1);
    }

    #[test]
    fn penalties_and_bans_move_the_choice() {
        let mut sampler =
            Sampler::new(sampling(&json!({"repetition_penalty": 2.0})).expect("allowed"), 0);
        assert_eq!(sampler.choose(&mut [3.0, 2.0, 1.0], &[0], &[]), 1);
        assert_eq!(sampler.choose(&mut [3.0, 2.0, 1.0], &[0], &[1]), 0);
    }

    #[test]
    fn the_same_seed_draws_the_same_tokens() {
        let draw = |seed| {
            let mut sampler =
                Sampler::new(sampling(&json!({"temperature": 1.5})).expect("allowed"), seed);
            (0..50).map(|_| sampler.choose(&mut [1.0, 2.0, 3.0], &[], &[])).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn values_out_of_range_are_named() {
        for (fields, name) in [
            (json!({"temperature": -1}), "temperature"),
            (json!({"temperature": "hot"}), "temperature"),
            (json!({"top_p": 0}), "top_p"),
            (json!({"top_k": -2}), "top_k"),
            (json!({"repetition_penalty": 0}), "repetition_penalty"),
        ] {
            assert!(
                sampling(&fields)
                    .expect_err("refused")
                    .starts_with(&format!("bad parameter `{name}`"))
            );
        }
        let unknown = Sampling::from_settings(json!({"beam": 2}).as_object().expect("an object"));
        assert!(
            unknown.expect_err("refused").to_string().contains("unknown, there are temperature")
        );
    }
}
