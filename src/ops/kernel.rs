//! What the CPU kernels share: slices of tensors, matrix products, rows in parallel.

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor};
use gemm::Parallelism;
use rayon::prelude::*;
use std::ops::Deref;

/// The numbers of a contiguous f32 CPU tensor.
struct View<G> {
    guard: G,
    start: usize,
    end: usize,
}

/// Borrows a tensor's numbers.
///
/// # Errors
/// If it is not contiguous, not f32 or not on the CPU.
pub fn view(tensor: &Tensor) -> Result<impl Deref<Target = [f32]> + '_> {
    let (guard, layout) = tensor.storage_and_layout();
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("a kernel got a tensor that is not contiguous")
    };
    // An empty view may start beyond its storage.
    let (start, end) = if start == end { (0, 0) } else { (start, end) };
    match &*guard {
        Storage::Cpu(CpuStorage::F32(_)) => Ok(View { guard, start, end }),
        _ => candle_core::bail!("a kernel got a tensor that is not f32 on the CPU"),
    }
}

impl<G: Deref<Target = Storage>> Deref for View<G> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.guard {
            Storage::Cpu(CpuStorage::F32(values)) => &values[self.start..self.end],
            _ => unreachable!("checked when the view was made"),
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

/// Runs `f` compiled for the widest vectors that this processor has; everything in it must be inlined.
#[inline(always)]
pub fn simd<R>(f: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(f)
}

/// A matrix in memory: `at(i, j) = data[i * rows + j * columns]`.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    /// Its numbers.
    pub data: &'a [f32],
    /// Step from a row to the next.
    pub row: usize,
    /// Step from a column to the next.
    pub column: usize,
}

impl<'a> Matrix<'a> {
    /// Row-major with `width` numbers from a row to the next.
    pub fn new(data: &'a [f32], width: usize) -> Self {
        Self { data, row: width, column: 1 }
    }

    /// The same numbers, transposed.
    pub fn t(self) -> Self {
        Self { data: self.data, row: self.column, column: self.row }
    }

    fn holds(&self, rows: usize, columns: usize) -> bool {
        rows == 0 || columns == 0 || (rows - 1) * self.row + (columns - 1) * self.column < self.data.len()
    }
}

/// `out[m, n] = keep · out + scale · a[m, k] · b[k, n]`, `out` row-major with `width` numbers from a row to the next.
///
/// # Panics
/// If a matrix is smaller than the product needs.
#[expect(clippy::too_many_arguments, reason = "the shape of a matrix product")]
pub fn matmul(
    (m, n, k): (usize, usize, usize),
    out: &mut [f32],
    width: usize,
    keep: f32,
    scale: f32,
    a: Matrix,
    b: Matrix,
    parallel: bool,
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!((m - 1) * width + n <= out.len() && n <= width, "output too small for {m} × {n}");
    assert!(a.holds(m, k) && b.holds(k, n), "operands too small for {m} × {n} × {k}");
    let parallelism = match parallel {
        true => Parallelism::Rayon(0),
        false => Parallelism::None,
    };
    // SAFETY: the asserts above keep every index inside the slices; `out` is borrowed exclusively.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            width as isize,
            keep != 0.0,
            a.data.as_ptr(),
            a.column as isize,
            a.row as isize,
            b.data.as_ptr(),
            b.column as isize,
            b.row as isize,
            keep,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
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
