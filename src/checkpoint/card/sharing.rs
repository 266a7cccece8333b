//! What sharing did to each task: what a study found, in a model card.

use std::fmt::Write;

const HEADING: &str = "## What sharing did\n";

/// The section of a card that no study has filled yet.
pub(super) fn unmeasured(card: &mut String, heads: usize) -> std::fmt::Result {
    if heads < 2 {
        return Ok(());
    }
    writeln!(
        card,
        "{HEADING}\nNot measured. `mtl-zoo study` trains each task alone and all jointly and tells with numbers which tasks\n\
         sharing helped; `mtl-zoo push --study FOLDER` writes its findings here.\n"
    )
}

/// The card with `findings`, Markdown, as its section on what sharing did. All else stays as it is.
pub fn with_sharing(card: &str, findings: &str) -> String {
    let section = format!("{HEADING}\n{}\n\n", findings.trim());
    let begins = |text: &str| text.starts_with("## ").then_some(0).or_else(|| text.find("\n## ").map(|at| at + 1));
    let at = card.find(HEADING).filter(|&at| at == 0 || card[..at].ends_with('\n'));
    let (before, after) = match at {
        Some(at) => {
            let after = &card[at + HEADING.len()..];
            (&card[..at], begins(after).map_or("", |next| &after[next..]))
        }
        // A card that somebody wrote: before its data, else at the end.
        None => card.split_at(card.find("\n## Data\n").map_or(card.len(), |at| at + 1)),
    };
    let gap = if before.is_empty() || before.ends_with("\n\n") { "" } else { "\n" };
    let all = format!("{before}{gap}{section}{after}");
    format!("{}\n", all.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_is_replaced_or_added() {
        let card = "# Title\n\ntext\n\n## What sharing did\n\nNot measured.\n\n## Data\n\nrows\n";
        let found = "# Title\n\ntext\n\n## What sharing did\n\n| a |\n\n## Data\n\nrows\n";
        assert_eq!(with_sharing(card, "| a |\n"), found);
        assert_eq!(with_sharing(found, "| a |\n"), found);
        assert_eq!(with_sharing("# Title\n\ntext\n\n## Data\n\nrows\n", "| a |\n"), found);
        assert_eq!(with_sharing("# Mine\n", "x"), "# Mine\n\n## What sharing did\n\nx\n");
        let last = "# Title\n\n## What sharing did\n\nNot measured.\n";
        assert_eq!(with_sharing(last, "x"), "# Title\n\n## What sharing did\n\nx\n");
    }
}
