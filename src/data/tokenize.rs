//! Texts to token ids, in parallel, with truncation counted.

/// The tokens of one input, special tokens included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Segment of each token (0, or 1 for the second text of a pair).
    pub type_ids: Vec<u32>,
    /// For pre-split words: the position in `ids` of each word's first token, in word order;
    /// shorter than the words where the input was truncated. Empty for texts.
    pub first_tokens: Vec<u32>,
    /// Whether tokens were cut off at the length limit.
    pub truncated: bool,
}
