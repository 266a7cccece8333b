//! Training against its PyTorch twin, step by step, and what a step promises.
#![cfg(feature = "train")]

mod support;

#[path = "training/balance.rs"]
mod balance;
#[path = "training/gradients.rs"]
mod gradients;
#[path = "training/ranks.rs"]
mod ranks;
#[path = "training/setup.rs"]
mod setup;
#[path = "training/steps.rs"]
mod steps;
#[path = "support/threads.rs"]
mod threads;

use mtl_zoo::train::{LearningRate, Trainer};
use setup::Setup;

/// Largest relative error of a curve, after a number of steps.
struct Worst {
    first_20: f64,
    all: f64,
}

impl Worst {
    fn add(&mut self, step: usize, actual: f64, expected: f64) {
        let error = (actual / expected - 1.0).abs();
        let error = if error.is_nan() { f64::INFINITY } else { error };
        self.all = self.all.max(error);
        if step < 20 {
            self.first_20 = self.first_20.max(error);
        }
    }
}

/// Trains all batches; gives the trained model and the largest errors of the objective, the tasks' losses and the
/// gradient norm.
fn train(setup: &Setup) -> (Trainer, [Worst; 3]) {
    let [mut totals, mut losses, mut norms] = [(); 3].map(|()| Worst { first_20: 0.0, all: 0.0 });
    let mut trainer = setup.trainer();
    let rate = LearningRate::new(&setup.recipe.training, setup.steps);
    for (step, batch) in setup.batches.iter().enumerate() {
        let factor = rate.factor(step);
        assert!((factor - setup.golden.get("rate_factor")[step]).abs() < 1e-7, "step {step}: rate {factor}");
        let report = trainer.step(std::slice::from_ref(batch), factor).unwrap();
        assert_eq!(report.tokens, batch.packed.tokens());
        totals.add(step, report.loss, setup.golden.get("loss")[step]);
        norms.add(step, report.gradient_norm, setup.golden.get("gradient_norm")[step]);
        for (task, loss) in setup.recipe.tasks.keys().zip(&report.losses) {
            let expected = setup.golden.get(&format!("loss.{task}"))[step];
            match loss {
                Some(loss) => losses.add(step, f64::from(*loss), expected),
                None => assert!(expected.is_nan(), "step {step}: {task} is absent"),
            }
        }
    }

    (trainer, [totals, losses, norms])
}

/// Largest difference of the final parameters.
fn final_error(setup: &Setup, trainer: &mut Trainer) -> f64 {
    let tensors = trainer.model().unwrap().tensors();
    let numbers = |name: &str| tensors[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let difference = |actual: &[f32], expected: &[f64]| {
        assert_eq!(actual.len(), expected.len());
        actual.iter().zip(expected).fold(0.0f64, |max, (a, e)| max.max((f64::from(*a) - e).abs()))
    };
    let mut worst = 0.0f64;
    for (name, (_, expected)) in &setup.golden.arrays {
        if let Some(name) = name.strip_prefix("final.") {
            worst = worst.max(difference(&numbers(name), expected));
        } else if let Some(name) = name.strip_prefix("final_rows.") {
            let (table, width) = (numbers(name), tensors[name].dims()[1]);
            let rows = setup.golden.ints("rows");
            let picked: Vec<f32> =
                rows.iter().flat_map(|&row| &table[row as usize * width..][..width]).copied().collect();
            worst = worst.max(difference(&picked, expected));
        }
    }
    worst
}

fn compare(name: &str) {
    let setup = Setup::open(name);
    let (mut trainer, worst) = train(&setup);
    let last = final_error(&setup, &mut trainer);
    // A loss of 0.02 is the square of a difference that has lost digits: the tasks' own bound is the widest.
    for (what, worst, bound) in
        [("objective", &worst[0], 5e-6), ("losses", &worst[1], 3e-5), ("gradient norms", &worst[2], 1e-5)]
    {
        println!("{name}: {what} within {:.1e} in 20 steps, {:.1e} in all", worst.first_20, worst.all);
        assert!(worst.all < bound, "{name}: {what} differ by {:e}", worst.all);
    }
    println!("{name}: final parameters within {last:.1e}");
    assert!(last < 5e-6, "{name}: final parameters differ by {last:e}");
}

#[test]
fn a_small_model_trains_as_in_pytorch() {
    compare("training");
}

#[test]
fn the_bundled_backbone_trains_as_in_pytorch() {
    compare("training_bundled");
}
