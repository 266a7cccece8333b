//! One file from the Hub into the cache: continued where it broke off, checked before it is visible.

use super::access::Access;
use super::cache::{Cache, State};
use super::hashes::Hasher;
use super::listing::Listed;
use super::problems::Request;
use super::trouble::Trouble;
use super::{HubOptions, OnProgress};
use crate::files::{parent, sync_folder};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_RANGE, HeaderMap, RANGE};
use reqwest::{Method, StatusCode};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// A connection that brought so many bytes was a good one: what failed before it counts no more.
const MUCH: u64 = 1 << 20;

/// What all files of a download share.
pub(super) struct Fetch<'a> {
    pub(super) access: &'a Access,
    pub(super) request: &'a Request,
    pub(super) cache: &'a Cache,
    pub(super) commit: &'a str,
    pub(super) options: &'a HubOptions,
    /// Set when another file failed.
    pub(super) stop: &'a AtomicBool,
}

impl Fetch<'_> {
    /// Sees to it that a file is in the cache.
    pub(super) fn file(&self, listed: &Listed) -> Result<(), Trouble> {
        match self.cache.state(self.commit, &listed.path, Some(listed))? {
            State::Sound => return Ok(()),
            State::Damaged(why) => self.warn(listed, &why),
            State::Absent => {}
        }
        let _lock = self.cache.lock(&listed.hash)?;
        // Another process may have been quicker, or another file may have the same bytes.
        match self.cache.blob_state(listed)? {
            State::Sound => {}
            State::Absent => self.blob(listed)?,
            State::Damaged(_) => {
                let blob = self.cache.blob(&listed.hash);
                fs::remove_file(&blob).map_err(|error| self.not_written(blob, &error))?;
                self.blob(listed)?;
            }
        }
        Ok(self.cache.link(self.commit, listed)?)
    }

    fn warn(&self, listed: &Listed, why: &str) {
        if let Some(warn) = &self.options.warning {
            let (id, path) = (self.request.id(), &listed.path);
            warn(&format!("{id}/{path} in the cache is damaged ({why}); it is fetched again"));
        }
    }

    /// Fetches the bytes. What another process left of them is gone on with.
    fn blob(&self, listed: &Listed) -> Result<(), Trouble> {
        let path = self.cache.incomplete(&listed.hash);
        let failed = |error: io::Error| self.not_written(path.clone(), &error);
        let mut part = Part::open(path.clone(), listed).map_err(failed)?;
        let mut patience = self.access.patience();
        // Bytes of two connections may not belong together, and a proxy may have had a bad moment: once more from the start.
        let mut again = true;
        loop {
            let before = part.length;
            let trouble = match self.receive(&mut part, listed) {
                Ok(()) if part.hash.is(&listed.hash) => break,
                Ok(()) => {
                    part.restart().map_err(failed)?;
                    let trouble = Trouble::Wrong(format!("another {} than listed", listed.hash.kind()));
                    if !std::mem::take(&mut again) {
                        return Err(trouble);
                    }
                    trouble
                }
                Err(trouble) => trouble,
            };
            if part.length >= before.saturating_add(MUCH) {
                patience.renew();
            }
            patience.pause(trouble)?;
        }
        part.file.sync_all().map_err(failed)?;
        let blob = self.cache.blob(&listed.hash);
        fs::rename(&path, &blob).map_err(failed)?;
        sync_folder(parent(&blob))?;
        if let Ok(metadata) = fs::metadata(&blob) {
            self.cache.set_verified(&listed.hash, &metadata);
        }
        Ok(())
    }

    /// Takes what one connection gives.
    fn receive(&self, part: &mut Part, listed: &Listed) -> Result<(), Trouble> {
        self.progress(listed, part.length);
        if part.length == listed.size {
            return Ok(());
        }
        let url = self.access.file(self.request, self.commit, &listed.path);
        let offset = part.length;
        self.access.wait(async {
            let fill = |request: reqwest::RequestBuilder| {
                let request = request.header(ACCEPT_ENCODING, "identity");
                if offset > 0 { request.header(RANGE, format!("bytes={offset}-")) } else { request }
            };
            let mut response = self.access.send(Method::GET, url, fill).await?;
            let restart = |part: &mut Part| part.restart().map_err(|error| self.not_written(part.path.clone(), &error));
            match response.status() {
                StatusCode::PARTIAL_CONTENT if first_byte(response.headers()) == Some(offset) => {}
                StatusCode::OK if offset == 0 => {}
                // A server that gives whole files only.
                StatusCode::OK => restart(part)?,
                StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                    restart(part)?;
                    return Err(Trouble::Wrong("another part of the file than asked for".into()));
                }
                status => return Err(Trouble::of(status.as_u16(), response.headers())),
            }
            while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(part, listed, error))? {
                if self.stop.load(Ordering::Relaxed) {
                    return Err(Trouble::Stopped);
                }
                if chunk.len() as u64 > listed.size - part.length {
                    restart(part)?;
                    return Err(Trouble::Wrong(format!("more than the {} bytes that are listed", listed.size)));
                }
                part.append(&chunk).map_err(|error| self.not_written(part.path.clone(), &error))?;
                self.progress(listed, part.length);
            }
            match part.length == listed.size {
                true => Ok(()),
                false => Err(Trouble::Unreachable(format!("{} of {} bytes", part.length, listed.size))),
            }
        })
    }

    fn broken(&self, part: &Part, listed: &Listed, error: reqwest::Error) -> Trouble {
        match Trouble::from(error) {
            Trouble::Unreachable(why) => {
                Trouble::Unreachable(format!("{} of {} bytes, then: {why}", part.length, listed.size))
            }
            trouble => trouble,
        }
    }

    fn progress(&self, listed: &Listed, length: u64) {
        let call: Option<&OnProgress> = self.options.progress.as_ref();
        call.iter().for_each(|call| call(&listed.path, length, listed.size));
    }

    fn not_written(&self, path: PathBuf, error: &io::Error) -> Trouble {
        self.request.not_written(&path, error).into()
    }
}

/// A file that is not whole yet, and the hash of what is there.
struct Part {
    path: PathBuf,
    file: File,
    length: u64,
    hash: Hasher,
    empty: Hasher,
}

impl Part {
    /// Opens what is there, and reads it for the hash.
    fn open(path: PathBuf, listed: &Listed) -> io::Result<Self> {
        if fs::symlink_metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
            // Not ours to write through.
            fs::remove_file(&path)?;
        }
        let mut file = File::options().create(true).read(true).append(true).open(&path)?;
        let empty = listed.hash.hasher(listed.size);
        let mut hash = empty.clone();
        if file.metadata()?.len() > listed.size {
            file.set_len(0)?;
        }
        let length = hash.read(&mut file)?;
        Ok(Self { path, file, length, hash, empty })
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        // A write may take some bytes and fail at the next: what is on disk is then no longer what was hashed.
        if let Err(error) = self.file.write_all(bytes) {
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        (self.length, self.hash) = (0, self.empty.clone());
        Ok(())
    }
}

/// Where the bytes of `Content-Range: bytes 5-9/10` begin.
fn first_byte(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}
