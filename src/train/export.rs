//! From a trained model to a published checkpoint.

use super::{Prepared, PreparedTask, Scores};
use crate::checkpoint::{
    BackboneInfo, CheckpointContents, FORMAT, HeadInfo, HeadScores, InputKind, Manifest, SplitInfo, TOKENIZER_FILE,
    TensorData, TrainingInfo, Versions, write,
};
use crate::error::{IoContext, Result};
use crate::hub::OPTIONAL_TOKENIZER_FILES;
use crate::model::JointModel;
use crate::recipe::TaskType;
use indexmap::IndexMap;
use serde_json::json;
use std::path::Path;

/// What a run found out.
pub struct Results {
    /// Validation scores by task.
    pub validation: IndexMap<String, Scores>,
    /// Test scores by task.
    pub test: IndexMap<String, Scores>,
    /// How long it trained.
    pub training: TrainingInfo,
    /// SHA-256 of the pretrained weights' file.
    pub backbone_hash: String,
}

/// Writes the model as a checkpoint to `dir` and gives its manifest.
///
/// # Errors
/// If a file cannot be read or written, or a value does not fit the checkpoint's number format.
pub fn export(prepared: &Prepared, model: &JointModel, results: &Results, dir: &Path) -> Result<Manifest> {
    let recipe = &prepared.recipe;
    let tensors = model
        .tensors()
        .into_iter()
        .map(|(name, tensor)| Ok((name, tensor.dims().to_vec(), tensor.flatten_all()?.to_vec1::<f32>()?)));
    let tensors = tensors.collect::<Result<Vec<_>>>()?;
    let tensors =
        tensors.iter().map(|(name, shape, values)| TensorData { name: name.clone(), shape: shape.clone(), values });
    let manifest = Manifest {
        format: FORMAT.into(),
        backbone: BackboneInfo {
            id: recipe.backbone.id.clone(),
            revision: prepared.backbone.revision.clone(),
            family: prepared.config.family().into(),
            sha256: results.backbone_hash.clone(),
        },
        max_tokens: recipe.backbone.max_tokens,
        heads: prepared.tasks.iter().map(|task| (task.data.name.clone(), head_info(prepared, task, results))).collect(),
        balance: json!(recipe.balance),
        data: prepared.tasks.iter().map(|task| (task.data.name.clone(), splits(task))).collect(),
        training: results.training.clone(),
        versions: Versions { mtl_zoo: env!("CARGO_PKG_VERSION").into(), candle: "0.11".into() },
        recipe: json!(recipe),
        merged: Vec::new(),
        trunk: None,
        sha256: IndexMap::new(),
    };
    write(
        dir,
        CheckpointContents {
            manifest,
            tensors: tensors.collect(),
            dtype: recipe.checkpoint.dtype,
            config: &prepared.config_json,
            tokenizer_files: tokenizer_files(&prepared.backbone.folder)?,
        },
    )
}

fn head_info(prepared: &Prepared, task: &PreparedTask, results: &Results) -> HeadInfo {
    let name = &task.data.name;
    let recipe = &prepared.recipe.tasks[name];
    let metrics = |scores: &IndexMap<String, Scores>| scores.get(name).map(|s| s.metrics.clone()).unwrap_or_default();
    HeadInfo {
        kind: task.data.kind,
        input: match (task.data.kind, &recipe.columns.pair) {
            (TaskType::TokenClassification, _) => InputKind::Words,
            (_, Some(_)) => InputKind::Pair,
            (_, None) => InputKind::Text,
        },
        labels: task.data.labels.clone(),
        pooling: recipe.pooling,
        loss: match task.data.kind {
            TaskType::Classification | TaskType::TokenClassification => "cross_entropy",
            TaskType::MultiLabel => "bce_with_logits",
            TaskType::Regression => "mse",
        }
        .into(),
        metrics: HeadScores { validation: metrics(&results.validation), test: metrics(&results.test) },
    }
}

fn splits(task: &PreparedTask) -> IndexMap<String, SplitInfo> {
    let info = |(split, found): (&String, &crate::data::task_data::Fingerprint)| {
        (split.clone(), SplitInfo { rows: found.rows as u64, sha256: found.sha256.clone() })
    };
    task.data.fingerprints.iter().map(info).collect()
}

fn tokenizer_files(folder: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let names = std::iter::once(TOKENIZER_FILE).chain(OPTIONAL_TOKENIZER_FILES);
    let present = names.map(|name| (name, folder.join(name))).filter(|(_, path)| path.is_file());
    present.map(|(name, path)| Ok((name.to_owned(), std::fs::read(&path).at("read", &path)?))).collect()
}
