//! Where the bundled backbone and data are.
//!
//! They are files, not part of the program (17 MB), so that other programs can open them too. The folder is, in this order:
//! 1. what the environment variable `MTL_ZOO_BUNDLED` names;
//! 2. `zoo/bundled` in the recipe's folder or one above it, then in the current folder or one above it;
//! 3. `../share/mtl-zoo/bundled` beside the folder of the program, where packages install it;
//! 4. `zoo/bundled` in the sources that the program was built from.

use crate::error::{Problem, Result};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The environment variable that names the folder.
pub const VARIABLE: &str = "MTL_ZOO_BUNDLED";

/// The bundled folder, which holds `backbone/` and `data/`; absolute.
///
/// `near` is a recipe's folder, or `.`.
///
/// # Errors
/// When `MTL_ZOO_BUNDLED` names a folder without them, or no folder has them.
pub fn folder(near: &Path) -> Result<PathBuf> {
    let program = std::env::current_exe().ok();
    find(std::env::var_os(VARIABLE).as_deref(), near, program.as_deref(), Path::new(env!("CARGO_MANIFEST_DIR")))
}

/// The folder of the bundled backbone.
///
/// # Errors
/// As [`folder`].
pub fn backbone(near: &Path) -> Result<PathBuf> {
    Ok(folder(near)?.join("backbone"))
}

fn find(variable: Option<&OsStr>, near: &Path, program: Option<&Path>, sources: &Path) -> Result<PathBuf> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if let Some(given) = variable.filter(|given| !given.is_empty()) {
        let folder = absolute(Path::new(given));
        if is_bundle(&folder) {
            return Ok(folder);
        }
        let help = format!("let {VARIABLE} name mtl-zoo's folder `zoo/bundled`, or unset it");
        let found = format!("{VARIABLE}={}", folder.display());
        return Err(Problem::new(found, "a folder with `backbone/config.json` and `data/`", help).argument());
    }
    // The folder of a file that is named without one is empty.
    let near = absolute(if near.as_os_str().is_empty() { Path::new(".") } else { near });
    let current = absolute(Path::new("."));
    let above = near.ancestors().chain(current.ancestors()).map(|folder| folder.join("zoo/bundled"));
    let installed = program.and_then(|program| Some(program.parent()?.parent()?.join("share/mtl-zoo/bundled")));
    above.chain(installed).chain([sources.join("zoo/bundled")]).find(|folder| is_bundle(folder)).ok_or_else(|| {
        let found = "the bundled backbone and data nowhere";
        let expected = "the folder `zoo/bundled` of mtl-zoo's sources";
        let help = format!("copy it from the sources and set {VARIABLE} to it, or name another backbone and data");
        Problem::new(found, expected, help).key("bundled").argument()
    })
}

fn is_bundle(folder: &Path) -> bool {
    folder.join("backbone/config.json").is_file() && folder.join("data").is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_in_the_documented_order() {
        let root = tempfile::tempdir().unwrap();
        let make = |path: &str| {
            let folder = root.path().join(path);
            std::fs::create_dir_all(folder.join("backbone")).unwrap();
            std::fs::create_dir_all(folder.join("data")).unwrap();
            std::fs::write(folder.join("backbone/config.json"), "{}").unwrap();
            folder
        };
        let program = root.path().join("prefix/bin/mtl-zoo");
        let sources = root.path().join("sources");
        let near = root.path().join("work/recipes/mine");
        std::fs::create_dir_all(&near).unwrap();
        let find =
            |variable: Option<&Path>, near: &Path| find(variable.map(Path::as_os_str), near, Some(&program), &sources);

        let in_sources = make("sources/zoo/bundled");
        // The tests may run inside the sources of mtl-zoo, where step 2 finds their own.
        let current = std::env::current_dir().unwrap();
        let outside = !current.ancestors().any(|folder| is_bundle(&folder.join("zoo/bundled")));
        if outside {
            assert_eq!(find(None, &near).unwrap(), in_sources);
            let installed = make("prefix/share/mtl-zoo/bundled");
            assert_eq!(find(None, &near).unwrap(), installed);
        }
        let above = make("work/zoo/bundled");
        assert_eq!(find(None, &near).unwrap(), above);
        assert!(find(None, Path::new("")).unwrap().is_absolute());
        let named = make("elsewhere");
        assert_eq!(find(Some(&named), &near).unwrap(), named);
        let error = find(Some(&near), &near).unwrap_err().to_string();
        assert!(error.contains("MTL_ZOO_BUNDLED=") && error.contains("help: let MTL_ZOO_BUNDLED name"), "{error}");
    }
}
