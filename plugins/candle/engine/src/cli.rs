//! The command line: flags and their defaults, nothing else.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::{
    settings::{CachePrecision, Precision, Quantization, Settings},
    threads,
};

/// Native inference engine on candle, for the CPU.
#[derive(Debug, Parser)]
#[command(name = "llem-candle", version)]
pub(crate) struct Arguments {
    /// How requests come in.
    #[command(subcommand)]
    pub(crate) mode: Mode,
}

/// The two ways to drive the engine.
#[derive(Debug, Subcommand)]
pub(crate) enum Mode {
    /// Serve an OpenAI-compatible HTTP API
    Serve(Serve),
    /// Serve the batch protocol on stdin and stdout
    Batch(Batch),
}

/// Flags of the server.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: String,
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 8000)]
    pub(crate) port: u16,
    /// Directory with config.json and *.safetensors, or a .gguf file
    #[arg(long, value_name = "PATH")]
    pub(crate) model: PathBuf,
    /// Name of the model in the API; the model's path where absent
    #[arg(long, value_name = "NAME")]
    pub(crate) served_model_name: Option<String>,
    /// What both modes share
    #[command(flatten)]
    pub(crate) load: LoadFlags,
}

/// Flags of the batch worker.
#[derive(Debug, Args)]
pub(crate) struct Batch {
    /// The model, where the `load` message names none; see `serve`
    #[arg(long, value_name = "PATH")]
    pub(crate) model: Option<PathBuf>,
    /// Name of the model in the record
    #[arg(long, value_name = "NAME")]
    pub(crate) served_model_name: Option<String>,
    /// What both modes share
    #[command(flatten)]
    pub(crate) load: LoadFlags,
}

/// Flags that say how a model is loaded.
#[derive(Clone, Debug, Args)]
pub(crate) struct LoadFlags {
    /// Draw weights from the seed; the model directory needs only config.json
    #[arg(long)]
    pub(crate) random_weights: bool,
    /// Seed of random weights and of sampling
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Compute threads; as many as this process may use where absent
    #[arg(long)]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Number format of dense weights and of the activations that enter each product
    #[arg(long, value_enum, default_value_t = Precision::F32)]
    pub(crate) dtype: Precision,
    /// Block format of the weight matrices
    #[arg(long, value_enum, default_value_t = Quantization::None)]
    pub(crate) quantization: Quantization,
    /// Sequences that decode together
    #[arg(long, default_value = "16")]
    pub(crate) max_batch_size: NonZeroUsize,
    /// Prompt tokens that one step processes at most, all sequences together
    #[arg(long, default_value = "512")]
    pub(crate) prefill_chunk: NonZeroUsize,
    /// Number format of the key-value cache
    #[arg(long, value_enum, default_value_t = CachePrecision::Auto)]
    pub(crate) kv_cache_dtype: CachePrecision,
    /// Longest sequence, prompt and output together; the model's own bound where absent
    #[arg(long)]
    pub(crate) context_length: Option<NonZeroUsize>,
}

impl LoadFlags {
    /// Returns the load-phase settings.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            threads: self.threads.unwrap_or_else(threads::available),
            dtype: self.dtype,
            quantization: self.quantization,
            max_batch_size: self.max_batch_size,
            prefill_chunk: self.prefill_chunk,
            kv_cache_dtype: self.kv_cache_dtype,
            context_length: self.context_length,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn flags_take_their_value_after_an_equals_sign() {
        let arguments = Arguments::try_parse_from([
            "llem-candle",
            "serve",
            "--model=m.gguf",
            "--quantization=q4_0",
            "--kv-cache-dtype=f16",
            "--threads=3",
        ])
        .expect("well-formed");
        let Mode::Serve(serve) = arguments.mode else { panic!("`serve` was asked for") };
        let settings = serve.load.settings();
        assert_eq!(settings.quantization, Quantization::Q4_0);
        assert_eq!(settings.kv_cache_dtype, CachePrecision::F16);
        assert_eq!(settings.threads.get(), 3);
    }
}
