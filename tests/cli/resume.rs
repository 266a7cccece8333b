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

/// Interrupts a run after a line that begins so; what it printed after that.
#[cfg(unix)]
fn interrupted(folder: &Path, args: &[&str], after: &str) -> String {
    use std::io::{BufRead, BufReader, Read};
    use std::process::Command;

    let mut child = command(folder, args).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with(after) {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "no line that begins with {after:?}");
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    rest
}

#[cfg(unix)]
#[test]
fn a_search_goes_on_after_its_last_trial() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    five_tasks(folder);
    let args = |out: &'static str| {
        let search = ["--balance", "search", "--set", "balance.trials=3", "--set", "balance.share=0.5"];
        [&args(out)[..], &search, &["--set", "training.steps=8"]].concat()
    };
    mtl(folder, &args("whole")).ok();
    let trials: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(folder.join("whole/search.json")).unwrap()).unwrap();
    let trials = trials.as_array().unwrap();
    let score = |trial: &serde_json::Value| trial["score"].as_f64().unwrap();
    let best = trials.iter().rev().max_by(|a, b| score(a).total_cmp(&score(b))).unwrap();
    assert_eq!(trials.len(), 3);
    let metrics = fs::read_to_string(folder.join("whole/metrics.jsonl")).unwrap();
    let first: serde_json::Value = serde_json::from_str(metrics.lines().next().unwrap()).unwrap();
    let present = first["weights"].as_object().unwrap().iter().filter(|(_, weight)| weight.as_f64() != Some(0.0));
    for (task, weight) in present {
        assert_eq!(weight, &best["weights"][task], "{task}");
    }

    interrupted(folder, &args("stopped"), "weights 1/3");
    mtl(folder, &["finetune", "--resume", "stopped"]).ok();
    for file in ["search.json", "checkpoint/model.safetensors", "metrics.jsonl"] {
        assert!(same(folder, "whole", "stopped", file), "{file}");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_ends_with_the_same_bytes() {
    // Weights that never change; traces of gradients in the state; validation batches and learned weights.
    for method in ["equal", "db_mtl", "auto_lambda"] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        five_tasks(folder);
        let args = |out: &'static str| [&args(out)[..], &["--balance", method]].concat();
        mtl(folder, &args("whole")).ok();

        let rest = interrupted(folder, &args("stopped"), "evaluated after step");
        assert!(rest.contains("finishing this step, then saving; Ctrl-C again quits at once"), "{rest}");
        assert!(rest.contains("the state is saved. To go on:\n  mtl-zoo finetune --resume stopped\n"), "{rest}");
        assert!(!folder.join("stopped/checkpoint").exists());

        let resumed = mtl(folder, &["finetune", "--resume", "stopped"]);
        assert!(resumed.stderr.contains("step 16/16"), "{}", resumed.stderr);
        resumed.ok();
        for file in ["checkpoint/model.safetensors", "checkpoint/mtl_zoo.json", "metrics.jsonl"] {
            assert!(same(folder, "whole", "stopped", file), "{method}: {file}");
        }
        assert!(!folder.join("stopped/state").exists());
    }
}

/// Moments in milliseconds that look random and are the same in every run of the test.
#[cfg(unix)]
fn moments() -> impl Iterator<Item = u64> {
    let mut state = 88_172_645_463_325_252u64;
    std::iter::from_fn(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Some(state % 700)
    })
}

#[cfg(unix)]
#[test]
fn a_run_killed_twenty_times_ends_with_the_same_bytes() {
    use std::time::{Duration, Instant};

    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    five_tasks(folder);
    // A state at every step: many kills hit one that is being written.
    let args = |out: &'static str| {
        [&args(out)[..], &["--set", "training.steps=120", "--set", "training.save_every=1"]].concat()
    };
    mtl(folder, &args("whole")).ok();

    let state = folder.join("killed/state");
    // Whole states, and when the newest was written.
    let whole = |file: &fs::DirEntry| file.file_name().to_string_lossy().starts_with("step-");
    let newest = || {
        let files = fs::read_dir(&state).ok()?.flatten().filter(whole);
        files.filter_map(|file| file.metadata().ok()?.modified().ok()).max()
    };
    let (mut kills, mut moments) = (0, moments());
    while kills < 20 {
        let command_line = match newest() {
            Some(_) => vec!["finetune", "--resume", "killed"],
            None => args("killed"),
        };
        let mut child = command(folder, &command_line).stderr(std::process::Stdio::null()).spawn().unwrap();
        // Counted from the first state of this process, so that each gets somewhere.
        let (before, start) = (newest(), Instant::now());
        while newest() == before && child.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < Duration::from_secs(60), "no state was saved");
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(Duration::from_millis(moments.next().unwrap() % 100));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!folder.join("killed/checkpoint").exists(), "the run ended after {kills} kills: make it longer");
        kills += 1;
    }
    mtl(folder, &["finetune", "--resume", "killed"]).ok();
    for file in ["checkpoint/model.safetensors", "checkpoint/mtl_zoo.json", "metrics.jsonl"] {
        assert!(same(folder, "whole", "killed", file), "{file}");
    }
    assert!(!state.exists());
}

#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_last_state_as_it_was() {
    use std::process::Command;

    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    five_tasks(folder);
    mtl(folder, &args("whole")).ok();

    // Stops by itself after its first state.
    let stopped = command(folder, &args("full")).spawn().unwrap();
    let id = stopped.id().to_string();
    while !folder.join("full/state/step-4.safetensors").exists() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    stopped.wait_with_output().unwrap();
    let states = || {
        let mut files: Vec<_> =
            fs::read_dir(folder.join("full/state")).unwrap().flatten().map(|file| file.path()).collect();
        files.sort();
        files.into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect::<Vec<_>>()
    };
    let before = states();

    // No file can grow beyond 64 KiB: what a full disk does to a state, and to nothing smaller.
    let limited = format!("trap '' XFSZ; ulimit -f 64; exec {} finetune --resume full", env!("CARGO_BIN_EXE_mtl-zoo"));
    let mut shell = Command::new("bash");
    for (name, value) in command(folder, &[]).get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let ended = shell.current_dir(folder).args(["-c", &limited]).output().unwrap();
    let stderr = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("error: full/state/step-") && stderr.contains("cannot write"), "{stderr}");
    assert!(states() == before, "a state was lost or half a state was left");

    mtl(folder, &["finetune", "--resume", "full"]).ok();
    for file in ["checkpoint/model.safetensors", "metrics.jsonl"] {
        assert!(same(folder, "whole", "full", file), "{file}");
    }
}
