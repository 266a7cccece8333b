//! Checkpoint folders that appear whole or not at all, even when the machine stops in the middle.

use super::{CARD_FILE, CONFIG_FILE, MANIFEST_FILE, MODEL_FILE, TOKENIZER_FILE};
use crate::error::{IoContext, Problem, Result};
use crate::files::{parent, sync_folder};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What may be replaced: folders of one kind are known by a file, and have files that go with them.
pub(super) struct FolderKind {
    /// With its article, for messages.
    pub(super) what: &'static str,
    /// A file that every such folder has and no other.
    pub(super) marker: &'static str,
    /// Files and folders that go with it when it is replaced; all others in its folder are kept.
    pub(super) own: &'static [&'static str],
}

const CHECKPOINT: FolderKind = FolderKind {
    what: "a checkpoint",
    marker: MANIFEST_FILE,
    own: &[
        MODEL_FILE,
        super::pieces::HEADS_FILE,
        CONFIG_FILE,
        TOKENIZER_FILE,
        MANIFEST_FILE,
        CARD_FILE,
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.txt",
        "vocab.json",
        "merges.txt",
    ],
};

/// Writes a whole folder: `fill` gets an empty folder beside `dir`, which takes `dir`'s place once all of it is on disk.
///
/// `dir` may be absent, empty, or a checkpoint. An older checkpoint stays untouched until the new one is complete;
/// files in it that are no part of a checkpoint move on to the new folder. A crash between the two renames leaves the
/// old checkpoint as `.<name>.old-*` and the new one as `.<name>.partial-*`, both complete.
///
/// # Errors
/// What [`check_target`] and `fill` say, or [`Error::Io`](crate::Error::Io). `dir` is then as it was before, unless the
/// new checkpoint is in place and only the rest of the old one could not be cleared away.
pub fn write_folder<T>(dir: impl AsRef<Path>, fill: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    write_folder_of(&CHECKPOINT, dir.as_ref(), fill)
}

/// Checks that a checkpoint may be written to `dir`, and gives the path without symbolic links. Worth asking before a
/// long training.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) if `dir` is a file, or a folder that is neither empty nor a checkpoint.
pub fn check_target(dir: impl AsRef<Path>) -> Result<PathBuf> {
    CHECKPOINT.check_target(dir.as_ref())
}

/// As [`write_folder`], for folders of any kind.
pub(super) fn write_folder_of<T>(kind: &FolderKind, dir: &Path, fill: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let dir = &kind.check_target(dir)?;
    let parent = parent(dir);
    fs::create_dir_all(parent).at("create", parent)?;
    let partial = sibling(dir, "partial")?;
    let result = fill(partial.path())?;
    sync_folder(partial.path())?;
    if !dir.exists() || is_empty(dir)? {
        rename(partial.path(), dir)?;
        let _ = partial.keep();
        sync_folder(parent)?;
        return Ok(result);
    }
    let old = sibling(dir, "old")?.keep();
    rename(dir, &old)?;
    if let Err(error) = rename(partial.path(), dir) {
        let _ = fs::rename(&old, dir);
        return Err(error);
    }
    let _ = partial.keep();
    sync_folder(parent)?;
    kind.keep_others(&old, dir)?;
    fs::remove_dir_all(&old).at("remove", &old)?;
    sync_folder(parent)?;
    Ok(result)
}

impl FolderKind {
    /// As [`check_target`], for this kind.
    pub(super) fn check_target(&self, dir: &Path) -> Result<PathBuf> {
        let refuse = |found: &str| {
            let help = "give another folder, or move its contents away";
            let expected = format!("a new folder, an empty one or {}", self.what);
            Problem::new(found, expected, help).file(dir).argument()
        };
        let dir = match fs::canonicalize(dir) {
            Ok(real) if !real.is_dir() => return Err(refuse("a file")),
            Ok(real) if !real.join(self.marker).is_file() && !is_empty(&real)? => {
                return Err(refuse("a folder with other files"));
            }
            Ok(real) => real,
            Err(error) if error.kind() == io::ErrorKind::NotFound => dir.to_owned(),
            Err(error) => return Err(error).at("open", dir),
        };
        if dir.file_name().is_none() { Err(refuse("a path without a folder name")) } else { Ok(dir) }
    }

    /// Moves what is no part of such a folder from the old one to the new one.
    fn keep_others(&self, old: &Path, new: &Path) -> Result<()> {
        for entry in fs::read_dir(old).at("read", old)? {
            let name = entry.at("read", old)?.file_name();
            let kept = new.join(&name);
            if self.own.iter().all(|own| OsStr::new(own) != name) && fs::symlink_metadata(&kept).is_err() {
                rename(&old.join(&name), &kept)?;
            }
        }
        sync_folder(new)
    }
}

/// A new folder `.<name>.<what>-XXXXXX` beside `dir`.
fn sibling(dir: &Path, what: &str) -> Result<tempfile::TempDir> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    builder.prefix(&format!(".{name}.{what}-")).tempdir_in(parent(dir)).at("create", dir)
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).at("rename", to)
}

fn is_empty(dir: &Path) -> Result<bool> {
    Ok(fs::read_dir(dir).at("read", dir)?.next().is_none())
}
