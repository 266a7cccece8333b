//! The access token: found as Python finds it, sent to the Hub alone, shown to nobody.

use super::HubOptions;
use crate::error::{Problem, Result};
use reqwest::header::HeaderValue;
use std::fmt;

/// An access token.
#[derive(Clone)]
pub(super) struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Token {
    /// The token of the options, or else of `HF_TOKEN`, `HF_TOKEN_PATH` or the file that Python's `hf auth login` writes.
    pub(super) fn find(options: &HubOptions) -> Result<Option<Self>> {
        let token = options.token.clone().or_else(of_environment);
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        match token {
            Some(token) if !token.bytes().all(|b| b.is_ascii_graphic()) => {
                let help = "copy the token again from the settings of your account on the Hub";
                let found = "a token with blanks or characters that no token has";
                Err(Problem::new(found, "an access token", help).key("HF_TOKEN").hub())
            }
            token => Ok(token.map(Self)),
        }
    }

    /// For hf-hub, which keeps it to itself.
    pub(super) fn secret(&self) -> &str {
        &self.0
    }

    /// The value of the header `Authorization`.
    pub(super) fn header(&self) -> HeaderValue {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.0)).expect("a token is plain ASCII");
        value.set_sensitive(true);
        value
    }
}

fn of_environment() -> Option<String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    if variable("HF_HUB_DISABLE_IMPLICIT_TOKEN").is_some() {
        return None;
    }
    let file = |path: std::path::PathBuf| std::fs::read_to_string(path).ok().filter(|text| !text.trim().is_empty());
    variable("HF_TOKEN")
        .or_else(|| variable("HF_TOKEN_PATH").and_then(|path| file(path.into())))
        .or_else(|| file(hf_hub::hf_home().join("token")))
}
