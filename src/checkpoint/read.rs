//! Opens a checkpoint and believes nothing.

use super::validate::hidden_size;
use super::{CONFIG_FILE, MANIFEST_FILE, MODEL_FILE, Manifest, StoredTensor, TOKENIZER_FILE, TensorFile};
use crate::error::{Error, Fault, IoContext, Problem, Result};
use crate::files::{hash_file, sha256_hex};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The longest manifest, configuration and tokenizer that are read, in bytes.
const MAX_MANIFEST: u64 = 64 << 20;
const MAX_CONFIG: u64 = 1 << 20;
const MAX_TOKENIZER: u64 = 256 << 20;

/// An opened checkpoint: every file has the hash that the manifest gives, every head has its tensors.
#[derive(Debug)]
pub struct CheckpointFolder {
    /// Its folder.
    pub dir: PathBuf,
    /// What it is.
    pub manifest: Manifest,
    /// Backbone and heads.
    pub tensors: TensorFile,
    /// The backbone's `config.json`.
    pub config: Vec<u8>,
    /// The contents of `tokenizer.json`.
    pub tokenizer: Vec<u8>,
    /// Width of the hidden states.
    pub hidden: usize,
}

impl CheckpointFolder {
    /// Opens a checkpoint. Files that the manifest does not name are ignored; symbolic links are followed.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] with a [`Fault`] for each promise that a file breaks, [`Error::Io`] if one cannot be read.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let manifest = Self::manifest(dir)?;
        let path = |name: &str| dir.join(name);
        manifest.check_files(&path(MANIFEST_FILE))?;

        let config = read_small(&path(CONFIG_FILE), MAX_CONFIG)?;
        check_hash(&path(CONFIG_FILE), &manifest, CONFIG_FILE, || Ok(sha256_hex(&config)))?;
        let hidden = hidden_size(&path(CONFIG_FILE), &config)?;
        let tokenizer = read_small(&path(TOKENIZER_FILE), MAX_TOKENIZER)?;
        check_hash(&path(TOKENIZER_FILE), &manifest, TOKENIZER_FILE, || Ok(sha256_hex(&tokenizer)))?;
        let known = [MODEL_FILE, CONFIG_FILE, TOKENIZER_FILE];
        for name in manifest.sha256.keys().filter(|name| !known.contains(&name.as_str())) {
            require_file(&path(name))?;
            check_hash(&path(name), &manifest, name, || hash_file(path(name)))?;
        }

        // The structure is checked before the hash: "truncated" says more than "another hash".
        require_file(&path(MODEL_FILE))?;
        let tensors = TensorFile::open(path(MODEL_FILE))?;
        manifest.check_tensors(tensors.path(), hidden, tensors.iter().map(|tensor| (tensor.name, tensor.shape)))?;
        if let Some(tensor) = tensors.iter().find(|tensor| tensor.name.starts_with("heads.") && !tensor.is_float()) {
            tensor.to_f32()?;
        }
        check_hash(tensors.path(), &manifest, MODEL_FILE, || Ok(tensors.sha256()))?;
        Ok(Self { dir: dir.to_owned(), manifest, tensors, config, tokenizer, hidden })
    }

    /// Reads the manifest alone, without opening the other files.
    ///
    /// # Errors
    /// As [`CheckpointFolder::open`].
    pub fn manifest(dir: impl AsRef<Path>) -> Result<Manifest> {
        let path = dir.as_ref().join(MANIFEST_FILE);
        Manifest::from_json(&path, &read_small(&path, MAX_MANIFEST)?)
    }

    /// Path of `tokenizer.json`.
    pub fn tokenizer_path(&self) -> PathBuf {
        self.dir.join(TOKENIZER_FILE)
    }

    /// The backbone's tensors, sorted by name.
    pub fn backbone_tensors(&self) -> impl Iterator<Item = StoredTensor<'_>> {
        self.tensors.iter().filter(|tensor| !tensor.name.starts_with("heads."))
    }

    /// Weight `[outputs, hidden]` and bias `[outputs]` of a task's head.
    ///
    /// # Errors
    /// [`Fault::MissingTensor`] if there is no such task.
    pub fn head(&self, task: &str) -> Result<(StoredTensor<'_>, StoredTensor<'_>)> {
        let tensor = |what| self.tensors.require(&format!("heads.{task}.{what}"));
        Ok((tensor("weight")?, tensor("bias")?))
    }
}

pub(super) fn check_hash(
    path: &Path,
    manifest: &Manifest,
    name: &str,
    hash: impl FnOnce() -> Result<String>,
) -> Result<()> {
    let (found, expected) = (hash()?, &manifest.sha256[name]);
    if found == *expected {
        return Ok(());
    }
    let help = format!("the file was changed after the export, or belongs to another checkpoint than {MANIFEST_FILE}");
    let problem = Problem::new(format!("SHA-256 {found}"), expected, help);
    Err(problem.file(path).checkpoint(Fault::Hash))
}

/// Refuses what is absent or no file: to open a pipe can wait for ever.
pub(super) fn require_file(path: &Path) -> Result<u64> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(metadata.len()),
        Ok(_) => Err(io::Error::other("not a regular file")).at("read", path),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(missing(path))
        }
        Err(error) => Err(error).at("read", path),
    }
}

fn missing(path: &Path) -> Error {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (found, help) = match path.parent() {
        Some(dir) if !dir.is_dir() => {
            ("no such folder", "check the path; `mtl-zoo pull` gets a checkpoint from the Hub")
        }
        _ if name == MANIFEST_FILE => {
            ("no such file", "the folder is no checkpoint of mtl-zoo; `mtl-zoo finetune` makes one from a backbone")
        }
        _ => ("no such file", "the checkpoint is incomplete; copy or download it again"),
    };
    Problem::new(found, format!("{name}, which every checkpoint has"), help).file(path).checkpoint(Fault::MissingFile)
}

fn read_small(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let length = require_file(path)?;
    let mut bytes = Vec::new();
    if length <= limit {
        File::open(path).at("open", path)?.take(limit + 1).read_to_end(&mut bytes).at("read", path)?;
    }
    if length.max(bytes.len() as u64) <= limit {
        return Ok(bytes);
    }
    let help = "the file is not what its name says; copy or download the checkpoint again";
    let problem = Problem::new(format!("{length} bytes"), format!("at most {limit}"), help);
    Err(problem.file(path).checkpoint(Fault::Value))
}
