//! Downloads that break, continue, meet each other, or find a damaged cache.

use super::answers::git_sha1;
use super::server::{COMMIT, Fault, ID, Server};
use super::{FILES, MODEL, offline, options, refused};
use mtl_zoo::files::sha256_hex;
use mtl_zoo::hub::{BACKBONE_FILES, HubOptions, resolve_backbone};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn blob(cache: &Path, name: &str) -> PathBuf {
    let bytes = FILES.iter().find(|file| file.0 == name).unwrap().1;
    let hash = if name.ends_with(".safetensors") { sha256_hex(bytes) } else { git_sha1(bytes) };
    cache.join("models--org--tiny/blobs").join(hash)
}

fn with_retries(server: &Server, cache: &Path, retries: usize) -> HubOptions {
    HubOptions { retries: Some(retries), ..options(server, cache) }
}

/// Every file of the snapshot has its bytes, and every blob its hash.
pub fn assert_sound(cache: &Path) {
    for entry in fs::read_dir(cache.join("models--org--tiny/blobs")).into_iter().flatten().flatten() {
        let (name, bytes) = (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
        if !name.ends_with(".incomplete") {
            assert!(name == sha256_hex(&bytes) || name == git_sha1(&bytes), "{name} has other bytes");
        }
    }
    let snapshot = cache.join("models--org--tiny/snapshots").join(COMMIT);
    for entry in fs::read_dir(snapshot).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let bytes = FILES.iter().find(|file| file.0 == name).expect("nothing else").1;
        assert_eq!(fs::read(entry.path()).unwrap(), bytes, "{name}");
    }
}

#[test]
fn blobs_have_the_names_that_python_gives_them() {
    let (server, cache) = (Server::start(&FILES), tempfile::tempdir().unwrap());
    resolve_backbone(ID, None, &options(&server, cache.path())).unwrap();
    assert_sound(cache.path());
    let link = cache.path().join("models--org--tiny/snapshots").join(COMMIT).join("model.safetensors");
    let target = Path::new("../../blobs").join(sha256_hex(MODEL));
    assert_eq!(fs::read_link(link).unwrap(), target);
    let lock = cache.path().join(".locks/models--org--tiny").join(format!("{}.lock", sha256_hex(MODEL)));
    assert!(lock.is_file());
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    for later in [false, true] {
        let (server, cache) = (Server::start(&FILES), tempfile::tempdir().unwrap());
        let mut cut = false;
        server.faults(move |asked| {
            let first = asked.path.ends_with("model.safetensors") && !std::mem::replace(&mut cut, true);
            first.then_some(Fault::Cut(7))
        });
        if later {
            refused(
                resolve_backbone(ID, None, &options(&server, cache.path())),
                &["model.safetensors", "7 of 23 bytes"],
            );
            let left = blob(cache.path(), "model.safetensors").with_extension("incomplete");
            assert_eq!(fs::read(left).unwrap(), MODEL[..7]);
        }
        resolve_backbone(ID, None, &with_retries(&server, cache.path(), 1)).unwrap();
        assert_sound(cache.path());
        let state = server.state();
        let asked = state.asked.iter().filter(|asked| asked.path.ends_with("model.safetensors"));
        assert_eq!(asked.map(|asked| asked.start).collect::<Vec<_>>(), [None, Some(7)]);
    }
}

#[test]
fn what_is_left_of_a_download_may_be_useless() {
    for left in [&b"other bytes"[..], &[b'x'; 23], &[b'x'; 99], &MODEL[..22], MODEL] {
        for fault in [None, Some(Fault::Whole), Some(Fault::OtherRange)] {
            let (server, cache) = (Server::start(&FILES), tempfile::tempdir().unwrap());
            let path = blob(cache.path(), "model.safetensors").with_extension("incomplete");
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, left).unwrap();
            server.faults(move |asked| fault.filter(|_| asked.start.is_some()));
            resolve_backbone(ID, None, &with_retries(&server, cache.path(), 2)).unwrap();
            assert_sound(cache.path());
            assert!(!path.exists());
        }
    }
}

#[test]
fn other_bytes_than_listed_never_appear() {
    for fault in [Fault::Damaged, Fault::Longer, Fault::Shorter, Fault::Cut(0), Fault::Status(404), Fault::Circle] {
        for name in ["model.safetensors", "config.json"] {
            let (server, cache) = (Server::start(&FILES), tempfile::tempdir().unwrap());
            server.faults(move |asked| asked.path.ends_with(name).then_some(fault));
            let options = with_retries(&server, cache.path(), 2);
            refused(resolve_backbone(ID, None, &options), &["org/tiny"]);
            assert_sound(cache.path());
            assert!(!blob(cache.path(), name).exists(), "{fault:?} {name}");
            refused(resolve_backbone(ID, None, &offline(&server, cache.path())), &["not all of"]);
            server.set(|state| state.faults = None);
            resolve_backbone(ID, None, &options).unwrap();
            assert_sound(cache.path());
        }
    }
}

#[test]
fn the_hub_says_how_long_to_wait() {
    for (status, path) in [(429, "model.safetensors"), (503, "model.safetensors"), (429, "main")] {
        let (server, cache) = (Server::start(&FILES), tempfile::tempdir().unwrap());
        let mut left = 1;
        server.faults(move |asked| {
            let now = asked.path.ends_with(path) && left > 0;
            left -= usize::from(now);
            now.then_some(Fault::Wait(status, 1))
        });
        let start = Instant::now();
        resolve_backbone(ID, None, &with_retries(&server, cache.path(), 1)).unwrap();
        assert!(start.elapsed() >= Duration::from_secs(1), "{status} {path}");
    }
    let (server, cache) = (Server::start(&FILES), tempfile::tempdir().unwrap());
    server.faults(|_| Some(Fault::Wait(429, 86_400)));
    refused(resolve_backbone(ID, None, &with_retries(&server, cache.path(), 9)), &["429", "86400 seconds"]);
}

#[test]
fn a_server_that_falls_silent_is_asked_again() {
    let (server, cache) = (Server::start(&FILES), tempfile::tempdir().unwrap());
    let mut slow = 2;
    server.faults(move |asked| {
        let now = asked.path.ends_with("config.json") && slow > 0;
        slow -= usize::from(now);
        now.then_some(Fault::Slow(700))
    });
    let timeout = Some(Duration::from_millis(300));
    let options = HubOptions { timeout, ..with_retries(&server, cache.path(), 5) };
    resolve_backbone(ID, None, &options).unwrap();
    assert_sound(cache.path());
}

#[test]
fn damaged_files_of_the_cache_are_named_and_fetched_again() {
    let (server, cache) = (Server::start(&FILES), tempfile::tempdir().unwrap());
    resolve_backbone(ID, None, &options(&server, cache.path())).unwrap();
    for name in ["model.safetensors", "config.json"] {
        for bytes in [&b""[..], b"short", &[b'x'; 4096], &vec![b'?'; fs::read(blob(cache.path(), name)).unwrap().len()]]
        {
            fs::write(blob(cache.path(), name), bytes).unwrap();
            let fragments = [name, "damaged", "HF_HUB_OFFLINE"];
            refused(resolve_backbone(ID, None, &offline(&server, cache.path())), &fragments);
            let heard = Arc::new(Mutex::new(Vec::new()));
            let sink = heard.clone();
            let warning: mtl_zoo::hub::OnWarning =
                Arc::new(move |text: &str| sink.lock().unwrap().push(text.to_owned()));
            let options = HubOptions { warning: Some(warning), ..options(&server, cache.path()) };
            resolve_backbone(ID, None, &options).unwrap();
            assert_sound(cache.path());
            let heard = heard.lock().unwrap();
            assert!(
                heard.len() == 1 && heard[0].contains(&format!("org/tiny/{name} in the cache is damaged")),
                "{heard:?}"
            );
        }
    }
}

#[test]
fn a_link_without_its_blob_is_mended() {
    let (server, cache) = (Server::start(&FILES), tempfile::tempdir().unwrap());
    resolve_backbone(ID, None, &options(&server, cache.path())).unwrap();
    fs::remove_file(blob(cache.path(), "model.safetensors")).unwrap();
    refused(resolve_backbone(ID, None, &offline(&server, cache.path())), &["model.safetensors"]);
    server.requests();
    resolve_backbone(ID, None, &options(&server, cache.path())).unwrap();
    assert_sound(cache.path());
    assert_eq!(server.requests().iter().filter(|request| request.contains("/resolve/")).count(), 1);
}

#[test]
fn the_token_goes_to_the_hub_alone_and_is_never_shown() {
    let (server, elsewhere) = (Server::start(&FILES), Server::start(&[]));
    elsewhere.set(|state| drop(state.objects.insert(sha256_hex(MODEL), MODEL.to_vec())));
    server.set(|state| (state.token, state.elsewhere) = (Some("hf_secret".into()), Some(elsewhere.endpoint.clone())));
    let cache = tempfile::tempdir().unwrap();
    let options = HubOptions { token: Some("hf_secret".into()), ..options(&server, cache.path()) };
    assert!(!format!("{options:?}").contains("hf_secret"));
    resolve_backbone(ID, None, &options).unwrap();
    assert_sound(cache.path());
    assert!(server.state().asked.iter().all(|asked| asked.token.as_deref() == Some("hf_secret")));
    let asked = std::mem::take(&mut elsewhere.state().asked);
    assert!(asked.len() == 1 && !asked[0].headers.contains_key("authorization"), "{asked:?}");

    for (token, fault) in
        [("hf_secret", Fault::Status(401)), ("hf_secret", Fault::Circle), ("hf_secret\nx", Fault::Cut(0))]
    {
        let cache = tempfile::tempdir().unwrap();
        server.faults(move |_| Some(fault));
        let options = HubOptions { token: Some(token.into()), cache: Some(cache.path().into()), ..options.clone() };
        let error = resolve_backbone(ID, None, &options).unwrap_err();
        assert!(!error.to_string().contains("hf_secret") && !format!("{error:?}").contains("hf_secret"), "{error}");
    }
}

#[test]
fn several_threads_share_one_download() {
    let (server, cache) = (Server::start(&FILES), tempfile::tempdir().unwrap());
    server.faults(|asked| asked.path.contains("/resolve/").then_some(Fault::Slow(50)));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| resolve_backbone(ID, None, &options(&server, cache.path())).unwrap());
        }
    });
    assert_sound(cache.path());
    assert_eq!(server.requests().iter().filter(|request| request.contains("/resolve/")).count(), FILES.len());
}

/// Runs [`child`] on this cache.
fn spawn(server: &Server, cache: &Path, shell: Option<&str>) -> std::process::Child {
    let program = std::env::current_exe().unwrap();
    let mut command = match shell {
        Some(limits) => {
            let mut command = Command::new("bash");
            command.args(["-c", &format!("{limits}; exec \"$0\" \"$@\"")]).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.args(["--ignored", "--exact", "robust::child", "--nocapture"]);
    command.env("HF_ENDPOINT", &server.endpoint).env("HF_HUB_CACHE", cache).env("HF_HUB_OFFLINE", "0");
    command.env("HF_TOKEN", "none").env("MTL_ZOO_TEST_CHILD", "1");
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
#[ignore = "run by other tests"]
fn child() {
    if std::env::var("MTL_ZOO_TEST_CHILD").is_ok() {
        let options = HubOptions { pause: Some(Duration::from_millis(1)), ..HubOptions::default() };
        match mtl_zoo::hub::resolve(ID, None, &BACKBONE_FILES, &options) {
            Ok(files) => println!("found: {}", files.folder.display()),
            Err(error) => println!("refused: {error}"),
        }
    }
}

#[test]
fn two_processes_pull_at_once() {
    let (server, cache) = (Server::start(&FILES), tempfile::tempdir().unwrap());
    server.faults(|asked| asked.path.contains("/resolve/").then_some(Fault::Slow(100)));
    let children: Vec<_> = (0..3).map(|_| spawn(&server, cache.path(), None)).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains("found: "), "{output:?}");
    }
    assert_sound(cache.path());
    assert_eq!(server.requests().iter().filter(|request| request.contains("/resolve/")).count(), FILES.len());
}

#[test]
fn a_process_that_is_killed_leaves_no_bad_file() {
    let (server, cache) = (Server::start(&FILES), tempfile::tempdir().unwrap());
    server.faults(|asked| asked.path.contains("/resolve/").then_some(Fault::Slow(20)));
    for wait in (0..120).step_by(15) {
        let mut child = spawn(&server, cache.path(), None);
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_sound(cache.path());
    }
    server.set(|state| state.faults = None);
    resolve_backbone(ID, None, &options(&server, cache.path())).unwrap();
    assert_sound(cache.path());
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_named_and_leaves_no_bad_file() {
    let large: &[u8] = Box::leak(vec![b'm'; 300_000].into_boxed_slice());
    let (server, cache) = (Server::start(&FILES), tempfile::tempdir().unwrap());
    server.repo(|repo| drop(repo.files().insert("model.safetensors".into(), large.to_vec())));
    // No file can grow beyond 64 KiB: what a full disk does to a large file, and to no small one.
    let output = spawn(&server, cache.path(), Some("trap '' XFSZ; ulimit -f 64")).wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stdout);
    assert!(message.contains("refused: ") && message.contains("no space left"), "{output:?}");
    assert!(message.contains("HF_HOME") && message.contains("help: "), "{message}");
    let snapshot = cache.path().join("models--org--tiny/snapshots").join(COMMIT);
    assert!(!snapshot.join("model.safetensors").exists());
    assert!(!cache.path().join("models--org--tiny/blobs").join(sha256_hex(large)).exists());
    let files = resolve_backbone(ID, None, &options(&server, cache.path())).unwrap();
    assert_eq!(fs::read(files.folder.join("model.safetensors")).unwrap(), large);
}
