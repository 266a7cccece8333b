//! The folder for what can be made again.

use std::path::PathBuf;

/// The user's cache: `$MTL_ZOO_CACHE`, else `$XDG_CACHE_HOME/mtl-zoo`, else `~/.cache/mtl-zoo`; `None` where none of them is
/// set or `MTL_ZOO_CACHE` is empty. It may be deleted at any time.
pub fn cache_folder() -> Option<PathBuf> {
    match std::env::var_os("MTL_ZOO_CACHE") {
        Some(folder) if folder.is_empty() => None,
        Some(folder) => Some(PathBuf::from(folder)),
        None => {
            let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
            let home = || absolute("HOME").map(|home| home.join(".cache"));
            Some(absolute("XDG_CACHE_HOME").or_else(home)?.join("mtl-zoo"))
        }
    }
}
