//! Checkpoints in pieces: heads without their backbone, and several sets of heads over one backbone.
//!
//! A folder of heads holds `heads.safetensors` and a manifest that names the backbone, its revision, and the hash of its
//! numbers ([`trunk_sha256`]): a few kilobytes in place of the whole model. [`merge`] puts heads on a backbone, or on
//! the backbone of a checkpoint that has others; what does not match by hash is refused.

mod heads;
mod merge;
mod trunk;

use super::{CARD_FILE, CONFIG_FILE, MANIFEST_FILE, MODEL_FILE, TOKENIZER_FILE};
use crate::hub::FileList;

pub use heads::{HEADS_FILE, HeadsFolder, write_heads};
pub use merge::{Piece, TrunkSource, merge};
pub use trunk::trunk_sha256;

/// The files of a checkpoint, or of heads without their backbone.
pub const PIECE_FILES: FileList = FileList {
    what: "checkpoint",
    required: &[MANIFEST_FILE],
    optional: &[
        HEADS_FILE,
        MODEL_FILE,
        CONFIG_FILE,
        TOKENIZER_FILE,
        "tokenizer_config.json",
        "vocab.txt",
        "special_tokens_map.json",
        CARD_FILE,
    ],
};
