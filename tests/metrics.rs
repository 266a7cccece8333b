//! Metrics against scikit-learn, SciPy and seqeval (`tests/golden/metrics.json`), and what must hold for any input.

use std::collections::BTreeMap;

use mtl_zoo::metrics::entities::{Entity, entities};
use mtl_zoo::metrics::{
    Kind, Metric, Predictions, classification, correlation, entities as tags, multi_label, ranking, regression,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    label_sets: BTreeMap<String, Vec<String>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    values: BTreeMap<String, Option<f64>>,
    #[serde(flatten)]
    input: Input,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Input {
    Classes { expected: Vec<u32>, predicted: Vec<u32>, probabilities: Vec<f32>, classes: usize },
    MultiLabel { expected: Vec<u8>, predicted: Vec<u8>, probabilities: Vec<f32>, labels: usize },
    Values { expected: Vec<f32>, predicted: Vec<f32> },
    Tags { expected: Vec<Vec<u32>>, predicted: Vec<Vec<u32>>, label_set: String, entities: Vec<(String, usize, usize)> },
}

impl Golden {
    fn read() -> Golden {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/metrics.json");
        let text = std::fs::read_to_string(path).expect("the golden file is there");
        serde_json::from_str(&text).expect("the golden file parses")
    }

    /// Calls `check` with each case and its predictions.
    fn each(&self, mut check: impl FnMut(&Case, &Predictions)) {
        for case in &self.cases {
            match &case.input {
                Input::Classes { expected, predicted, probabilities, classes } => {
                    check(case, &Predictions::Classes { expected, predicted, probabilities, classes: *classes });
                }
                Input::MultiLabel { expected, predicted, probabilities, labels } => {
                    let bools = |values: &[u8]| values.iter().map(|&value| value == 1).collect::<Vec<_>>();
                    let (expected, predicted) = (&bools(expected), &bools(predicted));
                    check(case, &Predictions::MultiLabel { expected, predicted, probabilities, labels: *labels });
                }
                Input::Values { expected, predicted } => check(case, &Predictions::Values { expected, predicted }),
                Input::Tags { expected, predicted, label_set, .. } => {
                    check(case, &Predictions::Tags { expected, predicted, labels: &self.label_sets[label_set] });
                }
            }
        }
    }
}

/// Within 1e-9 of the larger value, or 1e-12.
fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= (1e-9 * a.abs().max(b.abs())).max(1e-12)
}

#[track_caller]
fn assert_close(value: Option<f64>, expected: f64) {
    assert!(value.is_some_and(|value| close(value, expected)), "{value:?}, expected {expected}");
}

/// SplitMix64: a small generator whose sequence never changes.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % u64::from(bound)) as u32
    }

    /// Multiples of 1/64 in [-8, 8): coarse enough for ties, and exact under the maps below.
    fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.below(1024) as f32 / 64.0 - 8.0).collect()
    }

    fn classes(&mut self, count: usize, classes: u32) -> Vec<u32> {
        (0..count).map(|_| self.below(classes)).collect()
    }
}

#[test]
fn values_agree_with_the_reference_libraries() {
    let mut failures = Vec::new();
    Golden::read().each(|case, predictions| {
        for metric in Metric::ALL.into_iter().filter(|metric| metric.applies_to(predictions.kind())) {
            let expected = case.values[metric.name()];
            let value = metric.compute(predictions);
            let agree = match (value, expected) {
                (Some(value), Some(expected)) => close(value, expected),
                (value, expected) => value == expected,
            };
            if !agree {
                failures.push(format!("{}: {metric} is {value:?}, expected {expected:?}", case.name));
            }
        }
    });
    assert!(failures.is_empty(), "{} values differ:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn entities_agree_with_seqeval() {
    let golden = Golden::read();
    let mut sequences = 0;
    for case in &golden.cases {
        let Input::Tags { expected, label_set, entities: spans, .. } = &case.input else { continue };
        let labels = &golden.label_sets[label_set];
        let tags = expected.iter().flat_map(|sequence| {
            sequence.iter().map(|&tag| labels[tag as usize].as_str()).chain(["O"]) // As seqeval joins sequences.
        });
        let found: Vec<_> = entities(tags).into_iter().map(|e| (e.kind.to_owned(), e.start, e.end)).collect();
        assert_eq!(&found, spans, "{}", case.name);
        sequences += expected.len();
    }
    assert!(sequences >= 200, "only {sequences} sequences");
}

#[test]
fn the_golden_file_covers_every_metric() {
    let golden = Golden::read();
    let mut seen = BTreeMap::<(Kind, Metric), Vec<f64>>::new();
    golden.each(|case, predictions| {
        let kind = predictions.kind();
        let applicable: Vec<_> = Metric::ALL.into_iter().filter(|metric| metric.applies_to(kind)).collect();
        assert_eq!(case.values.len(), applicable.len(), "{}", case.name);
        for metric in applicable {
            let values = seen.entry((kind, metric)).or_default();
            values.extend(case.values[metric.name()].filter(|value| !values.contains(value)));
        }
    });
    assert!(golden.cases.len() >= 40);
    for (kind, metric) in Kind::ALL.into_iter().flat_map(|kind| Metric::ALL.map(|metric| (kind, metric))) {
        let distinct = seen.get(&(kind, metric)).map_or(0, Vec::len);
        assert_eq!(distinct >= 6, metric.applies_to(kind), "{kind:?}, {metric}: {distinct} distinct values");
    }
}

#[test]
fn names_parse_and_serialise() {
    for metric in Metric::ALL {
        assert_eq!(metric.name().parse(), Ok(metric));
        assert_eq!(metric.to_string(), metric.name());
        assert_eq!(serde_json::to_value(metric).unwrap(), metric.name());
        assert_eq!(serde_json::from_value::<Metric>(metric.name().into()).unwrap(), metric);
        assert!(!metric.description().is_empty() && !metric.description().contains('\n'));
        let error = matches!(metric, Metric::Mse | Metric::Mae);
        assert_eq!(metric.higher_is_better(), !error);
    }
    assert_eq!(format!("[{:>8}]", Metric::Mse), "[     mse]");
    let error = "f1".parse::<Metric>().unwrap_err().to_string();
    assert!(
        error.starts_with("unknown metric `f1`: expected one of accuracy, ") && error.contains("entity_f1"),
        "{error}"
    );
}

#[test]
fn default_metrics_apply_and_start_with_the_primary_one() {
    for kind in Kind::ALL {
        assert!(kind.default_metrics().iter().all(|metric| metric.applies_to(kind)), "{kind:?}");
    }
    let primary = Kind::ALL.map(|kind| kind.default_metrics()[0]);
    assert_eq!(primary, [Metric::Accuracy, Metric::MicroF1, Metric::Pearson, Metric::EntityF1]);
}

#[test]
fn a_metric_of_another_kind_is_none() {
    Golden::read().each(|case, predictions| {
        for metric in Metric::ALL.into_iter().filter(|metric| !metric.applies_to(predictions.kind())) {
            assert_eq!(metric.compute(predictions), None, "{}: {metric}", case.name);
        }
    });
}

#[test]
fn nothing_is_defined_without_examples() {
    let empty = [
        Predictions::Classes { expected: &[], predicted: &[], probabilities: &[], classes: 0 },
        Predictions::Classes { expected: &[], predicted: &[], probabilities: &[], classes: 4 },
        Predictions::MultiLabel { expected: &[], predicted: &[], probabilities: &[], labels: 0 },
        Predictions::MultiLabel { expected: &[], predicted: &[], probabilities: &[], labels: 3 },
        Predictions::Values { expected: &[], predicted: &[] },
        Predictions::Tags { expected: &[], predicted: &[], labels: &[] },
        Predictions::Tags { expected: &[vec![], vec![]], predicted: &[vec![], vec![]], labels: &[] },
    ];
    for (predictions, metric) in empty.iter().flat_map(|predictions| Metric::ALL.map(|metric| (predictions, metric))) {
        assert_eq!(metric.compute(predictions), None, "{predictions:?}: {metric}");
    }
}

#[cfg(not(debug_assertions))]
#[test]
fn inconsistent_lengths_do_not_panic_in_a_release_build() {
    let (two, one) = (&[vec![1, 7], vec![0]], &[vec![1]]);
    let labels = &["O".to_owned(), "B-A".to_owned()];
    let inconsistent = [
        Predictions::Classes { expected: &[0, 1, 9], predicted: &[1], probabilities: &[0.1, 0.2, 0.3], classes: 2 },
        Predictions::Classes { expected: &[0], predicted: &[1, 0], probabilities: &[0.1], classes: 3 },
        Predictions::Classes { expected: &[0, 1], predicted: &[], probabilities: &[], classes: 0 },
        Predictions::MultiLabel { expected: &[true; 5], predicted: &[true], probabilities: &[0.5; 2], labels: 2 },
        Predictions::MultiLabel { expected: &[true], predicted: &[true; 7], probabilities: &[0.5; 9], labels: 4 },
        Predictions::MultiLabel { expected: &[true], predicted: &[true], probabilities: &[0.5], labels: 0 },
        Predictions::Values { expected: &[1.0, 2.0, 3.0], predicted: &[2.0] },
        Predictions::Values { expected: &[], predicted: &[2.0, 1.0] },
        Predictions::Tags { expected: two, predicted: one, labels },
        Predictions::Tags { expected: one, predicted: two, labels: &[] },
    ];
    for (predictions, metric) in inconsistent.iter().flat_map(|each| Metric::ALL.map(|metric| (each, metric))) {
        metric.compute(predictions);
    }
}

#[test]
fn probabilities_may_be_unknown() {
    let (expected, predicted) = (&[0, 1, 1], &[0, 1, 0]);
    let classes = Predictions::Classes { expected, predicted, probabilities: &[], classes: 2 };
    assert_close(Metric::Accuracy.compute(&classes), 2.0 / 3.0);
    assert_eq!(Metric::Auroc.compute(&classes), None);
    let (expected, predicted) = (&[true, false, false, true], &[true, false, true, true]);
    let labels = Predictions::MultiLabel { expected, predicted, probabilities: &[], labels: 2 };
    assert_close(Metric::Accuracy.compute(&labels), 0.5);
    assert_eq!(Metric::Auroc.compute(&labels), None);
}

#[test]
fn a_single_label_is_a_multi_label_problem() {
    let (expected, predicted) = (&[true, false, true, false], &[true, true, false, false]);
    assert_close(multi_label::subset_accuracy(expected, predicted, 1), 0.5);
    assert_close(multi_label::macro_f1(expected, predicted, 1), 0.5);
    assert_close(ranking::multi_label_auroc(expected, &[0.9, 0.8, 0.2, 0.1], 1), 0.75);
}

#[test]
fn values_that_are_not_finite_give_none() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for (expected, predicted) in [([1.0, 2.0, 4.0], [1.0, bad, 2.0]), ([1.0, bad, 4.0], [1.0, 3.0, 2.0])] {
            for metric in [Metric::Pearson, Metric::Mse, Metric::Mae, Metric::R2] {
                let predictions = Predictions::Values { expected: &expected, predicted: &predicted };
                assert_eq!(metric.compute(&predictions), None, "{metric} with {bad}");
            }
        }
    }
    assert_eq!(correlation::spearman(&[1.0, 2.0, 3.0], &[1.0, f32::NAN, 2.0]), None);
    assert_close(correlation::spearman(&[1.0, 2.0, 3.0], &[f32::NEG_INFINITY, 0.0, f32::INFINITY]), 1.0);
    assert_eq!(ranking::auroc([(true, 0.5), (false, f32::NAN)]), None);
    assert_close(ranking::auroc([(true, f32::INFINITY), (false, 0.1), (true, f32::NEG_INFINITY)]), 0.5);
}

#[test]
fn the_largest_and_smallest_values_neither_overflow_nor_vanish() {
    let max = f32::MAX;
    assert_close(regression::mae(&[max, -max], &[-max, max]), 2.0 * f64::from(max));
    assert_close(regression::mse(&[max, -max], &[-max, max]), (2.0 * f64::from(max)).powi(2));
    assert_close(regression::r2(&[max, -max], &[-max, max]), -3.0);
    assert_close(correlation::pearson(&[max, -max, 0.0], &[-max, max, 0.0]), -1.0);
    let tiny = f32::from_bits(1);
    assert_close(correlation::pearson(&[tiny, 0.0, tiny], &[tiny, 0.0, tiny]), 1.0);
    assert_close(correlation::spearman(&[tiny, 0.0, -tiny], &[max, 1.0, -max]), 1.0);
    assert_close(regression::r2(&[tiny, 0.0], &[tiny, 0.0]), 1.0);
}

#[test]
fn equal_values_have_no_variance_at_all() {
    for (examples, value) in (1..50).chain([99_999]).flat_map(|examples| [(examples, 0.1), (examples, f32::MAX / 3.0)])
    {
        let (constant, varied) = (vec![value; examples], Random(7).values(examples));
        assert_eq!(correlation::pearson(&constant, &varied), None);
        assert_eq!(correlation::pearson(&varied, &constant), None);
        assert_eq!(correlation::spearman(&constant, &varied), None);
        assert_eq!(regression::r2(&constant, &varied), None);
    }
}

#[test]
fn auroc_depends_on_the_order_of_scores_only() {
    let mut random = Random(1);
    for examples in 2..60 {
        let scores = random.values(examples);
        let positive: Vec<bool> =
            (0..examples).map(|index| index == 0 || (index > 1 && random.below(3) == 0)).collect();
        let auroc = |map: fn(f32) -> f32| {
            let examples = positive.iter().zip(&scores);
            ranking::auroc(examples.map(|(&positive, &score)| (positive, map(score))))
                .expect("both classes are present")
        };
        let area = auroc(|score| score);
        assert!((0.0..=1.0).contains(&area));
        assert_eq!(area, auroc(|score| score * score * score));
        assert_eq!(area, auroc(|score| 4.0 * score - 100.0));
        assert_close(Some(1.0 - area), auroc(|score| -score));
        assert_eq!(auroc(|_| 0.3), 0.5);
        assert_eq!(auroc(|score| if score < 0.0 { -0.0 } else { 0.0 }), 0.5);

        let mut wins = 0.0;
        for (a, b) in (0..examples).flat_map(|a| (0..examples).map(move |b| (a, b))) {
            if positive[a] && !positive[b] {
                wins += if scores[a] > scores[b] { 1.0 } else { f64::from(scores[a] == scores[b]) / 2.0 };
            }
        }
        let positives = positive.iter().filter(|positive| **positive).count();
        assert_close(Some(area), wins / (positives * (examples - positives)) as f64);
    }
}

#[test]
fn multi_class_auroc_of_two_classes_is_that_of_the_second() {
    let expected = [0, 1, 1, 0, 1];
    let scores = [0.125f32, 0.5, 0.75, 0.625, 0.25];
    let probabilities: Vec<f32> = scores.iter().flat_map(|&score| [1.0 - score, score]).collect();
    let area = ranking::auroc(expected.iter().map(|&class| class == 1).zip(scores));
    assert_eq!(ranking::multi_class_auroc(&expected, &probabilities, 2), area);
    assert_close(area, 2.0 / 3.0);
    assert_eq!(ranking::multi_class_auroc(&[0, 0], &[1.0, 1.0], 1), None);
}

#[test]
fn correlations_keep_under_the_maps_that_they_ignore() {
    let mut random = Random(2);
    for examples in 3..60 {
        let (x, y) = (random.values(examples), random.values(examples));
        let map = |values: &[f32], map: fn(f32) -> f32| values.iter().map(|&value| map(value)).collect::<Vec<_>>();
        for correlation in [correlation::pearson, correlation::spearman] {
            assert_eq!(correlation(&x, &x), Some(1.0));
            assert_close(correlation(&x, &map(&x, |value| -value)), -1.0);
            let value = correlation(&x, &y).expect("neither is constant");
            assert!((-1.0..=1.0).contains(&value));
            assert_eq!(correlation(&y, &x), Some(value));
            assert_close(correlation(&map(&x, |value| 4.0 * value + 32.0), &y), value);
            assert_close(correlation(&map(&x, |value| -value), &y), -value);
        }
        assert_close(correlation::spearman(&x, &map(&x, |value| value.powi(3))), 1.0);
    }
}

#[test]
fn errors_are_zero_for_a_perfect_prediction_and_scale_with_the_values() {
    let mut random = Random(3);
    for examples in 2..60 {
        let (x, y) = (random.values(examples), random.values(examples));
        let double = |values: &[f32]| values.iter().map(|value| 2.0 * value).collect::<Vec<_>>();
        assert_eq!((regression::mse(&x, &x), regression::mae(&x, &x)), (Some(0.0), Some(0.0)));
        assert_eq!(regression::r2(&x, &x), Some(1.0));
        let (mse, mae) = (regression::mse(&x, &y).unwrap(), regression::mae(&x, &y).unwrap());
        assert!(mae * mae <= mse * (1.0 + 1e-12));
        assert_close(regression::mse(&double(&x), &double(&y)), 4.0 * mse);
        assert_close(regression::mae(&double(&x), &double(&y)), 2.0 * mae);
        assert_close(regression::r2(&double(&x), &double(&y)), regression::r2(&x, &y).unwrap());
    }
}

#[test]
fn class_metrics_ignore_how_classes_are_numbered() {
    let mut random = Random(4);
    for examples in 1..60 {
        let (expected, predicted) = (random.classes(examples, 4), random.classes(examples, 4));
        let renumber =
            |classes: &[u32]| classes.iter().map(|&class| [9, u32::MAX, 0, 4][class as usize]).collect::<Vec<_>>();
        let functions = [
            classification::accuracy,
            classification::balanced_accuracy,
            classification::macro_f1,
            classification::micro_f1,
            classification::weighted_f1,
            classification::matthews,
        ];
        for function in functions {
            let value = function(&expected, &predicted).expect("there are examples");
            assert!((-1.0..=1.0).contains(&value));
            assert_close(function(&renumber(&expected), &renumber(&predicted)), value);
        }
        let accuracy = classification::accuracy(&expected, &predicted).unwrap();
        assert_close(classification::micro_f1(&expected, &predicted), accuracy);
        assert_close(classification::macro_f1(&expected, &expected), 1.0);
        assert_close(classification::weighted_f1(&expected, &expected), 1.0);
        assert_close(classification::balanced_accuracy(&expected, &expected), 1.0);
    }
}

#[test]
fn multi_label_f1_does_not_depend_on_the_order_of_examples() {
    let mut random = Random(5);
    for examples in 1..40 {
        let mut draw = || (0..examples * 3).map(|_| random.below(2) == 1).collect::<Vec<_>>();
        let (expected, predicted) = (draw(), draw());
        let reverse = |rows: &[bool]| rows.chunks(3).rev().flatten().copied().collect::<Vec<_>>();
        let functions =
            [multi_label::subset_accuracy, multi_label::macro_f1, multi_label::micro_f1, multi_label::weighted_f1];
        for function in functions {
            let value = function(&expected, &predicted, 3).expect("there are examples");
            assert!((0.0..=1.0).contains(&value));
            assert_close(function(&reverse(&expected), &reverse(&predicted), 3), value);
        }
    }
}

#[test]
fn entity_f1_is_one_for_equal_tags_and_symmetric() {
    let labels = ["O", "B-A", "I-A", "E-A", "S-A", "B-B", "I-B", "X", ".", ""].map(String::from);
    let mut random = Random(6);
    for length in 1..60 {
        let mut draw = || vec![random.classes(length, 10), random.classes(length / 2, 10)];
        let (x, y) = (draw(), draw());
        let value = tags::entity_f1(&x, &y, &labels).expect("there are tags");
        assert!((0.0..=1.0).contains(&value));
        assert_eq!(tags::entity_f1(&y, &x, &labels), Some(value));
        let name = |&tag: &u32| labels[tag as usize].as_str();
        let found = entities(x.iter().flat_map(|sequence| sequence.iter().map(name).chain(["O"])));
        assert_eq!(tags::entity_f1(&x, &x, &labels), Some(f64::from(!found.is_empty())));
    }
}

#[test]
fn entities_of_one_sequence() {
    let found = entities(["B-PER", "I-PER", "O", "I-LOC", "", "B"]);
    let expected = [("PER", 0, 2), ("LOC", 3, 4), ("_", 5, 6)].map(|(kind, start, end)| Entity { kind, start, end });
    assert_eq!(found, expected);
    assert_eq!(entities([]), []);
}
