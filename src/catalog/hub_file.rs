//! Files of data sets on the Hub, as cards name them: `hf://datasets/OWNER/NAME@REVISION/PATH`.

/// What such names begin with.
pub(super) const SCHEME: &str = "hf://";

/// The parts of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HubFile<'a> {
    /// `owner/name`.
    pub repository: &'a str,
    /// Branch, tag or commit, percent-encoded; the default branch if absent.
    pub revision: Option<&'a str>,
}

/// Takes a name apart; `None` if it is not of this form.
pub(super) fn parse(name: &str) -> Option<HubFile<'_>> {
    let rest = name.strip_prefix(SCHEME)?.strip_prefix("datasets/")?;
    let mut parts = rest.splitn(3, '/');
    let (owner, named, path) = (parts.next()?, parts.next()?, parts.next()?);
    let (last, revision) = match named.split_once('@') {
        Some((last, revision)) => (last, Some(revision)),
        None => (named, None),
    };
    let inside = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    let ok = inside && is_repository_part(owner) && is_repository_part(last) && revision != Some("");
    ok.then(|| HubFile { repository: &rest[..owner.len() + 1 + last.len()], revision })
}

/// Whether an id has the form `owner/name`.
pub(super) fn is_repository(id: &str) -> bool {
    id.split_once('/').is_some_and(|(owner, name)| is_repository_part(owner) && is_repository_part(name))
}

/// Whether a revision is a whole commit: 40 hexadecimal digits in lower case.
pub(super) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// As the Hub has it: letters, digits, `-`, `_` and `.`, at most 96, neither `-` nor `.` at an end, and none of them twice.
fn is_repository_part(part: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    part.len() <= 96
        && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && edge(part.chars().next())
        && edge(part.chars().next_back())
        && !part.contains("--")
        && !part.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let file = |repository, revision| Some(HubFile { repository, revision });
        assert_eq!(parse("hf://datasets/a/b@0f/c/d.csv"), file("a/b", Some("0f")));
        assert_eq!(parse("hf://datasets/a/b@refs%2Fx/d.csv"), file("a/b", Some("refs%2Fx")));
        assert_eq!(parse("hf://datasets/a.b/c_d/e.csv"), file("a.b/c_d", None));
        for wrong in [
            "a.csv",
            "hf://a/b/c.csv",
            "hf://datasets/a/c.csv",
            "hf://datasets/a/b",
            "hf://datasets/a/b/",
            "hf://datasets/a/b@/c.csv",
            "hf://datasets/a/b/../c.csv",
            "hf://datasets/a/b//c.csv",
            "hf://datasets/-a/b/c.csv",
            "hf://datasets/a/b..c/d.csv",
            "hf://datasets//b/c.csv",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn commits_are_whole() {
        assert!(is_commit("c9745ed1d9f207416be6d2e6f8de32d1f16199bf"));
        assert!(!is_commit("c9745ed") && !is_commit("main") && !is_commit(&"A".repeat(40)));
    }
}
