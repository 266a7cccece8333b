//! Where published checkpoints are.

use crate::error::Result;
use std::path::Path;

/// Folder or Hub id of a published checkpoint, and its revision on the Hub.
///
/// # Errors
/// When there is no such checkpoint, its card is not what it should be, or the bundled folder is nowhere.
#[cfg(feature = "train")]
pub fn published(name: &str) -> Result<(String, Option<String>)> {
    use super::{Catalog, ModelSource};
    Ok(match Catalog::standard()?.checkpoint_source(name, Path::new("."))? {
        ModelSource::Folder(folder) => (folder.to_string_lossy().into_owned(), None),
        ModelSource::Hub { id, revision } => (id, revision),
    })
}

/// Folder of a checkpoint that comes with mtl-zoo; cards of others cannot be read without the feature `train`.
///
/// # Errors
/// When there is no such checkpoint, or the bundled folder is nowhere.
#[cfg(not(feature = "train"))]
pub fn published(name: &str) -> Result<(String, Option<String>)> {
    use super::bundled;
    use crate::error::Problem;
    let folder = bundled::folder(Path::new("."))?.join("checkpoints").join(name);
    if name.contains(['/', '\\']) || !folder.is_dir() {
        let help = "name its folder or Hub id, or build with the feature `train`, which reads the cards of others";
        let found = format!("`zoo:{name}`");
        return Err(Problem::new(found, "a checkpoint that comes with mtl-zoo: `zoo:sentiment`", help).argument());
    }
    Ok((folder.to_string_lossy().into_owned(), None))
}
