//! Advice, and the changes that it leads to.

use super::simulated::{METHOD, TASKS, answers, joint, scored, study};
use crate::study::report::{Certainty, Effect, Estimate, Verdict};
use crate::study::{Changes, advised, findings};

#[test]
fn chance_changes_nothing() {
    let (about, runs) = study(5, 200);
    let report = findings(&about, &runs);
    assert!(advised(&report).is_empty(), "{:?}", advised(&report));
    let words: Vec<&str> = report.advice.iter().map(|advice| advice.what.as_str()).collect();
    assert!(words.contains(&"Keep db_mtl: no method is better beyond chance."), "{words:?}");
    assert!(words.contains(&"Train the tasks together."), "{words:?}");
    assert!(report.advice.iter().all(|advice| !advice.because.is_empty()));
}

#[test]
fn a_better_method_is_taken() {
    let (about, mut runs) = study(4, 150);
    for run in runs.iter_mut().filter(|run| run.arm == joint("search")) {
        for (at, (task, metric)) in TASKS.iter().enumerate() {
            run.tasks[*task] = scored(*metric, answers(*metric, 150, 3.0, at as u64, &[9, run.seed]));
        }
    }
    let changes = advised(&findings(&about, &runs));
    assert_eq!(changes.method.as_deref(), Some("search"));
    assert_eq!(changes.weights.unwrap().len(), 4);
}

#[test]
fn harmful_tasks_are_left_out_and_groups_are_parted() {
    let (about, runs) = study(3, 40);
    let mut report = findings(&about, &runs);
    let effect = |percent: f64, verdict| Effect {
        difference: Estimate { value: percent / 100.0, interval: None },
        percent: Some(percent),
        p: Some(0.001),
        corrected: Some(0.001),
        verdict,
    };
    let transfer = report.transfer.as_mut().unwrap();
    // The last task hurts the first; the first two and the last two get along, and no others.
    transfer.leave_one_out = vec![vec![None; 4]; 4];
    transfer.leave_one_out[0][3] = Some(effect(-5.0, Verdict::Hurt));
    for (target, row) in transfer.pairs.iter_mut().enumerate() {
        for (source, cell) in row.iter_mut().enumerate().filter(|(source, _)| *source != target) {
            let together = target / 2 == source / 2;
            *cell = Some(if together { effect(4.0, Verdict::Helped) } else { effect(-4.0, Verdict::Hurt) });
        }
    }
    let (about, runs) = (&about, &runs);
    report.advice = super::super::advice::advice(&report, &super::super::runs::Runs::new(about, runs));
    let groups = vec![vec!["values".to_owned(), "classes".into()], vec!["labels".into(), "entities".into()]];
    assert_eq!(advised(&report), Changes { drop: vec!["entities".into()], groups, ..Changes::default() });
    let grouped = report.advice.iter().find(|advice| advice.what.starts_with("Train in groups")).unwrap();
    assert_eq!(grouped.certainty, Certainty::Sure);
    assert_eq!(report.balance, METHOD);
    // One pair that chance explains, and it is no longer sure.
    report.transfer.as_mut().unwrap().pairs[0][1] = Some(effect(4.0, Verdict::NoEvidence));
    report.transfer.as_mut().unwrap().pairs[1][0] = Some(effect(4.0, Verdict::NoEvidence));
    report.advice = super::super::advice::advice(&report, &super::super::runs::Runs::new(about, runs));
    let grouped = report.advice.iter().find(|advice| advice.what.starts_with("Train in groups")).unwrap();
    assert_eq!((grouped.certainty, &grouped.change), (Certainty::Likely, &None));
}
