//! Weights drawn from a seed, the same on every machine and for every number of threads.

use candle_core::{Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;

use crate::{arithmetic::count, error::EngineError};

/// Standard deviation of the weights: small enough that scores stay finite through any depth of normed layers.
const DEVIATION: f32 = 0.02;

/// Weights that one generator draws.
const CHUNK: usize = 1 << 16;

/// A seed that stands for a whole checkpoint.
pub(crate) struct RandomWeights {
    /// The seed.
    pub(crate) seed: u64,
}

impl RandomWeights {
    /// Draws a matrix.
    pub(crate) fn matrix(&self, name: &str, shape: (usize, usize)) -> Result<Tensor, EngineError> {
        Ok(Tensor::from_vec(self.draw(name, shape.0 * shape.1), shape, &Device::Cpu)?)
    }

    /// Draws a bias, or returns the scale of a norm, which is one.
    pub(crate) fn vector(&self, name: &str, length: usize) -> Vec<f32> {
        if name.ends_with("norm.weight") { vec![1.0; length] } else { self.draw(name, length) }
    }

    fn draw(&self, name: &str, length: usize) -> Vec<f32> {
        let mut values = vec![0.0; length];
        let seed = self.seed ^ hash(name);
        values.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, values)| {
            let mut generator = ChaCha8Rng::seed_from_u64(seed);
            generator.set_stream(count(chunk));
            for value in values {
                *value = DEVIATION * generator.sample::<f32, _>(StandardNormal);
            }
        });
        values
    }
}

/// FNV-1a, which is fixed for good, unlike the standard library's hashes.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_name_give_the_same_weights_and_others_give_others() {
        let weights = |seed, name| RandomWeights { seed }.draw(name, 3 * CHUNK);
        assert_eq!(weights(1, "a"), weights(1, "a"));
        assert_ne!(weights(1, "a"), weights(1, "b"));
        assert_ne!(weights(1, "a"), weights(2, "a"));
        assert_ne!(weights(1, "a")[..CHUNK], weights(1, "a")[CHUNK..2 * CHUNK]);
    }

    #[test]
    fn the_weights_have_the_promised_spread() {
        let values = RandomWeights { seed: 7 }.draw("a", 100_000);
        let mean = values.iter().sum::<f32>() / 1e5;
        let square = values.iter().map(|value| value * value).sum::<f32>() / 1e5;
        assert!(mean.abs() < 1e-3 && (square.sqrt() - DEVIATION).abs() < 1e-3, "{mean} {square}");
    }
}
