//! From data files to the rows of a batch.
#![cfg(feature = "train")]

mod errors;
mod readers;
mod sampler;
mod task_data;
mod tokenizer;

use mtl_zoo::recipe::Task;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder of small files.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// A task of a recipe: training and validation from the same file, then what `extra` (JSON) says.
fn task(kind: &str, train: &Path, extra: serde_json::Value) -> Task {
    let mut task = serde_json::json!({ "type": kind, "train": train, "validation": train });
    task.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    serde_json::from_value(task).unwrap()
}
