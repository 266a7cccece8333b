//! A checkpoint to the Hub.

use super::pieces::write_heads;
use super::{CARD_FILE, CheckpointFolder, MANIFEST_FILE, Manifest};
use crate::error::{IoContext, Result};
use crate::files::create_file;
use crate::hub::{CHECKPOINT_FILES, HubOptions, PushOptions, Pushed, push};
use std::fs;
use std::path::Path;

/// What of a checkpoint is published.
#[derive(Clone, Copy, Debug, Default)]
pub enum Publish<'a> {
    /// Backbone and heads.
    #[default]
    Whole,
    /// These heads without the backbone, all if none are named (see [`pieces`](super::pieces)).
    Heads(&'a [&'a str]),
}

/// Verifies a checkpoint and pushes its files and its model card to a repository on the Hub, in one commit. Files of an
/// older checkpoint there that this one does not have are removed; all others stay. Of paths on this machine the manifest
/// there has only the names.
///
/// # Errors
/// As [`CheckpointFolder::open`] for a checkpoint that is not whole, as [`write_heads`], and as [`push`].
pub fn publish(
    dir: &Path,
    what: Publish,
    id: &str,
    push_options: &PushOptions,
    options: &HubOptions,
) -> Result<Pushed> {
    let opened = CheckpointFolder::open(dir)?;
    let staged = tempfile::tempdir().at("create a folder in", std::env::temp_dir())?;
    let folder = staged.path().join("checkpoint");
    let manifest = match what {
        Publish::Whole => {
            fs::create_dir(&folder).at("create", &folder)?;
            let own = opened.manifest.sha256.keys().map(String::as_str);
            // The card is for people: it may be rewritten, and one that was written on the Hub stays.
            for name in own.chain(dir.join(CARD_FILE).is_file().then_some(CARD_FILE)) {
                place(&dir.join(name), &folder.join(name))?;
            }
            opened.manifest.clone()
        }
        Publish::Heads(heads) => write_heads(&opened, heads, &folder)?,
    };
    let json = Manifest::for_publication(manifest).to_json();
    let path = folder.join(MANIFEST_FILE);
    let _ = fs::remove_file(&path);
    create_file(&path, |out| out.write_all(&json).at("write", &path))?;

    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).at("read", &folder)? {
        files.push(entry.at("read", &folder)?.file_name().to_string_lossy().into_owned());
    }
    files.sort();
    let known = CHECKPOINT_FILES.required.iter().chain(CHECKPOINT_FILES.optional).map(|name| (*name).to_owned());
    let obsolete = known.filter(|name| name != CARD_FILE && !files.contains(name)).collect();
    push(&folder, &files, id, &PushOptions { obsolete, ..push_options.clone() }, options)
}

/// The same file in another place, without a second copy where the disk is the same.
fn place(from: &Path, to: &Path) -> Result<()> {
    let source = fs::canonicalize(from).at("read", from)?;
    if fs::hard_link(&source, to).is_err() {
        fs::copy(&source, to).at("copy", from)?;
    }
    Ok(())
}
