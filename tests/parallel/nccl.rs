//! Ranks over NCCL, started as torchrun does, on cards or on the emulator.

use super::support::{command, five_tasks, mtl, tiny_backbone};
use super::{ARGS, difference, end, same, signal, text, wait_for};
use std::path::Path;
use std::process::{Child, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

const DEVICE: [&str; 4] = ["--device", "cuda", "--backbone", "tiny"];

/// Starts so many ranks of the program.
fn start(folder: &Path, ranks: usize, args: &[&str]) -> Vec<Child> {
    static JOBS: AtomicUsize = AtomicUsize::new(0);
    let job = format!("{}{}", std::process::id(), JOBS.fetch_add(1, Ordering::Relaxed));
    let count = ranks.to_string();
    let rank = |rank: usize| {
        let number = rank.to_string();
        let numbers =
            [("RANK", &number), ("LOCAL_RANK", &number), ("WORLD_SIZE", &count), ("LOCAL_WORLD_SIZE", &count)];
        let mut rank = command(folder, args);
        rank.envs(numbers).env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", &job).env("TMPDIR", folder);
        rank.spawn().unwrap()
    };
    (0..ranks).map(rank).collect()
}

fn all(children: Vec<Child>) -> Vec<Output> {
    children.into_iter().map(end).collect()
}

fn train(folder: &Path, ranks: usize, out: &str, more: &[&str]) {
    let args = [ARGS, &DEVICE, &["--out", out], more].concat();
    if ranks == 1 {
        mtl(folder, &args).ok();
        return;
    }
    for (rank, ended) in all(start(folder, ranks, &args)).iter().enumerate() {
        let stderr = text(&ended.stderr);
        assert!(ended.status.success(), "rank {rank}: {stderr}");
        assert!(rank == 0 || (ended.stdout.is_empty() && !stderr.contains("step")), "rank {rank}: {stderr}");
    }
}

#[test]
fn cards_train_what_one_card_trains() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    five_tasks(folder);
    tiny_backbone(&folder.join("tiny"));
    for (method, dtype, ranks, bound) in
        [("equal", "f32", &[2, 4][..], 1e-3), ("cagrad", "f32", &[2], 1e-3), ("cagrad", "bf16", &[2], 0.1)]
    {
        let one = format!("{method}-{dtype}-1");
        train(folder, 1, &one, &["--balance", method, "--dtype", dtype]);
        for &count in ranks {
            let several = format!("{method}-{dtype}-{count}");
            train(folder, count, &several, &["--balance", method, "--dtype", dtype]);
            let (steps, parameters) = difference(folder, &several, &one);
            println!("{several}: steps within {steps:.1e}, parameters within {parameters:.1e}");
            assert!(steps < bound && parameters < bound, "{several}: {steps:.1e}, {parameters:.1e}");
        }
    }
    train(folder, 2, "again", &["--balance", "cagrad"]);
    assert!(same(folder, "again", "cagrad-f32-2", "checkpoint/model.safetensors"));
}

#[test]
fn a_rank_that_is_killed_ends_all_and_the_run_goes_on_from_its_state() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    five_tasks(folder);
    tiny_backbone(&folder.join("tiny"));
    let long = ["--set", "training.steps=60", "--set", "training.save_every=1"];
    train(folder, 3, "whole", &long);
    for (victim, out) in [(0, "first"), (2, "last")] {
        let args = [ARGS, &DEVICE, &["--out", out], &long].concat();
        let mut children = start(folder, 3, &args);
        wait_for(&folder.join(out).join("state/step-2.safetensors"), &mut children[0]);
        signal(children[victim].id(), "-KILL");
        for (rank, ended) in all(children).iter().enumerate().filter(|(rank, _)| *rank != victim) {
            let stderr = text(&ended.stderr);
            assert_eq!(ended.status.code(), Some(1), "rank {rank}: {stderr}");
            // Rank 0 hears of all others, and they of it.
            let gone = if rank == 0 { victim } else { 0 };
            assert!(stderr.contains(&format!("rank {gone} has")), "rank {rank}: {stderr}");
        }
        let resume = ["finetune", "--resume", out, "--device", "cuda"];
        assert!(all(start(folder, 3, &resume)).iter().all(|ended| ended.status.success()));
        assert!(same(folder, "whole", out, "checkpoint/model.safetensors"), "{out}");
    }
}

#[test]
fn a_signal_to_one_rank_stops_all() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    five_tasks(folder);
    tiny_backbone(&folder.join("tiny"));
    let args =
        [ARGS, &DEVICE, &["--out", "x", "--set", "training.steps=400", "--set", "training.save_every=1"]].concat();
    let mut children = start(folder, 2, &args);
    wait_for(&folder.join("x/state/step-2.safetensors"), &mut children[0]);
    signal(children[1].id(), "-INT");
    let ended = all(children);
    assert!(ended.iter().all(|ended| ended.status.code() == Some(130)), "{ended:?}");
    assert!(text(&ended[0].stderr).contains("the state is saved. To go on"));
    assert!(!text(&ended[1].stderr).contains("saved"));
}

#[test]
fn a_card_may_not_be_named_for_several_ranks() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    five_tasks(folder);
    for ended in all(start(folder, 2, &["finetune", "five.toml", "--device", "cuda:0"])) {
        let stderr = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("`cuda:0` for 2 ranks") && stderr.contains("write `--device cuda`"), "{stderr}");
    }
}
