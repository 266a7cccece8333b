//! Products against sums in f64, by all kernels that the processor has.

use super::*;
use crate::gradient::Gradient;
use half::bf16;

/// Numbers between -1 and 1.
fn numbers(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn at<S: Number>(matrix: Matrix<S>, i: usize, j: usize, precision: Precision) -> f64 {
    let value = matrix.data[i * matrix.row + j * matrix.column];
    f64::from(match precision == Precision::F32 {
        true => value.to_f32(),
        false => bf16::from_bits(value.bf16_bits()).to_f32(),
    })
}

fn check<A: Number, B: Number>(
    (rows, columns, depth): (usize, usize, usize),
    a: Matrix<A>,
    b: Matrix<B>,
    precision: Precision,
    what: &str,
) {
    for keep in [false, true] {
        let (width, start) = (columns + 3, 0.5);
        let by = |kernel: Kernel| {
            let mut out = vec![start; rows * width];
            let right = Right::for_kernel(b, depth, columns, precision, kernel);
            Left::for_kernel(a, rows, depth, precision, kernel).times(&right, &mut out, width, keep);
            (kernel, out)
        };
        let results: Vec<_> = Kernel::all(precision).into_iter().map(by).collect();
        for (i, j) in (0..rows).flat_map(|i| (0..width).map(move |j| (i, j))) {
            let sum: f64 = match j < columns {
                true => (0..depth).map(|d| at(a, i, d, precision) * at(b, d, j, precision)).sum(),
                false => 0.0,
            };
            let expected = sum + if keep || j >= columns { f64::from(start) } else { 0.0 };
            for (kernel, out) in &results {
                let found = f64::from(out[i * width + j]);
                let size = rows * 1000 + columns;
                let tolerance = 2e-7 * (depth + 50) as f64;
                assert!(
                    (found - expected).abs() < tolerance,
                    "{what}, {kernel:?} ({i}, {j}) of {size}: {found}, not {expected}"
                );
            }
        }
    }
}

#[test]
fn products_of_any_shape_and_layout() {
    let shapes = [
        (1, 1, 1),
        (8, 48, 2),
        (9, 49, 3),
        (7, 16, 32),
        (64, 50, 33),
        (64, 96, 64),
        (32, 16, 32),
        (16, 32, 2100),
        (48, 37, 96),
        (25, 25, 32),
        (3, 100, 1),
        (17, 31, 530),
        (5, 5, 0),
        (0, 4, 4),
        (4, 0, 4),
        (70, 1, 7),
    ];
    for (index, (rows, columns, depth)) in shapes.into_iter().enumerate() {
        let seed = index as u64;
        // Room for rows that lie apart.
        let a = numbers(rows.max(depth) * (rows.max(depth) + 5), 2 * seed + 1);
        let b = numbers(columns.max(depth) * (columns.max(depth) + 5), 2 * seed + 2);
        let [a16, b16] = [&a, &b].map(|x| x.iter().map(|&x| <bf16 as Number>::from_f32(x)).collect::<Vec<_>>());
        for (a_by_row, b_by_row) in [(true, true), (true, false), (false, true), (false, false)] {
            fn matrix<S>(data: &[S], by_row: bool, rows: usize, columns: usize) -> Matrix<'_, S> {
                let matrix = |width: usize| Matrix::new(data, width);
                if by_row { matrix(columns + 5) } else { matrix(rows + 2).t() }
            }
            let what = format!("{rows} × {columns} × {depth}, by rows: {a_by_row}, {b_by_row}");
            let shape = (rows, columns, depth);
            let (a, b) = (matrix(&a, a_by_row, rows, depth), matrix(&b, b_by_row, depth, columns));
            let (a16, b16) = (matrix(&a16, a_by_row, rows, depth), matrix(&b16, b_by_row, depth, columns));
            check(shape, a, b, Precision::F32, &format!("{what}, f32"));
            check(shape, a, b, Precision::Bf16, &format!("{what}, rounded"));
            check(shape, a16, b16, Precision::Bf16, &format!("{what}, bf16"));
            check(shape, a, b16, Precision::Bf16, &format!("{what}, mixed"));
        }
    }
}

#[test]
fn numbers_apart_in_both_directions() {
    let (a, b) = (numbers(400, 3), numbers(400, 4));
    let a = Matrix { data: &a[..], row: 21, column: 2 };
    let b = Matrix { data: &b[..], row: 17, column: 3 };
    check((9, 5, 10), a, b, Precision::F32, "apart");
    check((9, 5, 10), a, b, Precision::Bf16, "apart, rounded");
}

#[test]
fn threads_do_not_change_a_product() {
    let (rows, columns, depth) = (300, 70, 90);
    let (a, b) = (numbers(rows * depth, 5), numbers(depth * columns, 6));
    let (a, b) = (Matrix::new(&a[..], depth), Matrix::new(&b[..], columns));
    let mut one = vec![0.0; rows * columns];
    product((rows, columns, depth), a, b, &mut one, columns, false);
    let mut many = vec![0.0; rows * columns];
    parallel_product((rows, columns, depth), a, b, Precision::F32, &mut many, false);
    assert!(one.iter().zip(&many).all(|(a, b)| (a - b).abs() < 1e-5));
}

#[test]
fn a_part_of_a_product_is_that_part() {
    let (rows, columns, depth) = (230, 300, 70);
    let (a, b) = (numbers(rows * depth, 7), numbers(depth * columns, 8));
    let (a, b) = (Matrix::new(&a[..], rows).t(), Matrix::new(&b[..], columns));
    for precision in [Precision::F32, Precision::Bf16] {
        for kernel in Kernel::all(precision) {
            let left = Left::for_kernel(a, rows, depth, precision, kernel);
            let right = Right::for_kernel(b, depth, columns, precision, kernel);
            let mut whole = vec![0.0; rows * columns];
            left.times(&right, &mut whole, columns, false);
            for (part_rows, part_columns) in [(96..230, 96..300), (192..200, 0..192), (0..96, 192..250), (96..96, 0..9)]
            {
                let width = part_columns.len();
                let mut part = vec![0.0; part_rows.len() * width];
                left.times_part(part_rows.clone(), &right, part_columns.clone(), &mut part, width, false);
                for (i, row) in part_rows.zip(part.chunks(width)) {
                    let expected = &whole[i * columns..][part_columns.clone()];
                    assert!(row.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{kernel:?}, row {i}");
                }
            }
        }
    }
}

/// Results of tasks whose rows are apart, in f32 and bf16, against each task's own product, and their inner products against those
/// of the results in f64.
#[test]
fn products_apart_are_those_of_each_task_and_their_inner_products_fit() {
    let many: Vec<Range<usize>> = (0..20).map(|task| 6 * task..6 * task + 5).collect();
    let cases: [(usize, usize, &[Range<usize>]); 6] = [
        (50, 40, &[3..10, 10..50]),
        (200, 500, &[0..30, 31..32, 40..129]),
        (97, 193, &[5..60, 0..4, 70..71, 60..70, 90..128]),
        (1, 1, &[0..1, 1..3]),
        (96, 288, &many),
        (50, 41, &many),
    ];
    for (outputs, inputs, spans) in cases {
        let tokens = 130;
        let (dy, x) = (numbers(tokens * outputs, 9), numbers(tokens * inputs, 10));
        let round = |values: &[f32]| values.iter().map(|&x| <bf16 as Number>::from_f32(x)).collect::<Vec<_>>();
        let (dy16, x16) = (round(&dy), round(&x));
        // Which results are in bf16.
        for halves in [vec![false; spans.len()], vec![true; spans.len()], (0..spans.len()).map(|t| t > 0).collect()] {
            for in_bf16 in [false, true] {
                let mut single = vec![vec![9.0f32; outputs * inputs]; spans.len()];
                let mut half = vec![vec![bf16::ONE; outputs * inputs]; spans.len()];
                let out = (single.iter_mut().zip(&mut half).zip(&halves)).map(|((single, half), &rounded)| {
                    if rounded { Gradient::Bf16(half) } else { Gradient::F32(single) }
                });
                let (out, shape) = (out.collect(), (outputs, inputs));
                let found = match in_bf16 {
                    false => {
                        products_apart(shape, spans, Matrix::new(&dy[..], outputs), Matrix::new(&x[..], inputs), out)
                    }
                    true => products_apart(
                        shape,
                        spans,
                        Matrix::new(&dy16[..], outputs),
                        Matrix::new(&x16[..], inputs),
                        out,
                    ),
                };
                let mut results = Vec::new();
                for (task, span) in spans.iter().enumerate() {
                    let shape = (outputs, inputs, span.len());
                    let precision = if in_bf16 { Precision::Bf16 } else { Precision::F32 };
                    let mut own = vec![0.0f32; outputs * inputs];
                    let (dy, x) = (Matrix::new(&dy[..], outputs), Matrix::new(&x[..], inputs));
                    parallel_product(
                        shape,
                        dy.rows_from(span.start).t(),
                        x.rows_from(span.start),
                        precision,
                        &mut own,
                        false,
                    );
                    let (result, tolerance): (Vec<f32>, f32) = match halves[task] {
                        true => (half[task].iter().map(|x| x.to_f32()).collect(), 1.0 / 256.0),
                        false => (single[task].clone(), 0.0),
                    };
                    for (place, (found, own)) in result.iter().zip(&own).enumerate() {
                        let error = (found - own).abs();
                        assert!(error <= tolerance * own.abs() + 1e-5, "task {task}, {place}: {found}, not {own}");
                    }
                    results.push(result);
                }
                let size = |i: usize| results[i].iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
                for (i, j) in (0..spans.len()).flat_map(|i| (0..=i).map(move |j| (i, j))) {
                    let expected: f64 =
                        results[i].iter().zip(&results[j]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    // Beside bf16 what is f32 is rounded before it is compared.
                    let tolerance = if halves.contains(&true) && !halves[j] { 1e-2 } else { 1e-5 };
                    let error = (found[i][j] - expected).abs() / (size(i) * size(j)).sqrt();
                    assert!(error < tolerance, "{outputs} × {inputs}, {i}, {j}: {}, not {expected}", found[i][j]);
                }
            }
        }
    }
}
