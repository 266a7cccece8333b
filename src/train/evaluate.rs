//! Scores of a model on labelled examples.

use crate::data::packing::IGNORE;
use crate::data::{Batch, Example, Targets};
use crate::error::Result;
use crate::metrics::{Metric, Predictions};
use crate::model::{MultiTask, Pass, Prediction};
use crate::ops::Precision;
use crate::recipe::TaskType;
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

/// What was expected and predicted, flattened over all examples of a task.
#[derive(Default)]
struct Answers {
    classes: Vec<[u32; 2]>,
    marks: Vec<[bool; 2]>,
    values: Vec<[f32; 2]>,
    tags: [Vec<Vec<u32>>; 2],
    probabilities: Vec<f32>,
}

/// Evaluates head `task` of the model. Words that were cut off or have no token of their own do not count.
///
/// # Errors
/// If a token lies outside the backbone's vocabulary.
pub fn evaluate(
    model: &MultiTask,
    task: usize,
    labels: &[String],
    metrics: &[Metric],
    examples: &[Example],
    precision: Precision,
) -> Result<Scores> {
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
    let kind = model.heads()[task].options().kind;
    let values = metrics.iter().map(|metric| (metric.name().to_owned(), answers.compute(*metric, kind, labels)));
    Ok(Scores { loss: loss / count.max(1) as f64, metrics: values.collect() })
}

impl Answers {
    fn add(&mut self, batch: &Batch, predictions: Vec<Prediction>, labels: usize) {
        let packed = &batch.packed;
        for (sequence, prediction) in predictions.into_iter().enumerate() {
            match (prediction, &batch.tasks[0].targets) {
                (Prediction::Class { class, probabilities }, Targets::Classes(targets)) => {
                    self.classes.push([targets[sequence], class]);
                    self.probabilities.extend(probabilities);
                }
                (Prediction::Labels { labels: predicted, probabilities }, Targets::MultiLabel(targets)) => {
                    let row = &targets[sequence * labels..][..labels];
                    let pair = |label: usize| [row[label] > 0.5, predicted.contains(&(label as u32))];
                    self.marks.extend((0..labels).map(pair));
                    self.probabilities.extend(probabilities);
                }
                (Prediction::Score(score), Targets::Values(targets)) => self.values.push([targets[sequence], score]),
                (Prediction::Tags { tags, .. }, Targets::Tags(targets)) => {
                    let expected = &targets[packed.sequence(sequence)];
                    let counted = || expected.iter().zip(&tags).filter(|(expected, _)| **expected != IGNORE);
                    self.tags[0].push(counted().map(|(expected, _)| *expected).collect());
                    self.tags[1].push(counted().map(|(_, tag)| *tag).collect());
                }
                _ => unreachable!("the loss has refused targets of another kind"),
            }
        }
    }

    fn compute(&self, metric: Metric, kind: TaskType, labels: &[String]) -> Option<f64> {
        fn columns<T: Copy>(pairs: &[[T; 2]]) -> [Vec<T>; 2] {
            [0, 1].map(|column| pairs.iter().map(|pair| pair[column]).collect())
        }
        let probabilities = &self.probabilities;
        match kind {
            TaskType::Classification => {
                let [expected, predicted] = &columns(&self.classes);
                metric.compute(&Predictions::Classes { expected, predicted, probabilities, classes: labels.len() })
            }
            TaskType::MultiLabel => {
                let [expected, predicted] = &columns(&self.marks);
                metric.compute(&Predictions::MultiLabel { expected, predicted, probabilities, labels: labels.len() })
            }
            TaskType::Regression => {
                let [expected, predicted] = &columns(&self.values);
                metric.compute(&Predictions::Values { expected, predicted })
            }
            TaskType::TokenClassification => {
                let [expected, predicted] = &self.tags;
                metric.compute(&Predictions::Tags { expected, predicted, labels })
            }
        }
    }
}
