//! What to tell a person when the Hub does not give what was asked for.

use super::names::RepoKind;
use super::trouble::Trouble;
use super::{MANIFEST_FILE, MODEL_FILE, TOKENIZER_FILE};
use crate::error::{Error, Problem};
use std::io;
use std::path::Path;

/// What was asked for.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) kind: RepoKind,
    pub(super) owner: String,
    pub(super) name: String,
    pub(super) revision: String,
    /// "backbone", "checkpoint", "data set", for messages.
    pub(super) what: &'static str,
}

impl Request {
    /// `owner/name`.
    pub(super) fn id(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// Whatever failed, as an error for people.
    pub(super) fn failed(&self, trouble: Trouble) -> Error {
        let what = self.what;
        let elsewhere = "check the spelling; for a private repository set HF_TOKEN";
        let (found, expected, help) = match trouble {
            Trouble::Told(error) => return *error,
            Trouble::Status { status: 401, .. } => {
                ("401, no access".into(), format!("a public {what}, or a token with access"), elsewhere)
            }
            Trouble::Status { status: 403, .. } => (
                "403, access refused".into(),
                "a token with access".into(),
                "accept the repository's terms on its web page, and set HF_TOKEN to a token that may read it",
            ),
            Trouble::Status { status: 404, code, .. } if code.as_deref() == Some("RepoNotFound") => {
                ("no such repository".into(), format!("a {what}"), elsewhere)
            }
            Trouble::Status { status: 404, .. } => (
                format!("no repository {} with a revision {:?}", self.id(), self.revision),
                format!("a {what}"),
                "check the spelling of both; for a private repository set HF_TOKEN",
            ),
            Trouble::Status { status: 429, wait, .. } => {
                let wait = wait.map(|wait| format!("; it asks to wait {} seconds", wait.as_secs())).unwrap_or_default();
                let help = "wait a while; with HF_TOKEN set the limit is higher";
                (format!("429, too many requests{wait}"), "an answer".into(), help)
            }
            Trouble::Status { status, .. } => (
                format!("HTTP status {status}"),
                "an answer".into(),
                "try again later; if HF_ENDPOINT is set, check it",
            ),
            Trouble::Unreachable(why) => (
                format!("no connection: {why}"),
                "an answer of the Hub".into(),
                "check the network and HF_ENDPOINT; a downloaded folder can be given instead of an id",
            ),
            Trouble::Wrong(why) | Trouble::Malformed(why) => return self.malformed(&why),
            Trouble::Stopped => return self.malformed("something unexpected"),
        };
        self.problem(found, expected, help)
    }

    /// A file that did not come whole.
    pub(super) fn not_fetched(&self, file: &str, trouble: Trouble) -> Error {
        let at = format!("{}/{file}", self.id());
        let again = "run the command again, it goes on where it stopped; if it stays so, check the network";
        let (found, expected, help) = match trouble {
            Trouble::Unreachable(why) => (format!("a broken download: {why}"), "the whole file", again),
            Trouble::Wrong(why) => (
                format!("a damaged download: {why}"),
                "the bytes that the Hub lists",
                "run the command again; if it stays so, the Hub or a proxy in between is at fault",
            ),
            Trouble::Status { status: 404, .. } => (
                "404, no such file".into(),
                "the file that the Hub lists",
                "run the command again; if it stays so, the Hub or a proxy in between is at fault",
            ),
            trouble => return self.failed(trouble),
        };
        Problem::new(found, expected, help).file(at).hub()
    }

    /// An answer that is not what it has to be.
    pub(super) fn malformed(&self, what: &str) -> Error {
        let found = format!("an answer with {what}");
        self.problem(found, "the answer of a Hub".into(), "if HF_ENDPOINT is set, check that it is a Hub")
    }

    /// A listed file that must not be fetched.
    pub(super) fn hostile(&self, file: &str, found: String, expected: &str) -> Error {
        let shown: String = file.chars().take(120).collect();
        let help = "do not use this repository; if HF_ENDPOINT is set, check that it is a Hub";
        Problem::new(format!("{found} of the file {shown:?}"), expected, help).key(self.shown()).hub()
    }

    /// Offline, and not all files are in the cache.
    pub(super) fn not_cached(&self, files: &str, cache: &Path) -> Error {
        let found = format!("not all of {files} in {}", cache.display());
        let expected = "a cached copy, as HF_HUB_OFFLINE is set".into();
        self.problem(found, expected, "unset HF_HUB_OFFLINE once, or give a folder that holds the files")
    }

    /// The cache cannot be written to.
    pub(super) fn not_written(&self, path: &Path, error: &io::Error) -> Error {
        let full = matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        );
        let help = match full {
            true => {
                "free some space, or name a folder on a larger disk with HF_HOME; the download goes on where it stopped"
            }
            false => "check the permissions of the folder that HF_HOME names, ~/.cache/huggingface if it is not set",
        };
        let found = if full { format!("no space left ({error})") } else { error.to_string() };
        Problem::new(found, "a cache folder to write to", help).file(path).hub()
    }

    pub(super) fn problem(&self, found: String, expected: String, help: &str) -> Error {
        Problem::new(found, expected, help).key(self.shown()).hub()
    }

    /// The repository, and its revision unless that is the usual one.
    pub(super) fn shown(&self) -> String {
        let kind = if self.kind == RepoKind::Dataset { "datasets/" } else { "" };
        let revision = if self.revision == "main" { String::new() } else { format!("@{}", self.revision) };
        format!("{kind}{}{revision}", self.id())
    }

    /// A repository without a required file; `has` knows its other files.
    pub(super) fn lacking(&self, file: &str, has: impl Fn(&str) -> bool) -> Error {
        let what = self.what;
        let (found, help) = match file {
            MODEL_FILE if has("model.safetensors.index.json") => (
                "model.safetensors in several parts".into(),
                "save it as one file with Python's `save_pretrained(.., max_shard_size=\"100GB\")` and give the folder",
            ),
            MODEL_FILE => ("no model.safetensors".into(), "only safetensors are read; choose another repository"),
            MANIFEST_FILE => (
                "no mtl_zoo.json".into(),
                "the repository is no checkpoint of mtl-zoo; give it as a backbone to `finetune`",
            ),
            TOKENIZER_FILE => (
                "no tokenizer.json".into(),
                "save the tokenizer with Python's `AutoTokenizer.from_pretrained(..).save_pretrained(..)` and give the \
                 folder",
            ),
            _ if self.kind == RepoKind::Dataset => {
                (format!("no {file}"), "see the files on the data set's web page, under \"Files and versions\"")
            }
            _ => (format!("no {file}"), "choose another repository or revision"),
        };
        self.problem(found, format!("a {what} with {file}"), help)
    }
}
