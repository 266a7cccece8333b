//! How fast products are here, for floors that the layers of a training step are compared with.

use super::{Left, Matrix, Right, block_rows, parallel_product, ready};
use crate::ops::buffers::Buffer;
use crate::ops::number::{Number, Precision};
use half::bf16;
use rayon::prelude::*;
use std::time::{Duration, Instant};

/// Widths of a small encoder's layer, and tokens of a step.
const HIDDEN: usize = 384;
const INNER: usize = 1536;
const TOKENS: usize = 2048;

fn numbers<S: Number>(len: usize) -> Vec<S> {
    (0..len).map(|i| S::from_f32((i % 7) as f32 * 0.1)).collect()
}

/// Floating-point operations a second of the kernel on all threads: operands are laid out, and in the caches of a core. Measures
/// for about half a second.
pub fn kernel_rate(precision: Precision) -> f64 {
    let (rows, columns, depth) = (block_rows(), INNER, HIDDEN);
    let (a, b) = (numbers::<f32>(rows * depth), numbers::<f32>(depth * columns));
    let right = Right::new(Matrix::new(&b[..], columns), depth, columns, precision);
    let run = |_| {
        let _ready = ready(precision);
        let left = Left::new(Matrix::new(&a[..], depth), rows, depth, precision);
        let mut out = Buffer::<f32>::stale(rows * columns);
        let (start, mut count) = (Instant::now(), 0);
        while start.elapsed() < Duration::from_millis(500) {
            left.times(&right, &mut out, columns, false);
            count += 1;
        }
        count as f64 * (2 * rows * columns * depth) as f64 / start.elapsed().as_secs_f64()
    };
    (0..rayon::current_num_threads()).into_par_iter().with_max_len(1).map(run).sum()
}

/// Floating-point operations a second of whole products on all threads, from matrices in memory to matrices in memory, both of the
/// given precision: those of a layer's weights with 2,048 tokens, forward and backward. Measures for about half a second.
pub fn gemm_rate(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => whole_products::<f32>(),
        _ => whole_products::<bf16>(),
    }
}

fn whole_products<S: Number>() -> f64 {
    let [x, dy, w] = [TOKENS * INNER, TOKENS * INNER, HIDDEN * INNER].map(numbers::<S>);
    let mut out = numbers::<S>(TOKENS * INNER);
    let shapes =
        [(HIDDEN, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, HIDDEN), (INNER, HIDDEN), (HIDDEN, INNER)];
    let (mut operations, mut start) = (0, Instant::now());
    // The first round touches memory for the first time.
    for round in 0.. {
        for (outputs, inputs) in shapes {
            let (x, dy, w) = (Matrix::new(&x[..], inputs), Matrix::new(&dy[..], outputs), Matrix::new(&w[..], inputs));
            parallel_product((TOKENS, outputs, inputs), x, w.t(), S::PRECISION, &mut out, false);
            parallel_product((TOKENS, inputs, outputs), dy, w, S::PRECISION, &mut out, false);
            parallel_product((outputs, inputs, TOKENS), dy.t(), x, S::PRECISION, &mut out, false);
            operations += 3 * 2 * TOKENS * outputs * inputs;
        }
        if round == 0 {
            (operations, start) = (0, Instant::now());
        } else if start.elapsed() > Duration::from_millis(500) {
            break;
        }
    }
    operations as f64 / start.elapsed().as_secs_f64()
}
