//! Does the runs of a study that are not done yet, several at once.

use super::execute::{Surroundings, execute};
use super::folder::StudyFolder;
use super::{Plan, Planned, RunResult};
use crate::checkpoint::CHECKPOINT_FOLDER;
use crate::data::TokenCache;
use crate::error::{Error, Problem, Result};
use crate::hub::HubFiles;
use candle_core::Device;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// What a queue tells while it goes on.
#[derive(Clone, Debug)]
pub enum Progress<'a> {
    /// So many tokens were trained on, in steps.
    Tokens(usize),
    /// A run begins.
    Began(&'a Planned),
    /// A run has ended, or had ended in an earlier call.
    Ended {
        /// Which one.
        planned: &'a Planned,
        /// Its result.
        result: &'a RunResult,
        /// Whether it was done before.
        before: bool,
    },
}

/// How runs are done.
pub struct Means<'a> {
    /// The recipe's backbone.
    pub backbone: &'a HubFiles,
    /// What computes.
    pub device: &'a Device,
    /// Tokens that are known already.
    pub cache: Option<&'a TokenCache>,
    /// Runs at once.
    pub jobs: usize,
    /// Threads of each.
    pub threads: usize,
    /// Set from outside to stop; runs that have not ended start again in the next call.
    pub stop: &'a AtomicBool,
}

/// What is still to do.
struct Waiting<'a> {
    runs: Vec<&'a Planned>,
    done: HashSet<String>,
    results: Vec<RunResult>,
    error: Option<Error>,
}

/// Results of all runs of the plan, in its order; those that lie in `folder` already are not done again. `None` if it was
/// stopped.
///
/// # Errors
/// The first error of a run. A loss that is not finite is none: that run is remembered as failed.
pub fn run_all(
    plan: &Plan,
    folder: &StudyFolder,
    means: &Means,
    tell: &(dyn Fn(Progress) + Sync),
) -> Result<Option<Vec<RunResult>>> {
    let mut waiting = Waiting { runs: Vec::new(), done: HashSet::new(), results: Vec::new(), error: None };
    let mut ended = Vec::new();
    for planned in &plan.runs {
        match folder.load(planned)? {
            Some(result) => ended.push((planned, result)),
            None => waiting.runs.push(planned),
        }
    }
    for (planned, result) in ended {
        let read = |run: &&Planned| run.after.as_ref() == Some(&planned.name()) && !run.reads_weights();
        let checkpoint = folder.run(&planned.name()).join(CHECKPOINT_FOLDER);
        if result.failed.is_none() && !checkpoint.exists() && waiting.runs.iter().any(read) {
            waiting.runs.insert(0, planned);
            continue;
        }
        tell(Progress::Ended { planned, result: &result, before: true });
        waiting.done.insert(planned.name());
        waiting.results.push(result);
    }
    let (waiting, changed) = (Mutex::new(waiting), Condvar::new());
    std::thread::scope(|scope| {
        for _ in 0..means.jobs.max(1) {
            scope.spawn(|| work(&waiting, &changed, folder, means, tell));
        }
    });
    let waiting = waiting.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = waiting.error {
        return Err(error);
    }
    if means.stop.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let place =
        |result: &RunResult| plan.runs.iter().position(|run| run.arm == result.arm && run.seed as u64 == result.seed);
    let mut results = waiting.results;
    results.sort_by_key(place);
    Ok(Some(results))
}

/// Takes one run after the other until there are none, or one of all threads has failed.
fn work(
    waiting: &Mutex<Waiting>,
    changed: &Condvar,
    folder: &StudyFolder,
    means: &Means,
    tell: &(dyn Fn(Progress) + Sync),
) {
    let lock = || waiting.lock().unwrap_or_else(PoisonError::into_inner);
    let pool = match rayon::ThreadPoolBuilder::new().num_threads(means.threads.max(1)).build() {
        Ok(pool) => pool,
        Err(error) => {
            let problem = Problem::new(error.to_string(), "threads to compute with", "ask for fewer with `--jobs`");
            lock().error.get_or_insert(problem.argument());
            return;
        }
    };
    loop {
        let planned = {
            let mut state = lock();
            loop {
                if state.error.is_some() || means.stop.load(Ordering::Relaxed) || state.runs.is_empty() {
                    changed.notify_all();
                    return;
                }
                let ready = |run: &&Planned| run.after.as_ref().is_none_or(|before| state.done.contains(before));
                match state.runs.iter().position(ready) {
                    Some(index) => break state.runs.remove(index),
                    None => state = changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                }
            }
        };
        tell(Progress::Began(planned));
        let around = Surroundings {
            folder,
            backbone: means.backbone,
            device: means.device,
            cache: means.cache,
            stop: means.stop,
            threads: means.threads,
        };
        let outcome = pool.install(|| execute(planned, &around, &mut |tokens| tell(Progress::Tokens(tokens))));
        let mut state = lock();
        match outcome {
            Ok(Some(result)) => {
                tell(Progress::Ended { planned, result: &result, before: false });
                state.done.insert(planned.name());
                state.results.push(result);
            }
            Ok(None) => {}
            Err(error) => _ = state.error.get_or_insert(error),
        }
        changed.notify_all();
    }
}
