//! One run of a study: trained in its folder, scored, and remembered as a result.

use super::folder::StudyFolder;
use super::result::{Affinity, Clock, Cosines, Evaluated, RunResult, TaskResult};
use super::{Arm, Planned};
use crate::checkpoint::CHECKPOINT_FOLDER;
use crate::data::TokenCache;
use crate::error::{Error, IoContext, Result};
use crate::hub::HubFiles;
use crate::recipe::Balance;
use crate::train::{Event, MemoryPlan, Observer, Prepared, PreparedTask, Run, SEARCH_FILE, Trial, answer};
use candle_core::Device;
use indexmap::IndexMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// What all runs of a study share.
pub(super) struct Surroundings<'a> {
    /// Where the runs lie.
    pub folder: &'a StudyFolder,
    /// The recipe's backbone.
    pub backbone: &'a HubFiles,
    /// What computes.
    pub device: &'a Device,
    /// Tokens that are known already.
    pub cache: Option<&'a TokenCache>,
    /// Whether to stop.
    pub stop: &'a AtomicBool,
    /// Threads of a run.
    pub threads: usize,
}

/// Trains and scores; `None` if it was stopped. The result is written when all else is.
pub(super) fn execute(
    planned: &Planned,
    around: &Surroundings,
    told: &mut dyn FnMut(usize),
) -> Result<Option<RunResult>> {
    let start = Instant::now();
    let folder = around.folder.run(&planned.name());
    if folder.exists() {
        // What a run that was interrupted has left.
        std::fs::remove_dir_all(&folder).at("remove", &folder)?;
    }
    let mut recipe = planned.recipe.clone();
    let mut backbone = around.backbone.clone();
    let mut weights = None;
    if let Some(before) = &planned.after {
        let before = around.folder.run(before);
        if planned.reads_weights() {
            weights = found_weights(&before)?;
            recipe.balance = weights.clone().map_or(Balance::new("equal"), Balance::fixed);
        } else {
            backbone = HubFiles { folder: before.join(CHECKPOINT_FOLDER), ..backbone };
        }
    }
    let mut result = RunResult {
        arm: planned.arm.clone(),
        seed: planned.seed as u64,
        failed: None,
        tasks: IndexMap::new(),
        steps: 0,
        best_step: 0,
        tokens: 0,
        parameters: 0,
        memory: 0,
        curve: Vec::new(),
        conflicts: Vec::new(),
        affinities: Vec::new(),
        weights,
        clock: Clock::default(),
    };
    if !backbone.folder.exists() {
        std::fs::create_dir_all(&folder).at("create", &folder)?;
        result.failed = Some("the run that it goes on from did not get through".into());
        return around.folder.save(planned, result).map(Some);
    }
    let mut prepared = Prepared::with_cache(recipe, backbone, around.cache)?;
    prepared.device = around.device.clone();
    let mut run = Run::start(prepared, &folder)?;
    let parts = run.trainer().parts().to_vec();
    let mut watch = Watch::new(around, &parts, told);
    result.parameters = run.layout().arena().len();
    result.memory = MemoryPlan::new(run.prepared(), run.layout()).total();
    match run.learn(&mut watch) {
        Ok(true) => {
            result.tasks = score(&mut run, &planned.arm)?;
            // The weights are those of an evaluation, whose scores are known.
            let best = run.progress().best_step as usize;
            let known = watch.curve.iter().find(|evaluated| evaluated.step == best);
            for (name, task) in &mut result.tasks {
                task.validation = known.and_then(|evaluated| evaluated.scores.get(name).copied().flatten());
            }
            if recipe_searches(&run) {
                result.weights = found_weights(&folder)?;
            }
        }
        Ok(false) => return Ok(None),
        Err(error @ Error::NotFinite { .. }) => result.failed = Some(error.to_string()),
        Err(error) => return Err(error),
    }
    let progress = run.progress();
    (result.steps, result.best_step, result.tokens) =
        (progress.steps as usize, progress.best_step as usize, progress.tokens);
    (result.curve, result.conflicts, result.affinities) = (watch.curve, watch.conflicts, watch.affinities);
    let seconds = watch.seconds;
    if planned.keeps_checkpoint && result.failed.is_none() {
        run.publish(&mut ())?;
    } else {
        drop(run);
    }
    result.clock = Clock { threads: around.threads, seconds, total: start.elapsed().as_secs_f64() };
    around.folder.save(planned, result).map(Some)
}

fn recipe_searches(run: &Run) -> bool {
    run.prepared().recipe.balance.method == "search"
}

/// The weights that a search has found in the run of a folder; `None` if it did not get so far.
fn found_weights(folder: &Path) -> Result<Option<IndexMap<String, f64>>> {
    let path = folder.join(SEARCH_FILE);
    if !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read(&path).at("read", &path)?;
    let trials: Vec<Trial> = serde_json::from_slice(&text).map_err(|error| {
        let help = "remove the run's folder, and start the study again";
        crate::Problem::new(error.to_string(), "the trials of a search", help).file(&path).argument()
    })?;
    Ok(Trial::best(&trials).map(|best| best.weights.clone()))
}

/// Scores of the best step's weights.
fn score(run: &mut Run, arm: &Arm) -> Result<IndexMap<String, TaskResult>> {
    let prepared = run.prepared().clone();
    let tasks = prepared.tasks.iter().enumerate().filter(|(_, task)| arm.scores(&task.data.name));
    tasks.map(|(index, task)| score_task(run, index, task, arm.scores_training_rows())).collect()
}

fn score_task(run: &mut Run, index: usize, task: &PreparedTask, gap: bool) -> Result<(String, TaskResult)> {
    let precision = run.trainer().precision();
    let model = run.trainer().model()?;
    let (labels, kind, metric) = (&task.data.labels, task.data.kind, task.metrics[0]);
    let of = |examples| Ok::<_, Error>(answer(model, index, labels, examples, precision)?.1);
    let test = task.test.as_deref().unwrap_or(&task.validation);
    let answers = of(test)?;
    let value = |answers: &crate::train::Answers| answers.compute(metric, kind, labels);
    let result = TaskResult {
        kind,
        labels: labels.clone(),
        metric,
        rows: task.train.len(),
        train: if gap { value(&of(&task.train[..training_rows(task)])?) } else { None },
        validation: None,
        test: value(&answers),
        answers,
    };
    Ok((task.data.name.clone(), result))
}

/// How many training rows are scored.
pub(super) fn training_rows(task: &PreparedTask) -> usize {
    task.train.len().min(task.validation.len())
}

/// Takes down what a study wants to know of a run in training.
struct Watch<'a> {
    stop: &'a AtomicBool,
    /// Told the tokens of each step.
    told: &'a mut dyn FnMut(usize),
    tokens: u64,
    curve: Vec<Evaluated>,
    conflicts: Vec<Cosines>,
    affinities: Vec<Affinity>,
    parts: Vec<String>,
    /// Seconds of steps so far, and when the present ones began.
    spent: f64,
    since: Instant,
    seconds: Vec<f64>,
}

impl<'a> Watch<'a> {
    fn new(around: &Surroundings<'a>, parts: &[String], told: &'a mut dyn FnMut(usize)) -> Self {
        Self {
            stop: around.stop,
            told,
            tokens: 0,
            curve: Vec::new(),
            conflicts: Vec::new(),
            affinities: Vec::new(),
            parts: parts.to_vec(),
            spent: 0.0,
            since: Instant::now(),
            seconds: Vec::new(),
        }
    }
}

impl Observer for Watch<'_> {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Step(step) => {
                let (number, report) = (step.step, step.report);
                self.tokens += report.tokens as u64;
                (self.told)(report.tokens);
                if let Some(whole) = &report.conflicts {
                    let layers = self.parts.iter().zip(&report.conflicts_by_layer);
                    self.conflicts.push(Cosines {
                        step: number,
                        whole: whole.cosines.clone(),
                        layers: layers.map(|(part, conflicts)| (part.clone(), conflicts.cosines.clone())).collect(),
                    });
                }
                if let Some(lookahead) = &report.affinity {
                    self.affinities.push(Affinity { step: number, lookahead: lookahead.clone() });
                }
            }
            Event::Evaluating => self.spent += self.since.elapsed().as_secs_f64(),
            Event::Evaluated(evaluation) => {
                let main = |scores: &crate::train::Scores| scores.metrics.values().next().copied().flatten();
                let scores = evaluation.tasks.iter().map(|(name, scores)| (name.clone(), main(scores)));
                self.curve.push(Evaluated { step: evaluation.step, tokens: self.tokens, scores: scores.collect() });
                self.seconds.push(self.spent);
                self.since = Instant::now();
            }
            // What a search took counts for its run.
            Event::Tried { .. }
            | Event::Saved
            | Event::Conflict(_)
            | Event::Unsolved { .. }
            | Event::Skipped { .. }
            | Event::EarlyStop(_) => {}
        }
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
