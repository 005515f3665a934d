//! The load-phase settings: their values, defaults and bounds, from flags or from a `load` message.
//!
//! Knows nothing of what a setting does; that is with the code that uses it.

use std::{fmt, num::NonZeroUsize};

use candle_core::{DType, quantized::GgmlDType};
use clap::ValueEnum;
use serde_json::{Map, Value, json};

use crate::{error::EngineError, threads};

/// Number format of dense weights and of the activations that enter each product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Precision {
    /// 32-bit floats.
    F32,
    /// bfloat16: 8 bits of exponent, 8 of mantissa.
    Bf16,
    /// IEEE half precision: 5 bits of exponent, 11 of mantissa.
    F16,
}

impl Precision {
    /// Returns candle's name for it.
    pub(crate) fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
        }
    }
}

/// Number format of the key-value cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CachePrecision {
    /// The same as the activations.
    Auto,
    /// 32-bit floats.
    F32,
    /// bfloat16.
    Bf16,
    /// IEEE half precision.
    F16,
}

impl CachePrecision {
    /// Returns the format for activations of the given one.
    pub(crate) fn resolve(self, activations: Precision) -> Precision {
        match self {
            Self::Auto => activations,
            Self::F32 => Precision::F32,
            Self::Bf16 => Precision::Bf16,
            Self::F16 => Precision::F16,
        }
    }
}

/// Block format that weight matrices are stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Quantization {
    /// As the model has them.
    None,
    /// 4 bits, one scale for 32 weights.
    #[value(name = "q4_0")]
    Q4_0,
    /// 4 bits, scale and minimum for 32 weights.
    #[value(name = "q4_1")]
    Q4_1,
    /// 5 bits, one scale for 32 weights.
    #[value(name = "q5_0")]
    Q5_0,
    /// 5 bits, scale and minimum for 32 weights.
    #[value(name = "q5_1")]
    Q5_1,
    /// 8 bits, one scale for 32 weights.
    #[value(name = "q8_0")]
    Q8_0,
    /// 2-bit k-quants, super-blocks of 256 weights.
    #[value(name = "q2k")]
    Q2k,
    /// 3-bit k-quants, super-blocks of 256 weights.
    #[value(name = "q3k")]
    Q3k,
    /// 4-bit k-quants, super-blocks of 256 weights.
    #[value(name = "q4k")]
    Q4k,
    /// 5-bit k-quants, super-blocks of 256 weights.
    #[value(name = "q5k")]
    Q5k,
    /// 6-bit k-quants, super-blocks of 256 weights.
    #[value(name = "q6k")]
    Q6k,
}

impl Quantization {
    /// Returns candle's name for it, `None` where weights stay as they are.
    pub(crate) fn block_format(self) -> Option<GgmlDType> {
        Some(match self {
            Self::None => return None,
            Self::Q4_0 => GgmlDType::Q4_0,
            Self::Q4_1 => GgmlDType::Q4_1,
            Self::Q5_0 => GgmlDType::Q5_0,
            Self::Q5_1 => GgmlDType::Q5_1,
            Self::Q8_0 => GgmlDType::Q8_0,
            Self::Q2k => GgmlDType::Q2K,
            Self::Q3k => GgmlDType::Q3K,
            Self::Q4k => GgmlDType::Q4K,
            Self::Q5k => GgmlDType::Q5K,
            Self::Q6k => GgmlDType::Q6K,
        })
    }
}

macro_rules! display_value_name {
    ($($kind:ty),*) => {$(
        impl fmt::Display for $kind {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(self.to_possible_value().expect("no value is hidden").get_name())
            }
        }
    )*};
}
display_value_name!(Precision, CachePrecision, Quantization);

/// Everything that is fixed when a model is loaded.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Compute threads.
    pub(crate) threads: NonZeroUsize,
    /// Number format of dense weights and activations.
    pub(crate) dtype: Precision,
    /// Block format of the weights.
    pub(crate) quantization: Quantization,
    /// Sequences that decode together.
    pub(crate) max_batch_size: NonZeroUsize,
    /// Prompt tokens that one step processes at most, all sequences together.
    pub(crate) prefill_chunk: NonZeroUsize,
    /// Number format of the key-value cache.
    pub(crate) kv_cache_dtype: CachePrecision,
    /// Longest sequence, prompt and output together; the model's own bound where absent.
    pub(crate) context_length: Option<NonZeroUsize>,
}

/// Names of the settings, for messages.
const NAMES: &str =
    "threads, dtype, quantization, max_batch_size, prefill_chunk, kv_cache_dtype, context_length";

impl Settings {
    /// Replaces what a `load` message sets. Null leaves a setting as it is.
    pub(crate) fn apply(&mut self, changes: &Map<String, Value>) -> Result<(), EngineError> {
        for (name, value) in changes.iter().filter(|(_, value)| !value.is_null()) {
            match name.as_str() {
                "threads" => self.threads = positive(name, value)?,
                "dtype" => self.dtype = choice(name, value)?,
                "quantization" => self.quantization = choice(name, value)?,
                "max_batch_size" => self.max_batch_size = positive(name, value)?,
                "prefill_chunk" => self.prefill_chunk = positive(name, value)?,
                "kv_cache_dtype" => self.kv_cache_dtype = choice(name, value)?,
                "context_length" => self.context_length = Some(positive(name, value)?),
                _ => {
                    return Err(EngineError::bad_parameter(
                        name,
                        format!("unknown, there are {NAMES}"),
                    ));
                }
            }
        }
        self.check()
    }

    /// Refuses what no machine can run.
    pub(crate) fn check(&self) -> Result<(), EngineError> {
        let most = threads::available().get().max(1) * 8;
        if self.threads.get() > most {
            let reason =
                format!("found {}, at most {most} are allowed on this machine", self.threads);
            return Err(EngineError::bad_parameter("threads", reason));
        }
        Ok(())
    }

    /// Returns the settings as the record should carry them, for a context of the given length.
    pub(crate) fn effective(&self, context_length: usize) -> Map<String, Value> {
        let fields = json!({
            "threads": self.threads,
            "dtype": self.dtype.to_string(),
            "quantization": self.quantization.to_string(),
            "max_batch_size": self.max_batch_size,
            "prefill_chunk": self.prefill_chunk,
            "kv_cache_dtype": self.kv_cache_dtype.resolve(self.dtype).to_string(),
            "context_length": context_length,
        });
        fields.as_object().expect("made as an object").clone()
    }
}

/// Reads a positive whole number, as a number or as its text.
pub(crate) fn positive(name: &str, value: &Value) -> Result<NonZeroUsize, EngineError> {
    let number = match value {
        Value::String(text) => text.parse().ok(),
        _ => value.as_u64().and_then(|number| usize::try_from(number).ok()),
    };
    number.and_then(NonZeroUsize::new).ok_or_else(|| {
        EngineError::bad_parameter(
            name,
            format!("found `{value}`, a whole number above 0 is allowed"),
        )
    })
}

fn choice<T: ValueEnum>(name: &str, value: &Value) -> Result<T, EngineError> {
    value.as_str().and_then(|text| T::from_str(text, false).ok()).ok_or_else(|| {
        let names: Vec<String> = T::value_variants()
            .iter()
            .filter_map(|variant| Some(variant.to_possible_value()?.get_name().to_owned()))
            .collect();
        EngineError::bad_parameter(
            name,
            format!("found `{value}`, allowed are {}", names.join(", ")),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            threads: NonZeroUsize::MIN,
            dtype: Precision::F32,
            quantization: Quantization::None,
            max_batch_size: NonZeroUsize::MIN,
            prefill_chunk: NonZeroUsize::MIN,
            kv_cache_dtype: CachePrecision::Auto,
            context_length: None,
        }
    }

    fn apply(changes: &Value) -> Result<Settings, String> {
        let mut settings = settings();
        let changes = changes.as_object().expect("tests pass objects");
        settings.apply(changes).map(|()| settings).map_err(|error| error.to_string())
    }

    #[test]
    fn a_load_message_replaces_what_it_names_and_null_leaves_the_rest() {
        let changed = apply(&json!({"dtype": "bf16", "max_batch_size": 4, "context_length": null}))
            .expect("all allowed");
        assert_eq!(changed.dtype, Precision::Bf16);
        assert_eq!(changed.max_batch_size.get(), 4);
        assert_eq!(changed.effective(7)["kv_cache_dtype"], "bf16");
        assert_eq!(changed.effective(7)["context_length"], 7);
    }

    #[test]
    fn every_wrong_value_is_named_with_what_is_allowed() {
        for (changes, expected) in [
            (
                json!({"dtype": "f64"}),
                "bad parameter `dtype`: found `\"f64\"`, allowed are f32, bf16, f16",
            ),
            (
                json!({"quantization": 4}),
                "bad parameter `quantization`: found `4`, allowed are none, q4_0",
            ),
            (json!({"threads": 0}), "bad parameter `threads`: found `0`, a whole number above 0"),
            (json!({"threads": 1_000_000}), "bad parameter `threads`: found 1000000, at most"),
            (json!({"colour": 1}), "bad parameter `colour`: unknown, there are threads, dtype"),
        ] {
            let message = apply(&changes).expect_err("refused");
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
