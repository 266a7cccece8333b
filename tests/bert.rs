//! The BERT encoder against PyTorch transformers, value by value, and against itself.

mod support;

use candle_core::{Device, Tensor};
use mtl_zoo::data::{Batch, Packed};
use mtl_zoo::gradient::GradientStore;
use mtl_zoo::model::{BackboneConfig, HeadOptions, JointModel, ModelOptions, Pass, Weights};
use mtl_zoo::recipe::{Freeze, Pooling, TaskType};
use std::sync::Arc;
use support::{Golden, bundled, relative_error};

const SMALL: [&str; 7] = ["absolute", "no_pooler", "gelu_new", "relu", "relative_key", "relative_key_query", "wide"];

/// The backbone with a head that makes its pooler trained, if it has one.
fn model(config: &str, weights: Weights) -> JointModel {
    let config = BackboneConfig::parse(config.as_bytes()).unwrap();
    let pooling = if weights.contains_key("pooler.dense.weight") { Pooling::Pooler } else { Pooling::Mean };
    let head = HeadOptions::new(TaskType::Classification, 2, pooling);
    let options = ModelOptions { freeze: Freeze::None, seed: 0, trained_heads: false };
    JointModel::new(config, weights, vec![("unused".into(), head)], &options).unwrap()
}

fn golden(name: &str) -> (Golden, JointModel) {
    let golden = Golden::open(&format!("bert_{name}"));
    let weights = match name {
        "bundled" => bundled().1,
        _ => golden.weights("param."),
    };
    let model = model(&golden.metadata["config"], weights);
    (golden, model)
}

struct Outcome {
    hidden: Vec<f32>,
    pooled: Option<Vec<f32>>,
    gradients: Arc<GradientStore>,
}

/// Hidden and pooled states, and the gradients of their products with the cotangents.
fn run(model: &JointModel, packed: &Packed, hidden: &[f32], pooled: Option<&[f32]>) -> Outcome {
    let store = Arc::new(GradientStore::new(model.arena(), 1));
    let batch = Batch { packed: packed.clone(), tasks: vec![] };
    let pass = Pass::training(&store, &batch, None).unwrap();
    let states = model.hidden(packed, &pass).unwrap();
    let weigh = |states: &Tensor, by: &[f32]| {
        let by = Tensor::from_slice(by, states.shape(), &Device::Cpu).unwrap();
        (states * by).unwrap().sum_all().unwrap()
    };
    let mut loss = weigh(&states, hidden);
    let pooled_states = pooled.map(|by| {
        let states = model.pooled(&states, packed, &pass).unwrap().unwrap();
        loss = (&loss + weigh(&states, by)).unwrap();
        states.flatten_all().unwrap().to_vec1().unwrap()
    });
    loss.backward().unwrap();
    Outcome { hidden: states.flatten_all().unwrap().to_vec1().unwrap(), pooled: pooled_states, gradients: store }
}

fn run_golden(golden: &Golden, model: &JointModel) -> Outcome {
    let pooled = golden.arrays.contains_key("cotangent.pooled").then(|| golden.floats("cotangent.pooled"));
    run(model, &golden.packed(""), &golden.floats("cotangent.hidden"), pooled.as_deref())
}

fn gradient(model: &JointModel, outcome: &Outcome, name: &str) -> Vec<f32> {
    let slot = model.arena().entries()[name].slot;
    outcome.gradients.lock().gradient(slot, 0)
}

#[test]
fn small_models_equal_transformers() {
    for name in SMALL {
        let (golden, model) = golden(name);
        let outcome = run_golden(&golden, &model);
        let error = relative_error(&outcome.hidden, golden.get("hidden"));
        assert!(error < 1e-4, "{name}: hidden states differ by {error:e}");
        if let Some(pooled) = &outcome.pooled {
            let error = relative_error(pooled, golden.get("pooled"));
            assert!(error < 1e-4, "{name}: pooled states differ by {error:e}");
        }
        let mut compared = 0;
        let typical = golden.arrays.iter().filter(|(name, _)| name.starts_with("grad."));
        let largest = typical.flat_map(|(_, (_, values))| values).fold(0.0f64, |max, x| max.max(x.abs()));
        for parameter in model.arena().entries().keys().filter(|name| !name.starts_with("heads.")) {
            let expected = golden.get(&format!("grad.{parameter}"));
            let actual = gradient(&model, &outcome, parameter);
            // The gradient of key biases is zero but for rounding; those are compared with the model's scale.
            if expected.iter().all(|x| x.abs() < 1e-5 * largest) {
                let actual = actual.iter().fold(0.0f64, |max, x| max.max(f64::from(x.abs())));
                assert!(actual < 1e-4 * largest, "{name}: gradient of {parameter} is not zero but {actual:e}");
            } else {
                let error = relative_error(&actual, expected);
                assert!(error < 1e-3, "{name}: gradient of {parameter} differs by {error:e}");
            }
            compared += 1;
        }
        assert_eq!(compared, golden.arrays.keys().filter(|name| name.starts_with("grad.")).count(), "{name}");
    }
}

#[test]
fn the_bundled_backbone_equals_transformers() {
    let (golden, model) = golden("bundled");
    let outcome = run_golden(&golden, &model);
    let error = relative_error(&outcome.hidden, golden.get("hidden"));
    assert!(error < 1e-4, "hidden states differ by {error:e}");
    let names: Vec<_> = golden.arrays.keys().filter_map(|name| name.strip_prefix("norm.")).collect();
    let largest = names.iter().map(|name| golden.get(&format!("norm.{name}"))[0]).fold(0.0, f64::max);
    assert_eq!(names.len(), model.arena().entries().keys().filter(|name| !name.starts_with("heads.")).count());
    for name in names {
        let actual = gradient(&model, &outcome, name);
        let norm = actual.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        let expected = golden.get(&format!("norm.{name}"))[0];
        if expected < 1e-5 * largest {
            assert!(norm < 1e-4 * largest, "gradient of {name} is not zero but {norm:e}");
            continue;
        }
        assert!((norm / expected - 1.0).abs() < 1e-3, "norm of {name}: {norm}, expected {expected}");
        let picked: Vec<f32> = golden.get(&format!("at.{name}")).iter().map(|&at| actual[at as usize]).collect();
        let error = relative_error(&picked, golden.get(&format!("value.{name}")));
        assert!(error < 1e-3, "gradient of {name} differs by {error:e}");
    }
}

#[test]
fn gradients_are_finite_differences() {
    let mut random = support::Random(1);
    for name in ["absolute", "relative_key_query"] {
        let (golden, model) = golden(name);
        let packed = golden.packed("");
        let cotangent = golden.floats("cotangent.hidden");
        let outcome = run(&model, &packed, &cotangent, None);
        let objective = || -> f64 {
            let states = model.hidden(&packed, &Pass::inference()).unwrap();
            let states: Vec<f32> = states.flatten_all().unwrap().to_vec1().unwrap();
            states.iter().zip(&cotangent).map(|(state, by)| f64::from(*state) * f64::from(*by)).sum()
        };
        let start = model.arena().snapshot().unwrap();
        for (parameter, entry) in model.arena().entries().iter().filter(|(name, _)| name.starts_with("encoder.layer."))
        {
            // Along a random direction: every number of the parameter takes part.
            let direction = random.numbers(entry.slot.len);
            let expected: f64 = gradient(&model, &outcome, parameter)
                .iter()
                .zip(&direction)
                .map(|(gradient, direction)| f64::from(*gradient) * f64::from(*direction))
                .sum();
            let at = |step: f32| {
                let mut moved = start.clone();
                let values = &mut moved[entry.slot.offset..][..entry.slot.len];
                values.iter_mut().zip(&direction).for_each(|(value, direction)| *value += step * direction);
                model.arena().restore(&moved).unwrap();
                objective()
            };
            let step = 1e-3;
            let measured = (at(step) - at(-step)) / (2.0 * f64::from(step));
            let scale = expected.abs().max(0.1 * direction.len() as f64);
            assert!((measured - expected).abs() < 0.02 * scale, "{name} {parameter}: {measured} is not {expected}");
        }
        model.arena().restore(&start).unwrap();
    }
}

#[test]
fn a_packed_batch_is_each_sequence_alone() {
    for name in ["absolute", "relative_key_query"] {
        let (golden, model) = golden(name);
        let packed = golden.packed("");
        let cotangent = golden.floats("cotangent.hidden");
        let together = run(&model, &packed, &cotangent, None);
        let width = model.config().hidden();
        let mut alone = vec![0.0f64; model.arena().len()];
        let mut hidden = Vec::new();
        for sequence in 0..packed.sequences() {
            let tokens = packed.sequence(sequence);
            let one = Packed {
                ids: packed.ids[tokens.clone()].to_vec(),
                type_ids: packed.type_ids[tokens.clone()].to_vec(),
                positions: packed.positions[tokens.clone()].to_vec(),
                starts: vec![0, tokens.len() as u32],
            };
            let outcome = run(&model, &one, &cotangent[tokens.start * width..tokens.end * width], None);
            hidden.extend(outcome.hidden);
            let one = outcome.gradients.lock().whole(0);
            alone.iter_mut().zip(one).for_each(|(sum, value)| *sum += f64::from(value));
        }
        let expected: Vec<f64> = hidden.iter().map(|&x| x.into()).collect();
        let error = relative_error(&together.hidden, &expected);
        assert!(error < 1e-5, "{name}: hidden states differ by {error:e}");
        let error = relative_error(&together.gradients.lock().whole(0), &alone);
        assert!(error < 1e-5, "{name}: gradients differ by {error:e}");
    }
}
