//! What a model answered to labelled examples, kept so that metrics can be computed of any of them.

use crate::data::packing::IGNORE;
use crate::data::{Batch, Targets};
use crate::metrics::{Metric, Predictions};
use crate::model::Prediction;
use crate::recipe::TaskType;
use serde::{Deserialize, Serialize};

/// What was expected and predicted for examples of one task. Of the fields, those of the task's type are filled; the others
/// stay empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answers {
    /// Expected and predicted class of each example.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<[u32; 2]>,
    /// Whether a label was expected and predicted: the labels of the first example, those of the second, ...
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<[bool; 2]>,
    /// Expected and predicted number of each example.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<[f32; 2]>,
    /// Expected and predicted tags of each example's words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<[Vec<u32>; 2]>,
    /// Probabilities of all classes or labels: those of the first example, those of the second, ...
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub probabilities: Vec<f32>,
}

impl Answers {
    /// Adds the answers to a batch of one task.
    pub(super) fn add(&mut self, batch: &Batch, predictions: Vec<Prediction>, labels: usize) {
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
                    self.tags.push([
                        counted().map(|(expected, _)| *expected).collect(),
                        counted().map(|(_, tag)| *tag).collect(),
                    ]);
                }
                _ => unreachable!("the loss has refused targets of another kind"),
            }
        }
    }

    /// Number of examples of a task with so many labels.
    pub fn len(&self, labels: usize) -> usize {
        let marked = self.marks.len().checked_div(labels).unwrap_or(0);
        [self.classes.len(), marked, self.values.len(), self.tags.len()].into_iter().max().unwrap_or(0)
    }

    /// The answers to some examples, in this order; an example may come more than once.
    pub fn pick(&self, examples: &[usize], labels: usize) -> Self {
        fn pick<T: Clone>(all: &[T], examples: &[usize], width: usize) -> Vec<T> {
            if all.is_empty() {
                Vec::new()
            } else {
                examples.iter().flat_map(|&at| all[at * width..][..width].iter().cloned()).collect()
            }
        }
        Self {
            classes: pick(&self.classes, examples, 1),
            marks: pick(&self.marks, examples, labels),
            values: pick(&self.values, examples, 1),
            tags: pick(&self.tags, examples, 1),
            probabilities: pick(&self.probabilities, examples, labels),
        }
    }

    /// A metric of these answers; `None` where it is undefined.
    pub fn compute(&self, metric: Metric, kind: TaskType, labels: &[String]) -> Option<f64> {
        fn columns<T: Clone>(pairs: &[[T; 2]]) -> [Vec<T>; 2] {
            [0, 1].map(|column| pairs.iter().map(|pair| pair[column].clone()).collect())
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
                let [expected, predicted] = &columns(&self.tags);
                metric.compute(&Predictions::Tags { expected, predicted, labels })
            }
        }
    }
}
