//! Names of repositories, revisions and files. They become folders of the cache, so that nothing odd may pass.

/// What a repository holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RepoKind {
    /// A backbone or checkpoint.
    Model,
    /// Data files.
    Dataset,
}

impl RepoKind {
    /// As in the Hub's API and in names of folders of the cache.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
        }
    }
}

/// Owner and name of a Hub id. The parts become folders of the cache.
pub(super) fn repository(id: &str) -> Option<(&str, &str)> {
    let (owner, name) = id.split_once('/')?;
    let good = |part: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let edge = |b: &u8| matches!(b, b'-' | b'.');
        (1..=96).contains(&part.len())
            && part.bytes().all(allowed)
            && !part.contains("..")
            && !part.contains("--")
            && !part.as_bytes().first().is_some_and(edge)
            && !part.as_bytes().last().is_some_and(edge)
    };
    (good(owner) && good(name)).then_some((owner, name))
}

/// Whether this can be a branch, tag or commit. It becomes a path in the cache.
pub(super) fn is_revision(revision: &str) -> bool {
    let good = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains("..");
    revision.len() <= 255
        && revision.split('/').all(good)
        && !revision
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || matches!(c, '\\' | ':' | '?' | '*' | '[' | '~' | '^'))
}

/// Whether this is a whole commit hash.
#[cfg(feature = "hub")]
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether this can be the path of a file in a repository, and stays inside a folder on every system.
pub(super) fn is_file_path(path: &str) -> bool {
    let good = |part: &str| !matches!(part, "" | "." | "..") && part.len() <= 255;
    path.split('/').all(good) && !path.chars().any(|c| c.is_control() || matches!(c, '\\' | ':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside_a_folder() {
        for path in ["config.json", "data/train-00000-of-00001.parquet", "a b/ü.csv", "..a", "a..b/c"] {
            assert!(is_file_path(path), "{path}");
        }
        for path in ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/", "./a", "a\\b", "C:x", "a\0", "a\nb"] {
            assert!(!is_file_path(path), "{path}");
        }
    }
}
