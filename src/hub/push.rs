//! Files to a repository on the Hub, in one commit.

use super::access::{Access, read_json};
use super::hashes::Hash;
use super::names::{RepoKind, is_commit};
use super::problems::Request;
use super::trouble::Trouble;
use super::{HubOptions, address, lfs, listing};
use crate::error::{Error, IoContext, Problem, Result};
use crate::files::hash_file;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hf_hub::RepoTypeModel;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The first bytes of a file, by which the Hub tells text from data.
const SAMPLE: u64 = 512;

/// How files are pushed.
#[derive(Clone, Debug, Default)]
pub struct PushOptions {
    /// Whether a repository that is made now is private.
    pub private: bool,
    /// The commit's message.
    pub message: Option<String>,
    /// The branch, which is made if there is none; `main` if not set.
    pub revision: Option<String>,
    /// Files that are removed from the repository if it has them.
    pub obsolete: Vec<String>,
}

/// What was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// `owner/name`.
    pub id: String,
    /// The branch.
    pub revision: String,
    /// The commit.
    pub commit: String,
    /// Where a browser shows it.
    pub url: String,
}

/// A file to push.
pub(super) struct Local {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) size: u64,
    pub(super) sha256: String,
}

impl Local {
    fn new(folder: &Path, name: &str) -> Result<Self> {
        let path = folder.join(name);
        let size = std::fs::metadata(&path).at("read", &path)?.len();
        Ok(Self { name: name.to_owned(), sha256: hash_file(&path)?, path, size })
    }

    fn read(&self, most: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = File::open(&self.path).at("open", &self.path)?;
        file.take(most).read_to_end(&mut bytes).at("read", &self.path)?;
        Ok(bytes)
    }
}

/// Pushes files of a folder to a model repository, which is made if there is none, in one commit. `id` is `owner/name`.
///
/// # Errors
/// [`Error::Hub`] without a token, without the right to write, or if the Hub cannot be reached; [`Error::Io`] if a file cannot
/// be read.
pub fn push(folder: &Path, files: &[String], id: &str, push: &PushOptions, options: &HubOptions) -> Result<Pushed> {
    let (owner, name, revision) = address(id, push.revision.as_deref(), "repository")?;
    let request = Request { kind: RepoKind::Model, owner, name, revision, what: "repository" };
    if is_commit(&request.revision) {
        let help = "name a branch with `--revision`, or leave it out for `main`";
        return Err(request.problem("a commit".into(), "a branch, which can grow".into(), help));
    }
    if options.is_offline() {
        let help = "unset HF_HUB_OFFLINE";
        return Err(request.problem("HF_HUB_OFFLINE".into(), "a way to the Hub".into(), help));
    }
    let access = Access::new(options)?;
    if !access.has_token() {
        let help = "make a token that may write in the settings of your account on the Hub, and set HF_TOKEN to it";
        return Err(request.problem("no access token".into(), "one that may write".into(), help));
    }
    let files: Vec<Local> = files.iter().map(|name| Local::new(folder, name)).collect::<Result<_>>()?;
    let there = prepare(&access, &request, push).map_err(|trouble| refused(&request, trouble))?;
    let commit =
        send(&access, &request, &files, &there, push, options).map_err(|trouble| refused(&request, trouble))?;
    check(&access, &request, &files, &commit).map_err(|trouble| refused(&request, trouble))?;
    let url = access.url(&[&request.owner, &request.name, "tree", &request.revision]);
    Ok(Pushed { id: request.id(), revision: request.revision, commit, url: url.into() })
}

/// Makes the repository and the branch where they are missing; gives the names of the files that are there.
fn prepare(access: &Access, request: &Request, push: &PushOptions) -> Result<Vec<String>, Trouble> {
    let missing = match listing::commit(access, request) {
        Ok((_, names)) => return Ok(names.unwrap_or_default()),
        // A private repository that the token may not read is refused as one that is not there.
        Err(Trouble::Status { status: 401 | 404, code, .. }) => code,
        Err(trouble) => return Err(trouble),
    };
    let id = request.id();
    if missing.as_deref() != Some("RevisionNotFound") {
        access.retry(|| {
            let create = access.hub.create_repository().repo_id(&id).repo_type(RepoTypeModel);
            Ok(create.private(push.private).exist_ok(true).send()?)
        })?;
    }
    if request.revision != "main" {
        let branch = || -> Result<(), Trouble> {
            let repository = access.hub.model(&request.owner, &request.name);
            Ok(repository.create_branch().branch(&request.revision).send()?)
        };
        match access.retry(branch) {
            Ok(()) | Err(Trouble::Status { status: 409, .. }) => {}
            Err(trouble) => return Err(trouble),
        }
    }
    Ok(Vec::new())
}

/// Sends the files and makes the commit.
fn send(
    access: &Access,
    request: &Request,
    files: &[Local],
    there: &[String],
    push: &PushOptions,
    options: &HubOptions,
) -> Result<String, Trouble> {
    let modes = modes(access, request, files)?;
    // Empty files cannot be LFS objects.
    let is_large = |file: &Local| file.size > 0 && modes.iter().any(|m| m.path == file.name && m.upload_mode == "lfs");
    let (large, small): (Vec<&Local>, Vec<&Local>) = files.iter().partition(|file| is_large(file));
    lfs::upload(access, request, &large, options.progress.as_ref())?;

    let message = push.message.as_deref().unwrap_or("Upload a checkpoint of mtl-zoo");
    let mut lines = vec![line("header", json!({"summary": message, "description": ""}))];
    for name in push.obsolete.iter().filter(|name| there.contains(name)) {
        lines.push(line("deletedFile", json!({"path": name})));
    }
    for file in small {
        let content = BASE64.encode(file.read(u64::MAX)?);
        lines.push(line("file", json!({"path": file.name, "content": content, "encoding": "base64"})));
    }
    for file in large {
        let value = json!({"path": file.name, "algo": "sha256", "oid": file.sha256, "size": file.size});
        lines.push(line("lfsFile", value));
    }
    let body = lines.concat();
    let url = access.api(request, &["commit", &request.revision]);
    let fill =
        |request: reqwest::RequestBuilder| request.header(CONTENT_TYPE, "application/x-ndjson").body(body.clone());
    let commit: Commit =
        access.retry(|| access.wait(async { read_json(access.ask(Method::POST, url.clone(), fill).await?).await }))?;
    Some(commit.oid).filter(|oid| is_commit(oid)).ok_or_else(|| Trouble::Malformed("no commit".into()))
}

/// How the Hub wants each file: as text within the commit, or as an LFS object.
fn modes(access: &Access, request: &Request, files: &[Local]) -> Result<Vec<Mode>, Trouble> {
    let asked = |file: &Local| -> Result<Value> {
        Ok(json!({"path": file.name, "size": file.size, "sample": BASE64.encode(file.read(SAMPLE)?)}))
    };
    let body = json!({"files": files.iter().map(asked).collect::<Result<Vec<_>>>()?});
    let url = access.api(request, &["preupload", &request.revision]);
    let modes: Modes = access.retry(|| {
        access.wait(async {
            read_json(access.ask(Method::POST, url.clone(), |request| request.json(&body)).await?).await
        })
    })?;
    match modes.files.iter().find(|mode| mode.should_ignore) {
        Some(mode) => Err(Trouble::Malformed(format!("{} ignored, by the repository's .gitignore", mode.path))),
        None => Ok(modes.files),
    }
}

/// Whether the Hub now has what was sent.
fn check(access: &Access, request: &Request, files: &[Local], commit: &str) -> Result<(), Trouble> {
    let lines = listing::files(access, request, commit, Some(""))?;
    for file in files {
        let line = lines.iter().find(|line| line.path == file.name);
        let listed = line.map(|line| line.checked(request)).transpose()?;
        let same = |hash: &Hash| match hash.is_sha256() {
            true => Ok(hash.as_str() == file.sha256),
            false => hash.matches(&file.path),
        };
        let is_there = match listed {
            Some(listed) => listed.size == file.size && same(&listed.hash)?,
            None => false,
        };
        if !is_there {
            return Err(Trouble::Malformed(format!("another {} than was sent", file.name)));
        }
    }
    Ok(())
}

/// What a person can do about a push that failed.
fn refused(request: &Request, trouble: Trouble) -> Error {
    let help = "make a token that may write in the settings of your account on the Hub, and set HF_TOKEN to it";
    let (found, expected, help) = match trouble {
        Trouble::Status { status: 401, .. } => ("401, a token that is not known", "an access token", help),
        Trouble::Status { status: 403, .. } => {
            ("403, a token that may not do this", "one that may write to this owner's repositories", help)
        }
        Trouble::Status { status: 413, .. } => {
            ("413, too much at once", "a checkpoint that the Hub takes", "remove the largest files that are no tensors")
        }
        Trouble::Status { status: 409 | 412, .. } => {
            ("another commit at the same time", "a branch that nobody else changes", "run the command again")
        }
        trouble => return request.failed(trouble),
    };
    Problem::new(found, expected, help).key(request.shown()).hub()
}

fn line(key: &str, value: Value) -> String {
    format!("{}\n", json!({"key": key, "value": value}))
}

#[derive(Deserialize)]
struct Modes {
    files: Vec<Mode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mode {
    path: String,
    upload_mode: String,
    #[serde(default)]
    should_ignore: bool,
}

#[derive(Deserialize)]
struct Commit {
    #[serde(rename = "commitOid")]
    oid: String,
}
