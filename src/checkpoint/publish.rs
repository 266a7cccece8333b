//! A checkpoint to the Hub.

use super::{CARD_FILE, CheckpointFolder, MANIFEST_FILE};
use crate::error::Result;
use crate::hub::{CHECKPOINT_FILES, HubOptions, PushOptions, Pushed, push};
use std::path::Path;

/// Verifies a checkpoint and pushes its files and its model card to a repository on the Hub, in one commit. Files of an older checkpoint there that this
/// one does not have are removed; all others stay.
///
/// # Errors
/// As [`CheckpointFolder::open`] for a checkpoint that is not whole, and as [`push`].
pub fn publish(dir: &Path, id: &str, push_options: &PushOptions, options: &HubOptions) -> Result<Pushed> {
    let opened = CheckpointFolder::open(dir)?;
    let mut files = vec![MANIFEST_FILE.to_owned()];
    files.extend(opened.manifest.sha256.keys().cloned());
    // The card is for people: it may be rewritten, and one that was written on the Hub stays.
    if dir.join(CARD_FILE).is_file() {
        files.push(CARD_FILE.into());
    }
    let known = CHECKPOINT_FILES.required.iter().chain(CHECKPOINT_FILES.optional).map(|name| (*name).to_owned());
    let obsolete = known.filter(|name| name != CARD_FILE && !files.contains(name)).collect();
    push(dir, &files, id, &PushOptions { obsolete, ..push_options.clone() }, options)
}
