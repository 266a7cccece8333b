//! Heads without their backbone.

use super::trunk_sha256;
use crate::checkpoint::read::{check_hash, require_file};
use crate::checkpoint::validate::hidden_size;
use crate::checkpoint::{
    CARD_FILE, CONFIG_FILE, CheckpointFolder, MANIFEST_FILE, MODEL_FILE, Manifest, StoredDtype, TensorData, TensorFile,
    model_card, write_folder, write_tensors,
};
use crate::error::{Error, Fault, IoContext, Problem, Result};
use crate::files::{HashingWriter, create_file};
use crate::model::BackboneConfig;
use crate::recipe::CheckpointDtype;
use std::path::{Path, PathBuf};

/// Name of the tensors' file in a folder of heads.
pub const HEADS_FILE: &str = "heads.safetensors";

/// An opened folder of heads: every head has its tensors, and the file the hash that the manifest gives.
#[derive(Debug)]
pub struct HeadsFolder {
    /// Its folder.
    pub dir: PathBuf,
    /// What the heads are; its `trunk` is the hash of the backbone that they belong to.
    pub manifest: Manifest,
    /// The heads.
    pub tensors: TensorFile,
}

impl HeadsFolder {
    /// Whether a folder holds heads without a backbone.
    pub fn is(dir: impl AsRef<Path>) -> bool {
        dir.as_ref().join(HEADS_FILE).is_file()
    }

    /// Opens a folder of heads.
    ///
    /// # Errors
    /// As [`CheckpointFolder::open`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let manifest = CheckpointFolder::manifest(dir)?;
        let manifest_path = dir.join(MANIFEST_FILE);
        for (key, found) in [
            ("trunk", manifest.trunk.is_none()),
            ("sha256.heads.safetensors", !manifest.sha256.contains_key(HEADS_FILE)),
            ("sha256.config.json", !manifest.sha256.contains_key(CONFIG_FILE)),
        ] {
            if found {
                let help = "the manifest was edited or is that of a whole checkpoint; write the heads again";
                let problem = Problem::new("no such key", "what every folder of heads says", help);
                return Err(problem.file(manifest_path).key(key).checkpoint(Fault::Value));
            }
        }
        let path = dir.join(HEADS_FILE);
        require_file(&path)?;
        let tensors = TensorFile::open(&path)?;
        let width = tensors.iter().find_map(|tensor| tensor.shape.get(1).copied()).unwrap_or(0);
        manifest.check_tensors(&path, width, tensors.iter().map(|tensor| (tensor.name, tensor.shape)))?;
        tensors.iter().try_for_each(|tensor| tensor.expect_float())?;
        check_hash(&path, &manifest, HEADS_FILE, || Ok(tensors.sha256()))?;
        Ok(Self { dir: dir.to_owned(), manifest, tensors })
    }
}

/// Writes some heads of a checkpoint, all if none are named, to `dir` without the backbone, and gives their manifest. The
/// numbers stay as they are stored. The folder is there entirely or not at all.
///
/// # Errors
/// [`Error::Argument`] for a head that the checkpoint does not have, and as [`write`](crate::checkpoint::write()).
pub fn write_heads(checkpoint: &CheckpointFolder, heads: &[&str], dir: impl AsRef<Path>) -> Result<Manifest> {
    let (dir, mut manifest) = (dir.as_ref(), checkpoint.manifest.clone());
    keep(&mut manifest, heads)?;
    let config_path = checkpoint.dir.join(CONFIG_FILE);
    let config = BackboneConfig::parse(&checkpoint.config).map_err(|error| match error {
        Error::Backbone(problem) => problem.file(&config_path).checkpoint(Fault::Value),
        other => other,
    })?;
    manifest.trunk = Some(trunk_sha256(&config, &checkpoint.tensors.weights(|_| true)?));
    manifest.sha256.shift_remove(MODEL_FILE);

    let kept = |name: &str| manifest.heads.keys().any(|task| name.starts_with(&format!("heads.{task}.")));
    let weights = checkpoint.tensors.weights(kept)?;
    let tensors: Vec<_> = weights
        .iter()
        .map(|(name, weight)| TensorData { name: name.clone(), shape: weight.shape.clone(), values: &weight.values })
        .collect();
    let hidden = hidden_size(&config_path, &checkpoint.config)?;
    manifest.check_tensors(
        &dir.join(HEADS_FILE),
        hidden,
        tensors.iter().map(|t| (t.name.as_str(), t.shape.as_slice())),
    )?;
    let dtype = widest(checkpoint.tensors.iter().filter(|tensor| kept(tensor.name)).map(|tensor| tensor.dtype));
    write_folder(dir, |folder| {
        let hash = create_file(&folder.join(HEADS_FILE), |out| {
            let mut out = HashingWriter::new(out);
            write_tensors(&mut out, &dir.join(HEADS_FILE), &tensors, dtype, &[("format", "pt")])?;
            Ok(out.finish())
        })?;
        manifest.sha256.insert(HEADS_FILE.into(), hash);
        let card = model_card(&manifest);
        for (name, bytes) in [(CARD_FILE, card.into_bytes()), (MANIFEST_FILE, manifest.to_json())] {
            create_file(&folder.join(name), |out| out.write_all(&bytes).at("write", dir.join(name)))?;
        }
        Ok(())
    })?;
    Ok(manifest)
}

/// Leaves these heads in a manifest, all if none are named.
pub(super) fn keep(manifest: &mut Manifest, heads: &[&str]) -> Result<()> {
    if let Some(name) = heads.iter().find(|name| !manifest.heads.contains_key(**name)) {
        let known: Vec<_> = manifest.heads.keys().map(|name| format!("`{name}`")).collect();
        let help = "correct the name; `mtl-zoo inspect` shows the heads of a checkpoint";
        let problem = Problem::new(format!("`{name}`"), format!("one of the heads {}", known.join(", ")), help);
        return Err(problem.key("head").argument());
    }
    if !heads.is_empty() {
        manifest.heads.retain(|name, _| heads.contains(&name.as_str()));
        manifest.data.retain(|name, _| heads.contains(&name.as_str()));
    }
    Ok(())
}

/// The number format that holds the numbers of all these.
pub(super) fn widest(formats: impl Iterator<Item = StoredDtype>) -> CheckpointDtype {
    let mut found = None;
    for format in formats {
        let format = match format {
            StoredDtype::F16 => CheckpointDtype::F16,
            StoredDtype::Bf16 => CheckpointDtype::Bf16,
            _ => CheckpointDtype::F32,
        };
        match found {
            Some(other) if other != format => return CheckpointDtype::F32,
            _ => found = Some(format),
        }
    }
    found.unwrap_or(CheckpointDtype::F32)
}
