//! Several sets of heads over one backbone.

use super::heads::{keep, widest};
use super::{HeadsFolder, trunk_sha256};
use crate::checkpoint::{
    CONFIG_FILE, CheckpointContents, CheckpointFolder, MANIFEST_FILE, MODEL_FILE, Manifest, MergedInfo, TOKENIZER_FILE,
    TensorData, TensorFile, write,
};
use crate::error::{Error, Fault, IoContext, Problem, Result};
use crate::files::sha256_hex;
use crate::hub::{HubFiles, OPTIONAL_TOKENIZER_FILES};
use crate::model::{BackboneConfig, Weights};
use std::path::Path;

/// What is merged.
#[derive(Debug)]
pub enum Piece {
    /// A whole checkpoint.
    Checkpoint(CheckpointFolder),
    /// Heads without their backbone.
    Heads(HeadsFolder),
}

impl Piece {
    /// Opens a checkpoint or a folder of heads.
    ///
    /// # Errors
    /// As [`CheckpointFolder::open`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        Ok(if HeadsFolder::is(dir) {
            Self::Heads(HeadsFolder::open(dir)?)
        } else {
            Self::Checkpoint(CheckpointFolder::open(dir)?)
        })
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        match self {
            Self::Checkpoint(checkpoint) => &checkpoint.dir,
            Self::Heads(heads) => &heads.dir,
        }
    }

    /// What it says of itself.
    pub fn manifest(&self) -> &Manifest {
        match self {
            Self::Checkpoint(checkpoint) => &checkpoint.manifest,
            Self::Heads(heads) => &heads.manifest,
        }
    }

    fn tensors(&self) -> &TensorFile {
        match self {
            Self::Checkpoint(checkpoint) => &checkpoint.tensors,
            Self::Heads(heads) => &heads.tensors,
        }
    }

    /// Hash of its backbone's numbers.
    fn trunk(&self, config: &BackboneConfig) -> Result<String> {
        match self {
            Self::Checkpoint(checkpoint) => Ok(trunk_sha256(config, &checkpoint.tensors.weights(|_| true)?)),
            Self::Heads(heads) => Ok(heads.manifest.trunk.clone().unwrap_or_default()),
        }
    }
}

/// The backbone that heads are put on.
#[derive(Debug)]
pub struct TrunkSource {
    config: Vec<u8>,
    tokenizer_files: Vec<(String, Vec<u8>)>,
    tensors: TensorFile,
}

impl TrunkSource {
    /// A pretrained backbone's.
    ///
    /// # Errors
    /// If a file cannot be read or is not what it should be.
    pub fn backbone(files: &HubFiles) -> Result<Self> {
        let read = |name: &str| {
            let path = files.folder.join(name);
            std::fs::read(&path).at("read", &path)
        };
        let names = std::iter::once(TOKENIZER_FILE).chain(OPTIONAL_TOKENIZER_FILES);
        let present = names.filter(|name| files.folder.join(name).is_file());
        Ok(Self {
            config: read(CONFIG_FILE)?,
            tokenizer_files: present.map(|name| Ok((name.to_owned(), read(name)?))).collect::<Result<_>>()?,
            tensors: TensorFile::open(files.folder.join(MODEL_FILE))?,
        })
    }

    /// That of a checkpoint.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn checkpoint(checkpoint: &CheckpointFolder) -> Result<Self> {
        let own = [MODEL_FILE, CONFIG_FILE];
        let names = checkpoint.manifest.sha256.keys().filter(|name| !own.contains(&name.as_str()));
        let read = |name: &String| {
            let path = checkpoint.dir.join(name);
            Ok((name.clone(), std::fs::read(&path).at("read", &path)?))
        };
        Ok(Self {
            config: checkpoint.config.clone(),
            tokenizer_files: names.map(read).collect::<Result<_>>()?,
            tensors: TensorFile::open(checkpoint.tensors.path())?,
        })
    }

    fn file(&self, name: &str) -> Option<&[u8]> {
        match name {
            CONFIG_FILE => Some(&self.config),
            _ => self.tokenizer_files.iter().find(|(own, _)| own == name).map(|(_, bytes)| bytes.as_slice()),
        }
    }
}

/// Writes a checkpoint to `dir` with the heads of all pieces, or those that are named, over one backbone, and gives its
/// manifest. Heads answer as before: backbone, configuration, tokenizer and length limit of all pieces have to be the same,
/// and numbers are stored in a format that holds all of them.
///
/// # Errors
/// [`Error::Checkpoint`] with [`Fault::Hash`] for a piece over another backbone, configuration or tokenizer, with
/// [`Fault::Value`] for another length limit or a head of the same name; [`Error::Argument`] for a named head that
/// no piece has; and as [`write`](fn@write).
pub fn merge(trunk: &TrunkSource, pieces: &[Piece], heads: &[&str], dir: impl AsRef<Path>) -> Result<Manifest> {
    let config = BackboneConfig::parse(&trunk.config)?;
    let backbone = trunk.tensors.weights(|name| !name.starts_with("heads."))?;
    let expected = trunk_sha256(&config, &backbone);
    let Some(first) = pieces.first() else {
        let help = "give a checkpoint or a folder of heads";
        return Err(Problem::new("nothing to merge", "at least one piece", help).argument());
    };
    let mut manifest = Manifest { trunk: None, ..first.manifest().clone() };
    for piece in pieces {
        check_same(piece, trunk, &config, &expected, manifest.max_tokens)?;
    }
    for piece in &pieces[1..] {
        let other = piece.manifest();
        for (name, head) in &other.heads {
            if manifest.heads.insert(name.clone(), head.clone()).is_some() {
                let help = "leave a piece out, or rename the task in its recipe and train it again";
                let problem = Problem::new(format!("another head `{name}`"), "heads of different names", help);
                return Err(problem.file(piece.dir()).checkpoint(Fault::Value));
            }
        }
        manifest.data.extend(other.data.clone());
        // So that `eval` finds every task's data and columns.
        if let (Some(tasks), Some(more)) = (manifest.recipe.pointer_mut("/tasks"), other.recipe.pointer("/tasks"))
            && let (Some(tasks), Some(more)) = (tasks.as_object_mut(), more.as_object())
        {
            tasks.extend(more.clone());
        }
    }
    if pieces.len() > 1 {
        manifest.merged = pieces.iter().flat_map(|piece| parts(piece.manifest())).collect();
    }
    keep(&mut manifest, heads)?;

    let mut weights: Weights = backbone;
    for piece in pieces {
        let kept = |name: &str| manifest.heads.keys().any(|task| name.starts_with(&format!("heads.{task}.")));
        weights.extend(piece.tensors().weights(kept)?);
    }
    let formats = std::iter::once(&trunk.tensors).chain(pieces.iter().map(Piece::tensors));
    let dtype = widest(formats.flat_map(|file| file.iter().filter(|t| t.is_float()).map(|t| t.dtype)));
    let tensors = weights.iter().map(|(name, weight)| TensorData {
        name: name.clone(),
        shape: weight.shape.clone(),
        values: &weight.values,
    });
    write(
        dir,
        CheckpointContents {
            manifest,
            tensors: tensors.collect(),
            dtype,
            config: &trunk.config,
            tokenizer_files: trunk.tokenizer_files.clone(),
        },
    )
}

/// The runs whose heads a piece has.
fn parts(manifest: &Manifest) -> Vec<MergedInfo> {
    if !manifest.merged.is_empty() {
        return manifest.merged.clone();
    }
    let heads = manifest.heads.keys().cloned().collect();
    vec![MergedInfo { heads, training: manifest.training.clone(), balance: manifest.balance.clone() }]
}

/// Refuses a piece that was not trained over this backbone.
fn check_same(
    piece: &Piece,
    trunk: &TrunkSource,
    config: &BackboneConfig,
    expected: &str,
    max_tokens: usize,
) -> Result<()> {
    let manifest = piece.manifest();
    let refuse = |found: String, expected: String, help: &str, fault| -> Result<(), Error> {
        Err(Problem::new(found, expected, help).file(piece.dir().join(MANIFEST_FILE)).checkpoint(fault))
    };
    let backbone = &manifest.backbone;
    for name in [CONFIG_FILE, TOKENIZER_FILE] {
        let Some(hash) = manifest.sha256.get(name) else { continue };
        let own = trunk.file(name).map(sha256_hex).unwrap_or_default();
        if *hash != own {
            let found = format!("heads of a backbone whose {name} has the SHA-256 {hash}");
            let help = format!("use the backbone {} that the heads were trained on", backbone.id);
            return refuse(found, own, &help, Fault::Hash);
        }
    }
    let found = piece.trunk(config)?;
    if found != expected {
        let help = "heads can be put on the very backbone that they were trained on, and share one only if none of them \
                    trained it: set `backbone.freeze = \"all\"`";
        let found = format!("heads over a backbone with the hash {found}");
        return refuse(found, format!("a backbone with the hash {expected}"), help, Fault::Hash);
    }
    if manifest.max_tokens != max_tokens {
        let help = "train with the same `backbone.max_tokens`";
        let found = format!("inputs of {} tokens", manifest.max_tokens);
        return refuse(found, format!("at most {max_tokens}, as in the other pieces"), help, Fault::Value);
    }
    Ok(())
}
