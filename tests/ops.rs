//! Every op alone: finite differences, closed forms, and a naive computation in f64.

mod support;

#[path = "ops/attention.rs"]
mod attention;
#[path = "ops/decoder.rs"]
mod decoder;
#[path = "ops/harness.rs"]
mod harness;
#[path = "ops/losses.rs"]
mod losses;

use candle_core::{DType, Tensor, Var};
use harness::Case;
use mtl_zoo::ops::{
    Activation, EmbeddingTables, Noise, PoolKind, activation, anchor, dropout, embedding, layer_norm, linear, pool,
};
use support::{Random, device};

/// Shapes `[rows, columns]`: nothing, one number, one row, odd sizes, and more than one chunk of work.
fn shapes(random: &mut Random) -> Vec<[usize; 2]> {
    let mut shapes = vec![[0, 5], [1, 1], [1, 7], [33, 1], [600, 40]];
    shapes.extend((0..8).map(|_| [1 + random.below(70), 1 + random.below(50)]));
    shapes
}

#[test]
fn linear_differences() {
    let (mut random, mut worst) = (Random(1), 0.0f64);
    for [rows, inputs] in shapes(&mut random) {
        let outputs = 1 + random.below(40);
        let case = |bias: bool, random: &mut Random| Case {
            inputs: vec![([rows, inputs], random.numbers(rows * inputs))],
            parameters: [("weight", vec![outputs, inputs]), ("bias", vec![outputs])][..1 + usize::from(bias)]
                .iter()
                .map(|(name, shape)| (*name, shape.clone(), random.numbers(shape.iter().product())))
                .collect(),
        };
        let with = case(true, &mut random);
        worst = worst.max(with.check("linear", &mut random, |call| {
            let (weight, bias) = (call.parameter("weight"), call.parameter("bias"));
            linear(&call.inputs[0], &weight, Some(&bias), call.recorder.as_ref())
        }));
        let without = case(false, &mut random);
        worst = worst.max(without.check("linear without bias", &mut random, |call| {
            linear(&call.inputs[0], &call.parameter("weight"), None, call.recorder.as_ref())
        }));
    }
    println!("linear: {worst:.1e}");
}

#[test]
fn layer_norm_differences() {
    let (mut random, mut worst) = (Random(2), 0.0f64);
    for [rows, width] in shapes(&mut random) {
        let x = random.numbers(rows * width).iter().map(|x| 3.0 * x + 1.0).collect();
        let mut vector = |name| (name, vec![width], random.numbers(width));
        let parameters = vec![vector("weight"), vector("bias")];
        let case = Case { inputs: vec![([rows, width], x)], parameters };
        worst = worst.max(case.check("layer_norm", &mut random, |call| {
            let (weight, bias) = (call.parameter("weight"), call.parameter("bias"));
            layer_norm(&call.inputs[0], &weight, &bias, 1e-3, call.recorder.as_ref())
        }));
    }
    println!("layer_norm: {worst:.1e}");
}

#[test]
fn embedding_differences() {
    let (mut random, mut worst) = (Random(3), 0.0f64);
    for [tokens, width] in shapes(&mut random) {
        let entries = [1 + random.below(50), 1 + random.below(600), 2];
        let names = ["word", "position", "segment"];
        let parameters = names.iter().zip(entries).map(|(name, entries)| {
            let shape = vec![entries, width];
            (*name, shape, random.numbers(entries * width))
        });
        let case = Case { inputs: vec![([tokens, 1], vec![0.0; tokens])], parameters: parameters.collect() };
        let indices = entries.map(|entries| (0..tokens).map(|_| random.below(entries) as u32).collect::<Vec<_>>());
        worst = worst.max(case.check("embedding", &mut random, |call| {
            let tables = names.iter().zip(&indices).map(|(name, indices)| (call.parameter(name), indices.clone()));
            embedding(EmbeddingTables { tables: tables.collect() }, call.root.as_ref(), call.recorder.as_ref())
        }));
    }
    println!("embedding: {worst:.1e}");
}

#[test]
fn activation_differences() {
    let (mut random, mut worst) = (Random(4), 0.0f64);
    for function in [Activation::Gelu, Activation::GeluTanh, Activation::Relu, Activation::Silu, Activation::Tanh] {
        for shape in shapes(&mut random) {
            // Not across the kink of ReLU.
            let away = |x: f32| 3.0 * x + if x < 0.0 { -0.1 } else { 0.1 };
            let x = random.numbers(shape[0] * shape[1]).into_iter().map(away).collect();
            let case = Case { inputs: vec![(shape, x)], parameters: vec![] };
            let name = format!("{function:?}");
            worst = worst.max(case.check(&name, &mut random, |call| activation(&call.inputs[0], function)));
        }
    }
    println!("activations: {worst:.1e}");
}

#[test]
fn dropout_differences() {
    let (mut random, mut worst) = (Random(5), 0.0f64);
    for (pass, shape) in shapes(&mut random).into_iter().enumerate() {
        let noise = Noise::new(9, pass as u64);
        for mask in [None, Some(noise.dropout(0.0)), Some(noise.dropout(0.3)), Some(noise.dropout(0.9))] {
            let case = Case { inputs: vec![(shape, random.numbers(shape[0] * shape[1]))], parameters: vec![] };
            worst = worst.max(case.check("dropout", &mut random, |call| dropout(&call.inputs[0], mask)));
        }
    }
    println!("dropout: {worst:.1e}");
}

/// Cuts `tokens` into sequences of at least one.
fn starts(tokens: usize, random: &mut Random) -> Vec<u32> {
    let mut starts = vec![0];
    while (starts[starts.len() - 1] as usize) < tokens {
        let left = tokens - starts[starts.len() - 1] as usize;
        starts.push(starts[starts.len() - 1] + 1 + random.below(left.min(20)) as u32);
    }
    starts
}

#[test]
fn pooling_differences() {
    let (mut random, mut worst) = (Random(6), 0.0f64);
    for kind in [PoolKind::First, PoolKind::Mean, PoolKind::Max] {
        for [tokens, width] in shapes(&mut random) {
            // Distinct numbers with room between them, so that no step changes which is the largest.
            let mut x: Vec<f32> = (0..tokens * width).map(|i| (i % 977) as f32 * 0.2 - 90.0).collect();
            (1..x.len()).for_each(|i| x.swap(i, random.below(i + 1)));
            if kind != PoolKind::Max || tokens * width > 977 {
                x = random.numbers(tokens * width);
            }
            if kind == PoolKind::Max && tokens * width > 977 {
                continue;
            }
            let case = Case { inputs: vec![([tokens, width], x)], parameters: vec![] };
            let starts = starts(tokens, &mut random);
            let name = format!("{kind:?} pooling");
            worst = worst.max(case.check(&name, &mut random, |call| pool(&call.inputs[0], &starts, kind)));
        }
    }
    println!("pooling: {worst:.1e}");
}

#[test]
fn max_pooling_gives_equals_gradient_to_the_first() {
    let x = Var::from_slice(&[1.0f32, 2.0, 1.0, 2.0, 0.0, 2.0], (3, 2), &device()).unwrap();
    let gradients = pool(&x, &[0, 3], PoolKind::Max).unwrap().sum_all().unwrap().backward().unwrap();
    let dx: Vec<f32> = gradients.get(&x).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(dx, [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn an_anchor_changes_nothing_but_starts_the_tape() {
    let root = Var::zeros(1, DType::F32, &device()).unwrap();
    let x = Tensor::from_slice(&[1.0f32, -2.0, 3.0, f32::MIN_POSITIVE], (2, 2), &device()).unwrap().t().unwrap();
    let anchored = anchor(&x, &root).unwrap();
    assert!(!x.track_op() && anchored.track_op());
    assert_eq!(anchored.to_vec2::<f32>().unwrap(), x.to_vec2::<f32>().unwrap());

    let var = Var::from_tensor(&x.contiguous().unwrap()).unwrap();
    let gradients = anchor(&var, &root).unwrap().sqr().unwrap().sum_all().unwrap().backward().unwrap();
    let dx: Vec<f32> = gradients.get(&var).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(dx[..3], [2.0, 6.0, -4.0]);
    assert!(gradients.get(&root).is_none());
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let tensor = |rows, columns| Tensor::zeros((rows, columns), DType::F32, &device()).unwrap();
    assert!(pool(&tensor(3, 2), &[0, 2], PoolKind::Mean).is_err(), "starts end before the tokens");
    assert!(pool(&tensor(3, 2), &[0, 0, 3], PoolKind::Max).is_err(), "an empty sequence has no state");
    let integers = Tensor::zeros((3, 2), DType::U32, &device()).unwrap();
    assert!(activation(&integers, Activation::Gelu).is_err());
}

/// erf, from the series of positive terms `2/√π e^(-x²) Σ 2ⁿ x^(2n+1) / (2n+1)!!`.
fn erf(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..400 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
    }
    sum * (-x * x).exp() * 2.0 / std::f64::consts::PI.sqrt()
}

#[test]
fn activations_equal_their_definitions() {
    use std::f64::consts::{PI, SQRT_2};
    type Pair = fn(f64) -> (f64, f64);
    let gelu: Pair = |x| {
        let below = 0.5 * (1.0 + if x.abs() > 6.0 { x.signum() } else { erf(x / SQRT_2) });
        (x * below, below + x * (-0.5 * x * x).exp() / (2.0 * PI).sqrt())
    };
    let gelu_tanh: Pair = |x| {
        let t = ((2.0 / PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh();
        let inner = (2.0 / PI).sqrt() * (1.0 + 3.0 * 0.044715 * x * x);
        (0.5 * x * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner)
    };
    let silu: Pair = |x| {
        let s = 1.0 / (1.0 + (-x).exp());
        (x * s, s * (1.0 + x * (1.0 - s)))
    };
    let tanh: Pair = |x| (x.tanh(), 1.0 - x.tanh().powi(2));
    let relu: Pair = |x| (x.max(0.0), f64::from(u8::from(x > 0.0)));
    let cases = [
        (Activation::Gelu, gelu),
        (Activation::GeluTanh, gelu_tanh),
        (Activation::Silu, silu),
        (Activation::Tanh, tanh),
        (Activation::Relu, relu),
    ];
    let mut xs: Vec<f32> = (-30_000..=30_000).map(|i| i as f32 * 4e-4).collect();
    xs.extend([-1e4, -100.0, -40.0, 40.0, 100.0, 1e4, -1e-30, 0.0, 1e-30]);
    for (function, pair) in cases {
        let x = Var::from_slice(&xs, xs.len(), &device()).unwrap();
        let out = activation(&x, function).unwrap();
        let gradients = out.sum_all().unwrap().backward().unwrap();
        let slopes: Vec<f32> = gradients.get(&x).unwrap().to_vec1().unwrap();
        let mut worst = [0.0f64; 2];
        for ((&x, y), slope) in xs.iter().zip(out.to_vec1::<f32>().unwrap()).zip(slopes) {
            let (value, derivative) = pair(x.into());
            // Relative where the value is large: f32 has no more digits.
            let error = |found: f32, expected: f64| (f64::from(found) - expected).abs() / expected.abs().max(1.0);
            let errors = [error(y, value), error(slope, derivative)];
            assert!(
                errors.iter().all(|&error| error < 1e-6),
                "{function:?}({x}): {y}, {slope}, not {value}, {derivative}"
            );
            worst.iter_mut().zip(errors).for_each(|(worst, error)| *worst = worst.max(error));
        }
        println!("{function:?}: values within {:.1e}, slopes within {:.1e}", worst[0], worst[1]);
        let nan = activation(&Tensor::new(f32::NAN, &device()).unwrap(), function).unwrap().to_scalar::<f32>();
        assert!(nan.unwrap().is_nan() || function == Activation::Relu, "{function:?} hides NaN");
    }
}
