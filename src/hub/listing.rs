//! Which files a commit has, with their sizes and hashes.

use super::access::{Access, read_json};
use super::hashes::Hash;
use super::names::{RepoKind, is_commit, is_file_path};
use super::problems::Request;
use super::trouble::Trouble;
use crate::error::Result;
use reqwest::Method;
use reqwest::header::{HeaderMap, LINK};
use serde::Deserialize;

/// No file that is used here comes near; the Hub has none above.
const LARGEST_FILE: u64 = 1 << 40;
/// More files than this are not listed.
const MOST_FILES: usize = 1_000_000;

/// One file of a commit.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    /// Its path in the repository.
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) hash: Hash,
}

/// A line of the Hub's listing.
#[derive(Deserialize)]
pub(super) struct Line {
    #[serde(rename = "type")]
    kind: String,
    pub(super) path: String,
    #[serde(default)]
    oid: String,
    #[serde(default)]
    size: u64,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    oid: String,
    size: u64,
}

impl Line {
    /// The file, if it may be fetched.
    pub(super) fn checked(&self, request: &Request) -> Result<Listed> {
        if !is_file_path(&self.path) {
            let expected = "a path inside the repository";
            return Err(request.hostile(&self.path, "the name".into(), expected));
        }
        let (oid, size) = self.lfs.as_ref().map_or((&self.oid, self.size), |lfs| (&lfs.oid, lfs.size));
        if size > LARGEST_FILE {
            return Err(request.hostile(&self.path, format!("a size of {size} bytes"), "at most 1 TB"));
        }
        let hash = Hash::parse(oid).filter(|hash| hash.is_sha256() == self.lfs.is_some());
        let hash = hash.ok_or_else(|| {
            let shown: String = oid.chars().take(80).collect();
            request.hostile(&self.path, format!("the hash {shown:?}"), "40 or 64 hexadecimal digits")
        })?;
        Ok(Listed { path: self.path.clone(), size, hash })
    }
}

/// The commit that a revision stands for, and the names of its files if the Hub gives them.
pub(super) fn commit(access: &Access, request: &Request) -> Result<(String, Option<Vec<String>>), Trouble> {
    let (owner, name, revision) = (&request.owner, &request.name, request.revision.as_str());
    let (sha, siblings) = access.retry(|| {
        Ok(match request.kind {
            RepoKind::Model => {
                let info = access.hub.model(owner, name).info().revision(revision).send()?;
                (info.sha, info.siblings)
            }
            RepoKind::Dataset => {
                let info = access.hub.dataset(owner, name).info().revision(revision).send()?;
                (info.sha, info.siblings)
            }
        })
    })?;
    let commit = sha.filter(|sha| is_commit(sha)).ok_or_else(|| Trouble::Malformed("no commit".into()))?;
    Ok((commit, siblings.map(|all| all.into_iter().map(|file| file.rfilename).collect())))
}

/// The files of a folder of a commit, or of the whole commit.
pub(super) fn files(
    access: &Access,
    request: &Request,
    commit: &str,
    folder: Option<&str>,
) -> Result<Vec<Line>, Trouble> {
    let mut segments = vec!["tree", commit];
    segments.extend(folder.iter().flat_map(|folder| folder.split('/')).filter(|part| !part.is_empty()));
    let mut url = access.api(request, &segments);
    if folder.is_none() {
        url.set_query(Some("recursive=true"));
    }
    let mut files = Vec::new();
    loop {
        let (page, next): (Vec<Line>, _) = access.retry(|| {
            access.wait(async {
                let response = access.ask(Method::GET, url.clone(), |request| request).await?;
                let next = next_page(response.headers());
                Ok((read_json(response).await?, next))
            })
        })?;
        let empty = page.is_empty();
        files.extend(page.into_iter().filter(|line| line.kind == "file"));
        let Some(next) = next.filter(|_| !empty) else { return Ok(files) };
        url = access.named(&next)?;
        if files.len() > MOST_FILES || !access.is_hub(&url) {
            return Err(Trouble::Malformed("a listing that does not end, or goes on elsewhere".into()));
        }
    }
}

/// The address in `Link: <address>; rel="next"`.
fn next_page(headers: &HeaderMap) -> Option<String> {
    let link = headers.get(LINK)?.to_str().ok()?;
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    Some(next.split_once('<')?.1.split_once('>')?.0.to_owned())
}
