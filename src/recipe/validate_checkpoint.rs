//! Checks of what a model card will say.

use super::CheckpointOptions;
use super::languages::is_language;
use super::licenses::LICENSES;
use super::suggest::did_you_mean;
use super::validate::{Check, Invalid, path, require};

/// Checks `[checkpoint]`.
pub(super) fn check(options: &CheckpointOptions) -> Check {
    for (key, value) in [("title", &options.title), ("base_model", &options.base_model)] {
        if let Some(value) = value {
            let ok = !value.trim().is_empty() && value.chars().count() <= 200 && !value.contains(char::is_control);
            require(
                ok,
                &["checkpoint", key],
                value,
                "1 to 200 characters on one line",
                "shorten it, or leave the key out",
            )?;
        }
    }
    if let Some(name) = &options.license {
        license(&["checkpoint", "license"], name)?;
    }
    languages(&["checkpoint", "languages"], &options.languages, false)
}

/// Refuses a licence that is none of the Hub's.
pub(crate) fn license(key: &[&str], license: &str) -> Check {
    let other = "write `other` or `unknown` if it has none of the Hub's names";
    let help = did_you_mean(license, LICENSES.iter().copied(), other);
    let expected = "a licence as the Hub writes it: `apache-2.0`, `mit`";
    require(LICENSES.contains(&license), key, license, expected, &help)
}

/// Refuses what is no language's code, and a code that is there twice.
pub(crate) fn languages(key: &[&str], codes: &[String], needed: bool) -> Check {
    let help = "write codes such as [\"en\", \"zh\"], or [\"multilingual\"]";
    require(!needed || !codes.is_empty(), key, codes, "at least one language", help)?;
    for (index, code) in codes.iter().enumerate() {
        let index_text = format!("[{index}]");
        let key = [key, &[index_text.as_str()]].concat();
        require(is_language(code), &key, code, "an ISO 639 code in lower case, or `multilingual`", help)?;
        if codes[..index].contains(code) {
            let found = format!("`{code}` twice");
            return Err(Invalid::fact(path(&key), found, "each language once", "remove one of the two"));
        }
    }
    Ok(())
}
