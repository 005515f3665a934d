//! Rotary positions: tables of angles and their application to heads. Holds no state between calls.

use std::f32::consts::TAU;

use super::config::{ModelConfig, RotaryPairs, RotaryScaling};
use crate::arithmetic::float;

/// Sines and cosines for every position up to the context length.
pub(crate) struct Rotary {
    pairs: RotaryPairs,
    half: usize,
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

impl Rotary {
    /// Computes the tables for `positions` positions.
    pub(crate) fn new(config: &ModelConfig, positions: usize) -> Self {
        let frequencies = frequencies(config);
        let angles = || {
            (0..positions).flat_map(|position| frequencies.iter().map(move |f| float(position) * f))
        };
        Self {
            pairs: config.rotary_pairs,
            half: frequencies.len(),
            cosines: angles().map(f32::cos).collect(),
            sines: angles().map(f32::sin).collect(),
        }
    }

    /// Turns every head of `row` by the angle of `position`.
    pub(crate) fn turn(&self, row: &mut [f32], position: usize) {
        let table = position * self.half..(position + 1) * self.half;
        let (cosines, sines) = (&self.cosines[table.clone()], &self.sines[table]);
        for head in row.chunks_exact_mut(2 * self.half) {
            match self.pairs {
                RotaryPairs::Halves => {
                    let (first, second) = head.split_at_mut(self.half);
                    for (((x, y), cos), sin) in first.iter_mut().zip(second).zip(cosines).zip(sines)
                    {
                        (*x, *y) = (*x * cos - *y * sin, *x * sin + *y * cos);
                    }
                }
                RotaryPairs::Neighbours => {
                    for ((pair, cos), sin) in head.chunks_exact_mut(2).zip(cosines).zip(sines) {
                        (pair[0], pair[1]) =
                            (pair[0] * cos - pair[1] * sin, pair[0] * sin + pair[1] * cos);
                    }
                }
            }
        }
    }
}

fn frequencies(config: &ModelConfig) -> Vec<f32> {
    let half = config.head_width / 2;
    let plain = (0..half).map(|i| config.rope_theta.powf(-float(2 * i) / float(config.head_width)));
    match &config.rope_scaling {
        RotaryScaling::None => plain.collect(),
        RotaryScaling::Linear { factor } => plain.map(|frequency| frequency / factor).collect(),
        RotaryScaling::Divisors(divisors) => {
            plain.zip(divisors).map(|(frequency, by)| frequency / by).collect()
        }
        RotaryScaling::Llama3 {
            factor,
            low_frequency_factor: low,
            high_frequency_factor: high,
            original_context,
        } => {
            plain
                .map(|frequency| {
                    // 0 where the wavelength is long (divide), 1 where it is short (keep).
                    let turns = original_context * frequency / TAU;
                    let keep = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                    frequency * (keep + (1.0 - keep) / factor)
                })
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config() -> ModelConfig {
        let text = r#"{"hidden_size":8,"intermediate_size":8,"num_hidden_layers":1,"num_attention_heads":2,"vocab_size":8}"#;
        ModelConfig::from_json(text, Path::new("m")).expect("well-formed")
    }

    fn bits(row: &[f32]) -> Vec<u32> {
        row.iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn position_zero_turns_nothing_and_every_turn_keeps_the_length() {
        let rotary = Rotary::new(&config(), 10);
        let start = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        let mut row = start;
        rotary.turn(&mut row, 0);
        assert_eq!(bits(&row), bits(&start));
        rotary.turn(&mut row, 9);
        let length = |row: &[f32]| row.iter().map(|value| value * value).sum::<f32>();
        assert!((length(&row) - length(&start)).abs() < 1e-3 && bits(&row) != bits(&start));
    }

    #[test]
    fn both_pairings_are_the_same_rotation_of_permuted_elements() {
        let mut config = config();
        let halves = Rotary::new(&config, 10);
        config.rotary_pairs = RotaryPairs::Neighbours;
        let neighbours = Rotary::new(&config, 10);
        let mut by_halves = [1.0, 2.0, 3.0, 4.0];
        let mut by_neighbours = [1.0, 3.0, 2.0, 4.0];
        halves.turn(&mut by_halves, 7);
        neighbours.turn(&mut by_neighbours, 7);
        let permuted = [by_halves[0], by_halves[2], by_halves[1], by_halves[3]];
        assert_eq!(bits(&permuted), bits(&by_neighbours));
    }

    #[test]
    fn llama3_scaling_divides_only_long_wavelengths() {
        let mut config = config();
        let plain = frequencies(&config);
        config.rope_scaling = RotaryScaling::Llama3 {
            factor: 8.0,
            low_frequency_factor: 1.0,
            high_frequency_factor: 4.0,
            original_context: 64.0,
        };
        let scaled = frequencies(&config);
        assert!((scaled[0] - plain[0]).abs() < 1e-6, "one turn in 6 positions is short");
        assert!((scaled[1] - plain[1] / 8.0).abs() < 1e-6, "one turn in 628 positions is long");
    }
}
