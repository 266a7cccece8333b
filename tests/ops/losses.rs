//! Losses against PyTorch's numbers, closed forms and finite differences.

use crate::harness::Case;
use crate::support::{Random, device};
use candle_core::{Tensor, Var};
use mtl_zoo::ops::{CrossEntropy, IGNORE, bce_with_logits, cross_entropy, mse};

/// Loss and gradient of a logit each.
fn run(logits: &[f32], columns: usize, loss: impl Fn(&Tensor) -> candle_core::Result<Tensor>) -> (f64, Vec<f64>) {
    let x = Var::from_slice(logits, (logits.len() / columns, columns), &device()).unwrap();
    let value = loss(&x).unwrap();
    let gradients = value.backward().unwrap();
    let dx: Vec<f32> = match gradients.get(&x) {
        None if logits.is_empty() => Vec::new(),
        found => found.unwrap().flatten_all().unwrap().to_vec1().unwrap(),
    };
    (value.to_scalar::<f32>().unwrap().into(), dx.into_iter().map(f64::from).collect())
}

fn close(found: &(f64, Vec<f64>), loss: f64, gradient: &[f64], what: &str) {
    assert!((found.0 - loss).abs() <= 1e-6 * loss.abs().max(1e-3), "{what}: loss {} is not {loss}", found.0);
    assert_eq!(found.1.len(), gradient.len());
    for (found, expected) in found.1.iter().zip(gradient) {
        assert!(
            (found - expected).abs() < 1e-7 * expected.abs().max(1.0),
            "{what}: gradient {found} is not {expected}"
        );
    }
}

#[test]
fn cross_entropy_equals_pytorch() {
    // torch.nn.functional.cross_entropy(logits, torch.tensor([2, 0, -100, 1]), weight, label_smoothing=s) in float64,
    // and logits.grad.
    let logits = [0.5, -1.25, 2.0, 1.5, 0.25, -0.75, -2.0, 3.0, 0.125, 0.0, 0.5, 1.0];
    let weights = Some(vec![1.0, 2.0, 0.5]);
    type Expected = (bool, f32, f64, [f64; 9]);
    #[rustfmt::skip]
    let expected: [Expected; 5] = [
        (false, 0.0, 0.5811880877169971, [0.058940061, 0.010242247, -0.069182307, -0.09385322, 0.068612201, 0.025241018, 0.062107908, -0.230934705, 0.168826797]),
        (true, 0.0, 0.8021494120690599, [0.025260026, 0.004389534, -0.02964956, -0.080445617, 0.058810458, 0.021635159, 0.106470699, -0.395888065, 0.289417366]),
        (false, 0.1, 0.6728547543836638, [0.04782895, -0.000868864, -0.046960085, -0.071630997, 0.05750109, 0.014129907, 0.050996797, -0.208712483, 0.157715686]),
        (true, 0.1, 0.8931485177290917, [0.01910422, -0.014072813, -0.005031406, -0.057976853, 0.040743014, 0.01723384, 0.09251061, -0.365107015, 0.272596405]),
        (true, 0.75, 1.4846427045192985, [-0.020908519, -0.134078074, 0.154986594, 0.08807011, -0.076695377, -0.011374732, 0.001770034, -0.165030188, 0.163260154]),
    ];
    for (weighted, label_smoothing, loss, gradient) in expected {
        let options = CrossEntropy {
            targets: vec![2, 0, IGNORE, 1],
            class_weights: weights.clone().filter(|_| weighted),
            label_smoothing,
        };
        let found = run(&logits, 3, |x| cross_entropy(x, options.clone()));
        let gradient = [&gradient[..6], &[0.0; 3], &gradient[6..]].concat();
        close(&found, loss, &gradient, &format!("weights {weighted}, smoothing {label_smoothing}"));
    }
}

#[test]
fn binary_cross_entropy_equals_pytorch() {
    // torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, weight) in float64, and logits.grad.
    let logits = [0.5, -1.25, 2.0, -0.75, -3.0, 4.0];
    let targets = vec![1.0, 0.0, 0.0, 1.0, 1.0, 0.25];
    let found = run(&logits, 2, |x| bce_with_logits(x, targets.clone(), None));
    let gradient = [-0.062923445, 0.03711669, 0.146799513, -0.11319645, -0.158762354, 0.122002298];
    close(&found, 1.6760903936958174, &gradient, "without weights");
    let found = run(&logits, 2, |x| bce_with_logits(x, targets.clone(), Some(vec![0.5, 3.0])));
    let gradient = [-0.031461722, 0.111350069, 0.073399756, -0.33958935, -0.079381177, 0.366006895];
    close(&found, 2.6742743699221108, &gradient, "with weights");
}

#[test]
fn extreme_logits_have_finite_losses_and_gradients() {
    for z in [100.0f32, 1e4, 1e30] {
        let entropy = |logits: &[f32], target| {
            let options = CrossEntropy { targets: vec![target], class_weights: None, label_smoothing: 0.0 };
            run(logits, logits.len(), |x| cross_entropy(x, options.clone()))
        };
        let wide = f64::from(z);
        // ln(eᶻ + e⁻ᶻ) ∓ z: nothing is left of the smaller one.
        close(&entropy(&[z, -z], 0), 0.0, &[0.0, 0.0], "right");
        close(&entropy(&[z, -z], 1), 2.0 * wide, &[1.0, -1.0], "wrong");
        // Equal logits are ln n at any size.
        let third = 1.0 / 3.0;
        close(&entropy(&[z, z, z], 2), 3f64.ln(), &[third, third, third - 1.0], "equal");
        close(&entropy(&[-z, -z, -z], 2), 3f64.ln(), &[third, third, third - 1.0], "equal, negative");
        let smooth = CrossEntropy { targets: vec![0], class_weights: None, label_smoothing: 0.5 };
        let found = run(&[z, -z], 2, |x| cross_entropy(x, smooth.clone()));
        close(&found, 0.5 * wide, &[0.25, -0.25], "smoothed");

        let binary = |x: f32, z: f32| run(&[x], 1, |x| bce_with_logits(x, vec![z], None));
        close(&binary(z, 1.0), 0.0, &[0.0], "binary, right");
        close(&binary(-z, 0.0), 0.0, &[0.0], "binary, right");
        close(&binary(z, 0.0), wide, &[1.0], "binary, wrong");
        close(&binary(-z, 1.0), wide, &[-1.0], "binary, wrong");
        close(&binary(z, 0.5), 0.5 * wide, &[0.5], "binary, between");
    }
    for z in [100.0f32, -100.0, 1e4, -1e4] {
        let wide = f64::from(z);
        close(&run(&[z], 1, |x| mse(x, vec![-z])), 4.0 * wide * wide, &[4.0 * wide], "squared");
        close(&run(&[z, 0.5], 1, |x| mse(x, vec![z, 0.25])), 0.03125, &[0.0, 0.25], "squared, near");
    }
}

#[test]
fn what_is_not_finite_comes_through() {
    let options = CrossEntropy { targets: vec![0], class_weights: None, label_smoothing: 0.0 };
    for position in 0..3 {
        let mut logits = [0.5f32; 3];
        logits[position] = f32::NAN;
        assert!(run(&logits, 3, |x| cross_entropy(x, options.clone())).0.is_nan());
        assert!(run(&logits, 3, |x| mse(x, vec![0.0; 3])).0.is_nan());
        assert!(run(&logits, 3, |x| bce_with_logits(x, vec![0.0; 3], None)).0.is_nan());
    }
}

#[test]
fn rows_that_do_not_count_give_zero() {
    let ignored = CrossEntropy { targets: vec![IGNORE; 2], class_weights: None, label_smoothing: 0.1 };
    let weightless =
        CrossEntropy { targets: vec![1, 1], class_weights: Some(vec![1.0, 0.0, 2.0]), label_smoothing: 0.1 };
    for options in [ignored, weightless] {
        let found = run(&[0.5, 1.0, -1.0, 2.0, 0.0, 0.5], 3, |x| cross_entropy(x, options.clone()));
        close(&found, 0.0, &[0.0; 6], "no row counts");
    }
    let empty = |loss: &dyn Fn(&Tensor) -> candle_core::Result<Tensor>| run(&[], 3, loss).0;
    let options = CrossEntropy { targets: vec![], class_weights: None, label_smoothing: 0.0 };
    assert_eq!(empty(&|x| cross_entropy(x, options.clone())), 0.0);
    assert_eq!(empty(&|x| mse(x, vec![])), 0.0);
    assert_eq!(empty(&|x| bce_with_logits(x, vec![], None)), 0.0);
}

#[test]
fn targets_that_do_not_fit_are_refused() {
    let logits = Tensor::zeros((2, 3), candle_core::DType::F32, &device()).unwrap();
    let entropy = |targets: &[u32], class_weights| {
        cross_entropy(&logits, CrossEntropy { targets: targets.to_vec(), class_weights, label_smoothing: 0.0 })
    };
    assert!(entropy(&[0, 3], None).is_err() && entropy(&[0], None).is_err());
    assert!(entropy(&[0, 1], Some(vec![1.0; 2])).is_err());
    assert!(bce_with_logits(&logits, vec![0.0; 5], None).is_err());
    assert!(bce_with_logits(&logits, vec![0.0; 6], Some(vec![1.0; 2])).is_err());
    assert!(mse(&logits, vec![0.0; 3]).is_err());
}

#[test]
fn loss_differences() {
    let (mut random, mut worst) = (Random(7), 0.0f64);
    for round in 0..10 {
        let (rows, classes) = (1 + random.below(40), 2 + random.below(12));
        let shape = [rows, classes];
        let mut case = || Case {
            inputs: vec![(shape, random.numbers(rows * classes).iter().map(|x| 3.0 * x).collect())],
            parameters: vec![],
        };
        let (one, two, three) = (case(), case(), case());
        let target = |random: &mut Random| if random.below(4) == 0 { IGNORE } else { random.below(classes) as u32 };
        let weights: Vec<f32> = random.numbers(classes).iter().map(|x| x + 1.1).collect();
        let options = CrossEntropy {
            targets: (0..rows).map(|_| target(&mut random)).collect(),
            class_weights: (round % 2 == 0).then(|| weights.clone()),
            label_smoothing: [0.0, 0.1, 0.9][round % 3],
        };
        worst =
            worst.max(one.check("cross_entropy", &mut random, |call| cross_entropy(&call.inputs[0], options.clone())));
        let targets: Vec<f32> = (0..rows * classes).map(|_| random.below(2) as f32).collect();
        let weights = (round % 2 == 0).then_some(weights);
        worst = worst.max(two.check("bce_with_logits", &mut random, |call| {
            bce_with_logits(&call.inputs[0], targets.clone(), weights.clone())
        }));
        worst = worst.max(three.check("mse", &mut random, |call| mse(&call.inputs[0], targets.clone())));
    }
    println!("losses: {worst:.1e}");
}
