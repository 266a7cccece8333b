//! A folder before it is written: files by path, tensors, and the file that says what it was made from.

use super::source::Source;
use super::{Exported, card};
use crate::checkpoint::atomic::{FolderKind, write_folder_of};
use crate::checkpoint::{CARD_FILE, CONFIG_FILE, MODEL_FILE, TOKENIZER_FILE, TensorData, write_tensors};
use crate::error::{IoContext, Result};
use crate::files::{create_file, sync_folder};
use crate::recipe::CheckpointDtype;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// Says what an export was made from; a folder without it is none, and is never replaced.
pub(super) const EXPORT_FILE: &str = "mtl_zoo_export.json";

/// What goes with an older export; all else in its folder is kept.
const EXPORT: FolderKind = FolderKind {
    what: "an export",
    marker: EXPORT_FILE,
    own: &[
        EXPORT_FILE,
        MODEL_FILE,
        CONFIG_FILE,
        TOKENIZER_FILE,
        CARD_FILE,
        "tokenizer_config.json",
        "special_tokens_map.json",
        "vocab.txt",
        "modeling_mtl_zoo.py",
        "modules.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
        "1_Pooling",
        "2_Dense",
    ],
};

/// A tensor with its values.
pub(super) struct NamedTensor {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

/// What a format makes.
pub(super) struct Folder {
    pub(super) exported: Exported,
    /// Small files by path.
    pub(super) files: Vec<(String, Vec<u8>)>,
    /// Files of tensors by path.
    pub(super) tensors: Vec<(String, Vec<NamedTensor>)>,
}

/// The path without symbolic links, if an export may be written to it.
pub(super) fn check_target(out: &Path) -> Result<PathBuf> {
    EXPORT.check_target(out)
}

impl Folder {
    /// Adds what every export has: the tokenizer, the model card, and the file that says where all of it is from.
    pub(super) fn seal(&mut self, source: &Source<'_>) {
        self.files.extend(source.tokenizer.iter().cloned());
        let manifest = &source.checkpoint.manifest;
        let own = [CARD_FILE, EXPORT_FILE].map(str::to_owned);
        let paths = self.files.iter().map(|(path, _)| path.clone());
        let mut paths: Vec<String> =
            paths.chain(self.tensors.iter().map(|(path, _)| path.clone())).chain(own).collect();
        paths.sort();
        self.exported.files = paths;
        let Exported { format, head, pooling, dtype, max_tokens, .. } = &self.exported;
        let backbone = &manifest.backbone;
        let made_from = json!({
            "format": format,
            "head": head,
            "pooling": pooling,
            "dtype": dtype,
            "checkpoint": {"model_sha256": manifest.sha256.get(MODEL_FILE), "max_tokens": max_tokens},
            "backbone": {"id": card::base(manifest), "revision": backbone.revision, "sha256": backbone.sha256},
            "mtl_zoo": env!("CARGO_PKG_VERSION"),
        });
        self.files.push((EXPORT_FILE.into(), json_file(&made_from)));
        self.files.push((CARD_FILE.into(), card::card(source, &self.exported).into_bytes()));
    }

    pub(super) fn write(&self, out: &Path) -> Result<()> {
        write_folder_of(&EXPORT, out, |folder| {
            for (path, tensors) in &self.tensors {
                let tensors: Vec<_> = tensors.iter().map(NamedTensor::data).collect();
                create(folder, path, |file| {
                    write_tensors(file, &out.join(path), &tensors, self.exported.dtype, &[("format", "pt")])
                })?;
            }
            for (path, bytes) in &self.files {
                create(folder, path, |file| file.write_all(bytes).at("write", out.join(path)))?;
            }
            Ok(())
        })
    }
}

impl NamedTensor {
    fn data(&self) -> TensorData<'_> {
        TensorData { name: self.name.clone(), shape: self.shape.clone(), values: &self.values }
    }
}

/// Creates a file in the folder or in a folder of it.
fn create(folder: &Path, path: &str, fill: impl FnOnce(&mut dyn std::io::Write) -> Result<()>) -> Result<()> {
    let path = folder.join(path);
    let parent = path.parent().unwrap_or(folder);
    fs::create_dir_all(parent).at("create", parent)?;
    create_file(&path, fill)?;
    sync_folder(parent)
}

/// JSON for people to read, with a final newline.
pub(super) fn json_file(value: &impl serde::Serialize) -> Vec<u8> {
    let mut json = serde_json::to_vec_pretty(value).expect("names and numbers are always JSON");
    json.push(b'\n');
    json
}

/// The name that Python has for a number format.
pub(super) fn torch_name(dtype: CheckpointDtype) -> &'static str {
    match dtype {
        CheckpointDtype::F32 => "float32",
        CheckpointDtype::F16 => "float16",
        CheckpointDtype::Bf16 => "bfloat16",
    }
}
