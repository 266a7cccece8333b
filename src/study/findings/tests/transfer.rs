//! Matrices of transfer.

use super::simulated::study;
use crate::study::report::{Effect, Matrix, Verdict};
use crate::study::{Arm, findings};

#[test]
fn the_source_that_helps_is_found() {
    let (about, runs) = study(4, 200);
    let found = findings(&about, &runs).transfer.unwrap();
    let verdicts = |matrix: &Matrix<Effect>| {
        let cells = |row: usize| matrix[row].iter().map(|cell| cell.as_ref().map(|effect| effect.verdict)).collect();
        (0..4).map(cells).collect::<Vec<Vec<_>>>()
    };
    for matrix in [&found.pairs, &found.after, &found.leave_one_out] {
        for (target, row) in verdicts(matrix).iter().enumerate() {
            for (source, verdict) in row.iter().enumerate() {
                let helps = if (target, source) == (0, 1) { Verdict::Helped } else { Verdict::NoEvidence };
                assert_eq!(*verdict, (target != source).then_some(helps), "{target} {source}");
            }
        }
    }
    let affinity = found.affinity[2][1].unwrap();
    assert!((affinity.value - 0.009).abs() < 0.001 && affinity.interval.is_some());
    assert_eq!(found.affinity[1][1], None);
    let names: Vec<&str> = found.foretold.iter().map(|foretold| foretold.matrix.as_str()).collect();
    assert_eq!(names, ["pairs", "after", "leave one out"]);
    assert!(
        found.foretold.iter().all(|foretold| foretold.pairs == 12 && foretold.rho.is_some() && foretold.p.is_some())
    );
}

#[test]
fn one_seed_is_judged_by_the_variance_of_others() {
    let (about, mut runs) = study(4, 200);
    runs.retain(|run| run.seed == 0 || matches!(run.arm, Arm::Single { .. } | Arm::Joint { .. }));
    let found = findings(&about, &runs).transfer.unwrap();
    let effect = found.pairs[0][1].as_ref().unwrap();
    assert!(effect.difference.interval.is_some());
    assert_eq!(effect.verdict, Verdict::Helped);
    runs.retain(|run| run.seed == 0);
    let found = findings(&about, &runs).transfer.unwrap();
    assert_eq!(found.pairs[0][1].as_ref().unwrap().difference.interval, None);
}
