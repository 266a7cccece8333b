//! Parameters as factors of products, and where their gradients go.

use super::launch::{DeviceNumber, Format, Numbers, Word, alloc, launch, named, view};
use super::product::{Matrix, Product, round};
use crate::gradient::{DeviceGradient, Parameter, Recorder};
use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use candle_core::{CudaDevice, Result};
use half::bf16;
use std::ops::Range;

/// A parameter's numbers in the type of products.
pub enum Weight<'a, S> {
    /// As they lie.
    InPlace(Numbers<'a>),
    /// A copy.
    Rounded(CudaSlice<S>),
}

impl<'a, S: DeviceNumber> Weight<'a, S> {
    /// The one place where a parameter becomes a factor of type `S`.
    ///
    /// # Errors
    /// If it is not on the device, or that has no memory.
    pub fn new(parameter: &'a Parameter, device: &CudaDevice) -> Result<Self> {
        let numbers = view(&parameter.value)?;
        Ok(match S::NARROW {
            true => Self::Rounded(round(device, numbers.word(), parameter.value.elem_count())?),
            false => Self::InPlace(numbers),
        })
    }
}

impl<S> Word for Weight<'_, S> {
    fn word(&self) -> u64 {
        match self {
            Self::InPlace(numbers) => numbers.word(),
            Self::Rounded(numbers) => numbers.word(),
        }
    }
}

/// `dw = dyᵀ · x` over the rows of each gradient row, for a weight `[outputs, inputs]`.
///
/// # Errors
/// If the device fails.
pub fn record_weight<S: DeviceNumber>(
    device: &CudaDevice,
    recorder: &Recorder,
    weight: &Parameter,
    dy: Matrix,
    x: Matrix,
) -> Result<()> {
    let Some(slot) = weight.slot else { return Ok(()) };
    let (outputs, inputs) = weight.value.dims2()?;
    recorder.record_on_device(slot, |rows, gradient, keep| {
        let product = |out: Matrix, keep: bool| Product {
            shape: [outputs, inputs, rows.len()],
            left: dy.row(rows.start).t(),
            right: x.row(rows.start),
            out,
            keep,
            bias: None,
        };
        match gradient {
            DeviceGradient::F32(to) => product(Matrix::new::<f32>(to.word(), inputs), keep).run(device),
            DeviceGradient::Bf16(to) if S::FORMAT == Format::Bf16 => {
                product(Matrix::new::<bf16>(to.word(), inputs), keep).run(device)
            }
            // cuBLASLt rounds to the type of the factors only.
            DeviceGradient::Bf16(to) => {
                let sums = alloc::<f32>(device, outputs * inputs)?;
                product(Matrix::new::<f32>(sums.word(), inputs), false).run(device)?;
                add(device, &sums, 0, 1, outputs * inputs, DeviceGradient::Bf16(to), keep)
            }
        }
    })
}

/// Rows of a chunk: as many as one thread adds up.
const CHUNK: usize = 64;

/// Chunks of rows that belong to one gradient row each.
pub struct Chunks {
    /// First row and end of each, on the device.
    bounds: CudaSlice<u32>,
    count: usize,
    /// Of each span of the recorder, its rows and chunks.
    spans: Vec<(Range<usize>, Range<usize>)>,
}

impl Chunks {
    /// Of the spans that have rows.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn new(device: &CudaDevice, recorder: &Recorder) -> Result<Self> {
        let (mut bounds, mut spans) = (Vec::new(), Vec::new());
        for (_, rows) in recorder.spans().into_iter().filter(|(_, rows)| !rows.is_empty()) {
            let first = bounds.len() / 2;
            for start in rows.clone().step_by(CHUNK) {
                bounds.extend([start as u32, (start + CHUNK).min(rows.end) as u32]);
            }
            spans.push((rows, first..bounds.len() / 2));
        }
        Ok(Self { count: bounds.len() / 2, bounds: super::launch::upload(device, &bounds)?, spans })
    }

    /// Sums within chunks: `arguments` of kernel `name` come before the chunks, then `[chunks, sums]` and `width`.
    fn partial(
        &self,
        device: &CudaDevice,
        name: &'static str,
        arguments: &[u64],
        width: usize,
        sums: usize,
    ) -> Result<CudaSlice<f32>> {
        let partial = alloc::<f32>(device, self.count * sums)?;
        if self.count > 0 && width > 0 {
            // The grid's second dimension ends at 65535.
            for first in (0..self.count).step_by(1 << 15) {
                let chunks = (self.count - first).min(1 << 15);
                let at = |word: u64, numbers: usize| word + (numbers * size_of::<f32>()) as u64;
                let tail = [at(self.bounds.word(), 2 * first), at(partial.word(), first * sums), width as u64];
                let grid = crate::cuda::grid(width.div_ceil(128), chunks, 128);
                super::launch::launch_kernel(device, "ops/cuda/sums", name, grid, &[arguments, &tail].concat())?;
            }
        }
        Ok(partial)
    }

    /// Adds the partial sums from column `column` on to the gradient of a parameter.
    fn finish(
        &self,
        device: &CudaDevice,
        recorder: &Recorder,
        parameter: &Parameter,
        partial: &CudaSlice<f32>,
        (column, sums): (usize, usize),
    ) -> Result<()> {
        let Some(slot) = parameter.slot else { return Ok(()) };
        recorder.record_on_device(slot, |rows, gradient, keep| {
            let Some((_, chunks)) = self.spans.iter().find(|(own, _)| *own == rows) else {
                candle_core::bail!("gradient rows changed during a backward pass")
            };
            add(device, partial, chunks.start * sums + column, chunks.len(), sums, gradient, keep)
        })
    }

    /// The gradients of biases side by side: column sums of `dy` `[_, …]`.
    ///
    /// # Errors
    /// If the device fails.
    pub fn record_biases<S: DeviceNumber>(
        &self,
        device: &CudaDevice,
        recorder: &Recorder,
        biases: &[&Parameter],
        dy: u64,
        stride: usize,
    ) -> Result<()> {
        if biases.iter().all(|bias| bias.slot.is_none()) {
            return Ok(());
        }
        let partial = self.partial(device, named!(S, "column_sums"), &[dy, stride as u64], stride, stride)?;
        let mut column = 0;
        for bias in biases {
            self.finish(device, recorder, bias, &partial, (column, stride))?;
            column += bias.value.elem_count();
        }
        Ok(())
    }

    /// The gradients of a norm's weight and bias, from its input `x`, the input's moments and the gradient of its result.
    ///
    /// # Errors
    /// If the device fails.
    pub fn record_norm<S: DeviceNumber>(
        &self,
        device: &CudaDevice,
        recorder: &Recorder,
        (weight, bias): (&Parameter, Option<&Parameter>),
        [x, stats, dy]: [u64; 3],
    ) -> Result<()> {
        if weight.slot.is_none() && bias.is_none_or(|bias| bias.slot.is_none()) {
            return Ok(());
        }
        let width = weight.value.elem_count();
        let partial = self.partial(device, named!(S, "norm_sums"), &[x, stats, dy], width, 2 * width)?;
        self.finish(device, recorder, weight, &partial, (0, 2 * width))?;
        bias.map_or(Ok(()), |bias| self.finish(device, recorder, bias, &partial, (width, 2 * width)))
    }
}

/// Adds `count` rows of sums, `stride` apart, from number `first` on to a gradient; overwrites unless `keep`.
fn add(
    device: &CudaDevice,
    partial: &CudaSlice<f32>,
    first: usize,
    count: usize,
    stride: usize,
    gradient: DeviceGradient,
    keep: bool,
) -> Result<()> {
    let (name, to, width) = match &gradient {
        DeviceGradient::F32(to) => ("add_partial_f32", to.word(), to.len()),
        DeviceGradient::Bf16(to) => ("add_partial_bf16", to.word(), to.len()),
    };
    if width == 0 {
        return Ok(());
    }
    let from = partial.word() + (first * size_of::<f32>()) as u64;
    let grid = crate::cuda::grid(width.div_ceil(128), 1, 128);
    launch!(device, "sums", name, grid, from, stride, count, to, width, i32::from(keep));
    Ok(())
}
