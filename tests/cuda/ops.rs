//! Ops of one layer.

use crate::harness::{Case, F32, shapes, starts};
use crate::support::Random;
use mtl_zoo::gradient::Owner;
use mtl_zoo::ops::{
    Activation, EmbeddingTables, Noise, PoolKind, activation, dropout, embedding, layer_norm, linear, pool, rms_norm,
    rotary, swiglu,
};

fn input(shape: [usize; 2], random: &mut Random) -> ([usize; 2], Vec<f32>) {
    (shape, random.numbers(shape[0] * shape[1]).into_iter().map(|x| 3.0 * x + 0.2).collect())
}

#[test]
fn linear_is_that_of_the_cpu() {
    let (mut random, mut worst) = (Random(1), 0.0f64);
    for [rows, inputs] in shapes(&mut random) {
        let outputs = 1 + random.below(60);
        let parameters = vec![
            ("weight", vec![outputs, inputs], random.numbers(outputs * inputs)),
            ("bias", vec![outputs], random.numbers(outputs)),
        ];
        let case = Case::new(vec![input([rows, inputs], &mut random)], parameters);
        worst = worst.max(case.compare("linear", F32, |call| {
            linear(&call.inputs[0], &call.parameter("weight"), Some(&call.parameter("bias")), call.recorder.as_ref())
        }));
        worst = worst.max(case.compare("linear without bias", F32, |call| {
            linear(&call.inputs[0], &call.parameter("weight"), None, call.recorder.as_ref())
        }));
    }
    println!("linear: {worst:.1e}");
}

#[test]
fn norms_are_those_of_the_cpu() {
    let (mut random, mut worst) = (Random(2), 0.0f64);
    for [rows, width] in shapes(&mut random) {
        let parameters =
            vec![("weight", vec![width], random.numbers(width)), ("bias", vec![width], random.numbers(width))];
        let case = Case::new(vec![input([rows, width], &mut random)], parameters);
        // With an epsilon that keeps the gradients of rows of one number in scale.
        worst = worst.max(case.compare("layer_norm", F32, |call| {
            let (weight, bias) = (call.parameter("weight"), call.parameter("bias"));
            layer_norm(&call.inputs[0], &weight, &bias, 1e-3, call.recorder.as_ref())
        }));
        worst = worst.max(case.compare("rms_norm", F32, |call| {
            rms_norm(&call.inputs[0], &call.parameter("weight"), 1e-3, call.recorder.as_ref())
        }));
    }
    println!("norms: {worst:.1e}");
}

#[test]
fn elementwise_ops_are_those_of_the_cpu() {
    let (mut random, mut worst) = (Random(3), 0.0f64);
    for shape in shapes(&mut random) {
        let case = Case::new(vec![input(shape, &mut random), input(shape, &mut random)], vec![]);
        for function in [Activation::Gelu, Activation::GeluTanh, Activation::Relu, Activation::Silu, Activation::Tanh] {
            let name = format!("{function:?}");
            worst = worst.max(case.compare(&name, F32, |call| activation(&call.inputs[0], function)));
        }
        worst = worst.max(case.compare("swiglu", F32, |call| swiglu(&call.inputs[0], &call.inputs[1])));
    }
    println!("elementwise: {worst:.1e}");
}

#[test]
fn dropout_masks_are_those_of_the_cpu_bit_for_bit() {
    let mut random = Random(4);
    let mut shapes = shapes(&mut random);
    shapes.push([301, 1003]);
    for (pass, shape) in shapes.into_iter().enumerate() {
        let noise = Noise::new(9, pass as u64);
        let case = Case::new(vec![input(shape, &mut random)], vec![]);
        for mask in [
            None,
            Some(noise.dropout(0.0)),
            Some(noise.dropout(0.1)),
            Some(noise.dropout(0.5)),
            Some(noise.dropout(0.9)),
        ] {
            let error = case.compare("dropout", F32, |call| dropout(&call.inputs[0], mask));
            assert_eq!(error, 0.0);
        }
    }
}

#[test]
fn rotary_is_that_of_the_cpu() {
    let (mut random, mut worst) = (Random(5), 0.0f64);
    for (tokens, heads, d) in [(0, 2, 4), (1, 1, 2), (37, 3, 10), (150, 2, 64)] {
        let positions: Vec<u32> = (0..tokens).map(|_| random.below(600) as u32).collect();
        let case = Case::new(vec![input([tokens, heads * d], &mut random)], vec![]);
        worst = worst.max(case.compare("rotary", F32, |call| rotary(&call.inputs[0], &positions, heads, 1e4)));
    }
    println!("rotary: {worst:.1e}");
}

#[test]
fn embeddings_are_those_of_the_cpu() {
    let (mut random, mut worst) = (Random(6), 0.0f64);
    let names = ["word", "position", "segment"];
    for [tokens, width] in shapes(&mut random) {
        let entries = [1 + random.below(50), 1 + random.below(600), 2];
        let owners = [Owner::Table, Owner::Shared, Owner::Shared];
        let parameters = names
            .iter()
            .zip(entries)
            .zip(owners)
            .map(|((name, entries), owner)| (*name, vec![entries, width], owner, random.numbers(entries * width)));
        let case = Case { inputs: vec![], parameters: parameters.collect(), rows: tokens };
        let indices = entries.map(|entries| (0..tokens).map(|_| random.below(entries) as u32).collect::<Vec<_>>());
        worst = worst.max(case.compare("embedding", F32, |call| {
            let tables = names.iter().zip(&indices).map(|(name, indices)| (call.parameter(name), indices.clone()));
            embedding(EmbeddingTables { tables: tables.collect() }, Some(&call.root), call.recorder.as_ref())
        }));
    }
    println!("embedding: {worst:.1e}");
}

#[test]
fn pooling_is_that_of_the_cpu() {
    let (mut random, mut worst) = (Random(7), 0.0f64);
    for kind in [PoolKind::First, PoolKind::Mean, PoolKind::Max] {
        for shape in shapes(&mut random) {
            let starts = starts(shape[0], 30, &mut random);
            let mut x = input(shape, &mut random);
            // Equals among the largest.
            x.1.iter_mut().for_each(|x| *x = (*x * 4.0).round() / 4.0);
            let case = Case::new(vec![x], vec![]);
            worst = worst.max(case.compare("pooling", F32, |call| pool(&call.inputs[0], &starts, kind)));
        }
    }
    println!("pooling: {worst:.1e}");
}
