//! Fetches files from the Hub into its cache.

use super::problems::{Request, lacking};
use super::{FileList, HubFiles, HubOptions, OnProgress};
use crate::error::{IoContext, Problem, Result};
use crate::files::{hash_file, write_file};
use hf_hub::progress::{DownloadEvent, Progress, ProgressEvent, ProgressHandler};
use hf_hub::repository::RepoTypeModel;
use hf_hub::{HFClient, HFError, HFRepositorySync};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Downloads what is not in the cache yet. All files are of one commit, asked for once at the start.
pub(super) fn download(
    owner: &str,
    name: &str,
    revision: &str,
    files: &FileList,
    options: &HubOptions,
) -> Result<HubFiles> {
    let request = Request { id: format!("{owner}/{name}"), revision: revision.to_owned(), files };
    let mut builder = HFClient::builder().user_agent(concat!("mtl-zoo/", env!("CARGO_PKG_VERSION")));
    if let Some(endpoint) = &options.endpoint {
        builder = builder.endpoint(endpoint);
    }
    if let Some(cache) = &options.cache {
        builder = builder.cache_dir(cache);
    }
    if let Some(token) = &options.token {
        builder = builder.token(token);
    }
    if let Some(retries) = options.retries {
        builder = builder.retry_max_attempts(retries);
    }
    let client = builder.build_sync().map_err(|error| request.failed(&error))?;
    let cache = Cache(client_cache(options).join(format!("models--{owner}--{name}")));
    if options.is_offline() {
        return cache.find(&request).ok_or_else(|| request.not_cached(&cache.0));
    }

    let repository = client.model(owner, name);
    let info = match repository.info().revision(revision).send() {
        Ok(info) => info,
        // As Python does: without a network, what is cached is good enough.
        Err(error) if is_unreachable(&error) => return cache.find(&request).ok_or_else(|| request.failed(&error)),
        Err(error) => return Err(request.failed(&error)),
    };
    let commit = info.sha.filter(|sha| is_commit(sha)).ok_or_else(|| request.malformed("no commit"))?;
    let listed: Option<HashSet<String>> = info.siblings.map(|all| all.into_iter().map(|file| file.rfilename).collect());
    if let Some(listed) = &listed
        && let Some(file) = files.required.iter().find(|file| !listed.contains(**file))
    {
        return Err(lacking(&request, file, |other| listed.contains(other)));
    }
    for file in files.required {
        fetch(&repository, &request, &cache, &commit, file, options.progress.clone())?;
    }
    for file in files.optional.iter().filter(|file| listed.as_ref().is_none_or(|listed| listed.contains(**file))) {
        match fetch(&repository, &request, &cache, &commit, file, options.progress.clone()) {
            Err(_) if listed.is_none() => {}
            result => result?,
        }
    }
    cache.set_commit(revision, &commit)?;
    Ok(request.found(cache.snapshot(&commit), commit))
}

/// One file into the cache, verified as far as the Hub says what it should be.
fn fetch(
    repository: &HFRepositorySync<RepoTypeModel>,
    request: &Request<'_>,
    cache: &Cache,
    commit: &str,
    file: &str,
    progress: Option<OnProgress>,
) -> Result<()> {
    let path = cache.snapshot(commit).join(file);
    if path.is_file() {
        return Ok(());
    }
    let progress = progress.map(|call| Progress::new(Reporter { call, file: file.to_owned() }));
    let sent = repository.download_file().filename(file).revision(commit).maybe_progress(progress).send();
    let got = sent.map_err(|error| match error {
        HFError::EntryNotFound { .. } => lacking(request, file, |_| false),
        error => request.failed(&error),
    })?;
    // hf-hub stores whatever body it gets, also an error page. The name of a large file's blob is its SHA-256.
    let blob = fs::canonicalize(&got).at("read", &got)?;
    let name = blob.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_sha256 = name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
    let is_sound = if is_sha256 {
        hash_file(&blob)? == name.to_ascii_lowercase()
    } else if file.ends_with(".json") {
        let bytes = fs::read(&blob).at("read", &blob)?;
        serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok()
    } else {
        true
    };
    if is_sound {
        return Ok(());
    }
    for damaged in [&blob, &got] {
        let _ = fs::remove_file(damaged);
    }
    let help = "run the command again; if it stays so, the Hub or a proxy in between is at fault";
    let expected = if is_sha256 { "contents with the SHA-256 that the Hub gives" } else { "JSON" };
    Err(Problem::new("a damaged download", expected, help).file(format!("{}/{file}", request.id)).hub())
}

/// A repository's folder in the cache: `blobs/`, `snapshots/<commit>/`, `refs/<revision>`.
struct Cache(PathBuf);

impl Cache {
    fn snapshot(&self, commit: &str) -> PathBuf {
        self.0.join("snapshots").join(commit)
    }

    /// What is cached of this request, if it is complete.
    fn find(&self, request: &Request<'_>) -> Option<HubFiles> {
        let commit = if is_commit(&request.revision) {
            request.revision.clone()
        } else {
            fs::read_to_string(self.0.join("refs").join(&request.revision)).ok()?.trim().to_owned()
        };
        let folder = self.snapshot(&commit);
        let complete = is_commit(&commit) && request.files.required.iter().all(|file| folder.join(file).is_file());
        complete.then(|| request.found(folder, commit))
    }

    /// Notes which commit a branch or tag is at, for offline use.
    fn set_commit(&self, revision: &str, commit: &str) -> Result<()> {
        let path = self.0.join("refs").join(revision);
        if is_commit(revision) || fs::read_to_string(&path).is_ok_and(|old| old.trim() == commit) {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).at("create", folder)?;
        write_file(&path, |out| out.write_all(commit.as_bytes()).at("write", &path))
    }
}

fn client_cache(options: &HubOptions) -> PathBuf {
    options.cache.clone().unwrap_or_else(hf_hub::resolve_cache_dir)
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether nobody answered, or only to say that the Hub is down.
fn is_unreachable(error: &HFError) -> bool {
    match error {
        HFError::Request { source, .. } => source.is_connect() || source.is_timeout() || source.is_request(),
        HFError::Http { context } => context.status.is_server_error(),
        _ => false,
    }
}

struct Reporter {
    call: OnProgress,
    file: String,
}

impl ProgressHandler for Reporter {
    fn on_progress(&self, event: &ProgressEvent) {
        match event {
            ProgressEvent::Download(DownloadEvent::Progress { files }) => {
                files.iter().for_each(|file| (self.call)(&self.file, file.bytes_completed, file.total_bytes));
            }
            ProgressEvent::Download(DownloadEvent::AggregateProgress { bytes_completed, total_bytes, .. }) => {
                (self.call)(&self.file, *bytes_completed, *total_bytes);
            }
            _ => {}
        }
    }
}
