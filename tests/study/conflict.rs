//! A task beside its sign-flipped copy.

use crate::lab::{Lab, Rows};
use crate::small;
use mtl_zoo::model::{JointModel, ModelOptions, Weight};
use mtl_zoo::study::report::Verdict;
use mtl_zoo::study::{Cosines, findings};
use mtl_zoo::train::{Prepared, Trainer};

fn lab() -> Lab {
    let rows = Rows::read("tweets", "train").part(0..120);
    Lab::new(1.0, &[("task", rows.clone()), ("flipped", rows.map(|_, score| -score))], "tweets")
}

/// A model in which both tasks answer through the same head.
fn one_head(prepared: &Prepared) -> JointModel {
    let model = prepared.model().unwrap();
    let weights = model.tensors().into_iter().map(|(name, tensor)| {
        let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        (name, Weight { shape: tensor.dims().to_vec(), values })
    });
    let mut weights: mtl_zoo::model::Weights = weights.collect();
    for tensor in ["weight", "bias"] {
        let own = weights[&format!("heads.task.{tensor}")].clone();
        weights.insert(format!("heads.flipped.{tensor}"), own);
    }
    let heads = prepared.tasks.iter().map(|task| (task.data.name.clone(), task.head.clone())).collect();
    let options = ModelOptions {
        freeze: prepared.recipe.backbone.freeze,
        seed: prepared.recipe.training.seed,
        trained_heads: true,
    };
    JointModel::new(prepared.config.clone(), weights, heads, &options).unwrap()
}

/// Heads of their own can turn the sign and leave the trunk in peace, so it takes one head for both, which does not move, to
/// make the tasks want opposite things of the trunk. Then there is no doubt.
#[test]
fn a_task_and_its_flipped_copy_conflict() {
    let lab = lab();
    let mut prepared = lab.prepared();
    prepared.recipe.training.head_learning_rate = Some(0.0);
    prepared.recipe.training.conflicts_every = 1;
    prepared.recipe.training.conflicts_by_layer = true;
    let (done, _) = lab.study(&small(3), |_| true);
    let mut results = done.results;
    for run in results.iter_mut().filter(|run| run.tasks.len() == 2) {
        prepared.recipe.training.seed = run.seed;
        let mut trainer = Trainer::new(one_head(&prepared), &prepared.recipe);
        let mut sampler = prepared.sampler().unwrap();
        run.conflicts.clear();
        for step in 1..=run.steps {
            let batches = [prepared.batch(&prepared.draw(&mut sampler, 0.0))];
            let report = trainer.step(&batches, 1.0).unwrap();
            let layers = trainer.parts().iter().cloned().zip(report.conflicts_by_layer.into_iter().map(|c| c.cosines));
            run.conflicts.push(Cosines { step, whole: report.conflicts.unwrap().cosines, layers: layers.collect() });
        }
    }
    let report = findings(&done.about, &results);
    let conflict = report.conflict.unwrap();
    let pair = &conflict.pairs[0];
    assert_eq!(pair.verdict, Verdict::Hurt, "{pair:?}");
    assert!(pair.cosine.value < -0.5 && pair.share > 0.9, "{pair:?}");
    assert!(conflict.layers.iter().any(|layer| layer.conflicting), "{:?}", conflict.layers);
}

#[test]
fn heads_of_their_own_turn_the_sign_without_conflict() {
    let report = lab().study(&small(3), |_| true).1;
    let pair = &report.conflict.unwrap().pairs[0];
    assert_ne!(pair.verdict, Verdict::Hurt, "{pair:?}");
}
