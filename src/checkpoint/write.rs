//! Writes a checkpoint in one step.

use super::atomic::write_folder;
use super::tensor_writer::{TensorData, write_tensors};
use super::validate::{hidden_size, is_plain_file_name};
use super::{CARD_FILE, CONFIG_FILE, MANIFEST_FILE, MODEL_FILE, Manifest, TOKENIZER_FILE, model_card};
use crate::error::{Fault, IoContext, Problem, Result};
use crate::files::{HashingWriter, create_file, sha256_hex};
use crate::recipe::CheckpointDtype;
use std::path::Path;

/// All that a checkpoint holds.
#[derive(Clone, Debug)]
pub struct CheckpointContents<'a> {
    /// The manifest. Its `sha256` is filled in by [`write`](fn@write).
    pub manifest: Manifest,
    /// The backbone's tensors under their Hub names, and each head's (see [`head_tensors`](super::head_tensors)).
    pub tensors: Vec<TensorData<'a>>,
    /// Number format of the stored tensors.
    pub dtype: CheckpointDtype,
    /// The backbone's `config.json`, as pulled.
    pub config: &'a [u8],
    /// `tokenizer.json` and the other tokenizer files by name, as pulled.
    pub tokenizer_files: Vec<(String, Vec<u8>)>,
}

/// Writes a checkpoint to `dir` and gives its manifest with all hashes. The folder is there entirely or not at all: an
/// older checkpoint in `dir` is replaced at the end (see [`write_folder`]).
///
/// # Errors
/// [`Error::Checkpoint`](crate::Error::Checkpoint) if the contents do not fit each other or a value cannot be stored
/// (what is written can always be opened), [`Error::Argument`](crate::Error::Argument) if `dir` holds something else,
/// [`Error::Io`](crate::Error::Io) if a file cannot be written.
pub fn write(dir: impl AsRef<Path>, contents: CheckpointContents<'_>) -> Result<Manifest> {
    let dir = dir.as_ref();
    let CheckpointContents { mut manifest, tensors, dtype, config, mut tokenizer_files } = contents;
    check_tokenizer_files(dir, &tokenizer_files)?;
    tokenizer_files.sort();
    manifest.sha256.clear();
    manifest.check(dir.join(MANIFEST_FILE))?;
    let hidden = hidden_size(&dir.join(CONFIG_FILE), config)?;
    let shapes = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice()));
    manifest.check_tensors(&dir.join(MODEL_FILE), hidden, shapes)?;

    write_folder(dir, |folder| {
        // Errors name the files as they will be called, not the temporary ones.
        let model = create_file(&folder.join(MODEL_FILE), |out| {
            let mut out = HashingWriter::new(out);
            write_tensors(&mut out, &dir.join(MODEL_FILE), &tensors, dtype, &[("format", "pt")])?;
            Ok(out.finish())
        })?;
        manifest.sha256.insert(MODEL_FILE.into(), model);
        let small = std::iter::once((CONFIG_FILE, config));
        for (name, bytes) in small.chain(tokenizer_files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())))
        {
            create_file(&folder.join(name), |out| out.write_all(bytes).at("write", dir.join(name)))?;
            manifest.sha256.insert(name.into(), sha256_hex(bytes));
        }
        let card = model_card(&manifest);
        for (name, bytes) in [(CARD_FILE, card.into_bytes()), (MANIFEST_FILE, manifest.to_json())] {
            create_file(&folder.join(name), |out| out.write_all(&bytes).at("write", dir.join(name)))?;
        }
        Ok(())
    })?;
    Ok(manifest)
}

fn check_tokenizer_files(dir: &Path, files: &[(String, Vec<u8>)]) -> Result<()> {
    let reserved = [MODEL_FILE, CONFIG_FILE, MANIFEST_FILE, CARD_FILE];
    for (i, (name, _)) in files.iter().enumerate() {
        let twice = files[..i].iter().any(|(other, _)| other == name);
        if twice || !is_plain_file_name(name) || reserved.contains(&name.as_str()) {
            let found = format!("tokenizer file {name:?}");
            let problem = Problem::new(found, "the name of one tokenizer file", "rename it");
            return Err(problem.file(dir).checkpoint(Fault::Path));
        }
    }
    if files.iter().any(|(name, _)| name == TOKENIZER_FILE) {
        return Ok(());
    }
    let help = "save the tokenizer in this format, as `tokenizers` and Python's fast tokenizers do";
    let problem = Problem::new("none among the tokenizer files", "this file", help);
    Err(problem.file(dir.join(TOKENIZER_FILE)).checkpoint(Fault::MissingFile))
}
