//! Matrix products of one thread, on operands that are laid out once and used often.
//!
//! The kernels are our own where the processor has AVX-512 and AVX512-BF16, and for bf16 AMX; elsewhere the `gemm` crate
//! multiplies (`kernels.rs`). Work is spread over threads by the caller, by blocks of rows.

#[cfg(target_arch = "x86_64")]
mod amx;
mod apart;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod kernels;
#[cfg(target_arch = "x86_64")]
mod layout512;
mod pack;
mod portable;
mod rate;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod tile_products;

#[cfg(target_arch = "x86_64")]
pub use avx512::{round, round_past_caches};

pub use apart::products_apart;
pub use rate::{gemm_rate, kernel_rate};

use super::buffers::Buffer;
use super::number::{Number, Precision, widen};
use crate::simd::simd;
use kernels::Kernel;
use std::marker::PhantomData;
use std::ops::Range;

/// A matrix in memory: `at(i, j) = data[i * row + j * column]`.
#[derive(Clone, Copy)]
pub struct Matrix<'a, S = f32> {
    /// Its numbers.
    pub data: &'a [S],
    /// Step from a row to the next.
    pub row: usize,
    /// Step from a column to the next.
    pub column: usize,
}

impl<'a, S> Matrix<'a, S> {
    /// Row-major with `width` numbers from a row to the next.
    pub fn new(data: &'a [S], width: usize) -> Self {
        Self { data, row: width, column: 1 }
    }

    /// The same numbers, transposed.
    pub fn t(self) -> Self {
        Self { data: self.data, row: self.column, column: self.row }
    }

    /// Without the rows before `row`.
    pub fn rows_from(self, row: usize) -> Self {
        Self { data: self.data.get(row * self.row..).unwrap_or(&[]), ..self }
    }

    /// What is left below row `row` and right of column `column`.
    pub fn from(self, row: usize, column: usize) -> Self {
        self.rows_from(row).t().rows_from(column).t()
    }

    fn holds(&self, rows: usize, columns: usize) -> bool {
        rows == 0 || columns == 0 || (rows - 1) * self.row + (columns - 1) * self.column < self.data.len()
    }
}

/// Whether the kernels of this file's folder run, or the portable ones.
pub fn own_kernels() -> bool {
    Kernel::of(Precision::F32) != Kernel::Portable
}

/// Keeps the calling thread ready for products until the result is dropped. Worth it around several small ones, on the thread
/// that computes them; all else is the same without.
pub fn ready(precision: Precision) -> Ready {
    #[cfg(target_arch = "x86_64")]
    if Kernel::of(precision) == Kernel::Tiles {
        // SAFETY: the kernel is chosen only where the instructions are.
        return Ready { _tiles: Some(unsafe { amx::Tiles::hold() }) };
    }
    let _ = precision;
    Ready { _tiles: None }
}

/// See [`ready`].
pub struct Ready {
    #[cfg(target_arch = "x86_64")]
    _tiles: Option<amx::Tiles>,
    #[cfg(not(target_arch = "x86_64"))]
    _tiles: Option<()>,
}

/// A multiple of the rows and of the columns that kernels take together.
pub const PART: usize = 96;

/// Rows that make a good block for one thread: enough to use the right operand well, few enough to stay in its cache.
pub fn block_rows() -> usize {
    if own_kernels() { 64 } else { 256 }
}

/// A right operand `[depth, columns]`.
pub struct Right<'a> {
    depth: usize,
    columns: usize,
    kernel: Kernel,
    layout: RightLayout<'a>,
}

enum RightLayout<'a> {
    /// `[panel][word of depth][column]`, padded with zeros to whole panels.
    Panels(Buffer<u32>),
    Plain(portable::Operand<'a>),
}

impl Right<'static> {
    /// Lays out `b` `[depth, columns]` apart from it; `None` where kernels use `b` as it is.
    ///
    /// # Panics
    /// If the matrix is smaller.
    pub fn owned<S: Number>(b: Matrix<S>, depth: usize, columns: usize, precision: Precision) -> Option<Self> {
        assert!(b.holds(depth, columns), "right operand too small for {depth} × {columns}");
        let kernel = Kernel::of(precision);
        (kernel != Kernel::Portable).then(|| {
            let layout = RightLayout::Panels(pack::right(b, depth, columns, kernel));
            Self { depth, columns, kernel, layout }
        })
    }
}

impl<'a> Right<'a> {
    /// Lays out `b` `[depth, columns]`.
    ///
    /// # Panics
    /// If the matrix is smaller.
    pub fn new<S: Number>(b: Matrix<'a, S>, depth: usize, columns: usize, precision: Precision) -> Self {
        Self::for_kernel(b, depth, columns, precision, Kernel::of(precision))
    }

    fn for_kernel<S: Number>(
        b: Matrix<'a, S>,
        depth: usize,
        columns: usize,
        precision: Precision,
        kernel: Kernel,
    ) -> Self {
        assert!(b.holds(depth, columns), "right operand too small for {depth} × {columns}");
        let layout = match kernel {
            Kernel::Portable => RightLayout::Plain(portable::Operand::new(b, depth, columns, precision)),
            _ => RightLayout::Panels(pack::right(b, depth, columns, kernel)),
        };
        Self { depth, columns, kernel, layout }
    }
}

/// A left operand `[rows, depth]`.
pub struct Left<'a> {
    rows: usize,
    depth: usize,
    kernel: Kernel,
    layout: LeftLayout<'a>,
}

enum LeftLayout<'a> {
    Words(Words<'a>),
    Plain(portable::Operand<'a>),
}

/// Words of a left operand, in a buffer or where they were; what the steps are between is the kernel's.
struct Words<'a> {
    /// Word of row 0, depth 0.
    start: *const u32,
    /// Steps between groups of rows, rows, and words of depth or groups of them.
    panel: usize,
    row: usize,
    step: usize,
    _owner: Option<Buffer<u32>>,
    _borrowed: PhantomData<&'a [u32]>,
}

// SAFETY: the words are the buffer's or borrowed, and only read.
unsafe impl Send for Words<'_> {}
// SAFETY: the same.
unsafe impl Sync for Words<'_> {}

impl<'a> Left<'a> {
    /// Lays out `a` `[rows, depth]`, or uses it as it lies where that is possible.
    ///
    /// # Panics
    /// If the matrix is smaller.
    pub fn new<S: Number>(a: Matrix<'a, S>, rows: usize, depth: usize, precision: Precision) -> Self {
        Self::for_kernel(a, rows, depth, precision, Kernel::of(precision))
    }

    fn for_kernel<S: Number>(
        a: Matrix<'a, S>,
        rows: usize,
        depth: usize,
        precision: Precision,
        kernel: Kernel,
    ) -> Self {
        assert!(a.holds(rows, depth), "left operand too small for {rows} × {depth}");
        let layout = match kernel {
            Kernel::Portable => LeftLayout::Plain(portable::Operand::new(a, rows, depth, precision)),
            _ => LeftLayout::Words(
                Words::in_place(a, rows, depth, kernel).unwrap_or_else(|| pack::left(a, rows, depth, kernel)),
            ),
        };
        Self { rows, depth, kernel, layout }
    }

    /// `out = left · right`, or `out += left · right` if `keep`; `out` row-major, `width` numbers from a row to the next.
    ///
    /// # Panics
    /// If depth or precision differ, or `out` is too small.
    pub fn times(&self, right: &Right, out: &mut [f32], width: usize, keep: bool) {
        self.times_part(0..self.rows, right, 0..right.columns, out, width, keep);
    }

    /// Some rows and columns of [`Left::times`], which are all that `out` holds. Rows and columns begin at a multiple of [`PART`].
    ///
    /// # Panics
    /// If they do not, and as [`Left::times`].
    pub fn times_part(
        &self,
        rows: Range<usize>,
        right: &Right,
        columns: Range<usize>,
        out: &mut [f32],
        width: usize,
        keep: bool,
    ) {
        assert!(self.depth == right.depth && self.kernel == right.kernel, "operands that do not belong together");
        assert!(rows.end <= self.rows && columns.end <= right.columns, "a part outside of the product");
        assert!(rows.start.is_multiple_of(PART) && columns.start.is_multiple_of(PART), "a part of a panel");
        if rows.is_empty() || columns.is_empty() {
            return;
        }
        assert!((rows.len() - 1) * width + columns.len() <= out.len() && columns.len() <= width, "output too small");
        match (&self.layout, &right.layout) {
            #[cfg(target_arch = "x86_64")]
            (LeftLayout::Words(left), RightLayout::Panels(panels)) => {
                let depth = self.kernel.words(self.depth);
                let shape = (rows.len(), columns.len(), depth);
                let numbers = out.as_mut_ptr();
                let Words { panel, row, step, .. } = *left;
                // SAFETY: layouts of words are made only for kernels that are available, and hold rows × depth and depth ×
                // columns as the kernel wants them, in whole panels of which the part begins one; the asserts above hold for the
                // part and for `out`, which is borrowed exclusively.
                unsafe {
                    let words = left.start.add(rows.start / self.kernel.group() * panel);
                    let right = panels.as_ptr().add(columns.start * depth);
                    if self.kernel == Kernel::Tiles {
                        let (left, out) = (amx::Left { words, panel, row, step }, avx512::Out { numbers, width, keep });
                        amx::multiply(shape, left, right, out);
                    } else {
                        let left = avx512::Left { words, panel, row, step };
                        let out = avx512::Out { numbers, width, keep };
                        avx512::multiply(self.kernel, shape, left, right, out);
                    }
                }
            }
            (LeftLayout::Plain(left), RightLayout::Plain(right)) => {
                let shape = (rows.len(), columns.len(), self.depth);
                portable::multiply(shape, (left, rows.start), (right, columns.start), out, width, keep);
            }
            _ => unreachable!("both layouts follow from the kernel"),
        }
    }
}

impl<'a> Words<'a> {
    /// The words of `a` as it lies, if that is how the kernel reads them.
    fn in_place<S: Number>(a: Matrix<'a, S>, rows: usize, depth: usize, kernel: Kernel) -> Option<Self> {
        let per_word = kernel.per_word();
        let precision = if per_word == 2 { Precision::Bf16 } else { Precision::F32 };
        // Words must not reach beyond the row, whole tiles of them not beyond the matrix.
        let whole = kernel.words(depth) * per_word == depth && a.row.is_multiple_of(per_word);
        let group = kernel.group();
        let fits = kernel != Kernel::Tiles || a.holds(rows.next_multiple_of(group), depth);
        (S::PRECISION == precision && a.column == 1 && whole && fits).then(|| {
            let (start, row) = (a.data.as_ptr().cast(), a.row / per_word);
            let step = if kernel == Kernel::Tiles { group } else { 1 };
            Self { start, panel: group * row, row, step, _owner: None, _borrowed: PhantomData }
        })
    }

    /// Words in a buffer of their own.
    fn owned(buffer: Buffer<u32>, [panel, row, step]: [usize; 3]) -> Self {
        Self { start: buffer.as_ptr(), panel, row, step, _owner: Some(buffer), _borrowed: PhantomData }
    }
}

/// `out[rows, columns] (+)= a[rows, depth] · b[depth, columns]` in one go; `out` has `width` numbers from a row to the next.
pub fn product<A: Number, B: Number>(
    (rows, columns, depth): (usize, usize, usize),
    a: Matrix<A>,
    b: Matrix<B>,
    out: &mut [f32],
    width: usize,
    keep: bool,
) {
    let precision = if A::PRECISION == B::PRECISION { A::PRECISION } else { Precision::Bf16 };
    Left::new(a, rows, depth, precision).times(&Right::new(b, depth, columns, precision), out, width, keep);
}

/// As [`product`], rows of `out` `[rows, columns]` over all threads, rounded to the type of `out`. What is rounded goes past the
/// caches: gradients are not read before the whole backward pass is done.
pub fn parallel_product<A: Number, B: Number, O: Number>(
    (rows, columns, depth): (usize, usize, usize),
    a: Matrix<A>,
    b: Matrix<B>,
    precision: Precision,
    out: &mut [O],
    keep: bool,
) {
    use rayon::prelude::*;
    let right = Right::new(b, depth, columns, precision);
    // When rows of `a` are neighbours in memory, many of them at a time make long runs.
    let block = match a.row {
        1 => rows.div_ceil(rayon::current_num_threads()).next_multiple_of(16).clamp(block_rows(), 3 * block_rows()),
        _ => block_rows(),
    };
    out[..rows * columns].par_chunks_mut(block * columns.max(1)).enumerate().for_each(|(index, out)| {
        let left = Left::new(a.rows_from(index * block), out.len() / columns, depth, precision);
        if let Some(out) = O::as_f32_mut(out) {
            return left.times(&right, out, columns, keep);
        }
        let mut sums = Buffer::<f32>::stale(out.len());
        if keep {
            simd(
                #[inline(always)]
                || widen(out, &mut sums),
            );
        }
        left.times(&right, &mut sums, columns, keep);
        O::round_past_caches(&sums, out);
    });
}
