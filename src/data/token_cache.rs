//! Token ids on disk, found again by the content that they were made of.
//!
//! A file is named by a hash of everything that decides its tokens: the tokenizer, the length limit and the inputs. It
//! ends with a hash of itself; one that is damaged is made again. The folder may be deleted at any time.

use super::{Encoded, Example, Input, Row, Tokenizer, hex};
use crate::error::{IoContext, Result};
use crate::files::{cache_folder, write_file};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Begins every file; another layout gets another number.
const MAGIC: [u8; 8] = *b"mtltok01";
/// Bytes of a SHA-256.
const HASH: usize = 32;
/// Size of the folder above which the files that were not used for longest are removed.
const LIMIT: u64 = 1 << 30;

/// A folder of tokenized inputs.
#[derive(Clone, Debug)]
pub struct TokenCache {
    folder: PathBuf,
}

impl TokenCache {
    /// A cache in this folder, which is made when it is first needed.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The user's: `tokens` in [`cache_folder`]; `None` without one.
    pub fn standard() -> Option<Self> {
        Some(Self::new(cache_folder()?.join("tokens")))
    }

    /// As [`Tokenizer::examples`], from the cache if it has them. A cache that cannot be read or written changes nothing
    /// but the time it takes.
    ///
    /// # Errors
    /// Those of [`Tokenizer::examples`].
    pub fn examples(&self, tokenizer: &Tokenizer, rows: &[Row], max_tokens: usize) -> Result<Vec<Example>> {
        let path = self.folder.join(format!("{}.tokens", key(tokenizer, rows, max_tokens)));
        let examples = |encoded: Vec<Encoded>| -> Vec<Example> {
            let pairs = encoded.into_iter().zip(rows);
            pairs.map(|(encoded, row)| Example { encoded, target: row.target.clone() }).collect()
        };
        if let Some(encoded) = read(&path).filter(|encoded| encoded.len() == rows.len()) {
            return Ok(examples(encoded));
        }
        let made = tokenizer.examples(rows, max_tokens)?;
        // Best effort: a run does not fail because its cache does.
        let _ = self.store(&path, &made);
        Ok(made)
    }

    fn store(&self, path: &Path, examples: &[Example]) -> Result<()> {
        std::fs::create_dir_all(&self.folder).at("create", &self.folder)?;
        let bytes = encode(examples.iter().map(|example| &example.encoded));
        write_file(path, |out| out.write_all(&bytes).at("write", path))?;
        self.prune()
    }

    /// Removes the files that were not used for longest, until the rest is small enough.
    fn prune(&self) -> Result<()> {
        let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in std::fs::read_dir(&self.folder).at("read", &self.folder)?.flatten() {
            let data = entry.metadata().at("read", entry.path())?;
            files.push((data.modified().unwrap_or(SystemTime::UNIX_EPOCH), data.len(), entry.path()));
        }
        files.sort();
        let mut size: u64 = files.iter().map(|(_, size, _)| size).sum();
        for (_, own, path) in files {
            if size <= LIMIT {
                break;
            }
            std::fs::remove_file(&path).at("remove", &path)?;
            size -= own;
        }
        Ok(())
    }
}

/// Hash of what decides the tokens.
fn key(tokenizer: &Tokenizer, rows: &[Row], max_tokens: usize) -> String {
    let mut hash = Sha256::new();
    hash.update(MAGIC);
    hash.update(tokenizer.fingerprint());
    hash.update((max_tokens as u64).to_le_bytes());
    // Lengths before texts: no two lists of texts give the same bytes.
    let mut text = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    for row in rows {
        match &row.input {
            Input::Text(one) => {
                text("text");
                text(one);
            }
            Input::Pair(one, other) => {
                text("pair");
                text(one);
                text(other);
            }
            Input::Words(words) => {
                text("words");
                text(&words.len().to_string());
                words.iter().for_each(|word| text(word));
            }
        }
    }
    hex(&hash.finalize())
}

fn encode<'a>(all: impl Iterator<Item = &'a Encoded>) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    let mut word = |value: u32| bytes.extend(value.to_le_bytes());
    for encoded in all {
        word(encoded.ids.len() as u32);
        word(encoded.first_tokens.len() as u32);
        word(u32::from(encoded.truncated));
        encoded.ids.iter().chain(&encoded.type_ids).chain(&encoded.first_tokens).for_each(|&value| word(value));
    }
    let hash = Sha256::digest(&bytes);
    bytes.extend(hash);
    bytes
}

/// What a file holds; `None` if it is absent, damaged or of another layout.
fn read(path: &Path) -> Option<Vec<Encoded>> {
    let bytes = std::fs::read(path).ok()?;
    let (body, hash) = bytes.split_at_checked(bytes.len().checked_sub(HASH)?)?;
    if Sha256::digest(body)[..] != *hash {
        return None;
    }
    let (words, []) = body.strip_prefix(&MAGIC)?.as_chunks::<4>() else { return None };
    let mut words = words.iter().map(|&word| u32::from_le_bytes(word));
    let mut all = Vec::new();
    while let Some(len) = words.next() {
        let (first, truncated) = (words.next()?, words.next()? != 0);
        let mut run = |len: u32| -> Option<Vec<u32>> {
            let values: Vec<u32> = words.by_ref().take(len as usize).collect();
            (values.len() == len as usize).then_some(values)
        };
        all.push(Encoded { ids: run(len)?, type_ids: run(len)?, first_tokens: run(first)?, truncated });
    }
    // Used now: the last to be removed.
    let _ = std::fs::File::options().append(true).open(path).and_then(|file| file.set_modified(SystemTime::now()));
    Some(all)
}
