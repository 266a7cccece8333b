//! Scores of a model on labelled examples.

use super::Answers;
use crate::data::{Batch, Example};
use crate::error::Result;
use crate::metrics::Metric;
use crate::model::{JointModel, Pass};
use crate::ops::Precision;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// Scores of one task on one split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Mean loss over the examples.
    pub loss: f64,
    /// Values by metric; `None` where a metric is undefined.
    pub metrics: IndexMap<String, Option<f64>>,
}

/// Tokens of one packed batch without gradients.
pub(super) const BATCH_TOKENS: usize = 4096;

/// Evaluates head `task` of the model. Words that were cut off or have no token of their own do not count.
///
/// # Errors
/// If a token lies outside the backbone's vocabulary.
pub fn evaluate(
    model: &JointModel,
    task: usize,
    labels: &[String],
    metrics: &[Metric],
    examples: &[Example],
    precision: Precision,
) -> Result<Scores> {
    let (loss, answers) = answer(model, task, labels, examples, precision)?;
    let kind = model.heads()[task].options().kind;
    let values = metrics.iter().map(|metric| (metric.name().to_owned(), answers.compute(*metric, kind, labels)));
    Ok(Scores { loss, metrics: values.collect() })
}

/// The mean loss of head `task` on examples, and what it answers. Words that were cut off or have no token of their own do
/// not count.
///
/// # Errors
/// If a token lies outside the backbone's vocabulary.
pub fn answer(
    model: &JointModel,
    task: usize,
    labels: &[String],
    examples: &[Example],
    precision: Precision,
) -> Result<(f64, Answers)> {
    let pass = Pass::inference().in_precision(precision);
    let mut answers = Answers::default();
    let (mut loss, mut count) = (0.0, 0);
    let mut rest = examples;
    while !rest.is_empty() {
        let mut tokens = 0;
        let fits = |example: &&Example| {
            tokens += example.encoded.ids.len();
            tokens <= BATCH_TOKENS
        };
        let size = rest.iter().take_while(fits).count().max(1);
        let (now, later) = rest.split_at(size);
        rest = later;
        let batch = Batch::new([vec![(task, labels.len(), now.iter().collect())]]);
        for (predictions, mean) in model.evaluate(&batch, &pass)? {
            loss += f64::from(mean) * size as f64;
            count += size;
            answers.add(&batch, predictions, labels.len());
        }
    }
    Ok((loss / count.max(1) as f64, answers))
}
