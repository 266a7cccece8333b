//! Repositories and caches that lie.

use super::server::{COMMIT, ID, Server};
use super::{FILES, offline, options, refused};
use mtl_zoo::hub::{RepoKind, pull, resolve_backbone};
use std::fs;

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in ["../evil", "a/../../evil", "/etc/evil", "a//evil", "./evil"] {
        let (server, cache) = (Server::start(&FILES), tempfile::tempdir().unwrap());
        server.repo(|repo| drop(repo.files().insert(name.into(), b"x".to_vec())));
        let all = pull(ID, RepoKind::Model, &["*".into()], &options(&server, cache.path()));
        refused(all, &["org/tiny", &format!("{name:?}"), "inside the repository"]);
        server.set(|state| state.unlisted = true);
        let all = pull(ID, RepoKind::Model, &["*".into()], &options(&server, cache.path()));
        refused(all, &["org/tiny", &format!("{name:?}"), "inside the repository"]);
        assert!(!server.requests().iter().any(|request| request.contains("/resolve/")));
    }
    for name in ["a\\b", "C:evil", "line\nbreak"] {
        let (server, cache) = (Server::start(&FILES), tempfile::tempdir().unwrap());
        server.repo(|repo| drop(repo.files().insert(name.into(), b"x".to_vec())));
        let all = pull(ID, RepoKind::Model, &["*".into()], &options(&server, cache.path()));
        refused(all, &["org/tiny", &format!("{name:?}")]);
        // Git has such names; who does not want them is not bothered.
        resolve_backbone(ID, None, &options(&server, cache.path())).unwrap();
    }
}

#[test]
fn absurd_sizes_and_hashes_are_refused() {
    for size in [u64::MAX, 1 << 50, (1 << 40) + 1] {
        let (server, cache) = (Server::start(&FILES), tempfile::tempdir().unwrap());
        server.repo(|repo| {
            repo.sizes.insert("model.safetensors".into(), size);
        });
        let fragments = ["model.safetensors", &size.to_string(), "1 TB"];
        refused(resolve_backbone(ID, None, &options(&server, cache.path())), &fragments);
        assert!(!server.requests().iter().any(|request| request.contains("/resolve/")));
    }
    for hash in
        ["", "../../../../etc/passwd", "abc", &"g".repeat(64), &"A".repeat(64), &"a".repeat(40), &"a/".repeat(32)]
    {
        let (server, cache) = (Server::start(&FILES), tempfile::tempdir().unwrap());
        server.repo(|repo| drop(repo.hashes.insert("model.safetensors".into(), hash.into())));
        refused(resolve_backbone(ID, None, &options(&server, cache.path())), &["model.safetensors", "hexadecimal"]);
    }
    // A size that is only somewhat wrong shows when the bytes come.
    for size in [0, 5, 24, 1 << 40] {
        let (server, cache) = (Server::start(&FILES), tempfile::tempdir().unwrap());
        server.repo(|repo| {
            repo.sizes.insert("model.safetensors".into(), size);
        });
        refused(resolve_backbone(ID, None, &options(&server, cache.path())), &["org/tiny/model.safetensors"]);
        assert!(!cache.path().join("models--org--tiny/snapshots").join(COMMIT).join("model.safetensors").exists());
    }
}

#[test]
fn answers_that_are_none() {
    for (commit, fragment) in [("", "no commit"), ("../../evil", "no commit"), ("abc", "no commit")] {
        let (server, cache) = (Server::start(&FILES), tempfile::tempdir().unwrap());
        server.repo(|repo| {
            let files = repo.files().clone();
            repo.put(commit, files);
        });
        refused(resolve_backbone(ID, None, &options(&server, cache.path())), &["org/tiny", fragment, "HF_ENDPOINT"]);
    }
    let cache = tempfile::tempdir().unwrap();
    let (server, nothing) = (Server::start(&FILES), "not an address");
    let mut options = options(&server, cache.path());
    options.endpoint = Some(nothing.into());
    refused(resolve_backbone(ID, None, &options), &["HF_ENDPOINT"]);
}

#[test]
#[cfg(unix)]
fn links_that_lead_out_of_the_cache_are_refused() {
    use std::os::unix::fs::symlink;
    let (server, cache, outside) = (Server::start(&FILES), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let secret = outside.path().join("secret");
    fs::write(&secret, FILES[1].1).unwrap();
    let snapshot = cache.path().join("models--org--tiny/snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).unwrap();
    symlink(&secret, snapshot.join("model.safetensors")).unwrap();
    let fragments = ["model.safetensors", "a symbolic link that leads to", "inside the cache"];
    refused(resolve_backbone(ID, None, &options(&server, cache.path())), &fragments);
    assert_eq!(fs::read(&secret).unwrap(), FILES[1].1);

    // A folder of a snapshot, and a download that was broken off.
    fs::remove_dir_all(&snapshot).unwrap();
    fs::create_dir_all(snapshot.parent().unwrap()).unwrap();
    symlink(outside.path(), &snapshot).unwrap();
    let error = resolve_backbone(ID, None, &options(&server, cache.path())).unwrap_err().to_string();
    assert!(error.contains("a symbolic link that leads to"), "{error}");
    fs::remove_file(&snapshot).unwrap();
    let blobs = cache.path().join("models--org--tiny/blobs");
    let part = blobs.join(format!("{}.incomplete", mtl_zoo::files::sha256_hex(FILES[1].1)));
    fs::create_dir_all(&blobs).unwrap();
    let _ = fs::remove_file(&part);
    let _ = fs::remove_file(blobs.join(mtl_zoo::files::sha256_hex(FILES[1].1)));
    fs::write(&secret, "untouched").unwrap();
    symlink(&secret, &part).unwrap();
    resolve_backbone(ID, None, &options(&server, cache.path())).unwrap();
    assert_eq!(fs::read_to_string(&secret).unwrap(), "untouched");
    resolve_backbone(ID, None, &offline(&server, cache.path())).unwrap();
}
