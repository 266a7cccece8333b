//! From a repository, a revision and what is wanted of it to files in the cache.

use super::HubOptions;
use super::access::Access;
use super::cache::{Cache, State};
use super::fetch::Fetch;
use super::listing::{self, Line, Listed};
use super::names::{is_commit, is_file_path};
use super::problems::Request;
use super::trouble::Trouble;
use super::wanted::{Chosen, Wanted};
use crate::error::{Problem, Result};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Files that are fetched at the same time.
const AT_ONCE: usize = 4;

/// Where the files are.
pub(super) struct Downloaded {
    pub(super) folder: PathBuf,
    pub(super) commit: String,
    pub(super) chosen: Chosen,
}

/// Downloads what is not in the cache yet. All files are of one commit, asked for once at the start.
pub(super) fn download(request: &Request, wanted: &Wanted<'_>, options: &HubOptions) -> Result<Downloaded> {
    let root = options.cache.clone().unwrap_or_else(hf_hub::resolve_cache_dir);
    let cache = Cache::new(root, request);
    if options.is_offline() {
        return cached(request, wanted, &cache)?.ok_or_else(|| request.not_cached(&wanted.shown(), &cache.folder()));
    }
    // A single file of a commit never changes; of other lists, more may be there than is in the cache.
    if is_commit(&request.revision)
        && let Wanted::One(file) = wanted
        && matches!(cache.state(&request.revision, file, None)?, State::Sound)
    {
        let chosen = wanted.known(&[]);
        return Ok(Downloaded { folder: cache.snapshot(&request.revision), commit: request.revision.clone(), chosen });
    }
    match online(request, wanted, options, &cache) {
        Ok(downloaded) => Ok(downloaded),
        // As Python does: without a network, what is cached is good enough.
        Err(trouble) if trouble.is_unreachable() => {
            cached(request, wanted, &cache)?.ok_or_else(|| request.failed(trouble))
        }
        Err(trouble) => Err(request.failed(trouble)),
    }
}

/// What is cached of this request, if it is complete and sound.
fn cached(request: &Request, wanted: &Wanted<'_>, cache: &Cache) -> Result<Option<Downloaded>> {
    let Some(commit) = cache.commit(&request.revision) else { return Ok(None) };
    let names = cache.files(&commit);
    let chosen = wanted.known(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for file in chosen.files() {
        match cache.state(&commit, file, None)? {
            State::Sound => {}
            State::Absent => return Ok(None),
            State::Damaged(why) => {
                let help = "run the command once with a network, and without HF_HUB_OFFLINE: it is fetched again";
                let file = cache.snapshot(&commit).join(file);
                return Err(Problem::new(format!("a damaged file: {why}"), "the file that was downloaded", help)
                    .file(file)
                    .hub());
            }
        }
    }
    let found = !chosen.required.is_empty();
    Ok(found.then(|| Downloaded { folder: cache.snapshot(&commit), commit, chosen }))
}

fn online(request: &Request, wanted: &Wanted<'_>, options: &HubOptions, cache: &Cache) -> Result<Downloaded, Trouble> {
    let access = Access::new(options)?;
    let (commit, names) = listing::commit(&access, request)?;
    if let Some(names) = names {
        let chosen = wanted.choose(request, &names.iter().map(String::as_str).collect::<Vec<_>>())?;
        check_names(request, chosen.files())?;
        let mut sound = true;
        for file in chosen.files() {
            sound = sound && matches!(cache.state(&commit, file, None)?, State::Sound);
        }
        if sound {
            cache.set_commit(&request.revision, &commit)?;
            return Ok(Downloaded { folder: cache.snapshot(&commit), commit, chosen });
        }
    }
    let lines = match listing::files(&access, request, &commit, wanted.folder()) {
        // A folder that is not there holds no file.
        Err(Trouble::Status { status: 404, .. }) if wanted.folder().is_some_and(|folder| !folder.is_empty()) => {
            Vec::new()
        }
        lines => lines?,
    };
    check_tree(request, &lines)?;
    let chosen = wanted.choose(request, &lines.iter().map(|line| line.path.as_str()).collect::<Vec<_>>())?;
    let by_name = |name: &str| lines.iter().find(|line| line.path == name).map(|line| line.checked(request));
    let files = chosen.files().filter_map(by_name).collect::<Result<Vec<Listed>>>()?;
    let stop = AtomicBool::new(false);
    let fetch = Fetch { access: &access, request, cache, commit: &commit, options, stop: &stop };
    fetch_all(&fetch, &files)?;
    cache.set_commit(&request.revision, &commit)?;
    Ok(Downloaded { folder: cache.snapshot(&commit), commit, chosen })
}

/// Refuses names of files that could lead out of the cache.
fn check_names<'a>(request: &Request, names: impl IntoIterator<Item = &'a str>) -> Result<()> {
    let bad = names.into_iter().find(|name| !is_file_path(name));
    bad.map_or(Ok(()), |name| Err(request.hostile(name, "the name".into(), "a path inside the repository")))
}

/// Refuses a listing that no Git repository can have, also where the bad name is not wanted.
fn check_tree(request: &Request, lines: &[Line]) -> Result<()> {
    let leaves = |line: &&Line| line.path.split('/').any(|part| matches!(part, "" | "." | ".."));
    check_names(request, lines.iter().find(leaves).map(|line| line.path.as_str()))
}

/// Several files at once; the first failure stops the others, which later go on where they were.
fn fetch_all(fetch: &Fetch<'_>, files: &[Listed]) -> Result<()> {
    let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
    let work = || {
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            if fetch.stop.load(Ordering::Relaxed) {
                return;
            }
            match fetch.file(file) {
                Ok(()) => {}
                Err(Trouble::Stopped) => return,
                Err(trouble) => {
                    fetch.stop.store(true, Ordering::Relaxed);
                    let error = fetch.request.not_fetched(&file.path, trouble);
                    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    return;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(files.len()) {
            scope.spawn(work);
        }
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}
