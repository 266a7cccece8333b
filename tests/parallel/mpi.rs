//! Ranks that mpirun starts.

use super::support::{command, five_tasks, mtl, write};
use super::{ARGS, apart, difference, end, lines, same, signal, text, wait_for};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// The program in so many ranks.
fn mpirun(folder: &Path, ranks: usize, args: &[&str]) -> Command {
    let alone = command(folder, args);
    let mut mpirun = Command::new("mpirun");
    mpirun.args(["-n", &ranks.to_string(), "--oversubscribe", "--allow-run-as-root", "--bind-to", "none"]);
    mpirun.arg(alone.get_program()).args(alone.get_args()).current_dir(folder);
    mpirun.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for (name, value) in alone.get_envs() {
        match value {
            Some(value) => mpirun.env(name, value),
            None => mpirun.env_remove(name),
        };
    }
    mpirun
}

#[track_caller]
fn ok(output: Output) -> String {
    assert!(output.status.success(), "{:?}: {}", output.status, text(&output.stderr));
    text(&output.stdout)
}

fn train(folder: &Path, ranks: usize, out: &str, more: &[&str]) -> String {
    let args = [ARGS, &["--out", out], more].concat();
    if ranks == 1 {
        return mtl(folder, &args).ok();
    }
    ok(mpirun(folder, ranks, &args).output().unwrap())
}

#[test]
fn ranks_train_what_one_process_trains() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    five_tasks(folder);
    for (method, ranks) in [("equal", &[2, 4][..]), ("cagrad", &[2, 4]), ("dwa", &[2]), ("famo", &[2])] {
        let one = format!("{method}-1");
        train(folder, 1, &one, &["--balance", method]);
        for &count in ranks {
            let several = format!("{method}-{count}");
            let printed = train(folder, count, &several, &["--balance", method]);
            assert_eq!(printed.matches("checkpoint:").count(), 1, "one rank prints: {printed}");
            let (steps, parameters) = difference(folder, &several, &one);
            println!("{method}, {count} ranks: steps within {steps:.1e}, parameters within {parameters:.1e}");
            assert!(steps < 1e-3 && parameters < 1e-4, "{method}, {count} ranks: {steps:.1e}, {parameters:.1e}");
            let (a, b) = (&lines(folder, &several)[0], &lines(folder, &one)[0]);
            let first = apart(&a["losses"], &b["losses"]);
            assert!(first < 1e-5, "{method}, {count} ranks: losses of the first step differ by {first:.1e}");
        }
    }
    train(folder, 2, "again", &["--balance", "cagrad"]);
    for file in ["checkpoint/model.safetensors", "checkpoint/mtl_zoo.json", "metrics.jsonl"] {
        assert!(same(folder, "again", "cagrad-2", file), "{file}: twice the same ranks, not the same bytes");
    }
}

#[test]
fn a_search_tries_the_same_weights() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    five_tasks(folder);
    let search = ["--balance", "search", "--set", "balance.trials=3", "--set", "balance.share=0.25"];
    for (ranks, out) in [(1, "one"), (2, "two")] {
        train(folder, ranks, out, &search);
    }
    let trials = |out: &str| -> Vec<Value> {
        serde_json::from_str(&fs::read_to_string(folder.join(out).join("search.json")).unwrap()).unwrap()
    };
    let (one, two) = (trials("one"), trials("two"));
    assert_eq!(one.len(), 3);
    for (a, b) in two.iter().zip(&one) {
        assert_eq!(a["weights"], b["weights"]);
        assert!(apart(&a["score"], &b["score"]) < 0.1);
    }
}

/// Processes of the program that a launcher has started.
fn ranks_of(launcher: &Child) -> Vec<u32> {
    let program = fs::canonicalize(env!("CARGO_BIN_EXE_mtl-zoo")).unwrap();
    let parent = |id: u32| -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
    };
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut ranks: Vec<u32> = processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&id| parent(id) == Some(launcher.id()))
        .filter(|id| fs::read_link(format!("/proc/{id}/exe")).is_ok_and(|exe| exe == program))
        .collect();
    ranks.sort_unstable();
    ranks
}

#[test]
fn a_rank_that_is_killed_ends_all_and_the_run_goes_on_from_its_state() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    five_tasks(folder);
    let long = ["--set", "training.steps=40", "--set", "training.save_every=1", "--balance", "famo"];
    train(folder, 2, "whole", &long);
    for (victim, out) in [(0, "first"), (1, "second")] {
        let args = [ARGS, &["--out", out], &long].concat();
        let mut child = mpirun(folder, 2, &args).spawn().unwrap();
        wait_for(&folder.join(out).join("state/step-2.safetensors"), &mut child);
        let ranks = ranks_of(&child);
        assert_eq!(ranks.len(), 2);
        signal(ranks[victim], "-KILL");
        let ended = end(child);
        assert!(!ended.status.success());
        assert!(text(&ended.stderr).contains("signal 9"), "{}", text(&ended.stderr));
        assert!(!folder.join(out).join("checkpoint").exists());
        ok(mpirun(folder, 2, &["finetune", "--resume", out]).output().unwrap());
        for file in ["checkpoint/model.safetensors", "metrics.jsonl"] {
            assert!(same(folder, "whole", out, file), "{out}: {file}");
        }
    }
}

#[test]
fn a_signal_to_one_rank_stops_all_and_more_ranks_may_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    five_tasks(folder);
    let long = ["--set", "training.steps=40", "--set", "training.save_every=1"];
    train(folder, 2, "whole", &long);
    let args = [ARGS, &["--out", "stopped"], &long].concat();
    let mut child = mpirun(folder, 2, &args).spawn().unwrap();
    wait_for(&folder.join("stopped/state/step-2.safetensors"), &mut child);
    signal(ranks_of(&child)[1], "-TERM");
    let ended = end(child);
    let stderr = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(130), "{stderr}");
    assert_eq!(stderr.matches("the state is saved. To go on").count(), 1, "{stderr}");
    ok(mpirun(folder, 4, &["finetune", "--resume", "stopped"]).output().unwrap());
    let (steps, parameters) = difference(folder, "stopped", "whole");
    assert!(steps < 0.05 && parameters < 1e-3, "{steps:.1e}, {parameters:.1e}");
}

#[test]
fn what_is_wrong_is_said_once_and_by_the_rank_that_knows() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    five_tasks(folder);
    let run = |args: &[&str]| {
        let ended = end(mpirun(folder, 2, args).spawn().unwrap());
        (ended.status.code(), text(&ended.stderr))
    };
    let (code, stderr) = run(&["finetune", "none.toml"]);
    assert_eq!((code, stderr.matches("error: ").count()), (Some(2), 1), "{stderr}");
    assert!(stderr.contains("none.toml: found no such file"), "{stderr}");

    let (code, stderr) = run(&["finetune", "five.toml", "--device", "cpu:0"]);
    assert!(code != Some(0) && stderr.contains("`--device`"), "{stderr}");

    let (code, stderr) = run(&["predict", "x", "a text"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("one process: only `finetune` trains in several"), "{stderr}");

    let huge: String = (0..20).map(|n| format!("a text number {n}\t1e30\n")).collect();
    write(folder, "stars.tsv", format!("text\tscore\n{huge}"));
    let (code, stderr) = run(&[ARGS, &["--out", "huge"]].concat());
    assert_eq!((code, stderr.matches("error: ").count()), (Some(1), 1), "{stderr}");
    assert!(stderr.contains("the loss of task `stars` is infinite"), "{stderr}");

    let dry = ok(mpirun(folder, 2, &["finetune", "five.toml", "--dry-run", "--json"]).output().unwrap());
    let _: Value = serde_json::from_str(&dry).expect("one rank prints one document");

    // Without mpirun, what the environment says is not so.
    let mut alone = command(folder, ARGS);
    let ended = alone.args(["--out", "x"]).envs([("RANK", "0"), ("WORLD_SIZE", "2")]).output().unwrap();
    let stderr = text(&ended.stderr);
    assert!(stderr.contains("rank 0 of 1 in MPI") && stderr.contains("mpirun -n"), "{stderr}");
    assert_eq!(ended.status.code(), Some(1));
    // Each process by itself, where that is said.
    let printed = ok(mpirun(folder, 2, &["list", "heads"]).output().unwrap());
    assert_eq!(printed.matches("regression").count() % 2, 0);
}
