//! A buffer for each compute thread, where blocks of weights are widened before a product. Never grows.

use candle_core::{CpuStorage, DType, Device, InplaceOp1, Layout, Tensor};

use crate::error::EngineError;

/// Elements of the buffer: a widened block fits the second-level cache.
pub(super) const ELEMENTS: usize = 1 << 16;

thread_local! {
    static BUFFER: Result<Tensor, candle_core::Error> = Tensor::zeros(ELEMENTS, DType::F32, &Device::Cpu);
}

struct Fill<F>(F, usize);

impl<F: Fn(&mut [f32])> InplaceOp1 for Fill<F> {
    fn name(&self) -> &'static str {
        "fill"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _: &Layout) -> candle_core::Result<()> {
        let CpuStorage::F32(values) = storage else { unreachable!("the buffer is made of f32") };
        (self.0)(&mut values[..self.1]);
        Ok(())
    }
}

/// Fills this thread's buffer and returns a view of it; the next call on the thread overwrites it.
pub(super) fn filled(
    rows: usize,
    columns: usize,
    fill: impl Fn(&mut [f32]),
) -> Result<Tensor, EngineError> {
    let elements = rows * columns;
    BUFFER.with(|buffer| {
        let buffer = buffer.as_ref().map_err(|error| candle_core::Error::Msg(error.to_string()))?;
        buffer.inplace_op1(&Fill(fill, elements))?;
        Ok(buffer.narrow(0, 0, elements)?.reshape((rows, columns))?)
    })
}
