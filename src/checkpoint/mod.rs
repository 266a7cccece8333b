//! The published checkpoint: a folder that any Candle program or Python's `transformers` opens as it lies.
//!
//! | File | What it holds |
//! |---|---|
//! | `model.safetensors` | backbone tensors under the names they have on the Hub, heads under `heads.<task>.<tensor>` |
//! | `config.json` | the backbone's, as pulled |
//! | `tokenizer.json` | and the other tokenizer files, as pulled |
//! | `mtl_zoo.json` | the [`Manifest`]: version, backbone, heads and their scores, data fingerprints, hashes of the files |
//! | `README.md` | a Hub model card, see [`model_card`] |
//!
//! [`write`](fn@write) makes such a folder in one step: it is there entirely or not at all. [`CheckpointFolder::open`]
//! believes nothing: each way in which a file can lie is an [`Error::Checkpoint`](crate::Error::Checkpoint) with a
//! [`Fault`](crate::Fault) of its own; values are plain slices of `f32`. [`MultiTask`] puts an opened checkpoint to work, [`export()`] puts it into the
//! folders of other libraries.

mod atomic;
mod card;
mod export;
mod find;
mod header;
mod manifest;
mod multi_task;
pub mod pieces;
mod publication;
mod publish;
mod read;
mod tensor_file;
mod tensor_writer;
mod unique;
mod validate;
mod write;

pub use atomic::{check_target, write_folder};
pub use card::{model_card, with_sharing};
pub use export::{ExportFormat, ExportOptions, Exported, export};
pub use find::{CHECKPOINT_FOLDER, ZOO, checkpoint_folder, find, find_files};
pub use header::StoredDtype;
pub use manifest::{
    BackboneInfo, FORMAT, HeadInfo, HeadScores, InputKind, Manifest, MergedInfo, Scores, SplitInfo, TrainingInfo,
    Versions,
};
pub use multi_task::{Answer, MultiTask};
pub use publish::Publication;
#[cfg(feature = "hub")]
pub use publish::publish;
pub use read::CheckpointFolder;
pub use tensor_file::{StoredTensor, TensorFile};
pub use tensor_writer::{TensorData, write_tensors};
pub use validate::{head_tensors, is_plain_file_name, is_task_name};
pub use write::{CheckpointContents, write};

pub use crate::hub::{CONFIG_FILE, MANIFEST_FILE, MODEL_FILE, TOKENIZER_FILE};

/// Name of the model card.
pub const CARD_FILE: &str = "README.md";
