//! What a run tells while it goes on.

use super::{Persistent, Scores, StepReport, Trial};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// One optimizer step.
#[derive(Clone, Debug)]
pub struct StepEvent<'a> {
    /// The step, counted from 1.
    pub step: usize,
    /// Steps of the whole run.
    pub steps: usize,
    /// Factor of the schedule on the learning rates.
    pub factor: f64,
    /// What happened.
    pub report: &'a StepReport,
}

/// Validation scores after a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The step.
    pub step: usize,
    /// Scores by task.
    pub tasks: IndexMap<String, Scores>,
    /// Mean over the tasks of each main metric, lower-is-better metrics negated: what picks the best step.
    pub score: f64,
    /// Whether no earlier evaluation was better.
    pub best: bool,
}

/// Something that happened in a run.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A step is done.
    Step(StepEvent<'a>),
    /// An evaluation begins.
    Evaluating,
    /// An evaluation is done.
    Evaluated(&'a Evaluation),
    /// The state was saved.
    Saved,
    /// A trial of a search of weights has ended.
    Tried {
        /// What was tried.
        trial: &'a Trial,
        /// Which one, counted from 1.
        number: usize,
        /// How many there are.
        of: usize,
    },
    /// The gradients of two tasks conflict most of the time. Told once a pair.
    Conflict(Persistent),
    /// At the end: how often the balancing method had no answer of its own, and why the last time. Its last weights
    /// counted then.
    Unsolved {
        /// Times it was asked in vain.
        steps: u64,
        /// What it said.
        why: &'a str,
    },
    /// At the end: steps of training with f16 that were left out because a gradient was not finite.
    Skipped {
        /// How many.
        steps: u64,
        /// The loss scale at the end.
        scale: f64,
    },
    /// Training stops early: so many evaluations without a better score.
    EarlyStop(usize),
}

/// Receives the events of a run and may stop it.
pub trait Observer {
    /// Called after each event. Durations are the observer's own affair: events hold none.
    fn event(&mut self, event: &Event);

    /// Asked after every step; `true` saves the state and ends the run.
    fn stop(&self) -> bool {
        false
    }
}

/// An observer that neither looks nor stops.
impl Observer for () {
    fn event(&mut self, _: &Event) {}
}
