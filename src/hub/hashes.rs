//! What the Hub says of a file's bytes: SHA-256 of large files, Git's SHA-1 of small ones.

use crate::error::{IoContext, Result};
use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The hash that a file has to have, in lowercase hexadecimal digits. Its text is also the file's ETag and the name of its
/// blob in the cache.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Hash(String);

impl Hash {
    /// 40 digits of Git's SHA-1 or 64 of a SHA-256.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let good = matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        good.then(|| Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// "SHA-256" or "Git SHA-1".
    pub(super) fn kind(&self) -> &'static str {
        if self.is_sha256() { "SHA-256" } else { "Git SHA-1" }
    }

    pub(super) fn is_sha256(&self) -> bool {
        self.0.len() == 64
    }

    /// Begins to hash a file of so many bytes.
    pub(super) fn hasher(&self, size: u64) -> Hasher {
        if self.is_sha256() {
            return Hasher(Context::new(&SHA256));
        }
        // Git hashes the length too. A pair of files with the same SHA-1 has to be made on purpose, by who owns the repository.
        let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        context.update(format!("blob {size}\0").as_bytes());
        Hasher(context)
    }

    /// Whether a file has this hash.
    pub(super) fn matches(&self, path: &Path) -> Result<bool> {
        let mut file = File::open(path).at("open", path)?;
        let mut hasher = self.hasher(file.metadata().at("read", path)?.len());
        hasher.read(&mut file).at("read", path)?;
        Ok(hasher.is(self))
    }
}

/// A hash of the bytes so far.
#[derive(Clone)]
pub(super) struct Hasher(Context);

impl Hasher {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Takes the rest of a file; gives its length.
    pub(super) fn read(&mut self, file: &mut File) -> std::io::Result<u64> {
        let mut buffer = vec![0; 1 << 20];
        let mut length = 0;
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                return Ok(length);
            }
            self.update(&buffer[..count]);
            length += count as u64;
        }
    }

    /// Whether these bytes have the hash.
    pub(super) fn is(&self, hash: &Hash) -> bool {
        let digest = self.0.clone().finish();
        let mut text = String::with_capacity(64);
        for byte in digest.as_ref() {
            let _ = write!(text, "{byte:02x}");
        }
        text == hash.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_git_and_of_sha256sum() {
        let is = |bytes: &[u8], hash: &str| {
            let hash = Hash::parse(hash).unwrap();
            let mut hasher = hash.hasher(bytes.len() as u64);
            hasher.update(bytes);
            hasher.is(&hash)
        };
        assert!(is(b"", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"));
        assert!(is(b"hello\n", "ce013625030ba8dba906f756967f9e9ca394464a"));
        assert!(is(b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
        assert!(!is(b"abd", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
        assert!(Hash::parse("../../../../../../../../../../etc/passwd").is_none());
    }
}
