//! The layers as one op, in f32 and in bf16, kept and computed again.

use crate::harness::{Call, Case, F32, Tolerance, starts};
use crate::support::Random;
use mtl_zoo::ops::{Activation, Attention, Dense, EncoderLayer, LayerOptions, Noise, Norm, Precision, encoder};
use std::sync::Arc;

const NAMES: [&str; 32] = [
    "0.q", "0.qb", "0.k", "0.kb", "0.v", "0.vb", "0.o", "0.ob", "0.n", "0.nb", "0.i", "0.ib", "0.w", "0.wb", "0.m",
    "0.mb", "1.q", "1.qb", "1.k", "1.kb", "1.v", "1.vb", "1.o", "1.ob", "1.n", "1.nb", "1.i", "1.ib", "1.w", "1.wb",
    "1.m", "1.mb",
];

fn case(tokens: usize, h: usize, inner: usize, random: &mut Random) -> Case {
    let parameter = |(index, name): (usize, &&'static str)| {
        let shape = match index % 16 {
            10 => vec![inner, h],
            11 => vec![inner],
            12 => vec![h, inner],
            0 | 2 | 4 | 6 => vec![h, h],
            _ => vec![h],
        };
        let scale = if shape.len() == 2 { 1.0 / (shape[1] as f32).sqrt() } else { 0.3 };
        let norm = f32::from(u8::from(matches!(index % 16, 8 | 14)));
        let values = (0..shape.iter().product()).map(|_| norm + scale * random.number()).collect();
        (*name, shape, values)
    };
    let parameters = NAMES.iter().enumerate().map(parameter).collect();
    Case::new(vec![([tokens, h], random.numbers(tokens * h))], parameters)
}

/// Runs two layers in every way that a step may.
fn check(tokens: usize, heads: usize, d: usize, inner: usize, longest: usize, seed: u64) {
    let mut random = Random(seed);
    let h = heads * d;
    let case = case(tokens, h, inner, &mut random);
    let starts = starts(tokens, longest, &mut random);
    for (recompute, p) in [(false, 0.0), (true, 0.1)] {
        let op = |call: &Call, precision| {
            let noise = Noise::new(5, 1);
            let layer = |index: usize| {
                let get = |part: usize| call.parameter(NAMES[16 * index + part]);
                let dense = |part: usize| Dense { weight: get(part), bias: get(part + 1) };
                let norm = |part: usize| Norm { weight: get(part), bias: get(part + 1), epsilon: 1e-5 };
                let parameters = EncoderLayer {
                    qkv: [dense(0), dense(2), dense(4)],
                    attention_output: dense(6),
                    attention_norm: norm(8),
                    intermediate: dense(10),
                    activation: if index == 0 { Activation::Gelu } else { Activation::GeluTanh },
                    output: dense(12),
                    output_norm: norm(14),
                };
                let attention = Attention {
                    starts: starts.clone(),
                    heads,
                    dropout: Some(noise.dropout(p)),
                    relative: None,
                    recorder: call.recorder.clone(),
                };
                let dropout = [Some(noise.dropout(p)), Some(noise.dropout(p))];
                (Arc::new(parameters), LayerOptions { attention, dropout, operands: None })
            };
            encoder(&call.inputs[0], vec![layer(0), layer(1)], precision, recompute)
        };
        let name = format!("{tokens} tokens, {heads} heads of {d}, recompute {recompute}, dropout {p}");
        let exact = case.compare(&name, Tolerance { numbers: 3e-5, ..F32 }, |call| op(call, Precision::F32));
        let precision = |rounded| if rounded { Precision::Bf16 } else { Precision::F32 };
        let ratio = case.compare_rounded(&name, |call, rounded| op(call, precision(rounded)));
        // The CPU has no f16: eight times as fine as bf16.
        let f16 = case.compare_near(&name, 0.05 / 8.0, |call, rounded| {
            op(call, if rounded { Precision::F16 } else { Precision::F32 })
        });
        println!("{name}: f32 {exact:.1e}, bf16 {ratio:.2} times the CPU's distance, f16 {f16:.1e}");
    }
}

#[test]
fn layers_are_those_of_the_cpu() {
    check(75, 2, 32, 96, 30, 1);
}

#[test]
fn odd_widths_and_single_tokens() {
    check(9, 3, 5, 17, 4, 2);
    check(1, 1, 16, 8, 1, 3);
}

#[test]
fn nothing_at_all() {
    check(0, 2, 16, 8, 1, 4);
}

#[test]
fn a_long_sequence_of_wide_heads() {
    check(140, 1, 128, 64, 140, 5);
}
