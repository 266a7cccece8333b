//! What of a checkpoint is published, to a folder or to the Hub.

use super::pieces::write_heads;
use super::{CARD_FILE, CheckpointFolder, MANIFEST_FILE, Manifest, model_card, with_sharing, write_folder};
use crate::error::{IoContext, Result};
use crate::files::create_file;
use std::fs;
use std::path::Path;

/// What is published.
#[derive(Clone, Copy, Debug, Default)]
pub struct Publication<'a> {
    /// These heads without the backbone, all if none are named (see [`pieces`](super::pieces)); `None` is all of the
    /// checkpoint.
    pub heads: Option<&'a [&'a str]>,
    /// What sharing did to the tasks, Markdown for the model card.
    pub sharing: Option<&'a str>,
}

impl Publication<'_> {
    /// Verifies the checkpoint in `dir` and writes what is published of it to `folder`, whole or not at all. Of paths on
    /// this machine the manifest there has only the names.
    ///
    /// # Errors
    /// As [`CheckpointFolder::open`] for a checkpoint that is not whole, and as [`write_heads`].
    pub fn write(&self, dir: &Path, folder: &Path) -> Result<Manifest> {
        let opened = CheckpointFolder::open(dir)?;
        write_folder(folder, |folder| {
            let manifest = match self.heads {
                None => copy(&opened, folder)?,
                Some(heads) => write_heads(&opened, heads, folder)?,
            };
            let manifest = Manifest::for_publication(manifest);
            replace(&folder.join(MANIFEST_FILE), &manifest.to_json())?;
            if let Some(sharing) = self.sharing {
                let path = folder.join(CARD_FILE);
                let card =
                    if path.is_file() { fs::read_to_string(&path).at("read", &path)? } else { model_card(&manifest) };
                replace(&path, with_sharing(&card, sharing).as_bytes())?;
            }
            Ok(manifest)
        })
    }
}

/// The checkpoint's own files and its card, which is for people: it may be rewritten, and one on the Hub stays if there is
/// none here.
fn copy(checkpoint: &CheckpointFolder, folder: &Path) -> Result<Manifest> {
    let CheckpointFolder { dir, manifest, .. } = checkpoint;
    let own = manifest.sha256.keys().map(String::as_str);
    for name in own.chain(dir.join(CARD_FILE).is_file().then_some(CARD_FILE)) {
        let from = dir.join(name);
        fs::copy(&from, folder.join(name)).at("copy", &from)?;
    }
    Ok(manifest.clone())
}

fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    if path.exists() {
        fs::remove_file(path).at("replace", path)?;
    }
    create_file(path, |out| out.write_all(bytes).at("write", path))
}

/// Pushes what is published of the checkpoint in `dir` to a repository on the Hub, in one commit. Files of an older
/// checkpoint there that this one does not have are removed; all others stay.
///
/// # Errors
/// As [`Publication::write`] and [`push`](crate::hub::push).
#[cfg(feature = "hub")]
pub fn publish(
    dir: &Path,
    publication: &Publication,
    id: &str,
    push_options: &crate::hub::PushOptions,
    options: &crate::hub::HubOptions,
) -> Result<crate::hub::Pushed> {
    use crate::hub::{CHECKPOINT_FILES, PushOptions, push};
    let staged = tempfile::tempdir().at("create a folder in", std::env::temp_dir())?;
    let folder = staged.path().join("checkpoint");
    publication.write(dir, &folder)?;
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).at("read", &folder)? {
        files.push(entry.at("read", &folder)?.file_name().to_string_lossy().into_owned());
    }
    files.sort();
    let known = CHECKPOINT_FILES.required.iter().chain(CHECKPOINT_FILES.optional).map(|name| (*name).to_owned());
    let obsolete = known.filter(|name| name != CARD_FILE && !files.contains(name)).collect();
    push(&folder, &files, id, &PushOptions { obsolete, ..push_options.clone() }, options)
}
