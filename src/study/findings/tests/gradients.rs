//! Conflict between gradients.

use super::simulated::study;
use crate::study::findings;
use crate::study::report::Verdict;

#[test]
fn the_pair_that_conflicts_is_found() {
    for seeds in [1, 4] {
        let (about, runs) = study(seeds, 20);
        let found = findings(&about, &runs).conflict.unwrap();
        assert_eq!(found.pairs.len(), 6);
        for pair in &found.pairs {
            let conflicts = pair.tasks == ["values", "entities"];
            assert_eq!(pair.verdict, if conflicts { Verdict::Hurt } else { Verdict::Helped }, "{pair:?}");
            assert_eq!((pair.measured, pair.over_time.len()), (20 * seeds, 10));
            assert!(pair.over_time.iter().all(Option::is_some));
            assert!((pair.layers["layer 0"].unwrap() - 0.1).abs() < 0.03);
            assert!((pair.share > 0.9) == conflicts);
        }
        assert_eq!(
            found.layers.iter().map(|layer| layer.layer.as_str()).collect::<Vec<_>>(),
            ["embeddings", "layer 0", "layer 1"]
        );
        assert!(found.layers.iter().all(|layer| !layer.conflicting));
        assert!(found.finding.contains("values against entities"), "{}", found.finding);
    }
}

#[test]
fn a_layer_conflicts_where_all_pairs_do() {
    let (about, mut runs) = study(4, 20);
    for step in runs.iter_mut().flat_map(|run| &mut run.conflicts) {
        step.layers["layer 0"].iter_mut().flatten().flatten().for_each(|cosine| *cosine -= 0.5);
    }
    let found = findings(&about, &runs).conflict.unwrap();
    assert_eq!(found.layers.iter().map(|layer| layer.conflicting).collect::<Vec<_>>(), [false, true, false]);
    assert!(found.finding.starts_with("The tasks' gradients conflict beyond chance in layer 0:"), "{}", found.finding);
    for step in runs.iter_mut().flat_map(|run| &mut run.conflicts) {
        step.whole.iter_mut().flatten().flatten().for_each(|cosine| *cosine = cosine.abs());
        step.layers.values_mut().flatten().flatten().flatten().for_each(|cosine| *cosine = cosine.abs());
    }
    let finding = findings(&about, &runs).conflict.unwrap().finding;
    assert_eq!(finding, "No layer's gradients conflict beyond chance: sharing all of them is supported.");
}
