//! Gradients a task at a time, and of several batches together.

use crate::setup::{Setup, task_batch};
use crate::support::{Golden, Random, relative_error};
use mtl_zoo::data::packing::IGNORE;
use mtl_zoo::data::{Batch, Packed, Targets, TaskBatch};
use mtl_zoo::gradient::{GradientStore, Parts};
use mtl_zoo::model::{BackboneConfig, HeadOptions, JointModel, ModelOptions, Pass};
use mtl_zoo::ops::{Noise, Precision};
use mtl_zoo::recipe::{Freeze, Pooling, TaskType};
use mtl_zoo::train::Trainer;
use std::sync::Arc;

/// Gradient rows of the trunk, and gradients of the heads, of `Σ weight · loss`.
fn gradients(model: &JointModel, batch: &Batch, weights: &[f64], rows: usize) -> (Vec<Vec<f32>>, Vec<f32>) {
    let store = Arc::new(GradientStore::new(model.arena(), rows));
    let pass = Pass::training(&store, batch, Some(Noise::new(3, 1))).unwrap();
    let losses = model.losses(batch, &pass).unwrap();
    let weights: Vec<f64> = batch.tasks.iter().map(|task| weights[task.task]).collect();
    losses.backward(&weights).unwrap();
    let (gradients, heads) = (store.lock(), model.arena().heads_start());
    ((0..rows).map(|row| gradients.whole(row)[..heads].to_vec()).collect(), gradients.heads.clone())
}

/// A model with four heads of every kind and pooling on a golden BERT.
fn model(name: &str, dropout: f32) -> JointModel {
    let golden = Golden::open(name);
    let mut config = BackboneConfig::parse(golden.metadata["config"].as_bytes()).unwrap();
    config.set_dropout(Some(dropout), Some(dropout));
    let head = |kind, outputs, pooling| HeadOptions { dropout, ..HeadOptions::new(kind, outputs, pooling) };
    let heads = vec![
        ("a".into(), head(TaskType::Classification, 3, Pooling::Pooler)),
        ("b".into(), head(TaskType::TokenClassification, 5, Pooling::Mean)),
        ("c".into(), head(TaskType::MultiLabel, 4, Pooling::Max)),
        ("d".into(), head(TaskType::Regression, 1, Pooling::Pooler)),
    ];
    let options = ModelOptions { freeze: Freeze::None, seed: 2, trained_heads: false };
    JointModel::new(config, golden.weights("param."), heads, &options).unwrap()
}

/// Three sequences a task; `absent` has none. With `together` tasks 1 and 2 have the same.
fn batch(random: &mut Random, absent: Option<usize>, together: bool) -> Batch {
    let mut packed = Packed { starts: vec![0], ..Packed::default() };
    let mut tasks = Vec::new();
    for task in (0..4).filter(|&task| Some(task) != absent) {
        let first = packed.sequences();
        let mut lens = [1, 2, 2 + random.below(30)];
        lens.rotate_left(task % 3);
        if together && task == 2 {
            let sequences = tasks.last().map(|one: &TaskBatch| one.sequences.clone()).unwrap();
            let marks = (0..12).map(|i| (i % 2) as f32).collect();
            tasks.push(task_batch(&packed, task, sequences, Targets::MultiLabel(marks)));
            continue;
        }
        for len in lens {
            packed.ids.extend((0..len).map(|_| random.below(100) as u32));
            packed.type_ids.extend((0..len).map(|token| u32::from(token > len / 2)));
            packed.positions.extend(0..len as u32);
            packed.starts.push(packed.ids.len() as u32);
        }
        let tokens = lens.iter().sum::<usize>();
        let targets = match task {
            0 => Targets::Classes(vec![0, 2, 1]),
            1 => Targets::Tags((0..tokens as u32).map(|i| if i % 3 == 1 { IGNORE } else { i % 5 }).collect()),
            2 => Targets::MultiLabel((0..12).map(|i| (i % 2) as f32).collect()),
            _ => Targets::Values(vec![0.5, -1.0, 2.0]),
        };
        tasks.push(task_batch(&packed, task, first..packed.sequences(), targets));
    }
    Batch { packed, tasks }
}

fn f64s(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| x.into()).collect()
}

#[test]
fn each_task_has_its_own_gradient_from_one_backward_pass() {
    let mut random = Random(17);
    let mut worst = [0.0f64; 2];
    for (name, dropout) in [("bert_absolute", 0.0), ("bert_absolute", 0.1), ("bert_relative_key_query", 0.1)] {
        let model = model(name, dropout);
        for (absent, together) in [(None, false), (Some(2), false), (None, true), (Some(0), true)] {
            let batch = batch(&mut random, absent, together);
            let weights = [0.3, 1.7, 0.0, -2.0];
            let (rows, heads) = gradients(&model, &batch, &[1.0; 4], 4);
            let (joint, joint_heads) = gradients(&model, &batch, &weights, 1);

            let sum = |at: usize| (0..4).map(|task| weights[task] * f64::from(rows[task][at])).sum::<f64>();
            let sum: Vec<f64> = (0..joint[0].len()).map(sum).collect();
            worst[0] = worst[0].max(relative_error(&joint[0], &sum));

            let mut alone_heads = vec![0.0f64; heads.len()];
            for task in 0..4 {
                let mut only = [0.0; 4];
                only[task] = 1.0;
                let (alone, own_heads) = gradients(&model, &batch, &only, 1);
                if Some(task) == absent {
                    assert!(rows[task].iter().all(|&x| x == 0.0), "{name}: an absent task has a gradient");
                    continue;
                }
                worst[1] = worst[1].max(relative_error(&rows[task], &f64s(&alone[0])));
                alone_heads.iter_mut().zip(&own_heads).for_each(|(sum, x)| *sum += f64::from(*x));
                let expected: Vec<f64> = own_heads.iter().map(|&x| weights[task] * f64::from(x)).collect();
                let touched = expected.iter().zip(&joint_heads).filter(|(x, _)| **x != 0.0);
                let largest = expected.iter().fold(0.0f64, |max, x| max.max(x.abs()));
                touched.for_each(|(x, y)| assert!((x - f64::from(*y)).abs() <= 1e-6 * largest, "{name}: head {task}"));
            }
            worst[1] = worst[1].max(relative_error(&heads, &alone_heads));
        }
    }
    println!(
        "rows: their weighted sum is the joint gradient within {:.1e}, each its task's within {:.1e}",
        worst[0], worst[1]
    );
    assert!(worst[0] < 1e-5 && worst[1] < 1e-5, "{worst:?}");
}

#[test]
fn accumulated_batches_give_their_mean() {
    let mut setup = Setup::open("training");
    setup.recipe.training.clip = 0.0;
    let batches = &setup.batches[1..3];
    let mut trainer = Trainer::new(setup.model(), &setup.recipe);
    let weights: Vec<f64> = setup.task_weights().iter().map(|weight| weight / 4.0).collect();
    let mut mean = vec![0.0f64; trainer.layout().arena().len()];
    for batch in batches {
        let (shared, heads) = gradients(trainer.layout(), batch, &weights, 1);
        let values = shared[0].iter().chain(&heads);
        mean.iter_mut().zip(values).for_each(|(sum, value)| *sum += f64::from(*value) / batches.len() as f64);
    }
    let report = trainer.step(batches, 1.0).unwrap();

    let norm = mean.iter().map(|x| x * x).sum::<f64>().sqrt();
    assert!((report.gradient_norm / norm - 1.0).abs() < 1e-5, "{} is not {norm}", report.gradient_norm);
    // After the first step AdamW's first moment is (1 - β₁) times the gradient.
    let gradient: Vec<f32> = trainer.optimizer().unwrap().moments()[0].iter().map(|m| m / 0.1).collect();
    let error = relative_error(&gradient, &mean);
    assert!(error < 1e-5, "the gradient differs by {error:e}");
    assert_eq!(report.tokens, batches.iter().map(|batch| batch.packed.tokens()).sum::<usize>());

    // Losses are means over the batches that have the task: "score" is in the first only.
    let alone = |index: usize| setup.trainer().step(&batches[index..=index], 1.0).unwrap();
    let (one, two) = (alone(0), alone(1));
    let both = |task: usize| 0.5 * (one.losses[task].unwrap() + two.losses[task].unwrap());
    assert_eq!(two.losses[1], None);
    for (task, expected) in [(0, both(0)), (1, one.losses[1].unwrap()), (2, both(2)), (3, both(3))] {
        let found = report.losses[task].unwrap();
        assert!((found - expected).abs() < 1e-6 * expected.abs(), "task {task}: {found} is not {expected}");
    }
    assert!((report.loss - 0.5 * (one.loss + two.loss)).abs() < 1e-6, "{report:?}");
}

#[test]
fn inference_records_nothing() {
    let model = model("bert_absolute", 0.1);
    let batch = batch(&mut Random(5), None, false);
    assert!(!model.hidden(&batch.packed, &Pass::inference()).unwrap().track_op());
}

/// Cosine of the angle between two gradients.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn computing_layers_again_changes_no_bit() {
    for (name, precision) in [("bert_absolute", Precision::F32), ("bert_relative_key", Precision::Bf16)] {
        let model = model(name, 0.1);
        let batch = batch(&mut Random(8), None, false);
        let run = |recompute| {
            let store = Arc::new(GradientStore::new(model.arena(), 4));
            let pass = Pass::training(&store, &batch, Some(Noise::new(3, 1))).unwrap();
            let pass = pass.in_precision(precision).recomputing(recompute);
            model.losses(&batch, &pass).unwrap().backward(&[1.0; 4]).unwrap();
            let rows = store.lock();
            (0..4).flat_map(|row| rows.whole(row)).collect::<Vec<f32>>()
        };
        let kept = run(false);
        assert!(kept.iter().any(|x| *x != 0.0) && kept == run(true), "{name}");
    }
}

#[test]
fn bf16_products_give_nearly_the_gradients_of_f32() {
    if std::env::var_os("MTL_ZOO_COMPOSED").is_some() {
        println!("skipped: composed ops multiply in f32 only");
        return;
    }
    for name in ["bert_absolute", "bert_relative_key_query"] {
        let model = model(name, 0.1);
        let batch = batch(&mut Random(9), None, false);
        let run = |precision| {
            let store = Arc::new(GradientStore::new(model.arena(), 4));
            let pass = Pass::training(&store, &batch, Some(Noise::new(3, 1))).unwrap().in_precision(precision);
            let losses = model.losses(&batch, &pass).unwrap();
            losses.backward(&[1.0; 4]).unwrap();
            let rows = store.lock();
            (losses.values().unwrap(), (0..4).map(|row| rows.whole(row)).collect::<Vec<_>>())
        };
        let ((losses, exact), (rounded_losses, rounded)) = (run(Precision::F32), run(Precision::Bf16));
        for (exact, rounded) in losses.iter().zip(&rounded_losses) {
            assert!((exact - rounded).abs() < 0.02 * exact.abs().max(0.1), "{name}: loss {exact}, in bf16 {rounded}");
        }
        for (task, (exact, rounded)) in exact.iter().zip(&rounded).enumerate() {
            assert!(cosine(exact, rounded) > 0.998, "{name}, task {task}: {}", cosine(exact, rounded));
            assert!(exact != rounded, "{name}: bf16 must not be f32");
        }
    }
}

#[test]
fn measured_conflicts_are_those_of_the_tasks_gradients_and_change_no_step() {
    let mut setup = Setup::open("training");
    let batch = &setup.batches[0];
    let mut plain = Trainer::new(setup.model(), &setup.recipe);
    let own: Vec<Vec<f32>> = (0..4)
        .map(|task| {
            let mut weights = [0.0; 4];
            weights[task] = 1.0;
            gradients(plain.layout(), batch, &weights, 1).0.swap_remove(0)
        })
        .collect();
    let expected = plain.step(std::slice::from_ref(batch), 1.0).unwrap();
    assert_eq!(expected.conflicts, None);

    setup.recipe.training.conflicts_every = 1;
    let mut measuring = Trainer::new(setup.model(), &setup.recipe);
    let report = measuring.step(std::slice::from_ref(&setup.batches[0]), 1.0).unwrap();
    assert!((report.gradient_norm / expected.gradient_norm - 1.0).abs() < 1e-5);
    let conflicts = report.conflicts.unwrap();
    for a in 0..4 {
        let norm = own[a].iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
        assert!((conflicts.norms[a].unwrap() / norm - 1.0).abs() < 1e-5, "task {a}: {:?}, not {norm}", conflicts.norms);
        for b in 0..4 {
            let (found, expected) = (conflicts.cosines[a][b].unwrap(), cosine(&own[a], &own[b]));
            assert!((found - expected).abs() < 1e-5, "tasks {a} and {b}: {found}, not {expected}");
        }
    }
    let parameters = |trainer: &mut Trainer| trainer.model().unwrap().arena().snapshot().unwrap();
    let (one, other) = (parameters(&mut plain), parameters(&mut measuring));
    let furthest = one.iter().zip(&other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(furthest < 1e-5, "parameters {furthest} apart");
}

#[test]
fn rows_in_bf16_are_the_rows_rounded() {
    let model = model("bert_absolute", 0.1);
    let batches = [batch(&mut Random(10), None, false), batch(&mut Random(11), Some(2), true)];
    let run = |store: GradientStore| {
        let store = Arc::new(store);
        // Twice: what a cleared store still holds must not come back, and batches must add up.
        for round in 0..2 {
            store.lock().clear();
            for (index, batch) in batches.iter().enumerate() {
                let pass = Pass::training(&store, batch, Some(Noise::new(round, index as u64))).unwrap();
                model.losses(batch, &pass).unwrap().backward(&vec![1.0; batch.tasks.len()]).unwrap();
            }
            store.lock().finish().unwrap();
        }
        let rows = store.lock();
        ((0..4).map(|row| rows.whole(row)).collect::<Vec<_>>(), rows.gramians(&Parts::whole(model.arena())).remove(0))
    };
    let (exact, gramian) = run(GradientStore::new(model.arena(), 4));
    let (rounded, rounded_gramian) = run(GradientStore::in_bf16(model.arena(), 4));
    for (task, (exact, rounded)) in exact.iter().zip(&rounded).enumerate() {
        let largest = exact.iter().fold(0.0f32, |max, x| max.max(x.abs()));
        let furthest = exact.iter().zip(rounded).map(|(a, b)| (a - b).abs() - 0.01 * a.abs()).fold(0.0, f32::max);
        assert!(furthest < 1e-3 * largest, "task {task}: {furthest} apart, the largest is {largest}");
        for other in 0..4 {
            let size = (gramian[task][task] * gramian[other][other]).sqrt();
            let difference = (gramian[task][other] - rounded_gramian[task][other]).abs();
            assert!(difference < 3e-3 * size, "tasks {task} and {other}: {difference} of {size}");
        }
    }
}

/// Inner products are taken while rows are written, where all rows of a parameter are written at once.
#[test]
fn inner_products_of_rows_are_those_of_what_the_rows_hold() {
    let model = model("bert_absolute", 0.1);
    let arena = model.arena();
    let layer = |name: &str| name.split('.').find(|part| part.parse::<usize>().is_ok()).unwrap_or("").to_owned();
    let parts = Parts::new(arena, layer);
    assert!(parts.count() > 2, "{:?}", parts.names());
    let (all, three, together) = (
        batch(&mut Random(10), None, false),
        batch(&mut Random(11), Some(2), false),
        batch(&mut Random(12), None, true),
    );
    let stores = [GradientStore::new, GradientStore::in_bf16, GradientStore::in_bf16_but_first];
    for (kind, store) in stores.into_iter().enumerate() {
        let store = Arc::new(store(arena, 4));
        for (step, batches) in [vec![&all], vec![&three], vec![&all, &three], vec![&together]].into_iter().enumerate() {
            store.lock().clear();
            for (index, batch) in batches.into_iter().enumerate() {
                let pass = Pass::training(&store, batch, Some(Noise::new(step as u64, index as u64))).unwrap();
                let pass = pass.in_precision(if kind == 0 { Precision::F32 } else { Precision::Bf16 });
                model.losses(batch, &pass).unwrap().backward(&vec![1.0; batch.tasks.len()]).unwrap();
            }
            let mut rows = store.lock();
            rows.finish().unwrap();
            let whole: Vec<Vec<f32>> = (0..4).map(|row| rows.whole(row)).collect();
            let found = rows.gramians(&parts);
            for (part, found) in found.iter().enumerate() {
                let entries = || arena.entries().iter().filter(|(name, _)| parts.names()[part] == layer(name));
                let of_heads = |offset: usize| offset >= arena.heads_start();
                let product = |i: usize, j: usize| -> f64 {
                    let slots = entries().map(|(_, entry)| entry.slot).filter(|slot| !of_heads(slot.offset));
                    slots
                        .flat_map(|slot| slot.offset..slot.offset + slot.len)
                        .map(|at| f64::from(whole[i][at]) * f64::from(whole[j][at]))
                        .sum()
                };
                for (i, j) in (0..4).flat_map(|i| (0..4).map(move |j| (i, j))) {
                    let size = (product(i, i) * product(j, j)).sqrt();
                    // Beside rows in bf16 the one in f32 is rounded before it is compared.
                    let tolerance = if kind == 2 { 1e-3 } else { 1e-5 };
                    let error = (found[i][j] - product(i, j)).abs();
                    assert!(
                        error <= tolerance * size,
                        "store {kind}, step {step}, part {part}, ({i}, {j}): {error} of {size}"
                    );
                }
            }
        }
    }
}

#[test]
fn affinity_is_what_a_first_step_of_one_task_alone_does_to_all_losses() {
    let mut setup = Setup::open("training");
    // All that the step of the look-ahead does not do.
    setup.recipe.training.weight_decay = 0.0;
    setup.recipe.training.head_learning_rate = Some(0.0);
    setup.recipe.training.clip = 0.0;
    let batch = std::slice::from_ref(&setup.batches[0]);
    let model = || setup.model_with(0.0, Freeze::Embeddings);
    let mut recipe = setup.recipe.clone();
    recipe.training.affinity_every = 1;
    let mut measuring = Trainer::new(model(), &recipe);
    let report = measuring.step(batch, 1.0).unwrap();
    let affinity = report.affinity.unwrap();
    for (source, own) in affinity.iter().enumerate() {
        let mut recipe = setup.recipe.clone();
        recipe.tasks.values_mut().enumerate().for_each(|(task, own)| own.weight *= f64::from(task == source));
        let mut alone = Trainer::new(model(), &recipe);
        alone.step(batch, 1.0).unwrap();
        let after = alone.step(batch, 1.0).unwrap().losses;
        for (target, by) in affinity.iter().enumerate() {
            let expected = f64::from(1.0 - after[target].unwrap() / report.losses[target].unwrap());
            let found = by[source].unwrap();
            assert!(
                (found - expected).abs() < 2e-6 + 1e-3 * expected.abs(),
                "{target} by {source}: {found}, not {expected}"
            );
        }
        assert!(own[source].unwrap() > 0.0, "a step on a task's own gradient helps it");
    }
    let mut plain = Trainer::new(model(), &setup.recipe);
    plain.step(batch, 1.0).unwrap();
    let parameters = |trainer: &mut Trainer| trainer.model().unwrap().arena().snapshot().unwrap();
    let (one, other) = (parameters(&mut plain), parameters(&mut measuring));
    let furthest = one.iter().zip(&other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(furthest < 1e-5, "parameters {furthest} apart: what was tried is taken back");
}
