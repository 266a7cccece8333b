//! Products against sums in f64, by all kernels that the processor has.

use super::*;
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
