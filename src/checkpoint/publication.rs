//! What of a manifest is for the world.

use super::Manifest;
use serde_json::Value;
use std::path::Path;

impl Manifest {
    /// The manifest to publish: of files and folders on this machine only their names are left. Where data lies is nobody's
    /// business, and of no use elsewhere.
    pub fn for_publication(mut self) -> Self {
        shorten(&mut self.backbone.id);
        let recipe = &mut self.recipe;
        if let Some(Value::String(id)) = recipe.pointer_mut("/backbone/id") {
            shorten(id);
        }
        if let Some(Value::Object(tasks)) = recipe.pointer_mut("/tasks") {
            for task in tasks.values_mut() {
                for split in ["train", "validation", "test"] {
                    if let Some(Value::String(path)) = task.get_mut(split) {
                        shorten(path);
                    }
                }
            }
        }
        self
    }
}

/// Leaves the last part of a path; names and ids stay.
fn shorten(path: &mut String) {
    let local = Path::new(path.as_str());
    if (local.is_absolute() || local.starts_with(".") || local.starts_with(".."))
        && let Some(name) = local.file_name()
    {
        *path = name.to_string_lossy().into_owned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{BackboneInfo, FORMAT, TrainingInfo, Versions};
    use serde_json::json;

    #[test]
    fn only_names_are_left_of_local_paths() {
        let manifest = |backbone: &str, recipe: Value| Manifest {
            format: FORMAT.into(),
            backbone: BackboneInfo {
                id: backbone.into(),
                revision: None,
                family: "bert".into(),
                sha256: String::new(),
            },
            max_tokens: 8,
            heads: Default::default(),
            balance: Value::Null,
            data: Default::default(),
            training: TrainingInfo { seed: 0, steps: 0, tokens: 0, best_step: 0 },
            versions: Versions { mtl_zoo: "0".into(), candle: "0".into() },
            recipe,
            merged: Vec::new(),
            trunk: None,
            sha256: Default::default(),
        };
        let task = json!({"train": "/home/me/secret/a.csv", "validation": 0.1, "test": "../b.csv", "limit": 3});
        let found = manifest("/home/me/model", json!({"backbone": {"id": "/home/me/model"}, "tasks": {"a": task}}))
            .for_publication();
        assert_eq!(found.backbone.id, "model");
        let task = json!({"train": "a.csv", "validation": 0.1, "test": "b.csv", "limit": 3});
        assert_eq!(found.recipe, json!({"backbone": {"id": "model"}, "tasks": {"a": task}}));
        let public = json!({"tasks": {"a": {"train": "hf://datasets/org/a@main/train.parquet"}}});
        let found = manifest("org/model", public.clone()).for_publication();
        assert_eq!((found.backbone.id.as_str(), found.recipe), ("org/model", public));
    }
}
