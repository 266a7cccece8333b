//! Changes to the recipe that a report gives sure reason for.

use super::grouping::groups;
use crate::study::report::{ArmScores, Certainty, Report};
use indexmap::IndexMap;

/// What to write into another recipe; nothing that chance could explain.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// A better balancing method.
    pub method: Option<String>,
    /// The weights that it found, if that is `search`: they can be written down as fixed ones.
    pub weights: Option<IndexMap<String, f64>>,
    /// Tasks to leave out: hurt, or harmful to another, and of help to none.
    pub drop: Vec<String>,
    /// Groups of tasks to train apart from each other; empty if all stay together.
    pub groups: Vec<Vec<String>>,
}

impl Changes {
    /// Whether the recipe stays as it is.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The changes of the advice that is [`Certainty::Sure`], and of no other.
pub fn advised(report: &Report) -> Changes {
    let advised = |change: String| {
        report
            .advice
            .iter()
            .any(|advice| advice.certainty == Certainty::Sure && advice.change.as_ref() == Some(&change))
    };
    let better = |arm: &&ArmScores| arm.method.as_ref().is_some_and(|method| advised(method_change(method)));
    let arm = report.generalization.joint.iter().find(better);
    let drop: Vec<String> = report.tasks.keys().filter(|task| advised(drop_change(task))).cloned().collect();
    let found = report.transfer.as_ref().filter(|_| advised(groups_change())).and_then(|transfer| {
        let name = |task: &usize| transfer.tasks[*task].clone();
        Some(groups(transfer)?.groups.iter().map(|group| group.iter().map(name).collect()).collect())
    });
    Changes {
        method: arm.and_then(|arm| arm.method.clone()),
        weights: arm.and_then(|arm| arm.weights.clone()),
        // A recipe needs a task.
        drop: if drop.len() < report.tasks.len() { drop } else { Vec::new() },
        groups: found.unwrap_or_default(),
    }
}

/// What becomes of the method, in the words by which [`advised`] knows it again.
pub(super) fn method_change(method: &str) -> String {
    format!("The balancing method becomes {method}.")
}

/// The same of a task that is left out.
pub(super) fn drop_change(task: &str) -> String {
    format!("{task} is left out.")
}

/// The same of groups.
pub(super) fn groups_change() -> String {
    "A recipe is written for each group.".into()
}
