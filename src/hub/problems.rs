//! What to tell a person when the Hub does not give what was asked for.

use super::{FileList, HubFiles};
use super::{MANIFEST_FILE, MODEL_FILE, TOKENIZER_FILE};
use crate::error::{Error, Problem};
use hf_hub::HFError;
use std::path::{Path, PathBuf};

/// What was asked for.
pub(super) struct Request<'a> {
    pub(super) id: String,
    pub(super) revision: String,
    pub(super) files: &'a FileList,
}

impl Request<'_> {
    pub(super) fn found(&self, folder: PathBuf, commit: String) -> HubFiles {
        HubFiles { folder, id: self.id.clone(), revision: Some(commit) }
    }

    /// An answer of the Hub, or none, as an error for people.
    pub(super) fn failed(&self, error: &HFError) -> Error {
        let (id, revision, what) = (&self.id, &self.revision, self.files.what);
        let elsewhere = "check the spelling; for a private repository set HF_TOKEN";
        let (found, expected, help) = match error {
            HFError::AuthRequired { .. } => {
                ("401, no access".into(), format!("a public {what}, or a token with access"), elsewhere)
            }
            HFError::Forbidden { .. } => (
                "403, access refused".into(),
                "a token with access".into(),
                "accept the repository's terms on its web page, and set HF_TOKEN to a token that may read it",
            ),
            HFError::RepoNotFound { .. } => ("no such repository".into(), format!("a {what}"), elsewhere),
            HFError::RevisionNotFound { .. } => (
                format!("no repository {id} with a revision {revision:?}"),
                format!("a {what}"),
                "check the spelling of both; for a private repository set HF_TOKEN",
            ),
            HFError::RateLimited { .. } => (
                "429, too many requests".into(),
                "an answer".into(),
                "wait a while; with HF_TOKEN set the limit is higher",
            ),
            HFError::Http { context } => (
                format!("HTTP status {}", context.status),
                "an answer".into(),
                "try again later; if HF_ENDPOINT is set, check it",
            ),
            HFError::Request { source, .. } => (
                format!("no connection: {}", innermost(source)),
                "an answer of the Hub".into(),
                "check the network and HF_ENDPOINT; a downloaded folder can be given instead of an id",
            ),
            HFError::Io(_) | HFError::CacheLockTimeout { .. } => (
                error.to_string(),
                "a cache folder to write to".into(),
                "check space and permissions of the folder that HF_HOME names, ~/.cache/huggingface if it is not set",
            ),
            _ => (error.to_string(), "an answer of the Hub".into(), "try again; if HF_ENDPOINT is set, check it"),
        };
        self.problem(found, expected, help)
    }

    /// An answer without what it has to hold.
    pub(super) fn malformed(&self, what: &str) -> Error {
        let found = format!("an answer with {what}");
        self.problem(found, "the answer of a Hub".into(), "if HF_ENDPOINT is set, check that it is a Hub")
    }

    /// Offline, and not all files are in the cache.
    pub(super) fn not_cached(&self, cache: &Path) -> Error {
        let found = format!("not all of {} in {}", self.files.required.join(", "), cache.display());
        let expected = "a cached copy, as HF_HUB_OFFLINE is set".into();
        self.problem(found, expected, "unset HF_HUB_OFFLINE once, or give a folder that holds the files")
    }

    fn problem(&self, found: String, expected: String, help: &str) -> Error {
        let key = if self.revision == "main" { self.id.clone() } else { format!("{}@{}", self.id, self.revision) };
        Problem::new(found, expected, help).key(key).hub()
    }
}

/// A repository without a required file; `has` knows its other files.
pub(super) fn lacking(request: &Request<'_>, file: &str, has: impl Fn(&str) -> bool) -> Error {
    let what = request.files.what;
    let (found, help) = match file {
        MODEL_FILE if has("model.safetensors.index.json") => (
            "model.safetensors in several parts".into(),
            "save it as one file with Python's `save_pretrained(.., max_shard_size=\"100GB\")` and give the folder",
        ),
        MODEL_FILE if has("pytorch_model.bin") => (
            "pytorch_model.bin only".into(),
            "only safetensors are read; see if the repository has a revision `refs/pr/N` with them, or convert it with \
             Python's `save_pretrained`",
        ),
        MODEL_FILE => ("no model.safetensors".into(), "only safetensors are read; choose another repository"),
        MANIFEST_FILE => (
            "no mtl_zoo.json".into(),
            "the repository is no checkpoint of mtl-zoo; give it as a backbone to `finetune`",
        ),
        TOKENIZER_FILE => (
            "no tokenizer.json".into(),
            "save the tokenizer with Python's `AutoTokenizer.from_pretrained(..).save_pretrained(..)` and give the folder",
        ),
        _ => (format!("no {file}"), "choose another repository or revision"),
    };
    request.problem(found, format!("a {what} with {file}"), help)
}

/// The last cause, which says most.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
