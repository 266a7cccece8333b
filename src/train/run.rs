//! A whole run: steps, evaluations, saved states, the best weights at the end.

use super::conflicts::Watch;
use super::device_memory::explain;
use super::feed::Feed;
use super::progress::{Evaluation, Event, Observer, StepEvent};
use super::scoring::{main_scores, mean_score, scores, scores_in};
use super::search::{Budget, search};
use super::state::{Position, RunState, StateArrays, save_state};
use super::telemetry::step_line;
use super::{DevicePlan, LearningRate, LossScale, MemoryPlan, Prepared, Trainer, check_number_format, export};
use crate::balance::Needs;
use crate::checkpoint::{CHECKPOINT_FOLDER, CheckpointFolder, MODEL_FILE, Manifest, TrainingInfo};
use crate::data::Sampler;
use crate::error::{IoContext, Problem, Result};
use crate::files::{hash_file, sha256_hex, write_file};
use crate::ops::Precision;
use crate::recipe::Recipe;
use serde_json::json;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Name of the resolved recipe in a run's folder.
pub const RECIPE_FILE: &str = "recipe.toml";
/// Name of the metrics, one JSON object a line.
pub const METRICS_FILE: &str = "metrics.jsonl";

/// A run in its folder.
pub struct Run {
    pub(super) prepared: Arc<Prepared>,
    pub(super) trainer: Trainer,
    sampler: Sampler,
    rate: LearningRate,
    steps: usize,
    evaluate_every: usize,
    pub(super) position: Position,
    best: Vec<f32>,
    folder: PathBuf,
    backbone_hash: String,
    /// Rank 0 writes them.
    metrics: Option<File>,
    watch: Watch,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// To the end: the checkpoint's folder and its manifest, which holds the scores.
    Finished {
        /// Folder of the checkpoint.
        checkpoint: PathBuf,
        /// Its manifest.
        manifest: Box<Manifest>,
    },
    /// Stopped by the observer; the state was saved.
    Stopped {
        /// Steps done.
        step: usize,
    },
}

impl Run {
    /// A new run in `folder`, which is made; the resolved recipe is written there. Of several ranks, the first writes all that
    /// a run writes.
    ///
    /// # Errors
    /// If the folder holds a run already.
    pub fn start(prepared: Prepared, folder: &Path) -> Result<Self> {
        check_number_format(prepared.recipe.training.dtype, &prepared.device)?;
        if prepared.ranks.leads() {
            Self::begin(&prepared, folder)?;
        }
        let mut run = Self::new(prepared, folder)?;
        run.agree()?;
        Ok(run)
    }

    fn begin(prepared: &Prepared, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).at("create", folder)?;
        if let Some(name) =
            [RECIPE_FILE, METRICS_FILE, CHECKPOINT_FOLDER].iter().find(|name| folder.join(name).exists())
        {
            let help =
                format!("choose another folder with `--out`, go on with `--resume {}`, or remove it", folder.display());
            let problem = Problem::new(format!("a run already: it holds `{name}`"), "an empty or new folder", help);
            return Err(problem.file(folder).argument());
        }
        let path = folder.join(RECIPE_FILE);
        write_file(&path, |out| out.write_all(prepared.recipe.to_toml().as_bytes()).at("write", &path))
    }

    /// Goes on with the run in `folder` from its saved state.
    ///
    /// # Errors
    /// If there is no state, or data, backbone or recipe are not those that the run was started with.
    pub fn resume(prepared: Prepared, folder: &Path) -> Result<Self> {
        check_number_format(prepared.recipe.training.dtype, &prepared.device)?;
        let state = RunState::load(folder)?;
        let mut run = Self::new(prepared, folder)?;
        let fits = state.position.fingerprint == run.position.fingerprint
            && [&state.parameters, &state.first, &state.second]
                .iter()
                .all(|array| array.len() == run.trainer.layout().arena().len());
        let Some(sampler) = state.position.sampler.clone().filter(|_| fits) else {
            let help = "put back the data, backbone and recipe that the run was started with, or start a new run";
            let problem =
                Problem::new("data, backbone or settings that changed since", "those of the saved state", help);
            return Err(problem.file(folder).argument());
        };
        run.sampler.restore(sampler)?;
        run.trainer.balance.restore(&state.position.balance)?;
        run.trainer.restore_history(&state.history)?;
        let skipped = state.position.loss_scale.map_or(0, |scale| scale.skipped);
        let steps = (state.position.step as u64).saturating_sub(skipped);
        run.trainer.restore(&state.parameters, state.first, state.second, steps)?;
        run.trainer.set_loss_scale(state.position.loss_scale);
        run.best = if state.best.is_empty() { state.parameters } else { state.best };
        run.position = state.position;
        if run.prepared.ranks.leads() {
            run.metrics = Some(reopen_metrics(&folder.join(METRICS_FILE), run.position.step)?);
        }
        run.agree()?;
        Ok(run)
    }

    fn new(prepared: Prepared, folder: &Path) -> Result<Self> {
        let recipe = &prepared.recipe;
        let mut trainer = Trainer::new(prepared.model()?, recipe);
        trainer.join(prepared.ranks.clone());
        if let Some(tokens) = DevicePlan::new(&prepared, trainer.layout()).map_or(Ok(None), |plan| plan.pieces())? {
            trainer.divide_batches(tokens);
        }
        let sampler = prepared.sampler()?;
        let steps = prepared.steps()?;
        let rounds = if recipe.training.steps.is_some() { 1.0 } else { recipe.training.epochs.max(1.0) };
        let backbone_hash = hash_file(prepared.backbone.folder.join(MODEL_FILE))?;
        let layout: Vec<_> =
            trainer.layout().arena().entries().iter().map(|(name, entry)| (name, entry.slot.offset)).collect();
        let started_with =
            json!([prepared.fingerprints(), backbone_hash, prepared.tokenizer.fingerprint(), recipe, layout]);
        let fingerprint = sha256_hex(started_with.to_string().as_bytes());
        let path = folder.join(METRICS_FILE);
        let metrics = match prepared.ranks.leads() {
            true => Some(File::options().create(true).append(true).open(&path).at("open", &path)?),
            false => None,
        };
        let rate = LearningRate::new(&recipe.training, steps);
        let evaluate_every = recipe.training.evaluate_every.unwrap_or((steps as f64 / rounds).ceil() as usize).max(1);
        let prepared = Arc::new(prepared);
        if trainer.balance.needs() == Needs::Validation {
            let prepared = prepared.clone();
            trainer.validation = Some(Box::new(move |step| prepared.validation_batch(step)));
        }
        Ok(Self {
            rate,
            evaluate_every,
            position: Position { fingerprint, sampler: Some(sampler.state().clone()), ..Position::default() },
            best: Vec::new(),
            folder: folder.to_owned(),
            metrics,
            watch: Watch::default(),
            backbone_hash,
            steps,
            sampler,
            trainer,
            prepared,
        })
    }

    /// Steps of the whole run.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// What the search of weights before the first step tries, if the recipe asks for one.
    pub fn search_budget(&self) -> Option<Budget> {
        Budget::of(&self.prepared.recipe, self.steps)
    }

    /// How much memory the run needs.
    pub fn memory(&self) -> MemoryPlan {
        MemoryPlan::new(&self.prepared, self.trainer.layout())
    }

    /// Tokens of a pass, where the device has too little memory for whole batches.
    pub fn divided(&self) -> Option<usize> {
        self.trainer.divided()
    }

    /// What the run was started from.
    pub fn prepared(&self) -> &Arc<Prepared> {
        &self.prepared
    }

    /// Shapes and names of the model.
    pub fn layout(&self) -> &crate::model::JointModel {
        self.trainer.layout()
    }

    /// How far the run has come.
    pub fn progress(&self) -> TrainingInfo {
        let Position { step, tokens, best, .. } = &self.position;
        TrainingInfo {
            seed: self.prepared.recipe.training.seed,
            steps: *step as u64,
            tokens: *tokens,
            best_step: best.as_ref().map_or(*step, |best| best.step) as u64,
        }
    }

    /// The model in training.
    pub fn trainer(&mut self) -> &mut Trainer {
        &mut self.trainer
    }

    /// Trains to the end or until the observer stops it, then evaluates the best step's weights and exports them.
    ///
    /// # Errors
    /// If a loss or gradient is not finite, or a file cannot be written.
    pub fn train(mut self, observer: &mut dyn Observer) -> Result<Outcome> {
        match self.learn(observer)? {
            true => self.publish(observer),
            false => Ok(Outcome::Stopped { step: self.position.step }),
        }
    }

    /// Trains to the end, which leaves the model with the best step's weights, or until the observer stops it; whether it
    /// came to the end.
    ///
    /// # Errors
    /// If a loss or gradient is not finite, or a file cannot be written.
    pub fn learn(&mut self, observer: &mut dyn Observer) -> Result<bool> {
        if let Some(budget) = self.search_budget() {
            if self.position.step == 0 {
                // A run that is killed in its search has a state to go on from.
                self.save()?;
            }
            match search(&self.prepared, budget, &self.folder, observer)? {
                Some(weights) => self.trainer.fix_weights(&weights),
                None => return Ok(false),
            }
        }
        let feed = Feed::start(&self.prepared, self.sampler.clone(), self.position.step, self.steps);
        while self.position.step < self.steps {
            self.step(&feed, observer)?;
            let step = self.position.step;
            let due = step.is_multiple_of(self.evaluate_every) || step == self.steps;
            let waited = due && self.validate(observer)?;
            let save = self.prepared.recipe.training.save_every.map_or(due, |every| step.is_multiple_of(every));
            let stop = self.prepared.ranks.any(observer.stop())?;
            if (save && step < self.steps) || stop {
                self.save()?;
                observer.event(&Event::Saved);
            }
            if stop {
                return Ok(false);
            }
            if waited {
                observer.event(&Event::EarlyStop(self.position.waited));
                break;
            }
        }
        if let (steps @ 1.., Some(why)) = self.trainer.balance.unsolved() {
            observer.event(&Event::Unsolved { steps, why });
        }
        if let Some(LossScale { scale, skipped: steps @ 1.., .. }) = self.trainer.loss_scale() {
            observer.event(&Event::Skipped { steps, scale });
        }
        self.trainer.set_parameters(&self.best)?;
        Ok(true)
    }

    fn step(&mut self, feed: &Feed, observer: &mut dyn Observer) -> Result<()> {
        let (batches, sampler) = feed.next();
        let factor = self.rate.factor(self.position.step);
        let most = batches.iter().map(|batch| batch.packed.tokens()).max().unwrap_or(0);
        let most = self.trainer.divided().map_or(most, |tokens| tokens.min(most));
        let report = self.trainer.step(&batches, factor).map_err(|error| explain(error, most))?;
        self.position.step += 1;
        self.position.sampler = Some(sampler);
        self.position.tokens += report.tokens as u64;
        let names: Vec<&str> = self.prepared.recipe.tasks.keys().map(String::as_str).collect();
        let mut line = serde_json::Map::from_iter([("step".to_owned(), json!(self.position.step))]);
        line.extend(step_line(&report, &names, self.trainer.parts()));
        line.insert("rate_factor".into(), json!(factor));
        line.insert("tokens".into(), json!(self.position.tokens));
        let line = serde_json::Value::Object(line);
        self.log(&line)?;
        observer.event(&Event::Step(StepEvent {
            step: self.position.step,
            steps: self.steps,
            factor,
            report: &report,
        }));
        for pair in report.conflicts.iter().flat_map(|conflicts| self.watch.look(conflicts)) {
            observer.event(&Event::Conflict(pair));
        }
        Ok(())
    }

    /// Scores the validation splits, keeps the weights if they are the best; whether patience is at its end.
    fn validate(&mut self, observer: &mut dyn Observer) -> Result<bool> {
        observer.event(&Event::Evaluating);
        self.compare_ranks()?;
        let tasks = scores(&self.prepared, &mut self.trainer, |task| Some(&task.validation))?;
        let score = mean_score(&tasks, &self.prepared.tasks);
        self.trainer.balance.scored(&main_scores(&tasks, &self.prepared.tasks));
        let mut evaluation = Evaluation { step: self.position.step, tasks, score, best: false };
        evaluation.best = self.position.evaluated(&evaluation);
        if evaluation.best {
            let best = &mut self.best;
            self.trainer.read(|parameters, _| {
                best.clear();
                best.extend_from_slice(parameters);
            })?;
        }
        let line =
            json!({"step": evaluation.step, "validation": evaluation.tasks, "score": score, "best": evaluation.best});
        self.log(&line)?;
        observer.event(&Event::Evaluated(&evaluation));
        Ok(self.prepared.recipe.training.patience.is_some_and(|patience| self.position.waited >= patience))
    }

    /// Scores the weights that [`Run::learn`] has left and exports them as a checkpoint; the saved states go.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn publish(mut self, observer: &mut dyn Observer) -> Result<Outcome> {
        observer.event(&Event::Evaluating);
        // What is published is what the exported weights give in f32, as every later evaluation of them.
        let test = scores_in(Precision::F32, &self.prepared, &mut self.trainer, |task| task.test.as_deref())?;
        let training = self.progress();
        let validation = match self.position.best.take() {
            Some(best) if self.trainer.precision() == Precision::F32 => best.tasks,
            _ => scores_in(Precision::F32, &self.prepared, &mut self.trainer, |task| Some(&task.validation))?,
        };
        self.log(&json!({"step": self.position.step, "best_step": training.best_step, "test": test}))?;
        let checkpoint = self.folder.join(CHECKPOINT_FOLDER);
        let results = export::Results { validation, test, training, backbone_hash: self.backbone_hash.clone() };
        let manifest = match self.prepared.ranks.leads() {
            true => {
                let manifest = export(&self.prepared, self.trainer.model()?, &results, &checkpoint)?;
                RunState::remove(&self.folder)?;
                self.prepared.ranks.wait()?;
                manifest
            }
            false => {
                self.prepared.ranks.wait()?;
                CheckpointFolder::manifest(&checkpoint)?
            }
        };
        Ok(Outcome::Finished { checkpoint, manifest: Box::new(manifest) })
    }

    fn save(&mut self) -> Result<()> {
        let Some(metrics) = &self.metrics else { return Ok(()) };
        metrics.sync_all().at("write", self.folder.join(METRICS_FILE))?;
        self.position.balance = self.trainer.balance.state();
        self.position.loss_scale = self.trainer.loss_scale();
        let history = &self.trainer.history()[..];
        let (position, best, folder) = (&self.position, &self.best[..], &self.folder);
        let keep = self.prepared.recipe.training.keep_states;
        self.trainer.read(|parameters, [first, second]| {
            save_state(folder, position, &StateArrays { parameters, first, second, best, history }, keep)
        })?
    }

    fn log(&mut self, line: &serde_json::Value) -> Result<()> {
        let Some(metrics) = &mut self.metrics else { return Ok(()) };
        metrics.write_all(format!("{line}\n").as_bytes()).at("write", self.folder.join(METRICS_FILE))
    }
}

/// The metrics of the steps that the saved state knows; later lines are written again by the resumed run.
fn reopen_metrics(path: &Path, step: usize) -> Result<File> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let known = |line: &&str| {
        let line: Result<serde_json::Value, _> = serde_json::from_str(line);
        line.is_ok_and(|line| line["step"].as_u64().is_some_and(|at| at <= step as u64))
    };
    let kept: String = text.lines().filter(known).map(|line| format!("{line}\n")).collect();
    write_file(path, |out| out.write_all(kept.as_bytes()).at("write", path))?;
    File::options().append(true).open(path).at("open", path)
}

impl Run {
    /// The recipe that the run in `folder` was started with.
    ///
    /// # Errors
    /// If the folder holds no run.
    pub fn recipe(folder: &Path, cards: &dyn crate::recipe::Cards) -> Result<Recipe> {
        Recipe::load(crate::recipe::RecipeSource::File(&folder.join(RECIPE_FILE)), &[], cards)
    }
}
