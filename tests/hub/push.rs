//! Checkpoints to the Hub and back.

#[path = "../checkpoint/sample.rs"]
mod sample;

use super::data::{program, text};
use super::server::{Fault, Server};
use super::{FILES, options, refused};
use mtl_zoo::checkpoint::{CheckpointFolder, Publication, publish};
use mtl_zoo::hub::{HubOptions, PushOptions, resolve_checkpoint};
use mtl_zoo::{Error, Fault as Broken};
use sample::write_sample;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

const NEW: &str = "me/mood";

fn sample(folder: &Path) -> PathBuf {
    let dir = folder.join("checkpoint");
    write_sample(&dir, 1);
    dir
}

fn serve() -> Server {
    let server = Server::start(&FILES);
    server.set(|state| state.token = Some("hf_secret".into()));
    server
}

fn with_token(server: &Server, folder: &Path) -> HubOptions {
    HubOptions { token: Some("hf_secret".into()), ..options(server, &folder.join("hub")) }
}

#[test]
fn what_is_pushed_is_what_is_pulled() {
    // In one piece, in parts of which the last is smaller, in parts that come out even.
    for part in [None, Some(100), Some(16)] {
        let (server, folder) = (serve(), tempfile::tempdir().unwrap());
        server.set(|state| state.part = part);
        let (dir, options) = (sample(folder.path()), with_token(&server, folder.path()));
        let pushed = publish(
            &dir,
            &Publication::default(),
            NEW,
            &PushOptions { private: true, ..PushOptions::default() },
            &options,
        )
        .unwrap();
        assert_eq!((pushed.id.as_str(), pushed.revision.as_str()), (NEW, "main"));
        assert_eq!(pushed.url, format!("{}/{NEW}/tree/main", server.endpoint));
        assert!(server.state().repos["models/me/mood"].private);

        let files = resolve_checkpoint(NEW, None, &options).unwrap();
        assert_eq!(files.revision.as_ref(), Some(&pushed.commit));
        let opened = CheckpointFolder::open(&files.folder).unwrap();
        for name in opened.manifest.sha256.keys().map(String::as_str).chain(["mtl_zoo.json", "README.md"]) {
            assert_eq!(fs::read(files.folder.join(name)).unwrap(), fs::read(dir.join(name)).unwrap(), "{name}");
        }
        // The same once more sends no large file again.
        server.requests();
        publish(&dir, &Publication::default(), NEW, &PushOptions::default(), &options).unwrap();
        let again = server.requests();
        assert!(!again.iter().any(|request| request.starts_with("PUT") || request.contains("create")), "{again:?}");
    }
}

#[test]
fn a_branch_is_made_and_old_files_go() {
    let (server, folder) = (serve(), tempfile::tempdir().unwrap());
    let (dir, options) = (sample(folder.path()), with_token(&server, folder.path()));
    publish(&dir, &Publication::default(), NEW, &PushOptions::default(), &options).unwrap();
    server.repo_named("models/me/mood", |repo| {
        repo.files().insert("special_tokens_map.json".into(), b"{}".to_vec());
        repo.files().insert("notes.txt".into(), b"mine".to_vec());
    });
    let branch =
        PushOptions { revision: Some("next/one".into()), message: Some("two".into()), ..PushOptions::default() };
    publish(&dir, &Publication::default(), NEW, &branch, &options).unwrap();
    publish(&dir, &Publication::default(), NEW, &branch, &options).unwrap();
    let state = server.state();
    let repo = &state.repos["models/me/mood"];
    assert_ne!(repo.branches["main"], repo.branches["next/one"]);
    let files = &repo.commits[&repo.branches["next/one"]];
    assert!(files.contains_key("notes.txt") && !files.contains_key("special_tokens_map.json"), "{:?}", files.keys());
}

#[test]
fn what_is_not_whole_is_not_pushed() {
    let (server, folder) = (serve(), tempfile::tempdir().unwrap());
    let (dir, options) = (sample(folder.path()), with_token(&server, folder.path()));
    fs::write(dir.join("config.json"), "{\"hidden_size\": 8}").unwrap();
    let error = refused(
        publish(&dir, &Publication::default(), NEW, &PushOptions::default(), &options),
        &["config.json", "SHA-256"],
    );
    assert!(matches!(error, Error::Checkpoint { fault: Broken::Hash, .. }));
    refused(publish(folder.path(), &Publication::default(), NEW, &PushOptions::default(), &options), &["mtl_zoo.json"]);
    assert!(server.requests().is_empty());
}

#[test]
fn refusals_say_what_to_do() {
    let (server, folder) = (serve(), tempfile::tempdir().unwrap());
    let (dir, options) = (sample(folder.path()), with_token(&server, folder.path()));
    let usual = PushOptions::default();
    let other = |token: &str| HubOptions { token: Some(token.into()), ..options.clone() };
    refused(publish(&dir, &Publication::default(), NEW, &usual, &other("")), &[NEW, "no access token", "HF_TOKEN"]);
    refused(publish(&dir, &Publication::default(), NEW, &usual, &other("wrong")), &[NEW, "401", "HF_TOKEN"]);
    refused(
        publish(&dir, &Publication::default(), "other/mood", &usual, &options),
        &["other/mood", "403", "may write"],
    );
    refused(publish(&dir, &Publication::default(), "mood", &usual, &options), &["mood", "org/name"]);
    let offline = HubOptions { offline: Some(true), ..options.clone() };
    refused(publish(&dir, &Publication::default(), NEW, &usual, &offline), &[NEW, "HF_HUB_OFFLINE"]);
    let commit = PushOptions { revision: Some("a".repeat(40)), ..PushOptions::default() };
    refused(publish(&dir, &Publication::default(), NEW, &commit, &options), &["a commit", "a branch"]);
    server.faults(|asked| asked.path.contains("/commit/").then_some(Fault::Status(412)));
    refused(publish(&dir, &Publication::default(), NEW, &usual, &options), &[NEW, "another commit"]);
}

#[test]
fn a_push_that_breaks_is_tried_again_and_leaves_no_half_commit() {
    for path in ["/preupload/", "/batch", "/upload/", "/verify", "/commit/"] {
        let (server, folder) = (serve(), tempfile::tempdir().unwrap());
        let (dir, options) = (sample(folder.path()), with_token(&server, folder.path()));
        server.faults(move |asked| asked.path.contains(path).then_some(Fault::Status(503)));
        refused(publish(&dir, &Publication::default(), NEW, &PushOptions::default(), &options), &[NEW, "503"]);
        assert_eq!(server.state().repos["models/me/mood"].branches.len(), 1);
        let mut broken = 2;
        server.faults(move |asked| {
            let now = asked.path.contains(path) && broken > 0;
            broken -= usize::from(now);
            now.then(|| [Fault::Wait(429, 0), Fault::Status(500)][broken])
        });
        let options = HubOptions { retries: Some(2), ..options };
        publish(&dir, &Publication::default(), NEW, &PushOptions::default(), &options).unwrap();
        resolve_checkpoint(NEW, None, &options).unwrap();
    }
}

#[test]
fn the_program_pushes_a_run() {
    let (server, folder) = (serve(), tempfile::tempdir().unwrap());
    sample(&folder.path().join("run"));
    let output = program(&server, folder.path(), &["push", "run", NEW, "--message", "first", "--json"]);
    let pushed: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    assert_eq!((&pushed["id"], &pushed["revision"]), (&NEW.into(), &"main".into()));
    let output = program(&server, folder.path(), &["push", "run/checkpoint", NEW]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(out.starts_with(&format!("{}/{NEW}/tree/main\ncommit: ", server.endpoint)), "{out}{err}");
    let output = program(&server, folder.path(), &["pull", NEW]);
    let place = text(&output.stdout);
    assert!(text(&output.stderr).contains("checkpoint me/mood at commit"), "{}", text(&output.stderr));
    CheckpointFolder::open(place.trim_end()).unwrap();
    server.set(|state| state.token = Some("changed".into()));
    let output = program(&server, folder.path(), &["push", "run", NEW]);
    let message = text(&output.stderr);
    assert!(output.status.code() == Some(1) && message.contains("401") && !message.contains("hf_secret"), "{message}");
    let output = program(&server, folder.path(), &["push", "absent", NEW]);
    assert!(text(&output.stderr).contains("expected a folder or a Hub id"), "{}", text(&output.stderr));
}

/// Heads without their backbone, which lies in this repository, there and back; and nothing of where the data lay.
#[test]
fn heads_alone_go_to_the_hub_and_come_back_on_their_backbone() {
    let (server, folder) = (serve(), tempfile::tempdir().unwrap());
    let folder = folder.path();
    let rows: String = (0..20).map(|n| format!("text number {n},{}\n", ["good", "bad"][n % 2])).collect();
    fs::write(folder.join("rows.csv"), format!("text,label\n{rows}")).unwrap();
    let task =
        |name: &str| format!("[tasks.{name}]\ntype = \"classification\"\ntrain = \"rows.csv\"\nvalidation = 0.2\n");
    let recipe = format!("[backbone]\nfreeze = \"all\"\n[training]\nsteps = 2\n{}{}", task("mood"), task("tone"));
    fs::write(folder.join("two.toml"), recipe).unwrap();
    let run = |args: &[&str]| {
        let output = program(&server, folder, args);
        assert!(output.status.success(), "{args:?}\n{}", text(&output.stderr));
        text(&output.stdout)
    };
    run(&["finetune", "two.toml", "--out", "run"]);
    run(&["push", "run", NEW, "--heads-only", "--head", "tone"]);
    let state = server.state();
    let repo = &state.repos["models/me/mood"];
    let files = &repo.commits[&repo.branches["main"]];
    assert_eq!(files.keys().collect::<Vec<_>>(), [".gitattributes", "README.md", "heads.safetensors", "mtl_zoo.json"]);
    let manifest = text(&files["mtl_zoo.json"]);
    assert!(manifest.contains("\"rows.csv\"") && !manifest.contains(folder.to_str().unwrap()), "{manifest}");
    drop(state);
    run(&["pull", NEW, "--head", "tone", "--out", "tone"]);
    let answers = |checkpoint: &str| run(&["predict", checkpoint, "a text", "--head", "tone", "--format", "jsonl"]);
    assert_eq!(answers("tone"), answers("run"));
    let output = program(&server, folder, &["pull", NEW, "--head", "mood", "--out", "mood"]);
    assert!(text(&output.stderr).contains("one of the heads `tone`"), "{}", text(&output.stderr));
}
