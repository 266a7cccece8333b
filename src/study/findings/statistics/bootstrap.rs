//! The bootstrap over test examples (Efron 1979), paired: all runs are scored on the same resampled examples.

use crate::data::random::Random;
use crate::metrics::{Metric, entities::entities};
use crate::recipe::TaskType;
use crate::study::TaskResult;
use crate::train::Answers;
use rayon::prelude::*;
use std::borrow::Cow;

/// Resamples of the test examples.
pub const RESAMPLES: usize = 1000;
/// Tells these draws from others.
const EXAMPLES: u64 = 0x6578_616d_706c_6573;

/// The answers of one run to one task's test examples, ready to be scored many times.
pub struct Examples<'a> {
    count: usize,
    metric: Metric,
    form: Form<'a>,
}

enum Form<'a> {
    /// The metric is a sum over examples divided by another.
    Ratio(Vec<[u32; 2]>),
    /// Any other metric: computed of the examples that were drawn.
    Answers { answers: Cow<'a, Answers>, kind: TaskType, labels: &'a [String] },
}

impl<'a> Examples<'a> {
    /// `None` if there are no answers, or they do not fit together.
    pub fn new(result: &'a TaskResult, metric: Metric) -> Option<Self> {
        let (answers, labels) = (&result.answers, &result.labels[..]);
        let count = answers.len(labels.len());
        let fits = |length: usize, width: usize| length == 0 || length == count * width;
        let consistent = fits(answers.classes.len(), 1)
            && fits(answers.values.len(), 1)
            && fits(answers.tags.len(), 1)
            && fits(answers.marks.len(), labels.len())
            && fits(answers.probabilities.len(), labels.len());
        if count == 0 || !consistent {
            return None;
        }
        let form = match ratios(answers, metric, result.kind, labels) {
            Some(ratios) => Form::Ratio(ratios),
            None if metric == Metric::Auroc || answers.probabilities.is_empty() => {
                Form::Answers { answers: Cow::Borrowed(answers), kind: result.kind, labels }
            }
            // Probabilities need not be copied with each draw.
            None => {
                let answers = Cow::Owned(Answers { probabilities: Vec::new(), ..answers.clone() });
                Form::Answers { answers, kind: result.kind, labels }
            }
        };
        Some(Self { count, metric, form })
    }

    /// Number of examples.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The metric of the examples drawn; NaN where it is undefined.
    fn score(&self, drawn: &[usize]) -> f64 {
        match &self.form {
            Form::Ratio(ratios) => {
                let add = |[a, b]: [u64; 2], &at: &usize| [a + u64::from(ratios[at][0]), b + u64::from(ratios[at][1])];
                let [above, below] = drawn.iter().fold([0, 0], add);
                if below == 0 { 0.0 } else { above as f64 / below as f64 }
            }
            Form::Answers { answers, kind, labels } => {
                let picked = answers.pick(drawn, labels.len());
                picked.compute(self.metric, *kind, labels).filter(|score| score.is_finite()).unwrap_or(f64::NAN)
            }
        }
    }
}

/// What each example adds above and below the line, of metrics that are such a ratio; 0 by 0 is 0 there.
fn ratios(answers: &Answers, metric: Metric, kind: TaskType, labels: &[String]) -> Option<Vec<[u32; 2]>> {
    let hit = |hit: bool| [u32::from(hit), 1];
    Some(match (kind, metric) {
        (TaskType::Classification, Metric::Accuracy | Metric::MicroF1) => {
            answers.classes.iter().map(|[expected, predicted]| hit(expected == predicted)).collect()
        }
        (TaskType::MultiLabel, Metric::Accuracy | Metric::MicroF1) if !labels.is_empty() => {
            let count = |row: &[[bool; 2]], mark: fn(&[bool; 2]) -> bool| row.iter().filter(|pair| mark(pair)).count();
            let rows = answers.marks.chunks_exact(labels.len());
            let f1 = |row| {
                let both = count(row, |[expected, predicted]| *expected && *predicted);
                [2 * both as u32, (count(row, |pair| pair[0]) + count(row, |pair| pair[1])) as u32]
            };
            let whole = |row| hit(count(row, |[expected, predicted]| expected != predicted) == 0);
            if metric == Metric::MicroF1 { rows.map(f1).collect() } else { rows.map(whole).collect() }
        }
        (TaskType::TokenClassification, Metric::Accuracy) => {
            let hits = |[e, p]: &[Vec<u32>; 2]| e.iter().zip(p).filter(|(e, p)| e == p).count();
            answers.tags.iter().map(|pair| [hits(pair) as u32, pair[0].len() as u32]).collect()
        }
        // Entities do not span sequences, so each sequence can be counted by itself.
        (TaskType::TokenClassification, Metric::EntityF1) => {
            let name = |id: &u32| labels.get(*id as usize).map_or("O", String::as_str);
            let count = |pair: &[Vec<u32>; 2]| {
                let [expected, predicted] = [0, 1].map(|side| entities(pair[side].iter().map(name)));
                let both = expected.iter().filter(|entity| predicted.contains(entity)).count();
                [2 * both as u32, (expected.len() + predicted.len()) as u32]
            };
            answers.tags.iter().map(count).collect()
        }
        _ => return None,
    })
}

/// The scores of all runs of one task on [`RESAMPLES`] draws of its `count` examples, `[run][resample]`; NaN where a metric
/// is undefined. The draws depend on the number of examples only.
pub fn resample(runs: &[&Examples], count: usize) -> Vec<Vec<f64>> {
    let by_draw: Vec<Vec<f64>> = (0..RESAMPLES)
        .into_par_iter()
        .map(|draw| {
            let drawn = draw_examples(count, draw);
            runs.iter().map(|run| run.score(&drawn)).collect()
        })
        .collect();
    (0..runs.len()).map(|run| by_draw.iter().map(|scores| scores[run]).collect()).collect()
}

fn draw_examples(count: usize, draw: usize) -> Vec<usize> {
    let mut random = Random::new(&[EXAMPLES, count as u64, draw as u64]);
    (0..count).map(|_| random.below(count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(kind: TaskType, metric: Metric, labels: &[&str], answers: Answers) -> TaskResult {
        let labels = labels.iter().map(|label| label.to_string()).collect();
        TaskResult { kind, labels, metric, rows: 1, train: None, validation: None, test: None, answers }
    }

    /// Every metric of every kind: resampled scores are those of the metric of picked answers.
    #[test]
    fn scores_are_those_of_picked_answers() {
        let mut random = Random::new(&[4]);
        let count = 60;
        let probabilities: Vec<f32> = (0..count * 3).map(|_| random.unit() as f32).collect();
        let mut id = |below: usize| random.below(below) as u32;
        let classes = (0..count).map(|_| [id(3), id(3)]).collect();
        let marks = (0..count * 3).map(|_| [id(4) == 0, id(3) == 0]).collect();
        let values = (0..count).map(|_| [id(1000) as f32, id(1000) as f32]).collect();
        let tags = (0..count)
            .map(|_| {
                let length = 1 + id(7);
                [0, 1].map(|_| (0..length).map(|_| id(4)).collect())
            })
            .collect();
        let names = ["O", "B-X", "I-X", "B-Y"];
        let cases = [
            (
                TaskType::Classification,
                &names[..3],
                Answers { classes, probabilities: probabilities.clone(), ..Answers::default() },
            ),
            (TaskType::MultiLabel, &names[..3], Answers { marks, probabilities, ..Answers::default() }),
            (TaskType::Regression, &names[..0], Answers { values, ..Answers::default() }),
            (TaskType::TokenClassification, &names[..], Answers { tags, ..Answers::default() }),
        ];
        let mut compared = 0;
        for (kind, labels, answers) in cases {
            for metric in Metric::ALL {
                let result = result(kind, metric, labels, answers.clone());
                let examples = Examples::new(&result, metric).unwrap();
                assert_eq!(examples.count(), count);
                let scores = &resample(&[&examples], count)[0];
                for draw in [0, 1, 500] {
                    let picked = answers.pick(&draw_examples(count, draw), labels.len());
                    match picked.compute(metric, kind, &result.labels) {
                        Some(score) => assert!((scores[draw] - score).abs() < 1e-12, "{metric}"),
                        None => assert!(scores[draw].is_nan(), "{metric}"),
                    }
                    compared += usize::from(!scores[draw].is_nan());
                }
            }
        }
        assert_eq!(compared, 3 * (7 + 5 + 5 + 2));
    }

    #[test]
    fn answers_that_do_not_fit_together_are_refused() {
        let fits = |answers| {
            Examples::new(&result(TaskType::Classification, Metric::Auroc, &["a", "b"], answers), Metric::Auroc)
                .is_some()
        };
        let classes = vec![[0, 1], [1, 1]];
        assert!(!fits(Answers::default()));
        assert!(fits(Answers { classes: classes.clone(), ..Answers::default() }));
        assert!(!fits(Answers { classes: classes.clone(), probabilities: vec![0.5], ..Answers::default() }));
        assert!(!fits(Answers { classes, values: vec![[0.0; 2]], ..Answers::default() }));
    }
}
