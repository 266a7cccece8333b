//! From what a person names to a checkpoint's folder.

use super::MANIFEST_FILE;
use crate::catalog;
use crate::error::Result;
use crate::hub::{FileList, HubFiles, HubOptions, resolve, resolve_checkpoint};
use std::path::Path;

/// Name of the checkpoint's folder in a run's folder.
pub const CHECKPOINT_FOLDER: &str = "checkpoint";

/// What the names of published checkpoints begin with: `zoo:sentiment`.
pub const ZOO: &str = "zoo:";

/// The files of a checkpoint; not verified, see [`CheckpointFolder::open`](super::CheckpointFolder::open). `id` is a
/// folder, a run's folder, which stands for the checkpoint in it, a Hub id `org/name[@revision]`, or `zoo:` and the name
/// of a published checkpoint.
///
/// # Errors
/// As [`resolve_checkpoint`]; [`Error::Argument`](crate::Error::Argument) if the zoo has no such checkpoint.
pub fn find(id: &str, options: &HubOptions) -> Result<HubFiles> {
    let (place, revision) = place(id)?;
    resolve_checkpoint(&place, revision.as_deref(), options)
}

/// As [`find`] with other files than a whole checkpoint's.
///
/// # Errors
/// As [`resolve`], and as [`find`].
pub fn find_files(id: &str, files: &FileList, options: &HubOptions) -> Result<HubFiles> {
    let (place, revision) = place(id)?;
    resolve(&place, revision.as_deref(), files, options)
}

/// Folder or Hub id, and the revision.
fn place(id: &str) -> Result<(String, Option<String>)> {
    match id.strip_prefix(ZOO) {
        Some(name) => catalog::published(name),
        None => Ok((checkpoint_folder(id), None)),
    }
}

/// The checkpoint in a run's folder; anything else as it is.
pub fn checkpoint_folder(id: &str) -> String {
    let inside = Path::new(id).join(CHECKPOINT_FOLDER);
    let is_run = inside.is_dir() && !Path::new(id).join(MANIFEST_FILE).exists();
    inside.to_str().filter(|_| is_run).unwrap_or(id).to_owned()
}
