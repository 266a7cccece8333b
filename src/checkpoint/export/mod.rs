//! A checkpoint in the layouts that other libraries open: one file a format.
//!
//! | Format | What opens it |
//! |---|---|
//! | [`ExportFormat::Transformers`] | `AutoModelForSequenceClassification`, `AutoModelForTokenClassification`: one head |
//! | [`ExportFormat::SentenceTransformers`] | `SentenceTransformer`: the encoder and a pooling, no head |

mod card;
mod config;
mod folder;
mod sentence_transformers;
mod source;
mod tokenizer;
mod transformers;

use super::{CheckpointFolder, StoredDtype};
use crate::error::Result;
use crate::recipe::{CheckpointDtype, Pooling};
use serde::Serialize;
use source::Source;
use std::path::Path;

/// The layout of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExportFormat {
    /// Backbone and one head, for Python's `transformers` and what reads its folders.
    Transformers,
    /// Backbone and pooling, for Python's `sentence-transformers`.
    SentenceTransformers,
}

/// What to export. Only the format has to be given.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// The layout.
    pub format: ExportFormat,
    /// The head; the only one if absent. For sentence-transformers the head whose pooling is taken.
    pub head: Option<String>,
    /// For sentence-transformers: how token states become one; as the heads do if absent.
    pub pooling: Option<Pooling>,
    /// Number format of the tensors; as the checkpoint has them if absent.
    pub dtype: Option<CheckpointDtype>,
}

impl ExportOptions {
    /// The format's defaults.
    pub fn new(format: ExportFormat) -> Self {
        Self { format, head: None, pooling: None, dtype: None }
    }
}

/// What was exported.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Exported {
    /// The layout.
    pub format: ExportFormat,
    /// The head that the folder answers with; `None` without a head.
    pub head: Option<String>,
    /// How token states become one; `None` where they do not.
    pub pooling: Option<Pooling>,
    /// The Python class that opens it.
    pub class: String,
    /// Whether that class is in the folder, so that Python needs `trust_remote_code=True`.
    pub remote_code: bool,
    /// Number format of the tensors.
    pub dtype: CheckpointDtype,
    /// Longest input in tokens.
    pub max_tokens: usize,
    /// Every file, by its path in the folder.
    pub files: Vec<String>,
    /// What a person should know before using it.
    pub notes: Vec<String>,
}

/// Writes a folder for another library to `out`. It is there entirely or not at all; an older export is replaced.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) if the options leave open which head or pooling is meant, name one that the
/// checkpoint has not, or `out` holds anything but an export; [`Error::Checkpoint`](crate::Error::Checkpoint) if the
/// checkpoint's files do not belong together; [`Error::Io`](crate::Error::Io) if a file cannot be written.
pub fn export(checkpoint: &CheckpointFolder, out: impl AsRef<Path>, options: &ExportOptions) -> Result<Exported> {
    let out = folder::check_target(out.as_ref())?;
    let source = Source::new(checkpoint, options.dtype.unwrap_or_else(|| stored_dtype(checkpoint)))?;
    let mut folder = match options.format {
        ExportFormat::Transformers => transformers::make(&source, options)?,
        ExportFormat::SentenceTransformers => sentence_transformers::make(&source, options)?,
    };
    folder.seal(&source);
    folder.write(&out)?;
    Ok(folder.exported)
}

/// The format of the checkpoint's tensors; f32 where they differ, which holds all of them exactly.
fn stored_dtype(checkpoint: &CheckpointFolder) -> CheckpointDtype {
    let all = |dtype| checkpoint.tensors.iter().filter(|tensor| tensor.is_float()).all(|tensor| tensor.dtype == dtype);
    match () {
        () if all(StoredDtype::F16) => CheckpointDtype::F16,
        () if all(StoredDtype::Bf16) => CheckpointDtype::Bf16,
        () => CheckpointDtype::F32,
    }
}
