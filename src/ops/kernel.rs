//! What the CPU kernels share: slices of tensors, rows in parallel.

use crate::simd::simd;
use candle_core::{CpuStorage, Layout, Result, Storage, Tensor};
use rayon::prelude::*;
use std::ops::Deref;

/// The numbers of a contiguous f32 CPU tensor.
pub struct Numbers<'a> {
    guard: Box<dyn Deref<Target = Storage> + Sync + 'a>,
    start: usize,
    end: usize,
}

/// Borrows a tensor's numbers.
///
/// # Errors
/// If it is not contiguous, not f32 or not on the CPU.
pub fn view(tensor: &Tensor) -> Result<Numbers<'_>> {
    let (guard, layout) = tensor.storage_and_layout();
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("a kernel got a tensor that is not contiguous")
    };
    // An empty view may start beyond its storage.
    let (start, end) = if start == end { (0, 0) } else { (start, end) };
    match &*guard {
        Storage::Cpu(CpuStorage::F32(_)) => Ok(Numbers { guard: Box::new(guard), start, end }),
        _ => candle_core::bail!("a kernel got a tensor that is not f32 on the CPU"),
    }
}

impl Deref for Numbers<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &**self.guard {
            Storage::Cpu(CpuStorage::F32(values)) => &values[self.start..self.end],
            _ => unreachable!("checked when the numbers were borrowed"),
        }
    }
}

/// The numbers of a contiguous f32 storage, in a custom op's forward pass.
pub fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(_), Some((start, end))) if start == end => Ok(&[]),
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        (CpuStorage::F32(_), None) => candle_core::bail!("a kernel got a tensor that is not contiguous"),
        _ => candle_core::bail!("a kernel got a tensor that is not f32"),
    }
}

/// A tensor of new numbers.
pub fn tensor(values: Vec<f32>, shape: impl Into<candle_core::Shape>) -> Result<Tensor> {
    Tensor::from_vec(values, shape.into(), &candle_core::Device::Cpu)
}

/// Numbers that one thread handles at a time. Fixed, so that sums do not depend on the number of threads.
const CHUNK: usize = 1 << 13;

/// Rows of `width` numbers that make one chunk.
pub fn rows_per_chunk(width: usize) -> usize {
    (CHUNK / width.max(1)).max(1)
}

/// Calls `f(first row, rows)` for chunks of rows of `out`, in parallel.
pub fn for_rows(out: &mut [f32], width: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    let rows = rows_per_chunk(width);
    out.par_chunks_mut(rows * width.max(1)).enumerate().for_each(|(chunk, out)| {
        simd(
            #[inline(always)]
            || f(chunk * rows, out),
        )
    });
}

/// Adds the column sums of `rows` (each as wide as `out`) to `out`.
pub fn add_column_sums(rows: &[f32], out: &mut [f32]) {
    sum_chunks(
        rows.len() / out.len().max(1),
        out,
        #[inline(always)]
        |range, partial| {
            let width = partial.len();
            for row in rows[range.start * width..range.end * width].chunks_exact(width) {
                for (sum, value) in partial.iter_mut().zip(row) {
                    *sum += value;
                }
            }
        },
    );
}

/// Adds to `out` what `f(row range, partial)` adds to zeroed partials of the same length, chunks of rows in parallel,
/// partials in order.
pub fn sum_chunks(rows: usize, out: &mut [f32], f: impl Fn(std::ops::Range<usize>, &mut [f32]) + Sync) {
    let step = rows_per_chunk(out.len()).max(64);
    let partials: Vec<Vec<f32>> = (0..rows.div_ceil(step))
        .into_par_iter()
        .map(|chunk| {
            let mut partial = vec![0.0; out.len()];
            simd(
                #[inline(always)]
                || f(chunk * step..((chunk + 1) * step).min(rows), &mut partial),
            );
            partial
        })
        .collect();
    for partial in partials {
        out.iter_mut().zip(partial).for_each(|(sum, value)| *sum += value);
    }
}
