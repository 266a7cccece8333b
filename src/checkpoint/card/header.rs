//! The YAML header, which the Hub reads.

use super::{About, Manifest, base_model};
use crate::hub::DataUri;
use crate::recipe::TaskType;
use indexmap::IndexSet;
use serde_json::{Value, json};
use std::fmt::Write;

/// The YAML header. Strings are written as JSON, which is YAML too, so that no name can break out.
pub(super) fn header(card: &mut String, manifest: &Manifest, about: &About) {
    let mut line = |key: &str, value: serde_json::Value| {
        let _ = writeln!(card, "{key}: {value}");
    };
    if let Some(license) = &about.license {
        line("license", json!(license));
    }
    if !about.languages.is_empty() {
        line("language", json!(about.languages));
    }
    if let Some(base) = base_model(manifest, about) {
        line("base_model", json!(base));
    }
    let datasets: IndexSet<String> = manifest.heads.keys().filter_map(|task| dataset(manifest, task)).collect();
    if !datasets.is_empty() {
        line("datasets", json!(datasets));
    }
    line("library_name", json!("candle"));
    line("pipeline_tag", json!(pipeline_tag(manifest.heads.values().map(|head| head.kind))));
    line("tags", json!(["mtl-zoo", "candle", "multi-task-learning", manifest.backbone.family, "safetensors"]));
    line("model-index", json!([{"name": about.title, "results": results(manifest)}]));
    card.push_str("---\n\n");
}

fn results(manifest: &Manifest) -> Vec<serde_json::Value> {
    let mut results = Vec::new();
    for (task, head) in &manifest.heads {
        let (split, scores) = match &head.metrics {
            scores if !scores.test.is_empty() => ("test", &scores.test),
            scores => ("validation", &scores.validation),
        };
        let metrics: Vec<_> = scores
            .iter()
            .filter_map(|(metric, value)| Some((metric, value.filter(|v| v.is_finite())?)))
            .map(|(metric, v)| json!({"type": hub_metric(metric), "name": metric, "value": (v * 1e6).round() / 1e6}))
            .collect();
        if !metrics.is_empty() {
            let task_type = pipeline_tag([head.kind]);
            let place = dataset(manifest, task).unwrap_or_else(|| task.clone());
            let dataset = json!({"name": task, "type": place, "split": split});
            results.push(json!({"task": {"type": task_type, "name": task}, "dataset": dataset, "metrics": metrics}));
        }
    }
    results
}

/// Hub id of the data set that a task was trained on, if it comes from there.
fn dataset(manifest: &Manifest, task: &str) -> Option<String> {
    let train = &manifest.recipe["tasks"][task]["train"];
    let file = match train {
        Value::Array(files) => files.first()?.as_str()?,
        file => file.as_str()?,
    };
    Some(DataUri::parse(file).ok()?.id)
}

fn pipeline_tag(kinds: impl IntoIterator<Item = TaskType>) -> &'static str {
    let tokens_only = kinds.into_iter().all(|kind| kind == TaskType::TokenClassification);
    if tokens_only { "token-classification" } else { "text-classification" }
}

/// The Hub's name of a metric.
fn hub_metric(name: &str) -> &str {
    match name {
        "macro_f1" | "micro_f1" | "weighted_f1" | "entity_f1" => "f1",
        "matthews" => "matthews_correlation",
        "auroc" => "roc_auc",
        "pearson" => "pearsonr",
        "spearman" => "spearmanr",
        "r2" => "r_squared",
        other => other,
    }
}
