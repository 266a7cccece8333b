//! Costs and curves.

use super::simulated::{METHOD, about, joint, run, run_with, scored, single, study};
use crate::metrics::Metric;
use crate::study::report::Cost;
use crate::study::{Arm, Clock, Evaluated, RunResult, findings};
use crate::train::Answers;

fn with_curve(arm: Arm, seed: u64, scores: &[f64]) -> RunResult {
    let answers = Answers { values: vec![[0.0, 1.0], [1.0, 1.0], [2.0, 2.5]], ..Answers::default() };
    let mut run = run_with(arm, seed, vec![("task", scored(Metric::Pearson, answers))]);
    for (at, score) in scores.iter().enumerate() {
        let step = 10 * (at + 1);
        let scores = [("task".to_owned(), Some(*score))].into();
        run.curve.push(Evaluated { step, tokens: 100 * step as u64, scores });
    }
    run.clock = Clock { threads: 2, seconds: (1..=scores.len()).map(|at| at as f64).collect(), total: 9.0 };
    run
}

#[test]
fn the_goal_is_reached_on_the_line_between_evaluations() {
    let runs = [
        with_curve(single("task"), 0, &[0.2, 0.4, 0.6, 0.5]),
        with_curve(single("task"), 1, &[0.2, 0.4, 0.4, 0.5]),
        with_curve(joint(METHOD), 0, &[0.3, 0.5, 0.8]),
        with_curve(joint(METHOD), 1, &[0.3, 0.3, 0.6, 0.9]),
    ];
    let time = findings(&about(&[("task", Metric::Pearson)], 2), &runs).time;
    let reached = &time.reached[0];
    // Means alone: 0.2, 0.4, 0.5, 0.5; together, up to the shorter run: 0.3, 0.4, 0.7.
    assert_eq!((reached.goal, reached.single), (0.5, Cost { steps: 30.0, tokens: 3000.0, seconds: 6.0 }));
    let joint = reached.joint.unwrap();
    for (found, expected) in [(joint.steps, 70.0 / 3.0), (joint.tokens, 7000.0 / 3.0), (joint.seconds, 14.0 / 3.0)] {
        assert!((found - expected).abs() < 1e-9, "{joint:?}");
    }
    assert_eq!(time.curves.iter().map(|curve| curve.points.len()).collect::<Vec<_>>(), [4, 3]);
    assert_eq!((time.joint.seconds, time.single.seconds), (7.0, 8.0));
}

#[test]
fn costs_of_single_tasks_add_up() {
    let (about, runs) = study(2, 20);
    let time = findings(&about, &runs).time;
    assert_eq!((time.joint.steps, time.single.steps, time.single.tokens), (100.0, 400.0, 4000.0));
    assert_eq!((time.parameters, time.memory), ([10, 40], [1000, 1000]));
    assert_eq!(time.curves.len(), 8);
    let never = findings(&about, &[run(single("values"), 0)]).time;
    assert!(never.curves.is_empty() && never.reached.is_empty());
}
