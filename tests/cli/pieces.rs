//! Checkpoints in pieces: heads of several runs over one backbone, and heads without it.

use super::support::{five_tasks, mtl};
use mtl_zoo::checkpoint::CheckpointFolder;
use mtl_zoo::checkpoint::pieces::{HEADS_FILE, HeadsFolder, write_heads};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const TEXT: &str = "the best coffee in town number 2";

fn train(folder: &Path, tasks: &str, out: &str, freeze: &str) {
    let freeze = format!("backbone.freeze={freeze}");
    mtl(folder, &["finetune", "five.toml", "--tasks", tasks, "--out", out, "--set", &freeze]).ok();
}

/// The heads' answers to a text.
fn answers(folder: &Path, checkpoint: &str) -> Value {
    let line = mtl(folder, &["predict", checkpoint, TEXT, "--format", "jsonl"]).ok();
    serde_json::from_str::<Value>(&line).unwrap()["heads"].take()
}

#[track_caller]
fn refused(folder: &Path, args: &[&str], fragments: &[&str]) {
    let ended = mtl(folder, args);
    assert_ne!(ended.code, Some(0), "{args:?}");
    for fragment in fragments.iter().chain(&["found ", "expected ", "help: "]) {
        assert!(ended.stderr.contains(fragment), "no {fragment:?} in\n{}", ended.stderr);
    }
}

#[test]
fn heads_of_several_runs_answer_as_before_over_one_backbone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    five_tasks(folder);
    train(folder, "topic,flags", "a", "all");
    train(folder, "stars", "b", "all");
    let merged = mtl(folder, &["merge", "a", "b/checkpoint", "--out", "both", "--json"]).json();
    assert_eq!(merged, json!({"checkpoint": "both", "heads": ["topic", "flags", "stars"]}));
    let (a, b, both) = (answers(folder, "a"), answers(folder, "b"), answers(folder, "both"));
    assert_eq!(both, json!({"topic": a["topic"], "flags": a["flags"], "stars": b["stars"]}));
    let manifest = mtl(folder, &["inspect", "both", "--json"]).json();
    assert_eq!(manifest["merged"][1]["heads"], json!(["stars"]));
    let scores = mtl(folder, &["eval", "both", "--json"]).json();
    assert_eq!(super::keys(&scores["tasks"]), ["topic", "stars"]);
    assert!(fs::read_to_string(folder.join("both/README.md")).unwrap().contains("come from 2 runs"));

    // The same with heads that lie without their backbone.
    let checkpoint = CheckpointFolder::open(folder.join("b/checkpoint")).unwrap();
    write_heads(&checkpoint, &["stars"], folder.join("stars")).unwrap();
    let size: u64 = fs::read_dir(folder.join("stars")).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).sum();
    assert!(size < 20_000, "{size} bytes");
    mtl(folder, &["merge", "a", "stars", "--out", "again"]).ok();
    let model = |name: &str| fs::read(folder.join(name).join("model.safetensors")).unwrap();
    assert_eq!(model("again"), model("both"));
    // Alone, they go on the backbone that they name.
    let printed = mtl(folder, &["merge", "stars", "--out", "alone"]).ok();
    assert_eq!(printed, "checkpoint: alone\n");
    assert_eq!(answers(folder, "alone"), b);
    assert_eq!(model("alone"), model("b/checkpoint"));
    mtl(folder, &["merge", "both", "--head", "flags", "--out", "one"]).ok();
    assert_eq!(answers(folder, "one"), json!({"flags": a["flags"]}));

    // A head that is trained later, on what a joint run has made of the backbone.
    train(folder, "topic,flags", "joint", "none");
    let later = ["finetune", "five.toml", "--tasks", "stars", "--backbone", "joint/checkpoint", "--out", "later"];
    mtl(folder, &[&later[..], &["--set", "backbone.freeze=all"]].concat()).ok();
    mtl(folder, &["merge", "joint", "later", "--out", "three"]).ok();
    let (joint, later) = (answers(folder, "joint"), answers(folder, "later"));
    let three = json!({"topic": joint["topic"], "flags": joint["flags"], "stars": later["stars"]});
    assert_eq!(answers(folder, "three"), three);

    refused(folder, &["merge", "a", "joint", "--out", "x"], &["joint", "hash", "backbone.freeze"]);
    refused(folder, &["merge", "joint", "stars", "--out", "x"], &["stars/mtl_zoo.json", "hash", "very backbone"]);
    refused(folder, &["merge", "a", "one", "--out", "x"], &["another head `flags`", "leave a piece out"]);
    refused(folder, &["merge", "a", "b", "--out", "x", "--head", "moods"], &["`moods`", "`topic`, `flags`, `stars`"]);
    refused(folder, &["predict", "stars", TEXT], &["heads without their backbone", "mtl-zoo merge"]);
    assert!(!folder.join("x").exists());
}

#[test]
fn damaged_heads_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    five_tasks(folder);
    train(folder, "stars", "b", "all");
    let checkpoint = CheckpointFolder::open(folder.join("b/checkpoint")).unwrap();
    let dir = folder.join("heads");
    write_heads(&checkpoint, &[], &dir).unwrap();
    HeadsFolder::open(&dir).unwrap();
    let read = |name: &str| fs::read(dir.join(name)).unwrap();
    let (heads, manifest) = (read(HEADS_FILE), read("mtl_zoo.json"));
    let refuse = |fragment: &str| {
        let error = HeadsFolder::open(&dir).unwrap_err().to_string();
        assert!(error.contains(fragment), "no {fragment:?} in\n{error}");
    };
    let mut damaged = heads.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(dir.join(HEADS_FILE), &damaged).unwrap();
    refuse("SHA-256");
    fs::write(dir.join(HEADS_FILE), &heads[..heads.len() - 1]).unwrap();
    refuse(HEADS_FILE);
    fs::write(dir.join(HEADS_FILE), &heads).unwrap();
    for key in ["trunk", "sha256"] {
        let mut changed: Value = serde_json::from_slice(&manifest).unwrap();
        changed.as_object_mut().unwrap().remove(key);
        fs::write(dir.join("mtl_zoo.json"), changed.to_string()).unwrap();
        refuse("no such key");
    }
    let other = String::from_utf8(manifest).unwrap().replace("\"stars\"", "\"moons\"");
    fs::write(dir.join("mtl_zoo.json"), other).unwrap();
    refuse("heads.moons");
}
