//! Files that appear whole or not at all, even when the machine stops in the middle.

use crate::error::{IoContext, Result};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// How the names of files begin that are not whole yet.
const PARTIAL: &str = ".partial-";

/// Writes a file under a temporary name beside `path`, syncs it and renames it. Until then an older file stays as it is.
///
/// # Errors
/// What `fill` says, or [`Error::Io`](crate::Error::Io); nothing is left behind.
pub fn write_file<T>(path: impl AsRef<Path>, fill: impl FnOnce(&mut dyn Write) -> Result<T>) -> Result<T> {
    let path = path.as_ref();
    let parent = parent(path);
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let temporary = builder.prefix(PARTIAL).tempfile_in(parent).at("create", path)?;
    let mut writer = BufWriter::with_capacity(1 << 20, temporary.as_file());
    let result = fill(&mut writer)?;
    writer.flush().at("write", path)?;
    drop(writer);
    temporary.as_file().sync_all().at("write", path)?;
    temporary.persist(path).map_err(|e| e.error).at("rename", path)?;
    sync_folder(parent)?;
    Ok(result)
}

/// Removes what a program that was killed in the middle of [`write_file`] has left in a folder.
#[cfg(feature = "train")]
pub(crate) fn remove_partial_files(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder).at("read", folder)? {
        let path = entry.at("read", folder)?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PARTIAL)) {
            std::fs::remove_file(&path).at("remove", &path)?;
        }
    }
    Ok(())
}

/// Creates a file inside a folder of [`write_folder`] and syncs it.
pub(crate) fn create_file<T>(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<T>) -> Result<T> {
    let file = File::create_new(path).at("create", path)?;
    let mut writer = BufWriter::with_capacity(1 << 20, &file);
    let result = fill(&mut writer)?;
    writer.flush().at("write", path)?;
    drop(writer);
    file.sync_all().at("write", path)?;
    Ok(result)
}

pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes renames in a folder last. Only Unix can open a folder as a file.
pub(crate) fn sync_folder(dir: &Path) -> Result<()> {
    if cfg!(unix) { File::open(dir).and_then(|dir| dir.sync_all()).at("write", dir) } else { Ok(()) }
}
