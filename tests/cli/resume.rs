//! A run that was stopped ends with the same bytes as one that was not.

use super::support::{command, five_tasks, mtl};
use std::fs;
use std::path::Path;

const ARGS: [&str; 8] =
    ["finetune", "five.toml", "--set", "training.steps=16", "--set", "training.evaluate_every=4", "--out", "x"];

fn args(out: &'static str) -> Vec<&'static str> {
    ARGS[..7].iter().copied().chain([out]).collect()
}

fn same(folder: &Path, one: &str, other: &str, file: &str) -> bool {
    fs::read(folder.join(one).join(file)).unwrap() == fs::read(folder.join(other).join(file)).unwrap()
}

#[test]
fn same_seed_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    five_tasks(folder);
    let short = |out| [&args(out)[..], &["--set", "training.steps=3"]].concat();
    mtl(folder, &short("one")).ok();
    mtl(folder, &short("other")).ok();
    mtl(folder, &[&short("seeded")[..], &["--seed", "1"]].concat()).ok();
    for file in ["checkpoint/model.safetensors", "checkpoint/mtl_zoo.json", "checkpoint/README.md", "metrics.jsonl"] {
        assert!(same(folder, "one", "other", file), "{file}");
    }
    assert!(!same(folder, "one", "seeded", "checkpoint/model.safetensors"));
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_ends_with_the_same_bytes() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::Command;

    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    five_tasks(folder);
    mtl(folder, &args("whole")).ok();

    let mut child = command(folder, &args("stopped")).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("evaluated after step") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "no evaluation");
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert!(rest.contains("finishing this step, then saving; Ctrl-C again quits at once"), "{rest}");
    assert!(rest.contains("the state is saved. To go on:\n  mtl-zoo finetune --resume stopped\n"), "{rest}");
    assert!(!folder.join("stopped/checkpoint").exists());

    let resumed = mtl(folder, &["finetune", "--resume", "stopped"]);
    assert!(resumed.stderr.contains("step 16/16"), "{}", resumed.stderr);
    resumed.ok();
    for file in ["checkpoint/model.safetensors", "checkpoint/mtl_zoo.json", "metrics.jsonl"] {
        assert!(same(folder, "whole", "stopped", file), "{file}");
    }
    assert!(!folder.join("stopped/state").exists());
}
