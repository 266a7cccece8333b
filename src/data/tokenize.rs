//! Texts to token ids, in parallel, with truncation counted.

use super::{Example, Input, Row, hex};
use crate::error::{IoContext, Problem, Result};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::path::Path;
use tokenizers::{
    Encoding, PostProcessor, TruncationDirection, TruncationParams, TruncationStrategy, truncate_encodings,
};

/// In [`Encoded::first_tokens`]: a word of which the tokenizer made no token, such as a lone control character.
pub const NO_TOKEN: u32 = u32::MAX;

/// The tokens of one input, special tokens included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Segment of each token (0, or 1 for the second text of a pair).
    pub type_ids: Vec<u32>,
    /// For pre-split words: the position in `ids` of each word's first token, in word order, [`NO_TOKEN`] for a word
    /// without tokens; shorter than the words where the input was truncated. Empty for texts.
    pub first_tokens: Vec<u32>,
    /// Whether tokens were cut off at the length limit.
    pub truncated: bool,
}

/// A backbone's tokenizer, as `tokenizer.json` describes it.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    fingerprint: String,
    vocab_size: usize,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// If there is no such file, or the `tokenizers` library cannot use it.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if !path.exists() {
            let help = "only fast tokenizers can be used; save the tokenizer with a recent version of transformers";
            return Err(Problem::new("no such file", "the backbone's `tokenizer.json`", help).file(path).backbone());
        }
        let bytes = std::fs::read(path).at("read", path)?;
        Self::parse(&bytes, path)
    }

    /// Reads the bytes of a `tokenizer.json`.
    ///
    /// # Errors
    /// If the `tokenizers` library cannot use them.
    pub fn from_bytes(bytes: impl AsRef<[u8]>) -> Result<Self> {
        Self::parse(bytes.as_ref(), Path::new("tokenizer.json"))
    }

    fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let unusable = |error: tokenizers::Error| {
            let help = "fetch the file again, or save the tokenizer with a recent version of transformers";
            let expected = "a tokenizer in the format of the `tokenizers` library";
            Problem::new(error.to_string(), expected, help).file(path).backbone()
        };
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(unusable)?;
        if let Some(token) = serde_json::from_slice(bytes).ok().and_then(|json| undefined_token(&json, 0)) {
            let help = "fetch the file again, or save the tokenizer with a recent version of transformers";
            let problem = Problem::new(format!("a template with {token:?}"), "special tokens that it defines", help);
            return Err(problem.file(path).key("post_processor").backbone());
        }
        // Length and padding are this crate's to decide; many files on the Hub carry settings for other uses.
        inner.with_truncation(None).map_err(unusable)?;
        inner.with_padding(None);
        let vocab_size = inner.get_vocab(true).values().max().map_or(0, |&id| id as usize + 1);
        let fingerprint = hex(&Sha256::digest(bytes));
        Ok(Self { inner, fingerprint, vocab_size })
    }

    /// One more than the highest token id, added tokens included: the rows that an embedding table needs.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// SHA-256 of the file, in hexadecimal.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Tokenizes in parallel, in the order of the inputs, with special tokens, as transformers does with
    /// `truncation=True, max_length=max_tokens`: of a pair the longer text is cut first; of words the last ones are.
    ///
    /// # Errors
    /// If `max_tokens` leaves no room beside the special tokens, or an input has no token at all.
    pub fn encode(&self, inputs: &[&Input], max_tokens: usize) -> Result<Vec<Encoded>> {
        let encoded: Vec<_> = inputs.par_iter().with_min_len(16).map(|input| self.one(input, max_tokens)).collect();
        encoded.into_iter().collect()
    }

    /// Tokenizes the inputs of rows, as [`Tokenizer::encode`].
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn examples(&self, rows: &[Row], max_tokens: usize) -> Result<Vec<Example>> {
        let inputs: Vec<_> = rows.iter().map(|row| &row.input).collect();
        let encoded = self.encode(&inputs, max_tokens)?.into_iter();
        Ok(encoded.zip(rows).map(|(encoded, row)| Example { encoded, target: row.target.clone() }).collect())
    }

    fn one(&self, input: &Input, max_tokens: usize) -> Result<Encoded> {
        let failed = |error: tokenizers::Error| {
            let help = "look at the backbone's `tokenizer.json`; it must be able to encode any text";
            Problem::new(format!("an input that the tokenizer refuses ({error})"), "token ids", help).data()
        };
        let text = |text: &str| self.inner.encode_fast(text, false).map_err(failed);
        let (first, second) = match input {
            Input::Text(one) => (text(one)?, None),
            Input::Pair(one, other) => (text(one)?, Some(text(other)?)),
            // Only the slower `encode` keeps track of words.
            Input::Words(words) => (self.inner.encode(words.as_slice(), false).map_err(failed)?, None),
        };
        let special = self.inner.get_post_processor().map_or(0, |processor| processor.added_tokens(second.is_some()));
        let sequences = 1 + usize::from(second.is_some());
        let room = max_tokens.checked_sub(special).filter(|&room| room >= sequences).ok_or_else(|| {
            let expected = format!("at least {}: {special} special tokens and one for each text", special + sequences);
            let help = "raise it; 128 is usual for sentences, 512 the most that BERT can read";
            Problem::new(max_tokens.to_string(), expected, help).key("backbone.max_tokens").recipe()
        })?;

        let before = first.len() + second.as_ref().map_or(0, Encoding::len);
        let params = TruncationParams {
            max_length: room,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
            direction: TruncationDirection::Right,
        };
        let (mut first, mut second) = truncate_encodings(first, second, &params).map_err(failed)?;
        let after = first.len() + second.as_ref().map_or(0, Encoding::len);
        // What was cut off is kept as further encodings; they would be processed for nothing.
        [Some(&mut first), second.as_mut()].into_iter().flatten().for_each(|part| drop(part.take_overflowing()));

        let encoding = self.inner.post_process(first, second, true).map_err(failed)?;
        if encoding.is_empty() {
            let help = "remove rows whose text the tokenizer normalizes to nothing";
            return Err(Problem::new("an input without any token", "at least one token", help).data());
        }
        let truncated = after < before;
        let first_tokens = match input {
            Input::Words(words) => first_tokens(encoding.get_word_ids(), words.len(), truncated),
            _ => Vec::new(),
        };
        Ok(Encoded {
            ids: encoding.get_ids().to_vec(),
            type_ids: encoding.get_type_ids().to_vec(),
            first_tokens,
            truncated,
        })
    }
}

/// A special token that a template of the post-processor asks for and does not define: the library would panic at the
/// first text.
fn undefined_token(value: &serde_json::Value, depth: usize) -> Option<String> {
    let processors = if depth == 0 { Some(&value["post_processor"]) } else { None };
    let processors = processors.into_iter().chain(value["processors"].as_array().into_iter().flatten());
    let inner = processors.filter(|_| depth < 64).find_map(|processor| undefined_token(processor, depth + 1));
    let pieces = ["single", "pair"].into_iter().filter_map(|template| value[template].as_array()).flatten();
    let mut tokens = pieces.filter_map(|piece| piece["SpecialToken"]["id"].as_str());
    inner.or_else(|| tokens.find(|token| value["special_tokens"].get(token).is_none()).map(str::to_owned))
}

/// Position of the first token of each word, from the word of each token.
fn first_tokens(word_ids: &[Option<u32>], words: usize, truncated: bool) -> Vec<u32> {
    let last = word_ids.iter().flatten().max().map_or(0, |&last| last as usize + 1);
    let mut first = vec![NO_TOKEN; if truncated { last } else { words }];
    for (token, word) in word_ids.iter().enumerate().rev() {
        if let Some(place) = word.and_then(|word| first.get_mut(word as usize)) {
            *place = token as u32;
        }
    }
    first
}
