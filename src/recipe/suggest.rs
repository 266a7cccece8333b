//! "Did you mean …?"

/// The candidate that a person most likely meant, if any is close.
///
/// Case and `-` against `_` do not count; initials and single words are understood: `lr` and `rate` are `learning_rate`.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = plain(word);
    candidates
        .into_iter()
        .map(|candidate| (closeness(&word, &plain(candidate)), candidate))
        .filter(|(closeness, _)| *closeness >= 0.6)
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
        .map(|(_, candidate)| candidate)
}

/// A help text: the nearest candidate if there is one, otherwise `fallback`.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>, fallback: &str) -> String {
    match nearest(word, candidates) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => fallback.to_owned(),
    }
}

/// "`a`, `b` or `c`", as error messages list names.
pub fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "none".into(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

fn plain(word: &str) -> String {
    word.chars().take(64).map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
}

fn closeness(word: &str, candidate: &str) -> f64 {
    if word == candidate {
        return 1.0;
    }
    let initials: String = candidate.split('_').filter_map(|part| part.chars().next()).collect();
    if initials.len() > 1 && word == initials {
        return 0.95;
    }
    if word.len() > 1 && candidate.split('_').any(|part| part == word) {
        return 0.75;
    }
    let edits = strsim::normalized_damerau_levenshtein(word, candidate);
    let prefix = strsim::jaro_winkler(word, candidate);
    // Jaro-Winkler alone finds unrelated words close, edits alone miss cut-off words.
    if prefix >= 0.85 { edits.max(0.6 + (prefix - 0.85)) } else { edits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let keys = ["learning_rate", "weight_decay", "epochs", "batch_tokens", "steps", "seed"];
        assert_eq!(nearest("learnin_rate", keys), Some("learning_rate"));
        assert_eq!(nearest("Learning-Rate", keys), Some("learning_rate"));
        assert_eq!(nearest("lr", keys), Some("learning_rate"));
        assert_eq!(nearest("rate", keys), Some("learning_rate"));
        assert_eq!(nearest("epoch", keys), Some("epochs"));
        assert_eq!(nearest("batch", keys), Some("batch_tokens"));
        assert_eq!(nearest("sede", keys), Some("seed"));
        assert_eq!(nearest("optimizer", keys), None);
        assert_eq!(nearest("", keys), None);
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn lists_names() {
        assert_eq!(list(["a", "b", "c"]), "`a`, `b` or `c`");
        assert_eq!(list(["a"]), "`a`");
    }
}
