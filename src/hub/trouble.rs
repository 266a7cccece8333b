//! Why a request did not give what was asked for, as far as it decides whether to try again.

use crate::error::Error;
use hf_hub::HFError;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use std::time::Duration;

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The Hub answered with an error.
    Status {
        /// The HTTP status.
        status: u16,
        /// The Hub's own word for it, such as `EntryNotFound`.
        code: Option<String>,
        /// How long the Hub asks to wait.
        wait: Option<Duration>,
    },
    /// Nobody answered, or the connection broke.
    Unreachable(String),
    /// Bytes came, but not those that were announced.
    Wrong(String),
    /// An answer that no Hub gives.
    Malformed(String),
    /// Another file failed.
    Stopped,
    /// Told in full already.
    Told(Box<Error>),
}

impl Trouble {
    /// An answer's error.
    pub(super) fn of(status: u16, headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let wait = text(RETRY_AFTER.as_str()).and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        Self::Status { status, code: text("x-error-code").map(str::to_owned), wait }
    }

    /// Whether to try again may help.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            Self::Unreachable(_) | Self::Wrong(_) => true,
            Self::Malformed(_) | Self::Stopped | Self::Told(_) => false,
        }
    }

    /// How long the Hub asks to wait.
    pub(super) fn wait(&self) -> Option<Duration> {
        match self {
            Self::Status { wait, .. } => *wait,
            _ => None,
        }
    }

    /// Whether nobody answered, or only to say that the Hub is down: what is cached may do.
    pub(super) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Status { status: 500.., .. })
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Told(Box::new(error))
    }
}

impl From<reqwest::Error> for Trouble {
    fn from(error: reqwest::Error) -> Self {
        match error.is_builder() {
            true => Self::Malformed(innermost(&error)),
            false => Self::Unreachable(if error.is_timeout() { "no answer in time".into() } else { innermost(&error) }),
        }
    }
}

impl From<HFError> for Trouble {
    fn from(error: HFError) -> Self {
        let status = |status: u16, code: Option<String>, wait| Self::Status { status, code, wait };
        match error {
            HFError::Http { context: c }
            | HFError::AuthRequired { context: c }
            | HFError::Forbidden { context: c }
            | HFError::Conflict { context: c }
            | HFError::RepoNotFound { context: Some(c), .. }
            | HFError::RevisionNotFound { context: Some(c), .. }
            | HFError::EntryNotFound { context: Some(c), .. } => status(c.status.as_u16(), c.error_code.clone(), None),
            HFError::RateLimited { retry_after, context: c } => status(429, c.error_code.clone(), retry_after),
            HFError::RepoNotFound { .. } => status(404, Some("RepoNotFound".into()), None),
            HFError::RevisionNotFound { .. } => status(404, Some("RevisionNotFound".into()), None),
            HFError::EntryNotFound { .. } => status(404, Some("EntryNotFound".into()), None),
            // hf-hub reads JSON with reqwest, so that an answer which is none comes as a failed request.
            HFError::Request { source, .. } if source.is_decode() => Self::Malformed(innermost(&source)),
            HFError::Request { source, .. } => source.into(),
            HFError::Json(error) => Self::Malformed(error.to_string()),
            HFError::MalformedResponse { what, .. } => Self::Malformed(what),
            HFError::Url(error) => Self::Malformed(error.to_string()),
            // Others have nothing to do with what is asked of hf-hub here; their text may name an address.
            _ => Self::Malformed("something unexpected".into()),
        }
    }
}

/// The last cause, which says most and names no address.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
