//! Products by the `gemm` crate, for processors without kernels of our own. Factors of bf16 are rounded, then widened.

use super::Matrix;
use crate::ops::buffers::Buffer;
use crate::ops::number::{Number, Precision};
use gemm::Parallelism;
use half::bf16;

/// An operand in f32: where it was, or a rounded copy.
pub struct Operand<'a> {
    numbers: Numbers<'a>,
    row: usize,
    column: usize,
}

enum Numbers<'a> {
    Borrowed(&'a [f32]),
    Rounded(Buffer<f32>),
}

impl<'a> Operand<'a> {
    pub fn new<S: Number>(matrix: Matrix<'a, S>, rows: usize, columns: usize, precision: Precision) -> Self {
        if let (Precision::F32, Some(data)) = (precision, S::as_f32(matrix.data)) {
            return Self { numbers: Numbers::Borrowed(data), row: matrix.row, column: matrix.column };
        }
        let mut copy = Buffer::stale(rows * columns);
        for (i, out) in copy.chunks_exact_mut(columns.max(1)).enumerate() {
            for (j, out) in out.iter_mut().enumerate() {
                let value = matrix.data[i * matrix.row + j * matrix.column];
                *out = match precision == Precision::F32 {
                    true => value.to_f32(),
                    false => bf16::from_bits(value.bf16_bits()).to_f32(),
                };
            }
        }
        Self { numbers: Numbers::Rounded(copy), row: columns, column: 1 }
    }

    fn numbers(&self) -> &[f32] {
        match &self.numbers {
            Numbers::Borrowed(numbers) => numbers,
            Numbers::Rounded(numbers) => numbers,
        }
    }
}

/// `rows` of the result from row `left.1` on, `columns` from column `right.1` on.
pub fn multiply(
    (rows, columns, depth): (usize, usize, usize),
    left: (&Operand, usize),
    right: (&Operand, usize),
    out: &mut [f32],
    width: usize,
    keep: bool,
) {
    let ((left, row), (right, column)) = (left, right);
    // Without depth there may be no numbers.
    let (left_start, right_start) = if depth == 0 { (0, 0) } else { (row * left.row, column * right.column) };
    // SAFETY: both operands were checked to hold their shape when they were made, the part of it and `out` by the caller; `out`
    // is borrowed exclusively.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            depth,
            out.as_mut_ptr(),
            1,
            width as isize,
            keep,
            left.numbers()[left_start..].as_ptr(),
            left.column as isize,
            left.row as isize,
            right.numbers()[right_start..].as_ptr(),
            right.column as isize,
            right.row as isize,
            if keep { 1.0 } else { 0.0 },
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
