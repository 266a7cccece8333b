//! Balancing methods in training: what is followed is what they say, and a run goes on from its state to the bit.

use crate::setup::Setup;
use crate::support::relative_error;
use mtl_zoo::balance::{Needs, methods};
use mtl_zoo::data::Batch;
use mtl_zoo::gradient::GradientStore;
use mtl_zoo::model::{JointModel, Pass};
use mtl_zoo::recipe::{Balance, Level};
use mtl_zoo::train::{StepReport, Trainer};
use std::sync::Arc;

fn setup(method: &str, change: impl FnOnce(&mut Balance)) -> Setup {
    let mut setup = Setup::open("training");
    setup.recipe.balance = Balance::new(method);
    setup.recipe.training.clip = 0.0;
    change(&mut setup.recipe.balance);
    setup
}

fn trainer(setup: &Setup) -> Trainer {
    let mut trainer = setup.trainer();
    let validation = setup.batches[setup.batches.len() - 1].clone();
    trainer.validation = Some(Box::new(move |_| validation.clone()));
    trainer
}

/// Gradients of the recipe's weighted task losses by task, mean over the batches: shared parameters and heads.
fn task_gradients(setup: &Setup, model: &JointModel, batches: &[Batch]) -> (Vec<Vec<f64>>, Vec<f64>) {
    let tasks = setup.recipe.tasks.len();
    let store = Arc::new(GradientStore::new(model.arena(), tasks));
    for batch in batches {
        let weights: Vec<f64> =
            batch.tasks.iter().map(|task| setup.task_weights()[task.task] / batches.len() as f64).collect();
        let pass = Pass::training(&store, batch, None).unwrap();
        model.losses(batch, &pass).unwrap().backward(&weights).unwrap();
    }
    let mut rows = store.lock();
    rows.finish().unwrap();
    let heads = model.arena().heads_start();
    let row = |row: usize| rows.whole(row)[..heads].iter().map(|&g| f64::from(g)).collect();
    ((0..tasks).map(row).collect(), rows.heads.iter().map(|&g| f64::from(g)).collect())
}

/// The gradient that the first step of a trainer followed, from AdamW's first moment.
fn followed(trainer: &mut Trainer) -> Vec<f32> {
    trainer.optimizer().unwrap().moments()[0].iter().map(|m| m / 0.1).collect()
}

/// Checks that the first step of a method follows `1/T Σ wᵢ gᵢ` with the weights that it reports.
fn follows_its_weights(setup: &Setup, batches: &[Batch]) -> StepReport {
    let mut trainer = trainer(setup);
    let (rows, heads) = task_gradients(setup, trainer.layout(), batches);
    let parts: Vec<String> = trainer.parts().to_vec();
    let part_of = |name: &str| match name.strip_prefix("encoder.layer.") {
        Some(rest) => format!("layer {}", rest.split('.').next().unwrap()),
        None if name.starts_with("pooler") => "pooler".to_owned(),
        None => "embeddings".to_owned(),
    };
    let places: Vec<_> = (trainer.layout().arena().entries().iter())
        .map(|(name, entry)| (part_of(name), entry.slot.offset..entry.slot.offset + entry.slot.len))
        .collect();
    let heads_start = trainer.layout().arena().heads_start();
    let own = setup.task_weights();
    let report = trainer.step(batches, 1.0).unwrap();
    let mut expected = vec![0.0; heads_start];
    for (part, range) in places.into_iter().filter(|(_, range)| range.start < heads_start) {
        let index = if report.weights.len() == 1 { 0 } else { parts.iter().position(|p| *p == part).unwrap() };
        for (task, row) in rows.iter().enumerate().filter(|(task, _)| own[*task] != 0.0) {
            let weight = report.weights[index][task] / own[task] / rows.len() as f64;
            expected[range.clone()].iter_mut().zip(&row[range.clone()]).for_each(|(sum, g)| *sum += weight * g);
        }
    }
    let found = followed(&mut trainer);
    let error = relative_error(&found[..heads_start], &expected);
    let name = &setup.recipe.balance.method;
    assert!(error < 1e-4, "{name}: the trunk's gradient differs by {error:e}");
    if methods().iter().any(|entry| entry.name == name && entry.needs.reads_gradients()) {
        let expected: Vec<f64> = heads.iter().map(|g| g / rows.len() as f64).collect();
        let error = relative_error(&found[heads_start..], &expected);
        assert!(error < 1e-4, "{name}: the heads' gradient differs by {error:e}");
    }
    let norm = found.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>().sqrt();
    assert!((report.gradient_norm / norm - 1.0).abs() < 1e-4, "{name}: {} is not {norm}", report.gradient_norm);
    report
}

#[test]
fn a_step_follows_the_weights_of_its_method() {
    for entry in methods().iter().filter(|entry| !matches!(entry.needs, Needs::Traces | Needs::Elements)) {
        let setup = setup(entry.name, |_| {});
        // All four tasks; three of them, and two batches.
        follows_its_weights(&setup, &setup.batches[..1]);
        follows_its_weights(&setup, &setup.batches[..2]);
    }
}

#[test]
fn layers_and_states_have_weights_of_their_own() {
    for method in ["mgda", "cagrad", "pcgrad", "nash_mtl", "upgrad"] {
        let by_layer = setup(method, |balance| balance.level = Level::Layers);
        let report = follows_its_weights(&by_layer, &by_layer.batches[..1]);
        assert!(report.weights.len() > 2, "{:?}", report.weights);
        assert!(report.weights.iter().any(|part| *part != report.weights[0]), "{method}: {:?}", report.weights);
        let by_state = setup(method, |balance| balance.level = Level::Representation);
        let states = follows_its_weights(&by_state, &by_state.batches[..1]);
        let whole = setup(method, |_| {});
        let trunk = follows_its_weights(&whole, &whole.batches[..1]);
        if method != "pcgrad" {
            assert_ne!(states.weights, trunk.weights, "{method}");
        }
        // Tasks with other inputs share no state, so nothing conflicts there.
        assert!(method != "pcgrad" || states.weights[0].iter().zip(by_state.task_weights()).all(|(w, own)| *w == own));
    }
}

#[test]
fn between_its_weights_a_method_of_gradients_leaves_the_heads_to_their_losses() {
    for level in [Level::Trunk, Level::Representation, Level::Layers] {
        let setup = setup("nash_mtl", |balance| (balance.every, balance.level) = (10, level));
        let mut trainer = trainer(&setup);
        trainer.step(&setup.batches[..1], 1.0).unwrap();
        let before = followed(&mut trainer);
        trainer.model().unwrap();
        let (_, heads) = task_gradients(&setup, trainer.layout(), &setup.batches[..1]);
        trainer.step(&setup.batches[..1], 1.0).unwrap();
        let start = trainer.layout().arena().heads_start();
        let own: Vec<f32> = followed(&mut trainer).iter().zip(&before).map(|(m, old)| m - 0.9 * old).collect();
        let expected: Vec<f64> = heads.iter().map(|g| g / setup.recipe.tasks.len() as f64).collect();
        let error = relative_error(&own[start..], &expected);
        assert!(error < 1e-4, "{level:?}: {error:e}");
    }
}

#[test]
fn a_batch_that_is_accumulated_four_times_is_that_batch() {
    for method in ["nash_mtl", "fairgrad", "moco", "modo", "forum", "excess_mtl", "uncertainty"] {
        let mut setup = setup(method, |_| {});
        setup.recipe.training.conflicts_every = 1;
        let once = trainer(&setup).step(&setup.batches[..1], 1.0).unwrap();
        let four: Vec<Batch> = std::iter::repeat_n(setup.batches[0].clone(), 4).collect();
        setup.recipe.training.accumulate = 4;
        let more = trainer(&setup).step(&four, 1.0).unwrap();
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-4 * a.abs().max(b.abs());
        assert!(
            close(once.gradient_norm, more.gradient_norm),
            "{method}: {} {}",
            once.gradient_norm,
            more.gradient_norm
        );
        assert!(once.weights[0].iter().zip(&more.weights[0]).all(|(a, b)| close(*a, *b)), "{method}");
        let norms = |report: &StepReport| report.conflicts.as_ref().unwrap().norms.clone();
        for (a, b) in norms(&once).into_iter().zip(norms(&more)) {
            assert!(close(a.unwrap_or(0.0), b.unwrap_or(0.0)), "{method}: {a:?} {b:?}");
        }
    }
}

#[test]
fn a_validation_batch_trains_no_head_of_an_absent_task() {
    let setup = setup("auto_lambda", |_| {});
    let absent = |batch: &Batch| batch.tasks.len() < setup.recipe.tasks.len();
    let all = setup.batches.iter().position(|batch| !absent(batch)).unwrap();
    let some = setup.batches.iter().position(absent).unwrap();
    let mut trainer = trainer(&setup);
    trainer.step(&setup.batches[all..=all], 1.0).unwrap();
    let before = followed(&mut trainer);
    trainer.step(&setup.batches[some..=some], 1.0).unwrap();
    let after = followed(&mut trainer);
    let present: Vec<usize> = setup.batches[some].tasks.iter().map(|task| task.task).collect();
    let slots = trainer.layout().head_slots().filter(|(task, _)| !present.contains(task));
    for (_, slot) in slots {
        for place in slot.offset..slot.offset + slot.len {
            assert!((after[place] - 0.9 * before[place]).abs() <= 1e-6 * before[place].abs(), "{place}");
        }
    }
}

#[test]
fn methods_of_losses_have_no_parts() {
    let mut setup = setup("uncertainty", |balance| balance.level = Level::Layers);
    setup.recipe.training.conflicts_every = 0;
    assert_eq!(trainer(&setup).step(&setup.batches[..1], 1.0).unwrap().weights.len(), 1);
}

#[test]
fn elements_are_combined_at_every_place() {
    let setup = setup("trimmed_mean", |_| {});
    let mut trainer = trainer(&setup);
    let (rows, _) = task_gradients(&setup, trainer.layout(), &setup.batches[..1]);
    let present: Vec<&Vec<f64>> =
        rows.iter().zip(setup.task_weights()).filter(|(_, weight)| *weight != 0.0).map(|(row, _)| row).collect();
    let at = |place: usize| {
        let mut column: Vec<f64> = present.iter().map(|row| row[place]).collect();
        column.sort_by(f64::total_cmp);
        let rest = &column[1..column.len() - 1];
        present.len() as f64 * rest.iter().sum::<f64>() / rest.len() as f64 / rows.len() as f64
    };
    let expected: Vec<f64> = (0..rows[0].len()).map(at).collect();
    trainer.step(&setup.batches[..1], 1.0).unwrap();
    let error = relative_error(&followed(&mut trainer)[..expected.len()], &expected);
    assert!(present.len() > 2 && error < 1e-4, "{error:e}");
}

#[test]
fn traces_stand_for_gradients() {
    let setup = setup("db_mtl", |_| {});
    let mut trainer = trainer(&setup);
    let (rows, _) = task_gradients(&setup, trainer.layout(), &setup.batches[..1]);
    let losses: Vec<f64> = {
        let report = self::trainer(&setup).step(&setup.batches[..1], 1.0).unwrap();
        report.losses.iter().zip(setup.task_weights()).map(|(loss, w)| w * f64::from(loss.unwrap())).collect()
    };
    // In the first step all traces are as short, and the direction is max‖y‖ Σ y/‖y‖ with y along the gradient of log L.
    let arena = trainer.layout().arena();
    let tables = arena.shared_len();
    let present: Vec<usize> = (0..rows.len()).filter(|&task| setup.task_weights()[task] != 0.0).collect();
    let log = |task: usize| -> Vec<f64> { rows[task].iter().map(|g| g / losses[task]).collect() };
    let mut expected = vec![0.0; tables];
    for &task in &present {
        let gradient = log(task);
        let length = |g: &[f64]| {
            // Tables count as they would after many steps, ten times a first trace with β = 0.9.
            g[..tables].iter().map(|x| 0.01 * x * x).sum::<f64>() + g[tables..].iter().map(|x| x * x).sum::<f64>()
        };
        let own = length(&gradient).sqrt();
        expected.iter_mut().zip(&gradient).for_each(|(sum, g)| *sum += g / own);
    }
    trainer.step(&setup.batches[..1], 1.0).unwrap();
    let found = followed(&mut trainer);
    // Compared up to length.
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    let (a, b) = (norm(&mut found[..tables].iter().map(|&x| x.into())), norm(&mut expected.iter().copied()));
    let scaled: Vec<f64> = expected.iter().map(|x| x * a / b).collect();
    let error = relative_error(&found[..tables], &scaled);
    assert!(error < 1e-3, "{error:e}");
}

/// Everything that a run saves.
struct Saved {
    parameters: Vec<f32>,
    moments: [Vec<f32>; 2],
    steps: u64,
    balance: String,
    history: Vec<f32>,
}

fn save(trainer: &mut Trainer) -> Saved {
    let (parameters, moments) =
        trainer.read(|parameters, moments| (parameters.to_vec(), moments.map(<[f32]>::to_vec))).unwrap();
    let steps = trainer.optimizer().unwrap().steps();
    let balance = trainer.balance.state().to_string();
    Saved { parameters, moments, steps, balance, history: trainer.history() }
}

fn bits(saved: &Saved) -> Vec<u32> {
    let all = [&saved.parameters, &saved.moments[0], &saved.moments[1], &saved.history];
    all.into_iter().flatten().map(|x| x.to_bits()).collect()
}

#[test]
fn every_method_goes_on_from_its_state_to_the_bit() {
    let mut cases: Vec<Setup> = methods().iter().map(|entry| setup(entry.name, |_| {})).collect();
    cases.push(setup("cagrad", |balance| balance.every = 3));
    cases.push(setup("uncertainty", |balance| balance.every = 2));
    cases.push(setup("gradvac", |balance| balance.level = Level::Layers));
    cases.push(setup("moco", |balance| balance.level = Level::Layers));
    cases.push(setup("mgda", |balance| balance.level = Level::Representation));
    for setup in &cases {
        let name = &setup.recipe.balance.method;
        // Batches with all tasks and with some; two at a time in every other step, but not where states are compared.
        let several = setup.recipe.balance.level != Level::Representation;
        let batches = |step: usize| &setup.batches[step..step + 1 + usize::from(several && step % 2 == 1)];
        let run = |trainer: &mut Trainer, steps: std::ops::Range<usize>| {
            for step in steps {
                let report = trainer.step(batches(step), 1.0).unwrap();
                assert!(report.loss.is_finite() && report.weights.iter().flatten().all(|w| w.is_finite()), "{name}");
                trainer.balance.scored(&vec![Some(0.5 + 0.01 * step as f64); setup.recipe.tasks.len()]);
            }
        };
        let mut straight = trainer(setup);
        run(&mut straight, 0..4);
        let saved = save(&mut straight);
        run(&mut straight, 4..8);

        let mut resumed = trainer(setup);
        resumed.balance.restore(&serde_json::from_str(&saved.balance).unwrap()).unwrap();
        resumed.restore_history(&saved.history).unwrap();
        let [first, second] = saved.moments;
        resumed.restore(&saved.parameters, first, second, saved.steps).unwrap();
        run(&mut resumed, 4..8);
        let (one, other) = (save(&mut straight), save(&mut resumed));
        assert!(bits(&one) == bits(&other), "{name}: not the same bits");
        assert_eq!(one.balance, other.balance, "{name}");
    }
}
