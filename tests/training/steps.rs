//! Steps that must not happen, parameters that must not move, and noise that must come back.

use crate::setup::Setup;
use mtl_zoo::data::Batch;
use mtl_zoo::recipe::Freeze;
use mtl_zoo::train::Trainer;
use mtl_zoo::{Error, Result};
use std::collections::HashMap;

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Everything that a step changes.
fn state(trainer: &mut Trainer) -> (Vec<u32>, Vec<u32>, Vec<u32>, u64) {
    let flat = trainer.model().unwrap().arena().snapshot().unwrap();
    let optimizer = trainer.optimizer().unwrap();
    let [first, second] = optimizer.moments();
    (bits(&flat), bits(first), bits(second), optimizer.steps())
}

/// Two good steps, then one with parameters that `poison` has changed; nothing may move in it.
fn third_step(setup: &Setup, batches: &[Batch], poison: &[(&str, usize, f32)]) -> Result<()> {
    let mut trainer = setup.trainer();
    for batch in &setup.batches[..2] {
        trainer.step(std::slice::from_ref(batch), 1.0)?;
    }
    let arena = trainer.model()?.arena();
    let mut flat = arena.snapshot()?;
    poison.iter().for_each(|(name, at, value)| flat[arena.entries()[*name].slot.offset + at] = *value);
    trainer.set_parameters(&flat)?;
    let before = state(&mut trainer);
    let result = trainer.step(batches, 1.0);
    assert!(state(&mut trainer) == before, "a step that failed has changed something");
    result.map(|_| ())
}

fn not_finite(result: Result<()>) -> (usize, String, String, &'static str) {
    match result {
        Err(Error::NotFinite { step, task, what, value }) => (step, task, what, value),
        other => panic!("expected an error that names step and task, not {other:?}"),
    }
}

#[test]
fn a_loss_that_is_not_finite_stops_before_anything_changes() {
    let setup = Setup::open("training");
    let loss = |task: &str, value| (3, task.to_owned(), "the loss".to_owned(), value);
    let step = |poison: &[(&str, usize, f32)]| not_finite(third_step(&setup, &setup.batches[..1], poison));
    assert_eq!(step(&[("heads.score.bias", 0, f32::NAN)]), loss("score", "NaN"));
    assert_eq!(step(&[("heads.marks.weight", 7, f32::NAN)]), loss("marks", "NaN"));
    assert_eq!(step(&[("heads.score.bias", 0, 1e30)]), loss("score", "infinite"));
    // In the trunk it is every task's: the first is named.
    assert_eq!(step(&[("encoder.layer.1.intermediate.dense.bias", 3, f32::NAN)]), loss("topic", "NaN"));
    // In the second of two accumulated batches.
    let poisoned = [("heads.score.bias", 0, f32::NAN)];
    assert_eq!(not_finite(third_step(&setup, &setup.batches[2..4], &poisoned)), loss("score", "NaN"));
}

#[test]
fn a_gradient_that_is_not_finite_is_traced_to_task_and_tensor() {
    let mut setup = Setup::open("training");
    // Logits of 1e37 have a finite loss; what goes back through a norm of states near 1e-6 has not.
    setup.set("heads.topic.weight", |weight| {
        let rows = weight.chunks_exact_mut(32).zip([1e36, -1e36, 0.0]);
        rows.for_each(|(row, value)| row.fill(value));
    });
    let result = {
        let mut trainer = setup.trainer();
        let arena = trainer.model().unwrap().arena();
        let mut flat = arena.snapshot().unwrap();
        for part in ["attention.output.LayerNorm", "output.dense"] {
            for name in ["weight", "bias"].map(|name| format!("encoder.layer.1.{part}.{name}")) {
                let slot = arena.entries()[&name].slot;
                flat[slot.offset..slot.offset + slot.len].iter_mut().for_each(|value| *value *= 1e-6);
            }
        }
        trainer.set_parameters(&flat).unwrap();
        let before = state(&mut trainer);
        let result = trainer.step(&setup.batches[..1], 1.0).map(|_| ());
        assert!(state(&mut trainer) == before);
        result
    };
    let (step, task, what, _) = not_finite(result);
    assert_eq!((step, task.as_str()), (1, "topic"), "{what}");
    let tensor = what.strip_prefix("the gradient of `").and_then(|rest| rest.strip_suffix('`')).unwrap();
    assert!(setup.model().arena().entries().contains_key(tensor), "{what}");
    println!("{task}: {what}");
}

#[test]
fn what_is_frozen_keeps_its_bits_and_all_else_moves() {
    let setup = Setup::open("training");
    let tensors = |trainer: &mut Trainer| -> HashMap<String, Vec<u32>> {
        let all = trainer.model().unwrap().tensors().into_iter();
        all.map(|(name, tensor)| (name, bits(&tensor.flatten_all().unwrap().to_vec1().unwrap()))).collect()
    };
    let in_embeddings = |name: &str| name.starts_with("embeddings.");
    let in_first_layer = |name: &str| name.starts_with("encoder.layer.0.");
    let in_a_head = |name: &str| name.starts_with("heads.");
    type Frozen<'a> = &'a dyn Fn(&str) -> bool;
    let cases: [(Freeze, Frozen); 6] = [
        (Freeze::None, &|_| false),
        (Freeze::Embeddings, &in_embeddings),
        (Freeze::Layers(0), &in_embeddings),
        (Freeze::Layers(1), &|name| in_embeddings(name) || in_first_layer(name)),
        (Freeze::Layers(2), &|name| !in_a_head(name)),
        (Freeze::All, &|name| !in_a_head(name)),
    ];
    for (freeze, frozen) in cases {
        for dropout in [0.0, 0.1] {
            let mut trainer = Trainer::new(setup.model_with(dropout, freeze), &setup.recipe);
            let before = tensors(&mut trainer);
            for batch in &setup.batches[..3] {
                trainer.step(std::slice::from_ref(batch), 1.0).unwrap();
            }
            let after = tensors(&mut trainer);
            assert_eq!(before.len(), after.len());
            for (name, before) in before {
                assert_eq!(before == after[&name], frozen(&name), "{freeze:?}, dropout {dropout}: {name}");
            }
        }
    }
}

#[test]
fn freezing_changes_no_other_gradient() {
    let mut setup = Setup::open("training");
    setup.recipe.training.clip = 0.0;
    let step = |freeze| {
        let mut trainer = Trainer::new(setup.model_with(0.1, freeze), &setup.recipe);
        let report = trainer.step(&setup.batches[..1], 1.0).unwrap();
        (trainer, report)
    };
    let (mut full, whole) = step(Freeze::None);
    let (mut part, report) = step(Freeze::Layers(1));
    assert_eq!(whole.losses, report.losses, "the masks do not depend on what is frozen");
    assert!(report.gradient_norm < whole.gradient_norm);
    // The first moment after the first step is a fixed share of the gradient.
    let gradients = |trainer: &mut Trainer| -> HashMap<String, Vec<u32>> {
        let first = trainer.optimizer().unwrap().moments()[0].to_vec();
        let own = |slot: mtl_zoo::gradient::Slot| bits(&first[slot.offset..slot.offset + slot.len]);
        trainer.layout().arena().entries().iter().map(|(name, entry)| (name.clone(), own(entry.slot))).collect()
    };
    let full = gradients(&mut full);
    for (name, gradient) in gradients(&mut part) {
        assert!(gradient == full[&name], "{name}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let mut setup = Setup::open("training");
    let run = |setup: &Setup| {
        let mut trainer = Trainer::new(setup.model_with(0.1, Freeze::None), &setup.recipe);
        for batches in setup.batches[..6].chunks(2) {
            trainer.step(batches, 1.0).unwrap();
        }
        state(&mut trainer)
    };
    let one = run(&setup);
    assert!(one == run(&setup), "the same seed gave other bytes");
    let few = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert!(one == few.install(|| run(&setup)), "the number of threads changed the bytes");
    setup.recipe.training.seed = 1;
    assert!(one != run(&setup), "another seed gave the same bytes");
}
