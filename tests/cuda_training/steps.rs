//! Whole training steps.

use crate::{both, difference, setup::Setup};
use mtl_zoo::recipe::{Balance, TrainingDtype};
use mtl_zoo::train::{LearningRate, LossScale, StepReport, Trainer};

/// Trains the first steps.
fn train(setup: &Setup, trainer: &mut Trainer, steps: std::ops::Range<usize>) -> Vec<StepReport> {
    let rate = LearningRate::new(&setup.recipe.training, setup.steps);
    let step = |step: usize| trainer.step(std::slice::from_ref(&setup.batches[step]), rate.factor(step)).unwrap();
    steps.map(step).collect()
}

/// Largest relative difference of the tasks' losses and the gradient norms.
fn worst(found: &[StepReport], expected: &[StepReport]) -> f64 {
    let relative = |a: f64, b: f64| (a / b - 1.0).abs();
    let step = |(a, b): (&StepReport, &StepReport)| {
        let losses = a.losses.iter().zip(&b.losses).map(|(a, b)| match (a, b) {
            (Some(a), Some(b)) => relative(f64::from(*a), f64::from(*b)),
            (None, None) => 0.0,
            _ => f64::INFINITY,
        });
        losses.chain([relative(a.gradient_norm, b.gradient_norm)]).fold(0.0f64, f64::max)
    };
    found.iter().zip(expected).map(step).fold(0.0, |max, x| if x.is_nan() { f64::INFINITY } else { max.max(x) })
}

#[test]
fn twenty_losses_are_those_of_the_cpu() {
    let Some([cpu, card]) = both("training") else { return };
    let (mut on_cpu, mut on_card) = (cpu.trainer(), card.trainer());
    let steps = 0..20.min(cpu.steps);
    let expected = train(&cpu, &mut on_cpu, steps.clone());
    let found = train(&card, &mut on_card, steps);
    let error = worst(&found, &expected);
    println!("f32: losses and gradient norms of 20 steps within {error:.1e}");
    assert!(error < 1e-3, "{error:.1e}");
    let parameters = |trainer: &mut Trainer| trainer.model().unwrap().arena().snapshot().unwrap();
    let error = difference(&parameters(&mut on_card), &parameters(&mut on_cpu));
    assert!(error < 1e-3, "parameters differ by {error:.1e}");
}

#[test]
fn bf16_is_near_f32() {
    let Some([cpu, mut card]) = both("training") else { return };
    card.recipe.training.dtype = TrainingDtype::Bf16;
    let (mut on_cpu, mut on_card) = (cpu.trainer(), card.trainer());
    let (expected, found) = (train(&cpu, &mut on_cpu, 0..20), train(&card, &mut on_card, 0..20));
    let losses = |reports: &[StepReport]| reports.iter().map(|report| report.loss).sum::<f64>() / reports.len() as f64;
    let error = (losses(&found) / losses(&expected) - 1.0).abs();
    println!("bf16: mean loss of 20 steps within {error:.1e}");
    assert!(error < 0.02, "{error:.1e}");
}

/// The bits of parameters and moments.
fn state(trainer: &mut Trainer) -> Vec<u32> {
    let numbers = trainer.read(|p, [m, v]| [p.to_vec(), m.to_vec(), v.to_vec()].concat()).unwrap();
    numbers.into_iter().map(f32::to_bits).collect()
}

#[test]
fn f16_is_near_f32() {
    let Some([cpu, mut card]) = both("training") else { return };
    card.recipe.training.dtype = TrainingDtype::F16;
    let (mut on_cpu, mut on_card) = (cpu.trainer(), card.trainer());
    let (expected, found) = (train(&cpu, &mut on_cpu, 0..20), train(&card, &mut on_card, 0..20));
    let error = worst(&found, &expected);
    println!("f16: losses and gradient norms of 20 steps within {error:.1e}");
    assert!(error < 0.02, "{error:.1e}");
    assert!(found.iter().all(|report| report.loss_scale == Some(65536.0) && !report.skipped));
    assert_eq!(on_card.loss_scale(), Some(LossScale { scale: 65536.0, good: 20, skipped: 0 }));
}

#[test]
fn an_overflow_in_f16_leaves_the_step_out_and_halves_the_scale() {
    let Some([_, mut card]) = both("training") else { return };
    card.recipe.training.dtype = TrainingDtype::F16;
    let mut trainer = card.trainer();
    train(&card, &mut trainer, 0..2);
    // No gradient of a loss times this fits into f16.
    let huge = 2f64.powi(60);
    trainer.set_loss_scale(Some(LossScale { scale: huge, good: 2, skipped: 0 }));
    let before = state(&mut trainer);
    let report = &train(&card, &mut trainer, 2..3)[0];
    assert!(report.skipped && report.loss_scale == Some(huge) && !report.gradient_norm.is_finite());
    assert!(report.loss.is_finite() && report.weights.iter().flatten().all(|weight| weight.is_finite()));
    assert!(state(&mut trainer) == before, "parameters or moments were changed");
    assert_eq!(trainer.loss_scale(), Some(LossScale { scale: huge / 2.0, good: 0, skipped: 1 }));
    // It comes down to one that fits by itself.
    let reports: Vec<_> = (0..60).map(|_| train(&card, &mut trainer, 3..4).remove(0)).collect();
    let left_out = reports.iter().take_while(|report| report.skipped).count();
    assert!(left_out > 20 && reports[left_out..].iter().all(|report| !report.skipped), "{left_out}");
    assert!(state(&mut trainer) != before);
    let scale = trainer.loss_scale().unwrap();
    assert_eq!((scale.skipped, scale.good), (1 + left_out as u64, (60 - left_out) as u32));
}

#[test]
fn f16_goes_on_with_its_scale() {
    let Some([_, mut card]) = both("training") else { return };
    card.recipe.training.dtype = TrainingDtype::F16;
    let mut whole = card.trainer();
    whole.set_loss_scale(Some(LossScale { scale: 2f64.powi(40), good: 0, skipped: 0 }));
    while whole.loss_scale().unwrap().good < 3 {
        train(&card, &mut whole, 3..4);
    }
    let (parameters, one, two) = whole.read(|p, [m, v]| (p.to_vec(), m.to_vec(), v.to_vec())).unwrap();
    let scale = whole.loss_scale().unwrap();
    assert!(scale.skipped > 0, "{scale:?}");
    let mut resumed = card.trainer();
    resumed.restore(&parameters, one, two, 3).unwrap();
    resumed.set_loss_scale(Some(scale));
    let [expected, found] = [&mut whole, &mut resumed].map(|trainer| train(&card, trainer, 10..16));
    assert_eq!(found, expected);
    assert!(state(&mut resumed) == state(&mut whole));
}

#[test]
fn methods_see_gradients_in_f16_without_their_scale() {
    for method in ["pcgrad", "moco", "graddrop", "excess_mtl", "sdmgrad"] {
        let Some([mut cpu, mut card]) = both("training") else { return };
        for setup in [&mut cpu, &mut card] {
            setup.recipe.balance = Balance::new(method);
            setup.recipe.training.conflicts_every = 2;
        }
        card.recipe.training.dtype = TrainingDtype::F16;
        let error = worst(&train(&card, &mut card.trainer(), 0..3), &train(&cpu, &mut cpu.trainer(), 0..3));
        println!("{method} in f16: {error:.1e}");
        assert!(error < 0.05, "{method}: {error:.1e}");
    }
}

#[test]
fn a_run_goes_on_from_either_side() {
    let Some([cpu, card]) = both("training") else { return };
    let whole = train(&cpu, &mut cpu.trainer(), 0..12);
    for (first, second) in [(&cpu, &card), (&card, &cpu), (&card, &card)] {
        let mut trainer = first.trainer();
        train(first, &mut trainer, 0..6);
        let (parameters, one, two) = trainer.read(|p, [m, v]| (p.to_vec(), m.to_vec(), v.to_vec())).unwrap();
        let mut resumed = second.trainer();
        resumed.restore(&parameters, one, two, 6).unwrap();
        let rest = train(second, &mut resumed, 6..12);
        let error = worst(&rest, &whole[6..]);
        assert!(error < 1e-3, "{:?} to {:?}: {error:.1e}", first.device, second.device);
    }
}

#[test]
fn pieces_of_a_batch_give_its_step() {
    let Some(setups) = both("training") else { return };
    for setup in setups {
        let expected = train(&setup, &mut setup.trainer(), 0..8);
        for tokens in [1, 20, 50] {
            let mut trainer = setup.trainer();
            trainer.divide_batches(tokens);
            let error = worst(&train(&setup, &mut trainer, 0..8), &expected);
            assert!(error < 1e-3, "{:?}, {tokens} tokens: {error:.1e}", setup.device);
        }
    }
}

#[test]
fn a_loss_that_is_not_finite_stops_before_anything_changes() {
    let Some([_, setup]) = both("training") else { return };
    let mut trainer = setup.trainer();
    train(&setup, &mut trainer, 0..2);
    let arena = trainer.model().unwrap().arena();
    let mut flat = arena.snapshot().unwrap();
    flat[arena.entries()["heads.score.bias"].slot.offset] = f32::NAN;
    trainer.set_parameters(&flat).unwrap();
    let before = state(&mut trainer);
    let error = trainer.step(&setup.batches[..1], 1.0).unwrap_err().to_string();
    assert!(error.contains("step 3") && error.contains("`score`") && error.contains("NaN"), "{error}");
    assert!(state(&mut trainer) == before);
}
