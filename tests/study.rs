//! Studies of small real data: what they have to find, and what they must not.
#![cfg(feature = "train")]

#[path = "study/lab.rs"]
mod lab;

#[path = "study/conflict.rs"]
mod conflict;

use lab::{Lab, Rows, shuffled};
use mtl_zoo::study::report::Verdict;
use mtl_zoo::study::{Arm, Options};

/// Seeds that a small study can pay for, and nothing beside the main comparison.
fn small(seeds: usize) -> Options {
    Options { seeds, methods: Vec::new(), labels: false, transfer: false, evaluations: 2, ..Options::default() }
}

#[test]
fn two_halves_of_a_task_help_each_other() {
    let rows = Rows::read("tweets", "train");
    let mut lab = Lab::new(10.0, &[("first", rows.part(0..40)), ("second", rows.part(40..80))], "tweets");
    lab.replace_all("test", Rows::read("tweets", "test").part(0..600));
    let report = lab.study(&small(4), |_| true).1;
    let joint = &report.generalization.joint[0];
    for (task, scores) in &joint.tasks {
        let effect = scores.effect.as_ref().unwrap();
        assert_eq!(effect.verdict, Verdict::Helped, "{task}: {effect:?}");
        assert!(effect.difference.interval.unwrap()[0] > 0.0, "{task}: {effect:?}");
    }
    assert!(joint.delta_m.unwrap().interval.unwrap()[0] > 0.0, "{:?}", joint.delta_m);
    assert!(report.headline.contains("helped"), "{}", report.headline);
}

#[test]
fn identical_arms_are_no_evidence() {
    let rows = Rows::read("tweets", "train");
    let lab = Lab::new(1.0, &[("first", rows.part(0..60)), ("second", rows.part(60..120))], "tweets");
    let (about, mut results) = {
        let (study, _) = lab.study(&small(3), |arm| matches!(arm, Arm::Single { .. }));
        (study.about, study.results)
    };
    // A joint run that gave each task exactly what it reaches alone.
    for seed in 0..3 {
        let of_seed: Vec<_> = results.iter().filter(|run| run.seed == seed).cloned().collect();
        let mut joint = of_seed[0].clone();
        joint.arm = Arm::Joint { method: "equal".into() };
        joint.tasks = of_seed.iter().flat_map(|run| run.tasks.clone()).collect();
        assert_eq!(joint.tasks.len(), 2);
        results.push(joint);
    }
    let report = mtl_zoo::study::findings(&about, &results);
    for (task, scores) in &report.generalization.joint[0].tasks {
        let effect = scores.effect.as_ref().unwrap();
        assert_eq!((effect.verdict, effect.difference.value), (Verdict::NoEvidence, 0.0), "{task}: {effect:?}");
    }
    assert!(report.advice.iter().all(|advice| advice.change.is_none()), "{:?}", report.advice);
}

/// There is nothing to learn from shuffled labels, so each finding that a task with them was helped is a false one: of 20, at
/// most the 5 % that a report says it is wrong in.
#[test]
fn shuffled_labels_are_not_helped() {
    let helper = Rows::read("tweets", "train");
    let mut helped = Vec::new();
    for repetition in 0..20u64 {
        let noise = |split, seed| shuffled(Rows::read("nyt", split), 100 * repetition + seed);
        let tasks = [("noise", noise("train", 0).part(0..40)), ("real", helper.part(0..40))];
        let mut lab = Lab::new(2.0, &tasks, "tweets");
        lab.replace("noise", "validation", noise("validation", 1).part(0..60));
        lab.replace("noise", "test", noise("test", 2).part(0..200));
        let wanted = |arm: &Arm| *arm != Arm::Single { task: "real".into() };
        let report = lab.study(&small(3), wanted).1;
        let effect = report.generalization.joint[0].tasks["noise"].effect.clone().unwrap();
        if effect.verdict == Verdict::Helped {
            helped.push((repetition, effect));
        }
    }
    assert!(helped.len() <= 1, "{helped:#?}");
}
