//! The cache that Python's `huggingface_hub` and this program share.
//!
//! ```text
//! models--owner--name/
//!   blobs/<hash>                  a file's bytes
//!   blobs/<hash>.incomplete       the first of them, of a download that was broken off
//!   snapshots/<commit>/<path>     a symbolic link to its blob
//!   refs/<revision>               the commit that a branch or tag was last seen at
//!   .verified/<hash>              length and time of a blob whose hash was right; only this program reads it
//! .locks/models--owner--name/<hash>.lock
//! ```

use super::hashes::Hash;
use super::listing::Listed;
use super::names::is_commit;
use super::problems::Request;
use crate::error::{IoContext, Problem, Result};
use crate::files::write_file;
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// A repository's part of the cache.
pub(super) struct Cache {
    root: PathBuf,
    /// `models--owner--name`.
    name: String,
}

/// What is known of a file in the cache.
pub(super) enum State {
    Absent,
    Sound,
    /// What is wrong with it.
    Damaged(String),
}

/// Held by the one process that writes a blob; Python takes the same.
pub(super) struct Lock(#[allow(dead_code, reason = "holds the lock")] File);

impl Cache {
    pub(super) fn new(root: PathBuf, request: &Request) -> Self {
        Self { root, name: format!("{}--{}--{}", request.kind.plural(), request.owner, request.name) }
    }

    /// The folder of the repository.
    pub(super) fn folder(&self) -> PathBuf {
        self.root.join(&self.name)
    }

    /// The folder of a commit's files.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder().join("snapshots").join(commit)
    }

    pub(super) fn blob(&self, hash: &Hash) -> PathBuf {
        self.folder().join("blobs").join(hash.as_str())
    }

    pub(super) fn incomplete(&self, hash: &Hash) -> PathBuf {
        self.folder().join("blobs").join(format!("{}.incomplete", hash.as_str()))
    }

    /// The commit that a revision was last seen at.
    pub(super) fn commit(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_owned());
        }
        let text = fs::read_to_string(self.folder().join("refs").join(revision)).ok()?;
        Some(text.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// Notes which commit a branch or tag is at, for offline use.
    pub(super) fn set_commit(&self, revision: &str, commit: &str) -> Result<()> {
        if self.commit(revision).is_some_and(|old| old == commit) {
            return Ok(());
        }
        let path = self.folder().join("refs").join(revision);
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).at("create", folder)?;
        write_file(&path, |out| out.write_all(commit.as_bytes()).at("write", &path))
    }

    /// Looks at a file of a commit. Without a listing, the name of its blob says which hash it has to have.
    ///
    /// # Errors
    /// If the way to it leads out of the cache, or it cannot be read.
    pub(super) fn state(&self, commit: &str, file: &str, listed: Option<&Listed>) -> Result<State> {
        let path = self.snapshot(commit).join(file);
        let real = match fs::canonicalize(&path) {
            Ok(real) => real,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(State::Absent);
            }
            Err(error) => return Err(error).at("read", &path),
        };
        self.check_inside(&path, &real)?;
        let blob = real.parent().filter(|folder| folder.ends_with(Path::new(&self.name).join("blobs")));
        let named = blob.and(real.file_name()).and_then(|name| name.to_str()).and_then(Hash::parse);
        match listed.map(|listed| (Some(listed.size), listed.hash.clone())).or(named.map(|hash| (None, hash))) {
            Some((size, hash)) => self.check(&real, size, &hash),
            // A file that is no link, from a system without them: nothing says what it should be.
            None if real.is_file() => Ok(State::Sound),
            None => Ok(State::Damaged("no file".into())),
        }
    }

    /// Looks at a blob itself.
    pub(super) fn blob_state(&self, listed: &Listed) -> Result<State> {
        let path = self.blob(&listed.hash);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => self.check(&path, Some(listed.size), &listed.hash),
            Ok(_) => Ok(State::Damaged("no file".into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::Absent),
            Err(error) => Err(error).at("read", &path),
        }
    }

    /// Length always, the hash unless it was right for the same length and time before.
    fn check(&self, path: &Path, size: Option<u64>, hash: &Hash) -> Result<State> {
        let metadata = fs::metadata(path).at("read", path)?;
        if !metadata.is_file() {
            return Ok(State::Damaged("no file".into()));
        }
        if let Some(size) = size.filter(|size| *size != metadata.len()) {
            return Ok(State::Damaged(format!("{} bytes of {size}", metadata.len())));
        }
        let note = stamp(&metadata);
        if note.is_some() && fs::read_to_string(self.note(hash)).ok() == note {
            return Ok(State::Sound);
        }
        if !hash.matches(path)? {
            return Ok(State::Damaged(format!("another {}", hash.kind())));
        }
        self.set_verified(hash, &metadata);
        Ok(State::Sound)
    }

    /// Remembers that a blob has its hash. A cache that cannot be written to is hashed each time.
    pub(super) fn set_verified(&self, hash: &Hash, metadata: &Metadata) {
        let (path, Some(note)) = (self.note(hash), stamp(metadata)) else { return };
        let written = path.parent().map(fs::create_dir_all).transpose().and_then(|_| fs::write(&path, note));
        if written.is_err() {
            let _ = fs::remove_file(path);
        }
    }

    fn note(&self, hash: &Hash) -> PathBuf {
        self.folder().join(".verified").join(hash.as_str())
    }

    /// Refuses a link that leads out of the cache.
    fn check_inside(&self, path: &Path, real: &Path) -> Result<()> {
        let root = fs::canonicalize(&self.root).at("read", &self.root)?;
        if real.starts_with(root) {
            return Ok(());
        }
        let found = format!("a symbolic link that leads to {}", real.display());
        let help = "remove the repository's folder from the cache and run the command again";
        Err(Problem::new(found, "files inside the cache", help).file(path).hub())
    }

    /// Makes a blob visible as a file of a commit. The link replaces in one step what was there.
    pub(super) fn link(&self, commit: &str, listed: &Listed) -> Result<()> {
        let path = self.snapshot(commit).join(&listed.path);
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).at("create", folder)?;
        self.check_inside(folder, &fs::canonicalize(folder).at("read", folder)?)?;
        let up = "../".repeat(2 + listed.path.matches('/').count());
        let target = PathBuf::from(format!("{up}blobs/{}", listed.hash.as_str()));
        if fs::read_link(&path).is_ok_and(|old| old == target) {
            return Ok(());
        }
        let temporary = tempfile::Builder::new().prefix(".link-").tempdir_in(self.folder()).at("create", folder)?;
        let new = temporary.path().join("link");
        symlink(&target, &new).or_else(|_| self.copy(&listed.hash, &new)).at("create", &path)?;
        fs::rename(&new, &path).at("rename", &path)
    }

    /// For systems without symbolic links.
    fn copy(&self, hash: &Hash, to: &Path) -> io::Result<()> {
        let blob = self.blob(hash);
        fs::hard_link(&blob, to).or_else(|_| fs::copy(&blob, to).map(drop))
    }

    /// Waits until no other process writes the blob.
    pub(super) fn lock(&self, hash: &Hash) -> Result<Lock> {
        let path = self.root.join(".locks").join(&self.name).join(format!("{}.lock", hash.as_str()));
        for folder in [path.parent().unwrap_or(&self.root), &self.folder().join("blobs")] {
            fs::create_dir_all(folder).at("create", folder)?;
        }
        loop {
            let file = File::options().create(true).append(true).open(&path).at("open", &path)?;
            match file.lock() {
                // Some network drives know no locks; whole files still appear in one step.
                Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(Lock(file)),
                locked => locked.at("lock", &path)?,
            }
            // Who held it may have removed it, and a third made it anew.
            if is_same(&file, &path) {
                return Ok(Lock(file));
            }
        }
    }

    /// Paths of all files of a commit.
    pub(super) fn files(&self, commit: &str) -> Vec<String> {
        let (root, mut found, mut folders) = (self.snapshot(commit), Vec::new(), vec![self.snapshot(commit)]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                match (entry.file_type().is_ok_and(|kind| kind.is_dir()), path.strip_prefix(&root)) {
                    (true, _) => folders.push(path),
                    (false, Ok(inside)) => found.extend(inside.to_str().map(|name| name.replace('\\', "/"))),
                    (false, Err(_)) => {}
                }
            }
        }
        found.sort();
        found
    }
}

/// Length and time of change.
fn stamp(metadata: &Metadata) -> Option<String> {
    let time = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(format!("{} {}", metadata.len(), time.as_nanos()))
}

#[cfg(unix)]
fn is_same(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let key = |metadata: Metadata| (metadata.dev(), metadata.ino());
    matches!((file.metadata().map(key), fs::metadata(path).map(key)), (Ok(a), Ok(b)) if a == b)
}

#[cfg(not(unix))]
fn is_same(_: &File, _: &Path) -> bool {
    true
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
