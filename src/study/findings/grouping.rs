//! Which tasks to train together, from what each two do to each other.

use crate::study::report::{Certainty, Transfer, Verdict};

/// Groups of tasks, by number, and how sure it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Groups {
    /// Each task is in one; in the order of their first tasks.
    pub groups: Vec<Vec<usize>>,
    /// `Sure` if all that is kept together or apart is so beyond chance, `Likely` if half of it is and nothing speaks against.
    pub certainty: Certainty,
}

/// Agglomerative clustering with average linkage: the two groups whose tasks help each other most, in percent and in the
/// mean of both directions, are put together as long as that is above 0. `None` with fewer than three tasks, or if the
/// pairs of some two tasks were not trained or cannot be told in percent.
pub(super) fn groups(transfer: &Transfer) -> Option<Groups> {
    let count = transfer.tasks.len();
    let effect = |target: usize, source: usize| transfer.pairs.get(target)?.get(source)?.as_ref();
    let both = |a: usize, b: usize| Some((effect(a, b)?.percent? + effect(b, a)?.percent?) / 2.0);
    let all = (0..count).flat_map(|a| (0..a).map(move |b| (a, b)));
    if count < 3 || all.clone().any(|(a, b)| both(a, b).is_none()) {
        return None;
    }
    let linkage = |a: &[usize], b: &[usize]| {
        let sum: f64 = a.iter().flat_map(|a| b.iter().filter_map(|b| both(*a, *b))).sum();
        sum / (a.len() * b.len()) as f64
    };
    let mut groups: Vec<Vec<usize>> = (0..count).map(|task| vec![task]).collect();
    loop {
        let pairs = (0..groups.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
        let best = pairs
            .map(|(a, b)| (a, b, linkage(&groups[a], &groups[b])))
            .fold(None, |best: Option<(usize, usize, f64)>, next| best.filter(|best| best.2 >= next.2).or(Some(next)));
        let Some((a, b, _)) = best.filter(|best| best.2 > 0.0) else { break };
        let taken = groups.remove(b);
        groups[a].extend(taken);
        groups[a].sort_unstable();
    }
    let group_of = |task: usize| groups.iter().position(|group| group.contains(&task));
    let verdicts = |a: usize, b: usize| [effect(a, b), effect(b, a)].map(|effect| effect.map(|effect| effect.verdict));
    // What speaks for and against a pair's place: together it should help, apart it should hurt.
    let (mut supported, mut against, mut open) = (0, 0, 0);
    for (a, b) in all {
        let found = |verdict| verdicts(a, b).contains(&Some(verdict));
        let (good, bad) = (found(Verdict::Helped), found(Verdict::Hurt));
        let (fits, contradicts) = if group_of(a) == group_of(b) { (good, bad) } else { (bad, good) };
        match (fits, contradicts) {
            (_, true) => against += 1,
            (true, false) => supported += 1,
            (false, false) => open += 1,
        }
    }
    let certainty = match (supported, against, open) {
        (_, 0, 0) => Certainty::Sure,
        (supported, 0, open) if supported >= open => Certainty::Likely,
        _ => Certainty::Unsure,
    };
    Some(Groups { groups, certainty })
}
