//! Intervals cover the truth, and chance alone is seldom taken for an effect.

use super::simulated::{METHOD, TASKS, about, answers, joint, run_with, scored, single, study};
use crate::data::random::Random;
use crate::metrics::Metric;
use crate::study::report::{Estimate, Verdict};
use crate::study::{RunResult, findings};
use crate::train::Answers;

/// Errors of a run: those of the examples, of the run, and of the run on the example. Their mean over many examples and
/// many runs is 5, plus `more`.
fn errors(world: u64, run: &[u64], more: f64, examples: usize) -> Answers {
    let mut shared = Random::new(&[world, 1]);
    // What the arm, the first part, does to each example.
    let mut of_arm = Random::new(&[world, 2, run[0]]);
    let mut own = Random::new(&[&[world, 3], run].concat());
    let level = 5.0 + more + 0.05 * own.normal();
    let error = |_| (level + 0.5 * shared.normal() + 0.3 * of_arm.normal() + 0.2 * own.normal()) as f32;
    Answers { values: (0..examples).map(error).map(|error| [0.0, error]).collect(), ..Answers::default() }
}

#[test]
fn intervals_cover_the_truth() {
    for (seeds, examples) in [(2, 60), (4, 60), (5, 30)] {
        let about = about(&[("task", Metric::Mae)], seeds);
        let studies = 300;
        let mut covered = 0;
        for world in 0..studies {
            let mut runs = Vec::new();
            for seed in 0..seeds as u64 {
                let task = |arm, more| vec![("task", scored(Metric::Mae, errors(world, &[arm, seed], more, examples)))];
                runs.push(run_with(single("task"), seed, task(0, 0.0)));
                runs.push(run_with(joint(METHOD), seed, task(1, -0.2)));
            }
            let report = findings(&about, &runs);
            // An error that is smaller by 0.2 is better by 0.2.
            let [from, to] =
                report.generalization.joint[0].tasks["task"].effect.as_ref().unwrap().difference.interval.unwrap();
            covered += u64::from(from <= 0.2 && 0.2 <= to);
        }
        let share = covered as f64 / studies as f64;
        eprintln!("{seeds} seeds, {examples} examples: {share}");
        assert!((0.92..=0.99).contains(&share), "{seeds} seeds, {examples} examples: {share}");
    }
}

#[test]
fn chance_alone_is_seldom_an_effect() {
    let tasks = [("values", Metric::Pearson), ("errors", Metric::Mae), ("classes", Metric::Accuracy)];
    let about = about(&tasks, 3);
    let studies = 250;
    let mut wrong = 0;
    for world in 0..studies {
        let mut runs = Vec::new();
        for seed in 0..3 {
            let result = |at: usize, arm: u64| {
                let (task, metric) = tasks[at];
                let run = [arm, seed];
                let level = 0.8 + 0.05 * Random::new(&[world, arm, seed]).normal();
                let answers = match metric {
                    Metric::Mae => errors(world, &run, 0.0, 50),
                    _ => answers(metric, 50, level, 10 * world + at as u64, &run),
                };
                (task, scored(metric, answers))
            };
            runs.extend((0..3).map(|at| run_with(single(tasks[at].0), seed, vec![result(at, 0)])));
            let together = |arm| (0..3).map(|at| result(at, arm)).collect();
            runs.push(run_with(joint(METHOD), seed, together(1)));
            runs.push(run_with(joint("equal"), seed, together(2)));
        }
        let report = findings(&about, &runs);
        let effects = report.generalization.joint.iter().flat_map(|arm| arm.tasks.values());
        let found = |verdict: Option<Verdict>| verdict.is_some_and(|verdict| verdict != Verdict::NoEvidence);
        wrong += u64::from(effects.map(|scores| scores.effect.as_ref().map(|effect| effect.verdict)).any(found));
    }
    eprintln!("wrong: {wrong} of {studies}");
    assert!(wrong * 20 <= studies, "{wrong} of {studies}");
}

#[test]
fn an_effect_is_found_and_the_rest_is_left_open() {
    let (about, runs) = study(5, 200);
    let report = findings(&about, &runs);
    assert_eq!(
        report.generalization.joint.iter().map(|arm| arm.method.clone().unwrap()).collect::<Vec<_>>(),
        [METHOD, "equal", "search", "dwa"]
    );
    for arm in &report.generalization.joint {
        for (task, scores) in &arm.tasks {
            let effect = scores.effect.as_ref().unwrap();
            let expected = if task == "values" { Verdict::Helped } else { Verdict::NoEvidence };
            assert_eq!(effect.verdict, expected, "{task} {effect:?}");
            assert!(effect.corrected >= effect.p);
            let difference = scores.test.value - report.generalization.single.tasks[task].test.value;
            assert!((effect.difference.value - difference).abs() < 1e-12);
        }
        let delta = arm.delta_m.unwrap();
        let percent = arm.tasks.values().map(|scores| scores.effect.as_ref().unwrap().percent.unwrap());
        assert!((delta.value - percent.sum::<f64>() / TASKS.len() as f64).abs() < 1e-9);
        assert!(delta.interval.unwrap()[0] > 0.0);
    }
    assert!(report.headline.starts_with("Joint training helped values (+0."), "{}", report.headline);
    assert!(report.headline.ends_with("no evidence of harm to the other 3 tasks."), "{}", report.headline);
}

#[test]
fn equal_arms_differ_by_nothing() {
    let about = about(&TASKS, 3);
    let mut runs: Vec<RunResult> = Vec::new();
    for seed in 0..3 {
        let result = |at: usize| scored(TASKS[at].1, answers(TASKS[at].1, 40, 0.7, at as u64, &[seed]));
        runs.extend((0..4).map(|at| run_with(single(TASKS[at].0), seed, vec![(TASKS[at].0, result(at))])));
        runs.push(run_with(joint(METHOD), seed, (0..4).map(|at| (TASKS[at].0, result(at))).collect()));
    }
    let report = findings(&about, &runs);
    for scores in report.generalization.joint[0].tasks.values() {
        let effect = scores.effect.as_ref().unwrap();
        assert_eq!(effect.difference, Estimate { value: 0.0, interval: Some([0.0; 2]) });
        assert_eq!((effect.p, effect.corrected, effect.verdict), (Some(1.0), Some(1.0), Verdict::NoEvidence));
    }
    assert_eq!(report.headline, "No evidence that joint training helped or hurt any of the 4 tasks.");
    assert_eq!(report.generalization.joint[0].delta_m.unwrap().value, 0.0);
}
