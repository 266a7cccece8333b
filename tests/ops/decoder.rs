//! The ops of decoder-style layers: RMS norm, SwiGLU, rotary positions.

use crate::harness::Case;
use crate::shapes;
use crate::support::{Random, device};
use candle_core::Tensor;
use mtl_zoo::gradient::Parameter;
use mtl_zoo::ops::{rms_norm, rotary, swiglu};

fn tensor(values: &[f32], rows: usize, columns: usize) -> Tensor {
    Tensor::from_slice(values, (rows, columns), &device()).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn close(found: &[f32], expected: impl IntoIterator<Item = f64>, what: &str) {
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(*found) - expected).abs() < 2e-6, "{what}, number {index}: {found}, not {expected}");
    }
}

#[test]
fn rms_norm_differences() {
    let (mut random, mut worst) = (Random(21), 0.0f64);
    for [rows, width] in shapes(&mut random) {
        let x = random.numbers(rows * width).iter().map(|x| 2.0 * x + 0.5).collect();
        let parameters = vec![("weight", vec![width], random.numbers(width))];
        let case = Case { inputs: vec![([rows, width], x)], parameters };
        worst = worst.max(case.check("rms_norm", &mut random, |call| {
            rms_norm(&call.inputs[0], &call.parameter("weight"), 1e-2, call.recorder.as_ref())
        }));
    }
    println!("rms_norm: {worst:.1e}");
}

#[test]
fn rms_norm_equals_its_definition() {
    let mut random = Random(22);
    let (x, weight) = (random.numbers(5 * 37), random.numbers(37));
    let parameter = Parameter::constant(Tensor::from_slice(&weight, 37, &device()).unwrap());
    let found = values(&rms_norm(&tensor(&x, 5, 37), &parameter, 1e-6, None).unwrap());
    let expected = x.chunks(37).flat_map(|row| {
        let square = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / 37.0;
        row.iter().zip(&weight).map(move |(&x, &w)| f64::from(x) / (square + 1e-6).sqrt() * f64::from(w))
    });
    close(&found, expected.collect::<Vec<_>>(), "rms_norm");
    assert!(rms_norm(&tensor(&x, 37, 5), &parameter, 1e-6, None).is_err());
}

#[test]
fn swiglu_differences_and_definition() {
    let (mut random, mut worst) = (Random(23), 0.0f64);
    for [rows, width] in shapes(&mut random) {
        let mut input = || ([rows, width], random.numbers(rows * width).iter().map(|x| 3.0 * x).collect::<Vec<f32>>());
        let (gate, up) = (input(), input());
        let found = values(&swiglu(&tensor(&gate.1, rows, width), &tensor(&up.1, rows, width)).unwrap());
        let expected = gate.1.iter().zip(&up.1).map(|(&g, &u)| {
            let (g, u) = (f64::from(g), f64::from(u));
            g / (1.0 + (-g).exp()) * u
        });
        close(&found, expected.collect::<Vec<_>>(), "swiglu");
        let case = Case { inputs: vec![gate, up], parameters: vec![] };
        worst = worst.max(case.check("swiglu", &mut random, |call| swiglu(&call.inputs[0], &call.inputs[1])));
    }
    println!("swiglu: {worst:.1e}");
    assert!(swiglu(&tensor(&[0.0; 6], 2, 3), &tensor(&[0.0; 6], 3, 2)).is_err());
}

#[test]
fn rotary_differences() {
    let (mut random, mut worst) = (Random(24), 0.0f64);
    for (tokens, heads, d) in [(0, 1, 2), (1, 1, 2), (7, 3, 4), (300, 2, 32), (33, 4, 6)] {
        let positions: Vec<u32> = (0..tokens).map(|_| random.below(500) as u32).collect();
        let input = ([tokens, heads * d], random.numbers(tokens * heads * d));
        let case = Case { inputs: vec![input], parameters: vec![] };
        worst = worst.max(case.check("rotary", &mut random, |call| rotary(&call.inputs[0], &positions, heads, 1e4)));
    }
    println!("rotary: {worst:.1e}");
}

#[test]
fn rotary_turns_each_pair_by_its_angle() {
    let mut random = Random(25);
    let (tokens, heads, d, base) = (9, 2, 8, 10_000.0f64);
    let positions: Vec<u32> = (0..tokens as u32).map(|token| token * 37).collect();
    let x = random.numbers(tokens * heads * d);
    let found = values(&rotary(&tensor(&x, tokens, heads * d), &positions, heads, base).unwrap());
    let mut expected = vec![0.0; x.len()];
    for (token, &position) in positions.iter().enumerate() {
        for head in 0..heads {
            for i in 0..d / 2 {
                let at = token * heads * d + head * d + i;
                let (low, high) = (f64::from(x[at]), f64::from(x[at + d / 2]));
                let (sin, cos) = (f64::from(position) * base.powf(-2.0 * i as f64 / d as f64)).sin_cos();
                expected[at] = low * cos - high * sin;
                expected[at + d / 2] = high * cos + low * sin;
            }
        }
    }
    close(&found, expected, "rotary");
    assert!(rotary(&tensor(&x, tokens, heads * d), &positions[1..], heads, base).is_err(), "a position a token");
    assert!(rotary(&tensor(&x, tokens, heads * d), &positions, 16, base).is_err(), "an even width");
}
