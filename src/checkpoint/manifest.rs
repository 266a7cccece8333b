//! `mtl_zoo.json`: what a checkpoint is, how it was made and how well it does.

use super::unique;
use crate::error::{Fault, Problem, Result};
use crate::recipe::{Pooling, TaskType};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Version of the format that this program writes: major and minor. A newer minor version only adds fields.
pub const FORMAT: &str = "1.0";
/// The newest major version that this program reads.
const MAJOR: u32 = 1;

/// The contents of `mtl_zoo.json`. Holds no time and no duration: the same training gives the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the format, see [`FORMAT`].
    pub format: String,
    /// The pretrained encoder that the training started from.
    pub backbone: BackboneInfo,
    /// Longest input in tokens, special tokens included; longer inputs are cut.
    pub max_tokens: usize,
    /// The heads by task name, in the recipe's order.
    #[serde(deserialize_with = "unique::map")]
    pub heads: IndexMap<String, HeadInfo>,
    /// The balancing method and its settings, as the recipe has them.
    #[serde(default)]
    pub balance: serde_json::Value,
    /// By task, then by split: what the model was trained and measured on.
    #[serde(default, deserialize_with = "unique::nested")]
    pub data: IndexMap<String, IndexMap<String, SplitInfo>>,
    /// How long it was trained.
    pub training: TrainingInfo,
    /// What trained it.
    pub versions: Versions,
    /// The resolved recipe.
    #[serde(default)]
    pub recipe: serde_json::Value,
    /// The runs that the heads come from, where there were several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<MergedInfo>,
    /// Hash of the backbone's numbers, where the heads lie without it: see [`trunk_sha256`](super::pieces::trunk_sha256).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk: Option<String>,
    /// SHA-256 of the checkpoint's files in hexadecimal digits, by file name.
    #[serde(default, deserialize_with = "unique::map")]
    pub sha256: IndexMap<String, String>,
}

/// The pretrained encoder that a training started from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackboneInfo {
    /// Hub id, card name or folder.
    pub id: String,
    /// Commit on the Hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Family of encoders: "bert".
    pub family: String,
    /// SHA-256 of the pretrained weights' file.
    pub sha256: String,
}

/// One head. Its tensors are `heads.<task>.weight` `[outputs, hidden]` and `heads.<task>.bias` `[outputs]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeadInfo {
    /// What it does with its input.
    #[serde(rename = "type")]
    pub kind: TaskType,
    /// What it reads.
    pub input: InputKind,
    /// The labels in the order of the outputs; none for regression.
    #[serde(default)]
    pub labels: Vec<String>,
    /// How token states become one state a sequence; token classification does not use it.
    pub pooling: Pooling,
    /// The loss that trained it, such as "cross_entropy".
    pub loss: String,
    /// How well it does.
    #[serde(default)]
    pub metrics: HeadScores,
}

impl HeadInfo {
    /// Number of outputs: one a label, one for regression.
    pub fn outputs(&self) -> usize {
        if self.kind == TaskType::Regression { 1 } else { self.labels.len() }
    }
}

/// What a head reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    /// One text.
    Text,
    /// Two texts, read together as a sentence pair.
    Pair,
    /// Words that are already split; each gets a tag.
    Words,
}

/// Values by metric name, the task's main metric first; `None` where a metric is undefined.
pub type Scores = IndexMap<String, Option<f64>>;

/// Scores of one head by split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeadScores {
    /// Scores that chose the best step.
    pub validation: Scores,
    /// Scores that chose nothing; empty without a test split.
    pub test: Scores,
}

/// Fingerprint of a split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitInfo {
    /// Number of rows.
    pub rows: u64,
    /// SHA-256 over the rows.
    pub sha256: String,
}

/// How long a model was trained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingInfo {
    /// Seed of head initialisation, sampling and dropout.
    pub seed: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// Tokens of all steps together.
    pub tokens: u64,
    /// The step whose weights these are.
    pub best_step: u64,
}

/// A run that gave a merged checkpoint some of its heads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MergedInfo {
    /// Its heads.
    pub heads: Vec<String>,
    /// How long they were trained.
    pub training: TrainingInfo,
    /// The balancing method and its settings.
    #[serde(default)]
    pub balance: serde_json::Value,
}

/// What trained a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// Version of this crate.
    pub mtl_zoo: String,
    /// Version of candle.
    pub candle: String,
}

impl Manifest {
    /// Reads and checks a manifest; `path` only names the file in errors.
    ///
    /// # Errors
    /// [`Fault::Version`] for a newer major version, [`Fault::Json`], and what [`Manifest::check`] says.
    pub fn from_json(path: impl AsRef<Path>, json: &[u8]) -> Result<Self> {
        let path = path.as_ref();
        #[derive(Deserialize)]
        struct Versioned {
            format: String,
        }
        let version: Versioned = parse(path, json)?;
        check_version(path, &version.format)?;
        let manifest: Self = parse(path, json)?;
        manifest.check(path)?;
        Ok(manifest)
    }

    /// The manifest as JSON for people to read, with a final newline.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).expect("names and numbers are always JSON");
        json.push(b'\n');
        json
    }
}

fn parse<'a, T: Deserialize<'a>>(path: &Path, json: &'a [u8]) -> Result<T> {
    serde_json::from_slice(json).map_err(|error| {
        let help = "the file was edited or is no manifest of a checkpoint; export the checkpoint again";
        let problem = Problem::new(error.to_string(), "the manifest of a checkpoint", help).file(path);
        problem.line(error.line()).checkpoint(Fault::Json)
    })
}

fn check_version(path: &Path, format: &str) -> Result<()> {
    let number = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u32>().ok())?;
    let version = format.split_once('.').and_then(|(major, minor)| Some((number(major)?, number(minor)?)));
    let (fault, expected, help) = match version {
        Some((MAJOR, _)) => return Ok(()),
        Some((major, _)) if major > MAJOR => (
            Fault::Version,
            format!("a version up to {MAJOR}.x"),
            format!("this is mtl-zoo {}; install a newer one", env!("CARGO_PKG_VERSION")),
        ),
        _ => (Fault::Value, format!("{FORMAT:?}"), "export the checkpoint again".to_owned()),
    };
    let found = format!("format version {:?}", format.chars().take(40).collect::<String>());
    Err(Problem::new(found, expected, help).file(path).key("format").checkpoint(fault))
}
