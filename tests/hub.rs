//! Backbones and checkpoints by folder, and downloads and uploads with a Hub that this test serves.
#![cfg(feature = "hub")]

#[path = "hub/answers.rs"]
mod answers;
#[path = "hub/data.rs"]
mod data;
#[path = "hub/faults.rs"]
mod faults;
#[path = "hub/hostile.rs"]
mod hostile;
#[path = "hub/push.rs"]
mod push;
#[path = "hub/robust.rs"]
mod robust;
#[path = "hub/server.rs"]
mod server;

use mtl_zoo::hub::{HubFiles, HubOptions, resolve_backbone, resolve_checkpoint};
use mtl_zoo::{Error, Fault};
use server::{COMMIT, ID, Server};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MODEL: &[u8] = b"these stand for tensors";
const FILES: [(&str, &[u8]); 4] = [
    ("config.json", b"{\"hidden_size\": 8}"),
    ("model.safetensors", MODEL),
    ("tokenizer.json", b"{}"),
    ("vocab.txt", b"[PAD]"),
];

fn options(server: &Server, cache: &Path) -> HubOptions {
    let endpoint = Some(server.endpoint.clone());
    let (cache, token) = (Some(cache.to_owned()), Some("none".to_owned()));
    let (pause, timeout) = (Some(Duration::from_millis(1)), Some(Duration::from_secs(5)));
    HubOptions {
        endpoint,
        cache,
        token,
        offline: Some(false),
        retries: Some(0),
        pause,
        timeout,
        ..HubOptions::default()
    }
}

fn offline(server: &Server, cache: &Path) -> HubOptions {
    HubOptions { offline: Some(true), ..options(server, cache) }
}

/// The message, which has to be complete and contain each of these.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: mtl_zoo::Result<T>, fragments: &[&str]) -> Error {
    let error = result.unwrap_err();
    let message = error.to_string();
    for fragment in fragments.iter().chain(&["found ", "expected ", "help: "]) {
        assert!(message.contains(fragment), "no {fragment:?} in\n{message}");
    }
    error
}

#[test]
fn downloads_once_into_the_cache_of_python() {
    let (server, cache) = (Server::start(&FILES), tempfile::tempdir().unwrap());
    let options = options(&server, cache.path());
    let files = resolve_backbone(ID, None, &options).unwrap();
    let folder = cache.path().join("models--org--tiny/snapshots").join(COMMIT);
    assert_eq!(files, HubFiles { folder: folder.clone(), id: ID.into(), revision: Some(COMMIT.into()) });
    for (name, bytes) in FILES {
        assert_eq!(fs::read(folder.join(name)).unwrap(), bytes, "{name}");
    }
    assert_eq!(fs::read_to_string(cache.path().join("models--org--tiny/refs/main")).unwrap(), COMMIT);
    let requests = server.requests();
    assert!(!requests.iter().any(|request| request.contains("tokenizer_config")), "asked only for what is there");

    assert_eq!(resolve_backbone(ID, None, &options).unwrap(), files);
    assert_eq!(server.requests(), [format!("GET /api/models/{ID}/revision/main")]);
    for (id, revision) in [(ID, Some(COMMIT)), (&format!("{ID}@{COMMIT}"), None), (&format!("{ID}@main"), None)] {
        assert_eq!(resolve_backbone(id, revision, &options).unwrap(), files);
    }
}

#[test]
fn a_new_commit_brings_new_weights_even_if_the_configuration_stays() {
    let (server, cache) = (Server::start(&FILES), tempfile::tempdir().unwrap());
    let options = options(&server, cache.path());
    resolve_backbone(ID, None, &options).unwrap();
    server.repo(|repo| {
        let mut files = repo.files().clone();
        files.insert("model.safetensors".into(), b"other tensors".to_vec());
        repo.put(&"f".repeat(40), files);
    });
    let files = resolve_backbone(ID, None, &options).unwrap();
    assert_eq!(files.revision, Some("f".repeat(40)));
    assert_eq!(fs::read(files.folder.join("model.safetensors")).unwrap(), b"other tensors");
}

#[test]
fn without_a_network_the_cache_is_used() {
    let (server, cache) = (Server::start(&FILES), tempfile::tempdir().unwrap());
    let empty = offline(&server, cache.path());
    refused(resolve_backbone(ID, None, &empty), &["org/tiny", "HF_HUB_OFFLINE", "model.safetensors"]);
    let online = options(&server, cache.path());
    let files = resolve_backbone(ID, None, &online).unwrap();
    server.requests();
    assert_eq!(resolve_backbone(ID, None, &empty).unwrap(), files);
    assert_eq!(resolve_backbone(ID, Some(COMMIT), &empty).unwrap(), files);
    assert!(server.requests().is_empty());
    refused(resolve_checkpoint(ID, None, &empty), &["mtl_zoo.json"]);
    refused(resolve_backbone(ID, Some("v2"), &empty), &["org/tiny@v2"]);

    server.set(|state| state.status = Some(503));
    assert_eq!(resolve_backbone(ID, None, &online).unwrap(), files);
    let nobody = HubOptions { endpoint: Some("http://127.0.0.1:9".into()), ..online };
    assert_eq!(resolve_backbone(ID, None, &nobody).unwrap(), files);
    let error = refused(resolve_backbone("org/other", None, &nobody), &["org/other", "no connection", "HF_ENDPOINT"]);
    assert!(matches!(error, Error::Hub(_)));
}

#[test]
fn refusals_say_what_to_do() {
    let (server, cache) = (Server::start(&FILES), tempfile::tempdir().unwrap());
    let options = options(&server, cache.path());
    refused(resolve_backbone("org/absent", None, &options), &["org/absent", "spelling", "HF_TOKEN"]);
    refused(resolve_backbone(ID, Some("v9"), &options), &["org/tiny@v9", "\"v9\""]);
    refused(resolve_checkpoint(ID, None, &options), &["no mtl_zoo.json", "backbone"]);
    server.set(|state| state.token = Some("secret".into()));
    refused(resolve_backbone(ID, None, &options), &["401", "HF_TOKEN"]);
    let token = Some("secret".to_owned());
    resolve_backbone(ID, None, &HubOptions { token, ..options.clone() }).unwrap();
    for (status, fragment) in [(403, "terms"), (404, "spelling"), (429, "too many"), (418, "418")] {
        server.set(|state| state.status = Some(status));
        refused(resolve_backbone(ID, None, &options), &["org/tiny", fragment]);
    }
}

#[test]
fn missing_files_are_named() {
    for (other, fragments) in [
        ("model.safetensors.index.json", ["in several parts", "max_shard_size"]),
        ("tf_model.h5", ["no model.safetensors", "only safetensors are read"]),
    ] {
        let cache = tempfile::tempdir().unwrap();
        let server = Server::start(&[FILES[0], FILES[2], (other, b"x")]);
        refused(resolve_backbone(ID, None, &options(&server, cache.path())), &fragments);
        assert_eq!(server.requests().len(), 1, "nothing is downloaded in vain");
        server.set(|state| state.unlisted = true);
        refused(resolve_backbone(ID, None, &options(&server, cache.path())), &["model.safetensors"]);
    }
}

#[test]
fn progress_is_reported() {
    let (server, cache) = (Server::start(&FILES), tempfile::tempdir().unwrap());
    let seen = Arc::new(Mutex::new(BTreeMap::new()));
    let sink = seen.clone();
    let progress: mtl_zoo::hub::OnProgress = Arc::new(move |file: &str, done: u64, total: u64| {
        sink.lock().unwrap().insert(file.to_owned(), (done, total));
    });
    resolve_backbone(ID, None, &HubOptions { progress: Some(progress), ..options(&server, cache.path()) }).unwrap();
    let length = MODEL.len() as u64;
    assert_eq!(seen.lock().unwrap()["model.safetensors"], (length, length));
}

#[test]
fn folders_are_used_as_they_are() {
    let root = tempfile::tempdir().unwrap();
    let id = root.path().to_str().unwrap();
    let none = HubOptions::default();
    let error = refused(resolve_backbone(id, None, &none), &[id, "no config.json", "backbone"]);
    assert!(matches!(error, Error::Backbone(_)));
    for (i, (name, bytes)) in FILES[..3].iter().enumerate() {
        fs::write(root.path().join(name), bytes).unwrap();
        match resolve_backbone(id, None, &none) {
            Ok(files) => assert_eq!(files, HubFiles { folder: id.into(), id: id.into(), revision: None }),
            result => drop(refused(result, &[FILES[i + 1].0])),
        }
    }
    let error = refused(resolve_checkpoint(id, None, &none), &["mtl_zoo.json", "no checkpoint"]);
    assert!(matches!(error, Error::Checkpoint { fault: Fault::MissingFile, .. }));
    fs::write(root.path().join("mtl_zoo.json"), "{}").unwrap();
    resolve_checkpoint(id, None, &none).unwrap();
    let file = root.path().join("config.json");
    refused(resolve_backbone(file.to_str().unwrap(), None, &none), &["config.json", "a file", "folder"]);
}

#[test]
fn names_that_are_neither_folder_nor_id() {
    let none = HubOptions::default();
    let long = format!("org/{}", "a".repeat(200));
    for id in
        ["", "bert-base", "./no/such", "/no/such/folder", "a/b/c", "../no-such", "org/..", "org/a b", "org/a\0", &long]
    {
        refused(resolve_backbone(id, None, &none), &["`backbone`", "org/name"]);
    }
    for revision in ["", "../../x", "/etc", "a//b", "a\\b", "a b", "\0", ".git"] {
        refused(resolve_backbone(ID, Some(revision), &none), &["`revision`", "branch"]);
    }
}

#[test]
fn the_environment_is_honoured() {
    let (server, home) = (Server::start(&FILES), tempfile::tempdir().unwrap());
    server.set(|state| state.token = Some("secret".into()));
    let child = |offline: &str| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "child_with_an_environment", "--nocapture"]);
        for name in ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN_PATH", "HF_HUB_DISABLE_IMPLICIT_TOKEN"] {
            command.env_remove(name);
        }
        command.env("HF_ENDPOINT", &server.endpoint).env("HF_HOME", home.path()).env("HF_TOKEN", "secret");
        command.env("HF_HUB_OFFLINE", offline).output().unwrap()
    };
    assert!(!child("1").status.success(), "nothing is cached yet");
    assert!(server.requests().is_empty());
    let output = child("0");
    let folder = home.path().join("hub/models--org--tiny/snapshots").join(COMMIT);
    assert!(output.status.success() && folder.join("model.safetensors").is_file(), "{output:?}");
    server.requests();
    assert!(child("1").status.success() && server.requests().is_empty());
}

#[test]
fn weights_of_pytorch_only_are_converted_and_run_nothing() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pytorch");
    let pull = |weights: &str| {
        let weights = fs::read(golden.join(weights)).unwrap();
        let server = Server::start(&[FILES[0], FILES[2], ("pytorch_model.bin", weights.as_slice())]);
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "child_with_an_environment", "--nocapture"]);
        command.env("HF_ENDPOINT", &server.endpoint).env("HF_HOME", home.path()).env("HF_HUB_OFFLINE", "0");
        let output = command.env("MTL_ZOO_CACHE", home.path().join("mine")).output().unwrap();
        let made = fs::read_dir(home.path().join("mine/converted")).into_iter().flatten();
        let made: Vec<_> = made.map(|entry| entry.unwrap().path().join("model.safetensors")).collect();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned(), made.len(), home)
    };
    let (success, said, made, _home) = pull("zip.bin");
    assert!(success && made == 1, "{said}");
    let (success, said, made, _home) = pull("system.bin");
    assert!(!success && made == 0 && said.contains("`posix.system`"), "{said}");
}

#[test]
#[ignore = "run by the_environment_is_honoured"]
fn child_with_an_environment() {
    if !std::env::var("HF_ENDPOINT").is_ok_and(|endpoint| endpoint.starts_with("http://127.0.0.1")) {
        return;
    }
    resolve_backbone(ID, None, &HubOptions::default()).unwrap();
}

/// For `scripts/check_hub.py`: serves an empty Hub until the script ends.
#[test]
#[ignore = "run by scripts/check_hub.py"]
fn serve_for_a_script() {
    let Ok(address) = std::env::var("MTL_ZOO_TEST_HUB") else { return };
    let server = Server::at(&address, &FILES);
    let rows = b"text,label\nfine,good\ndull,bad\n".to_vec();
    let files = server::Files::from([("data/train.csv".to_owned(), rows)]);
    server.set(|state| drop(state.repos.insert("datasets/org/set".into(), server::Repo::new(COMMIT, files))));
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
}
