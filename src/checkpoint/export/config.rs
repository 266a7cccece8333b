//! A Hub `config.json`, changed for one head or none.

use super::folder::json_file;
use crate::error::{Fault, Problem, Result};
use serde_json::{Map, Value};
use std::path::Path;

/// Keys that tell of another folder, another head or another program's code.
const FOREIGN: [&str; 12] = [
    "_name_or_path",
    "_commit_hash",
    "auto_map",
    "custom_pipelines",
    "dtype",
    "finetuning_task",
    "id2label",
    "label2id",
    "num_labels",
    "problem_type",
    "torch_dtype",
    "transformers_version",
];

/// An object of JSON in its own order.
pub(super) struct Object(Map<String, Value>);

impl Object {
    /// Reads the object; `path` only names the file in errors.
    pub(super) fn read(path: &Path, json: &[u8]) -> Result<Self> {
        match serde_json::from_slice(json) {
            Ok(Value::Object(map)) => Ok(Self(map)),
            other => {
                let found = other.map_or_else(|error| error.to_string(), |_| "JSON that is no object".into());
                let problem = Problem::new(found, "a JSON object", "export the checkpoint again").file(path);
                Err(problem.checkpoint(Fault::Json))
            }
        }
    }

    /// Without the keys that are true of other models only.
    pub(super) fn own(mut self) -> Self {
        FOREIGN.iter().for_each(|key| drop(self.0.shift_remove(*key)));
        self
    }

    pub(super) fn empty() -> Self {
        Self(Map::new())
    }

    pub(super) fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    /// Sets what is not set.
    pub(super) fn default(&mut self, key: &str, value: impl Into<Value>) {
        self.0.entry(key).or_insert_with(|| value.into());
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.0.shift_remove(key);
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        json_file(&self.0)
    }
}
