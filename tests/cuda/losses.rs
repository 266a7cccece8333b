//! Losses.

use crate::harness::{Case, F32, shapes};
use crate::support::Random;
use mtl_zoo::ops::{CrossEntropy, IGNORE, bce_with_logits, cross_entropy, mse};

#[test]
fn cross_entropy_is_that_of_the_cpu() {
    let (mut random, mut worst) = (Random(1), 0.0f64);
    // candle's own ops do not launch on nothing.
    for [rows, classes] in shapes(&mut random).into_iter().filter(|shape| shape[0] > 0) {
        for scale in [1.0, 300.0] {
            let logits = random.numbers(rows * classes).into_iter().map(|x| scale * x).collect();
            let case = Case::new(vec![([rows, classes], logits)], vec![]);
            let target = |random: &mut Random| if random.below(4) == 0 { IGNORE } else { random.below(classes) as u32 };
            let targets: Vec<u32> = (0..rows).map(|_| target(&mut random)).collect();
            let weights = random.numbers(classes).into_iter().map(f32::abs).collect();
            for (class_weights, label_smoothing) in [(None, 0.0), (Some(weights), 0.1)] {
                let options = CrossEntropy { targets: targets.clone(), class_weights, label_smoothing };
                let op = |call: &crate::harness::Call| cross_entropy(&call.inputs[0], options.clone());
                worst = worst.max(case.compare("cross_entropy", F32, op));
            }
            let options = CrossEntropy { targets: vec![IGNORE; rows], class_weights: None, label_smoothing: 0.0 };
            worst =
                worst.max(case.compare("nothing counts", F32, |call| cross_entropy(&call.inputs[0], options.clone())));
        }
    }
    println!("cross_entropy: {worst:.1e}");
}

#[test]
fn pointwise_losses_are_those_of_the_cpu() {
    let (mut random, mut worst) = (Random(2), 0.0f64);
    for [rows, labels] in shapes(&mut random).into_iter().filter(|shape| shape[0] > 0) {
        for scale in [1.0, 200.0] {
            let count = rows * labels;
            let numbers = random.numbers(count).into_iter().map(|x| scale * x).collect();
            let case = Case::new(vec![([rows, labels], numbers)], vec![]);
            let targets = random.numbers(count);
            worst = worst.max(case.compare("mse", F32, |call| mse(&call.inputs[0], targets.clone())));
            let truths: Vec<f32> = targets.iter().map(|&x| f32::from(u8::from(x > 0.0))).collect();
            let weights: Vec<f32> = random.numbers(labels).into_iter().map(f32::abs).collect();
            for weights in [None, Some(weights)] {
                let op =
                    |call: &crate::harness::Call| bce_with_logits(&call.inputs[0], truths.clone(), weights.clone());
                worst = worst.max(case.compare("bce", F32, op));
            }
        }
    }
    println!("pointwise: {worst:.1e}");
}
