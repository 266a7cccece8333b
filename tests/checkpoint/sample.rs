//! A small checkpoint with one head of each type.

use indexmap::IndexMap;
use mtl_zoo::checkpoint::{
    BackboneInfo, CheckpointContents, FORMAT, HeadInfo, HeadScores, InputKind, Manifest, SplitInfo, TensorData,
    TrainingInfo, Versions, write,
};
use mtl_zoo::files::sha256_hex;
use mtl_zoo::recipe::{CheckpointDtype, Pooling, TaskType};
use serde_json::json;
use std::path::Path;

pub const HIDDEN: usize = 8;
pub const CONFIG: &[u8] = br#"{"model_type": "bert", "hidden_size": 8, "vocab_size": 10}"#;
pub const TOKENIZER: &[u8] = br#"{"version": "1.0", "model": {"type": "WordPiece", "vocab": {}}}"#;

fn head(kind: TaskType, labels: &[&str], metric: &str, pooling: Pooling) -> HeadInfo {
    let input = if kind == TaskType::TokenClassification { InputKind::Words } else { InputKind::Text };
    let scores = |value| [(metric.to_owned(), Some(value))].into();
    HeadInfo {
        kind,
        input,
        labels: labels.iter().map(|label| label.to_string()).collect(),
        pooling,
        loss: "cross_entropy".into(),
        metrics: HeadScores { validation: scores(0.5), test: scores(0.25) },
    }
}

pub fn manifest() -> Manifest {
    let heads = [
        ("topic", head(TaskType::Classification, &["a", "b|c", "d"], "macro_f1", Pooling::Cls)),
        ("mood", head(TaskType::MultiLabel, &["joy", "fear"], "micro_f1", Pooling::Max)),
        ("score", head(TaskType::Regression, &[], "pearson", Pooling::Mean)),
        ("tags", head(TaskType::TokenClassification, &["O", "B-X", "I-X"], "entity_f1", Pooling::Mean)),
    ];
    let split = IndexMap::from([("train".to_owned(), SplitInfo { rows: 100, sha256: sha256_hex(b"rows") })]);
    Manifest {
        format: FORMAT.into(),
        backbone: BackboneInfo {
            id: "org/tiny".into(),
            revision: Some("0123456789012345678901234567890123456789".into()),
            family: "bert".into(),
            sha256: sha256_hex(b"weights"),
        },
        max_tokens: 128,
        heads: heads.into_iter().map(|(task, head)| (task.to_owned(), head)).collect(),
        balance: json!({"method": "equal"}),
        data: [("topic".to_owned(), split)].into(),
        training: TrainingInfo { seed: 3, steps: 100, tokens: 5000, best_step: 80 },
        versions: Versions { mtl_zoo: "0.1.0".into(), candle: "0.11.1".into() },
        recipe: json!({
            "name": "sample",
            "checkpoint": {"license": "apache-2.0", "languages": ["en"]},
            "tasks": {"topic": {"train": "hf://datasets/org/topics@main/train.parquet"}},
        }),
        merged: Vec::new(),
        trunk: None,
        sha256: IndexMap::new(),
    }
}

/// Name, shape and values of each tensor, in no particular order.
pub fn tensors(seed: u32) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let shapes: [(&str, &[usize]); 11] = [
        ("heads.topic.weight", &[3, HIDDEN]),
        ("heads.topic.bias", &[3]),
        ("heads.mood.weight", &[2, HIDDEN]),
        ("heads.mood.bias", &[2]),
        ("heads.score.weight", &[1, HIDDEN]),
        ("heads.score.bias", &[1]),
        ("heads.tags.weight", &[3, HIDDEN]),
        ("heads.tags.bias", &[3]),
        ("embeddings.word_embeddings.weight", &[10, HIDDEN]),
        ("encoder.layer.0.attention.self.query.weight", &[HIDDEN, HIDDEN]),
        ("encoder.layer.0.attention.self.query.bias", &[HIDDEN]),
    ];
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let tensor = |(name, shape): (&str, &[usize])| {
        (name.to_owned(), shape.to_vec(), (0..shape.iter().product()).map(|_| next()).collect())
    };
    shapes.into_iter().map(tensor).collect()
}

pub fn contents(tensors: &[(String, Vec<usize>, Vec<f32>)], dtype: CheckpointDtype) -> CheckpointContents<'_> {
    CheckpointContents {
        manifest: manifest(),
        tensors: tensors
            .iter()
            .map(|(name, shape, values)| TensorData { name: name.clone(), shape: shape.clone(), values })
            .collect(),
        dtype,
        config: CONFIG,
        tokenizer_files: vec![("vocab.txt".into(), b"[PAD]\n".to_vec()), ("tokenizer.json".into(), TOKENIZER.to_vec())],
    }
}

/// Writes the sample in f32.
pub fn write_sample(dir: &Path, seed: u32) -> Manifest {
    write(dir, contents(&tensors(seed), CheckpointDtype::F32)).unwrap()
}
