//! Batches made in the background, so that a step never waits for them.

use super::Prepared;
use crate::data::{Batch, Sampler, SamplerState};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

/// Steps that are ready before they are asked for.
const AHEAD: usize = 2;

/// The batches of a run's steps in order, each with the sampler's position after it.
pub(super) struct Feed {
    steps: Receiver<(Vec<Batch>, SamplerState)>,
}

impl Feed {
    /// Starts to draw the batches of the steps `from..to` of a run; it ends with them, or when the feed is dropped.
    pub fn start(prepared: &Arc<Prepared>, mut sampler: Sampler, from: usize, to: usize) -> Self {
        let (sender, steps) = sync_channel(AHEAD);
        let prepared = prepared.clone();
        std::thread::spawn(move || {
            let training = &prepared.recipe.training;
            for step in from..to {
                let progress = step as f64 / to as f64;
                let batches =
                    (0..training.accumulate).map(|_| prepared.batch(&prepared.draw(&mut sampler, progress))).collect();
                if sender.send((batches, sampler.state().clone())).is_err() {
                    return;
                }
            }
        });
        Self { steps }
    }

    /// The batches of the next step.
    ///
    /// # Panics
    /// After the last step.
    pub fn next(&self) -> (Vec<Batch>, SamplerState) {
        self.steps.recv().expect("a step within the run")
    }
}
