//! Arms: the ways of training that a study compares.

use serde::{Deserialize, Serialize};

/// One way of training. Each seed of it is a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Arm {
    /// One task by itself.
    Single {
        /// The task.
        task: String,
    },
    /// All tasks together.
    Joint {
        /// The balancing method.
        method: String,
    },
    /// Two tasks together, by the recipe's method.
    Pair {
        /// The tasks, in the recipe's order.
        tasks: [String; 2],
    },
    /// All tasks but one, by the recipe's method.
    Without {
        /// The task that is left out.
        task: String,
    },
    /// One task, from the backbone that another was trained on.
    After {
        /// What was trained before.
        first: String,
        /// What is trained and scored.
        task: String,
    },
    /// Some rows of a task: alone, or together with all rows of the others.
    Labels {
        /// The task.
        task: String,
        /// How many of its rows.
        rows: usize,
        /// Whether the others train with it.
        joint: bool,
    },
}

impl Arm {
    /// The name: of its runs' folders, and in messages.
    pub fn name(&self) -> String {
        match self {
            Self::Single { task } => format!("single-{task}"),
            Self::Joint { method } => format!("joint-{method}"),
            Self::Pair { tasks: [a, b] } => format!("pair-{a}-{b}"),
            Self::Without { task } => format!("without-{task}"),
            Self::After { first, task } => format!("{task}-after-{first}"),
            Self::Labels { task, rows, joint: true } => format!("joint-{rows}-{task}"),
            Self::Labels { task, rows, joint: false } => format!("single-{rows}-{task}"),
        }
    }

    /// What it is, for people.
    pub fn title(&self) -> String {
        match self {
            Self::Single { task } => format!("{task} alone"),
            Self::Joint { method } => format!("all together ({method})"),
            Self::Pair { tasks: [a, b] } => format!("{a} with {b}"),
            Self::Without { task } => format!("all but {task}"),
            Self::After { first, task } => format!("{task} after {first}"),
            Self::Labels { task, rows, joint: true } => format!("{rows} labels of {task}, with the others"),
            Self::Labels { task, rows, joint: false } => format!("{rows} labels of {task} alone"),
        }
    }

    /// Whether the scores of this task are of use: learning curves are of one.
    pub fn scores(&self, name: &str) -> bool {
        match self {
            Self::Labels { task, .. } => task == name,
            _ => true,
        }
    }

    /// Whether its scores on training rows are of use.
    pub fn scores_training_rows(&self) -> bool {
        matches!(self, Self::Single { .. } | Self::Joint { .. })
    }
}
