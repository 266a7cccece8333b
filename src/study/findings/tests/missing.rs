//! Whatever is missing, there is a report, and it is the same for the same runs.

use super::simulated::{METHOD, about, joint, run, study};
use crate::data::random::Random;
use crate::metrics::Metric;
use crate::study::report::Verdict;
use crate::study::{Arm, Report, RunResult, findings};

fn bytes(report: &Report) -> String {
    let text = serde_json::to_string_pretty(report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), *report, "JSON gives the report back");
    text
}

#[test]
fn order_and_threads_do_not_matter() {
    let (about, mut runs) = study(3, 30);
    runs[5].failed = Some("out of memory".into());
    let report = bytes(&findings(&about, &runs));
    Random::new(&[8]).shuffle(&mut runs);
    assert!(bytes(&findings(&about, &runs)) == report);
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert!(one.install(|| bytes(&findings(&about, &runs))) == report);
}

#[test]
fn any_subset_gives_a_report() {
    let (mut about, runs) = study(2, 12);
    let mut random = Random::new(&[5]);
    for round in 0..25 {
        about.seeds = vec![vec![0, 1], vec![1], vec![0, 0, 1, 7], vec![]][round % 4].clone();
        let mut some: Vec<RunResult> = Vec::new();
        for run in &runs {
            let mut run = run.clone();
            match random.below(8) {
                0..3 => continue,
                3 => run.failed = Some("diverged".into()),
                4 => run.tasks.values_mut().for_each(|task| task.test = Some(f64::NAN)),
                5 => run.tasks.values_mut().for_each(|task| task.answers = Default::default()),
                6 => run.curve.iter_mut().for_each(|point| point.scores.clear()),
                _ => {
                    run.conflicts.iter_mut().for_each(|step| step.whole.truncate(1));
                    run.affinities.iter_mut().for_each(|step| step.lookahead.clear());
                    run.clock.seconds = vec![f64::INFINITY];
                    run.tasks.values_mut().for_each(|task| task.answers.values.truncate(3));
                }
            }
            some.push(run);
        }
        let report = findings(&about, &some);
        bytes(&report);
        assert!(!report.headline.is_empty() && !report.method.is_empty());
        assert_eq!(report.failed.len(), some.iter().filter(|run| run.failed.is_some()).count());
    }
    bytes(&findings(&about, &[]));
}

#[test]
fn failed_runs_are_listed_and_their_seed_is_left_out() {
    let (about, mut runs) = study(3, 60);
    let at = runs.iter().position(|run| run.arm == joint(METHOD) && run.seed == 1).unwrap();
    runs[at] = RunResult { failed: Some("diverged".into()), ..run(joint(METHOD), 1) };
    let report = findings(&about, &runs);
    assert_eq!(report.failed, [["all together (db_mtl) (seed 1)".to_owned(), "diverged".into()]]);
    let scores = &report.generalization.joint[0].tasks["values"];
    assert_eq!(scores.seeds.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
    assert!(scores.effect.as_ref().unwrap().difference.interval.is_some());
    assert!(report.method.contains("of which 1 failed and is left out"));
}

#[test]
fn one_seed_is_too_few() {
    let (about, runs) = study(1, 60);
    let report = findings(&about, &runs);
    for scores in report.generalization.joint.iter().flat_map(|arm| arm.tasks.values()) {
        let effect = scores.effect.as_ref().unwrap();
        assert_eq!((effect.difference.interval, effect.p, effect.verdict), (None, None, Verdict::NoEvidence));
    }
    assert_eq!(report.headline, "Too few runs to tell what joint training did to the 4 tasks: more seeds are needed.");
}

#[test]
fn one_task_is_enough() {
    let (_, mut runs) = study(2, 60);
    runs.retain(|run| run.arm == Arm::Single { task: "values".into() });
    let mut together = runs.clone();
    together.iter_mut().for_each(|run| run.arm = joint(METHOD));
    runs.extend(together);
    let report = findings(&about(&[("values", Metric::Pearson)], 2), &runs);
    assert_eq!(report.headline, "No evidence that joint training helped or hurt the task.");
    assert!(report.transfer.is_none() && report.conflict.is_none() && report.labels.is_none());
    bytes(&report);
}
