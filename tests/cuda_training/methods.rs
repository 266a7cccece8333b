//! Every balancing method on the device.

use crate::both;
use mtl_zoo::balance::methods;
use mtl_zoo::recipe::{Balance, Level};
use mtl_zoo::train::StepReport;

/// A few steps with a method; the reports.
fn steps(setup: &crate::Setup) -> Vec<StepReport> {
    let mut trainer = setup.trainer();
    if trainer.balance.needs() == mtl_zoo::balance::Needs::Validation {
        let batch = setup.batches[9].clone();
        trainer.validation = Some(Box::new(move |_| batch.clone()));
    }
    setup.batches[..4].iter().map(|batch| trainer.step(std::slice::from_ref(batch), 1.0).unwrap()).collect()
}

/// Weights of the tasks follow the CPU's; where they come from a comparison of near equals, a step may differ.
fn compare(name: &str, found: &[StepReport], expected: &[StepReport]) {
    for (step, (a, b)) in found.iter().zip(expected).enumerate() {
        for (a, b) in a.losses.iter().zip(&b.losses) {
            let (a, b) = (a.unwrap_or(0.0), b.unwrap_or(0.0));
            assert!((a - b).abs() <= 2e-3 * b.abs().max(0.1), "{name}, step {step}: loss {a} for {b}");
        }
        for (a, b) in a.weights.iter().flatten().zip(b.weights.iter().flatten()) {
            assert!((a - b).abs() <= 2e-2 * b.abs().max(0.1), "{name}, step {step}: weight {a} for {b}");
        }
        let (a, b) = (a.gradient_norm, b.gradient_norm);
        assert!((a - b).abs() <= 2e-2 * b, "{name}, step {step}: norm {a} for {b}");
    }
}

#[test]
fn all_methods_do_what_they_do_on_the_cpu() {
    for method in methods().iter().filter(|method| !["fixed", "search"].contains(&method.name)) {
        let Some([mut cpu, mut card]) = both("training") else { return };
        for setup in [&mut cpu, &mut card] {
            setup.recipe.balance = Balance::new(method.name);
            setup.recipe.training.conflicts_every = 2;
        }
        compare(method.name, &steps(&card), &steps(&cpu));
    }
}

#[test]
fn levels_and_measurements_do_what_they_do_on_the_cpu() {
    for (name, level) in [("mgda", Level::Representation), ("pcgrad", Level::Layers)] {
        let Some([mut cpu, mut card]) = both("training") else { return };
        for setup in [&mut cpu, &mut card] {
            setup.recipe.balance = Balance { level, ..Balance::new(name) };
            (setup.recipe.training.conflicts_every, setup.recipe.training.affinity_every) = (1, 2);
            setup.recipe.training.conflicts_by_layer = true;
        }
        let (found, expected) = (steps(&card), steps(&cpu));
        compare(name, &found, &expected);
        for (a, b) in found.iter().zip(&expected) {
            assert_eq!(a.conflicts.is_some(), b.conflicts.is_some());
            let numbers = |report: &StepReport| -> Vec<Option<f64>> {
                report.affinity.iter().flatten().flatten().copied().collect()
            };
            for (a, b) in numbers(a).into_iter().zip(numbers(b)) {
                assert!((a.unwrap_or(0.0) - b.unwrap_or(0.0)).abs() < 1e-2, "affinity {a:?} for {b:?}");
            }
        }
    }
}
