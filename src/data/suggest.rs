//! What error messages about names and values share.

use crate::recipe::suggest::nearest;

/// "did you mean `x`? " where something is near, else nothing.
pub(crate) fn did_you_mean<S: AsRef<str>>(name: &str, known: &[S]) -> String {
    let near = nearest(name, known.iter().map(AsRef::as_ref));
    near.map_or_else(String::new, |near| format!("did you mean {}? ", quoted(near)))
}

/// The names in backticks, the first few of many.
pub(crate) fn listed<S: AsRef<str>>(names: &[S]) -> String {
    const SHOWN: usize = 12;
    let shown: Vec<_> = names.iter().take(SHOWN).map(|name| quoted(name.as_ref())).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The value in backticks, in one line and not too long.
pub(crate) fn quoted(value: &str) -> String {
    const SHOWN: usize = 60;
    let mut short: String = value.chars().take(SHOWN).flat_map(shown).collect();
    if value.chars().nth(SHOWN).is_some() {
        short.push('…');
    }
    format!("`{short}`")
}

/// The character itself, or its escape if it would disturb a terminal.
fn shown(character: char) -> impl Iterator<Item = char> {
    let escape = character.is_control().then(|| character.escape_default());
    let plain = escape.is_none().then_some(character);
    escape.into_iter().flatten().chain(plain)
}
