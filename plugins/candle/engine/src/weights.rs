//! Where weights come from: safetensors files, a GGUF file, or a seed. Names are those of Hugging Face checkpoints.

pub(crate) mod gguf;
pub(crate) mod random;
pub(crate) mod safetensors;

use candle_core::{
    DType, Device,
    quantized::{GgmlDType, QTensor},
};

use self::{gguf::GgufFile, random::RandomWeights, safetensors::SafetensorsFiles};
use crate::{
    error::EngineError,
    model::{config::ModelConfig, linear::Matrix},
    settings::Settings,
};

/// One of the sources.
pub(crate) enum Source {
    /// Files of a checkpoint.
    Safetensors(SafetensorsFiles),
    /// One file with everything.
    Gguf(GgufFile),
    /// Nothing but a seed.
    Random(RandomWeights),
}

impl Source {
    /// Reads or draws a matrix, a row for each output, in the block format if one is given.
    pub(crate) fn matrix(
        &self,
        name: &str,
        shape: (usize, usize),
        format: Option<GgmlDType>,
    ) -> Result<Matrix, EngineError> {
        let matrix = match self {
            Self::Safetensors(files) => Matrix::Dense(files.tensor(name, &[shape.0, shape.1])?),
            Self::Gguf(file) => Matrix::Blocks(file.tensor(name, &[shape.0, shape.1])?),
            Self::Random(random) => Matrix::Dense(random.matrix(name, shape)?),
        };
        match format {
            Some(format) => quantize(name, matrix, format),
            None => Ok(matrix),
        }
    }

    /// Reads or draws a vector.
    pub(crate) fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, EngineError> {
        match self {
            Self::Safetensors(files) => {
                Ok(files.tensor(name, &[length])?.to_dtype(DType::F32)?.to_vec1()?)
            }
            Self::Gguf(file) => {
                Ok(file.tensor(name, &[length])?.dequantize(&Device::Cpu)?.to_vec1()?)
            }
            Self::Random(random) => Ok(random.vector(name, length)),
        }
    }
}

/// Returns the bytes that weight matrices will take.
pub(crate) fn expected_bytes(config: &ModelConfig, settings: &Settings) -> u64 {
    let parameters = config.parameters();
    match settings.quantization.block_format() {
        None => parameters
            .saturating_mul(crate::arithmetic::count(settings.dtype.dtype().size_in_bytes())),
        Some(format) => (parameters / crate::arithmetic::count(format.block_size()))
            .saturating_mul(crate::arithmetic::count(format.type_size())),
    }
}

fn quantize(name: &str, matrix: Matrix, format: GgmlDType) -> Result<Matrix, EngineError> {
    let (_, inputs) = matrix.shape()?;
    if !inputs.is_multiple_of(format.block_size()) {
        let reason = format!(
            "blocks of {} weights don't fit `{name}`, whose rows have {inputs}; use a format of smaller blocks",
            format.block_size()
        );
        return Err(EngineError::bad_parameter("quantization", reason));
    }
    let plain = match matrix {
        Matrix::Blocks(blocks) if blocks.dtype() == format => return Ok(Matrix::Blocks(blocks)),
        Matrix::Blocks(blocks) => blocks.dequantize(&Device::Cpu)?,
        Matrix::Dense(tensor) => tensor,
    };
    Ok(Matrix::Blocks(QTensor::quantize(&plain, format)?))
}
