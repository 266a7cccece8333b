//! What decides the next step, in one file a saved step: a run that was stopped goes on as if it never had been.

use super::{Evaluation, LossScale};
use crate::checkpoint::{TensorData, TensorFile, write_tensors};
use crate::data::SamplerState;
use crate::error::{Fault, IoContext, Problem, Result};
use crate::files::{remove_partial_files, write_file};
use crate::recipe::CheckpointDtype;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Numbers of a run beside its tensors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Optimizer steps done.
    pub step: usize,
    /// Tokens trained on.
    pub tokens: u64,
    /// Where the sampler is.
    pub sampler: Option<SamplerState>,
    /// What the balancing method remembers.
    pub balance: serde_json::Value,
    /// The best evaluation so far.
    pub best: Option<Evaluation>,
    /// Evaluations since the best one.
    pub waited: usize,
    /// Evaluations done.
    pub evaluations: usize,
    /// The loss scale, in training with f16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<LossScale>,
    /// Hashes of what the run was started with: data, backbone and recipe.
    pub fingerprint: String,
}

/// A saved run: its position, parameters, moments, and the best parameters so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunState {
    /// Numbers beside the tensors.
    pub position: Position,
    /// The arena.
    pub parameters: Vec<f32>,
    /// AdamW's first moments.
    pub first: Vec<f32>,
    /// AdamW's second moments.
    pub second: Vec<f32>,
    /// The arena at the best step.
    pub best: Vec<f32>,
    /// What the balancing method keeps of past gradients.
    pub history: Vec<f32>,
}

/// The arrays of a state that is saved, each as long as the arena but for the last; no best parameters before the first evaluation.
pub struct StateArrays<'a> {
    /// The arena.
    pub parameters: &'a [f32],
    /// AdamW's first moments.
    pub first: &'a [f32],
    /// AdamW's second moments.
    pub second: &'a [f32],
    /// The arena at the best step.
    pub best: &'a [f32],
    /// What the balancing method keeps of past gradients, of any length.
    pub history: &'a [f32],
}

/// Saves the state of the run in `run`, and removes all but the newest `keep`. Older states stay until the new one is on
/// disk.
///
/// # Errors
/// If a file cannot be written or removed.
pub fn save_state(run: &Path, position: &Position, arrays: &StateArrays, keep: usize) -> Result<()> {
    let path = folder(run).join(format!("step-{}.safetensors", position.step));
    std::fs::create_dir_all(folder(run)).at("create", folder(run))?;
    let arrays = [
        ("parameters", arrays.parameters),
        ("first", arrays.first),
        ("second", arrays.second),
        ("best", arrays.best),
        ("history", arrays.history),
    ];
    let tensors = arrays.map(|(name, values)| TensorData { name: name.into(), shape: vec![values.len()], values });
    let position = serde_json::to_string(position).expect("numbers and names are always JSON");
    write_file(&path, |out| write_tensors(out, &path, &tensors, CheckpointDtype::F32, &[("position", &position)]))?;
    let saved = RunState::saved(run);
    for old in &saved[..saved.len().saturating_sub(keep)] {
        std::fs::remove_file(old).at("remove", old)?;
    }
    Ok(())
}

impl RunState {
    /// The saved states in a run's folder, oldest first.
    pub fn saved(run: &Path) -> Vec<PathBuf> {
        let Ok(folder) = std::fs::read_dir(folder(run)) else { return Vec::new() };
        let step = |path: &Path| {
            let name = path.file_name()?.to_str()?;
            name.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse::<usize>().ok()
        };
        let mut states: Vec<(usize, PathBuf)> =
            folder.flatten().filter_map(|entry| Some((step(&entry.path())?, entry.path()))).collect();
        states.sort();
        states.into_iter().map(|(_, path)| path).collect()
    }

    /// Loads the newest state of the run in `run`. Removes what a killed program left half written.
    ///
    /// # Errors
    /// If there is none, or it is not what a run of this program saved.
    pub fn load(run: &Path) -> Result<Self> {
        let Some(path) = Self::saved(run).pop() else {
            let help = "a run that ended has none, its result is the folder `checkpoint`; a run saves its first state at \
                        its first evaluation";
            return Err(Problem::new("no saved state", "the folder of a run that was stopped", help)
                .file(run)
                .argument());
        };
        remove_partial_files(&folder(run))?;
        let file = TensorFile::open(&path)?;
        let broken = |found: String| {
            let help = "the file was changed or is of another version; remove it to go on from an older one beside it, or \
                        start the run anew";
            Problem::new(found, "the state of a run", help).file(&path).checkpoint(Fault::Json)
        };
        let position = file.metadata().get("position").ok_or_else(|| broken("no position".into()))?;
        let position = serde_json::from_str(position).map_err(|error| broken(error.to_string()))?;
        let array = |name| file.require(name)?.to_f32();
        Ok(Self {
            position,
            parameters: array("parameters")?,
            first: array("first")?,
            second: array("second")?,
            best: array("best")?,
            history: array("history")?,
        })
    }

    /// Removes the state of a run that has ended.
    pub fn remove(run: &Path) -> Result<()> {
        let folder = folder(run);
        match folder.exists() {
            true => std::fs::remove_dir_all(&folder).at("remove", &folder),
            false => Ok(()),
        }
    }
}

fn folder(run: &Path) -> PathBuf {
    run.join("state")
}

impl Position {
    /// Notes an evaluation; says whether it is the best so far.
    pub fn evaluated(&mut self, evaluation: &Evaluation) -> bool {
        self.evaluations += 1;
        let best = self.best.as_ref().is_none_or(|best| evaluation.score > best.score);
        if best {
            self.best = Some(evaluation.clone());
        }
        self.waited = if best { 0 } else { self.waited + 1 };
        best
    }
}
