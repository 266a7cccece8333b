//! Data files on the Hub, as Python's `huggingface_hub` names them: `hf://datasets/OWNER/NAME[@REVISION]/PATH`.

use super::HubOptions;
use super::names::{is_file_path, is_revision, repository};
use crate::error::{Problem, Result};
use std::fmt;
use std::path::{Path, PathBuf};

const SCHEME: &str = "hf://";
const PREFIX: &str = "hf://datasets/";
const FORM: &str = "`hf://datasets/OWNER/NAME[@REVISION]/PATH`";

/// A file of a data set on the Hub.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DataUri {
    /// `OWNER/NAME`.
    pub id: String,
    /// Branch, tag or commit; `main` if none is written.
    pub revision: String,
    /// Path of the file in the repository.
    pub path: String,
}

/// A data file in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// Where it lies.
    pub path: PathBuf,
    /// The commit that it is of.
    pub commit: String,
}

/// Whether a path of a recipe is on the Hub.
pub fn is_hub_uri(path: impl AsRef<Path>) -> bool {
    path.as_ref().to_str().is_some_and(|text| text.starts_with(SCHEME))
}

impl DataUri {
    /// Reads a URI.
    ///
    /// # Errors
    /// What is found instead of its parts, without a place: the caller knows it.
    pub fn parse(uri: &str) -> Result<Self, Box<Problem>> {
        let shown = || format!("{:?}", uri.chars().take(200).collect::<String>());
        let refuse = |help: &str| Err(Box::new(Problem::new(shown(), FORM, help)));
        let Some(rest) = uri.strip_prefix(PREFIX) else {
            return refuse("data is read from data sets: begin with `hf://datasets/`");
        };
        let mut parts = rest.splitn(3, '/');
        let (Some(owner), Some(name), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            return refuse("name owner, data set and the path of one file in it");
        };
        let (name, revision, path) = match name.split_once('@') {
            None => (name, "main".to_owned(), path),
            Some((name, revision)) => {
                let (revision, path) = special(revision, path);
                let Some(revision) = decoded(&revision) else {
                    return refuse(
                        "write a `/` in the revision as `%2F`, and no other `%` that is not an encoded character",
                    );
                };
                (name, revision, path)
            }
        };
        let id = format!("{owner}/{name}");
        if repository(&id).is_none() {
            return refuse("check owner and name of the data set; its web page shows them");
        }
        if !is_revision(&revision) {
            return refuse("after `@` write a branch, tag or commit, or leave it out");
        }
        if path.contains(['*', '?']) {
            return refuse("patterns are not read here: write a list with each file");
        }
        if !is_file_path(path) {
            return refuse("end with the path of one file, such as `data/train.csv`");
        }
        Ok(Self { id, revision, path: path.to_owned() })
    }

    /// The same file at a commit.
    pub fn at(&self, commit: &str) -> Self {
        Self { revision: commit.to_owned(), ..self.clone() }
    }
}

/// `OWNER/NAME@REVISION/PATH` with the revision encoded where it has to be.
impl fmt::Display for DataUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.id)?;
        if self.revision != "main" {
            write!(f, "@{}", self.revision.replace('%', "%25").replace('/', "%2F"))?;
        }
        write!(f, "/{}", self.path)
    }
}

/// Python takes the Hub's own references without encoding: `refs/convert/parquet`, `refs/pr/1`.
fn special<'a>(revision: &str, path: &'a str) -> (String, &'a str) {
    let mut parts = path.splitn(3, '/');
    match (revision, parts.next(), parts.next(), parts.next()) {
        ("refs", Some(kind @ ("convert" | "pr")), Some(name), Some(path)) => (format!("refs/{kind}/{name}"), path),
        _ => (revision.to_owned(), path),
    }
}

/// Takes percent-encoding away.
fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2).filter(|hex| !hex.starts_with('+'))?, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

/// Sees to it that a data file is in the cache. A file of a commit that is there already is not asked for again.
///
/// # Errors
/// [`Error::Hub`](crate::Error::Hub) if there is no such file, or the Hub cannot be reached.
pub fn data_file(uri: &DataUri, options: &HubOptions) -> Result<DataFile> {
    #[cfg(feature = "hub")]
    {
        let (owner, name) = uri.id.split_once('/').unwrap_or((&uri.id, ""));
        let request = super::problems::Request {
            kind: super::RepoKind::Dataset,
            owner: owner.to_owned(),
            name: name.to_owned(),
            revision: uri.revision.clone(),
            what: "data set",
        };
        let found = super::download::download(&request, &super::wanted::Wanted::One(&uri.path), options)?;
        Ok(DataFile { path: found.folder.join(&uri.path), commit: found.commit })
    }
    #[cfg(not(feature = "hub"))]
    {
        let _ = options;
        Err(super::without_hub(&uri.to_string(), "data set"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_read_as_python_reads_them() {
        for (uri, id, revision, path) in [
            ("hf://datasets/org/set/train.csv", "org/set", "main", "train.csv"),
            ("hf://datasets/org/set/data/a b.parquet", "org/set", "main", "data/a b.parquet"),
            ("hf://datasets/org/set@v1.0/train.csv", "org/set", "v1.0", "train.csv"),
            ("hf://datasets/org/set@refs%2Fpr%2F3/train.csv", "org/set", "refs/pr/3", "train.csv"),
            (
                "hf://datasets/org/set@refs/convert/parquet/d/0.parquet",
                "org/set",
                "refs/convert/parquet",
                "d/0.parquet",
            ),
        ] {
            let read = DataUri::parse(uri).unwrap();
            assert_eq!((read.id.as_str(), read.revision.as_str(), read.path.as_str()), (id, revision, path), "{uri}");
            assert_eq!(DataUri::parse(&read.to_string()).unwrap(), read);
        }
        for (uri, help) in [
            ("hf://models/org/set/x.csv", "hf://datasets/"),
            ("hf://org/set/x.csv", "hf://datasets/"),
            ("hf://datasets/org", "path of one file"),
            ("hf://datasets/org/set", "path of one file"),
            ("hf://datasets/org/set/", "data/train.csv"),
            ("hf://datasets/org/../x.csv", "owner and name"),
            ("hf://datasets/org/set/../../x.csv", "data/train.csv"),
            ("hf://datasets/org/set//etc/passwd", "data/train.csv"),
            ("hf://datasets/org/set@/x.csv", "after `@`"),
            ("hf://datasets/org/set@a%2/x.csv", "%2F"),
            ("hf://datasets/org/set@..%2F..%2Fx/x.csv", "after `@`"),
            ("hf://datasets/org/set/*.csv", "a list"),
        ] {
            let problem = DataUri::parse(uri).expect_err(uri).to_string();
            assert!(problem.contains(help) && problem.contains("OWNER/NAME"), "{uri}: {problem}");
        }
    }
}
