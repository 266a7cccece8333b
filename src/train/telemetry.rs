//! What a step tells, and the lines of a run's metrics.

use super::weighing::MeanLosses;
use super::{Conflicts, StepReport, Trainer};
use crate::data::Batch;
use serde_json::{Map, Value, json};

impl Trainer {
    /// What the losses of a step and their weights tell.
    pub(super) fn report(&self, seen: &MeanLosses, weights: &[Vec<f64>], batches: &[Batch], scale: f64) -> StepReport {
        let mean_weight = |task: usize| weights.iter().map(|part| part[task]).sum::<f64>() / weights.len() as f64;
        let terms = seen.sums(&self.weights).enumerate().map(|(task, sum)| scale * mean_weight(task) * sum);
        let times_own = |part: &Vec<f64>| part.iter().zip(&self.weights).map(|(w, own)| w * own).collect();
        StepReport {
            loss: terms.sum(),
            losses: seen.means(),
            weights: weights.iter().map(times_own).collect(),
            gradient_norm: 0.0,
            conflicts: None,
            conflicts_by_layer: Vec::new(),
            affinity: None,
            unsolved: None,
            loss_scale: None,
            skipped: false,
            tokens: batches.iter().map(|batch| batch.packed.tokens()).sum(),
        }
    }
}

/// What of a step goes into the metrics, tasks and parts of the shared parameters by name.
pub(super) fn step_line(report: &StepReport, tasks: &[&str], parts: &[String]) -> Map<String, Value> {
    let named = |values: Vec<Value>| -> Value { tasks.iter().map(|name| (*name).to_owned()).zip(values).collect() };
    let by_part = |values: Vec<Value>| -> Value { parts.iter().cloned().zip(values).collect() };
    let numbers = |values: &[f64]| named(values.iter().map(|value| json!(value)).collect());
    let norms = |conflicts: &Conflicts| named(conflicts.norms.iter().map(|norm| json!(norm)).collect());
    let cosines = |conflicts: &Conflicts| {
        let row = |row: &Vec<Option<f64>>| named(row.iter().map(|cosine| json!(cosine)).collect());
        named(conflicts.cosines.iter().map(row).collect())
    };
    let mut line = Map::new();
    line.insert("loss".into(), json!(report.loss));
    line.insert("losses".into(), named(report.losses.iter().map(|loss| json!(loss)).collect()));
    let weights = match &report.weights[..] {
        [all] => numbers(all),
        parts => by_part(parts.iter().map(|part| numbers(part)).collect()),
    };
    line.insert("weights".into(), weights);
    line.insert("gradient_norm".into(), json!(report.gradient_norm));
    if let Some(conflicts) = &report.conflicts {
        line.insert("gradient_norms".into(), norms(conflicts));
        line.insert("gradient_cosines".into(), cosines(conflicts));
    }
    if !report.conflicts_by_layer.is_empty() {
        let all = &report.conflicts_by_layer;
        line.insert("gradient_norms_by_layer".into(), by_part(all.iter().map(norms).collect()));
        line.insert("gradient_cosines_by_layer".into(), by_part(all.iter().map(cosines).collect()));
    }
    if let Some(affinity) = &report.affinity {
        line.insert(
            "affinity".into(),
            named(affinity.iter().map(|row| named(row.iter().map(|x| json!(x)).collect())).collect()),
        );
    }
    if let Some(scale) = report.loss_scale {
        line.insert("loss_scale".into(), json!(scale));
    }
    if report.skipped {
        line.insert("skipped".into(), json!(true));
    }
    if let Some(why) = &report.unsolved {
        line.insert("unsolved".into(), json!(why));
    }
    line
}
