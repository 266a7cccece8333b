//! Labels that are saved, on curves that are known.

use super::simulated::{METHOD, about, joint, run_with, scored, single};
use crate::data::random::Random;
use crate::metrics::Metric;
use crate::study::{About, Arm, Report, RunResult, advised, findings};
use crate::train::Answers;

/// A run whose mean error is `level`, but for a little noise.
fn with_error(arm: Arm, seed: u64, level: f64) -> RunResult {
    let name = arm.name().bytes().fold(3, |hash: u64, byte| hash.wrapping_mul(31) + u64::from(byte));
    let mut random = Random::new(&[name, seed]);
    let values = (0..50).map(|_| [0.0, (level + 0.01 * random.normal()) as f32]).collect();
    run_with(arm, seed, vec![("task", scored(Metric::Mae, Answers { values, ..Answers::default() }))])
}

/// The error alone falls by 1 with each doubling from 100 rows on, from 10; `errors` are those of joint training.
fn report(errors: &[(usize, f64)], seeds: usize) -> Report {
    let about = About {
        target: Some("task".into()),
        labels_used: 100,
        labels_most: 1600,
        ..about(&[("task", Metric::Mae)], seeds)
    };
    let mut runs = Vec::new();
    for seed in 0..seeds as u64 {
        runs.push(with_error(single("task"), seed, 10.0));
        for doublings in 1..=4 {
            let arm = Arm::Labels { task: "task".into(), rows: 100 << doublings, joint: false };
            runs.push(with_error(arm, seed, 10.0 - doublings as f64));
        }
        for (rows, level) in errors {
            let arm = Arm::Labels { task: "task".into(), rows: *rows, joint: true };
            runs.push(with_error(if *rows == 100 { joint(METHOD) } else { arm }, seed, *level));
        }
    }
    findings(&about, &runs)
}

#[test]
fn labels_are_read_from_the_curve() {
    let found = report(&[(50, 9.5), (100, 7.5)], 3).labels.unwrap();
    assert_eq!(found.single.iter().map(|point| point.rows).collect::<Vec<_>>(), [100, 200, 400, 800, 1600]);
    // Error 7.5 lies in the middle of 400 and 800 rows: at 100 · 2^2.5.
    let [few, used] = &found.saved[..] else { panic!("two joint points") };
    assert!((used.needed.value - 565.7).abs() < 5.0 && !used.at_least, "{used:?}");
    let [from, to] = used.needed.interval.unwrap();
    assert!(from < used.needed.value && used.needed.value < to && to - from < 20.0, "{used:?}");
    assert!((few.needed.value - 141.4).abs() < 3.0, "{few:?}");
    assert!(found.headline.starts_with("100 labels of task with joint training are worth 56"), "{}", found.headline);
    assert!(found.headline.contains("labels saved."), "{}", found.headline);
}

#[test]
fn curves_that_end_too_low_give_a_bound() {
    let found = report(&[(100, 3.0)], 3).labels.unwrap();
    assert!(found.saved[0].at_least);
    assert_eq!(found.saved[0].needed.value, 1600.0);
    assert_eq!(
        found.headline,
        "100 labels of task with joint training are worth at least 1,600 without it (95 % interval from 1,600): at least \
         1,500 labels saved."
    );
}

#[test]
fn nothing_is_saved_where_joint_training_is_worse() {
    let found = report(&[(100, 11.0)], 3).labels.unwrap();
    assert_eq!(found.saved[0].needed.value, 100.0);
    assert!(found.headline.starts_with("No labels of task are saved"), "{}", found.headline);
    let report = report(&[(100, 7.5)], 1);
    assert_eq!(report.labels.as_ref().unwrap().saved[0].needed.interval, None);
    assert!(report.labels.unwrap().headline.contains("too few runs for an interval"));
}

#[test]
fn errors_are_told_by_their_size() {
    let better = report(&[(100, 7.5)], 3);
    assert!(
        better.headline.starts_with("Joint training helped every task: task (mae lower by 2.5"),
        "{}",
        better.headline
    );
    let worse = report(&[(100, 12.5)], 3);
    assert!(
        worse.headline.starts_with("Joint training hurt every task: task (mae higher by 2.5"),
        "{}",
        worse.headline
    );
    let effect = worse.generalization.joint[0].tasks["task"].effect.clone().unwrap();
    assert!(effect.difference.value < 0.0 && (effect.percent.unwrap() + 25.0).abs() < 0.5);
    assert!(worse.advice.iter().any(|advice| advice.what == "Train task by itself: joint training hurts it."));
    // The only task cannot be left out.
    assert!(advised(&worse).is_empty());
}
