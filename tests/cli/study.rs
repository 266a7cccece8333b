//! `mtl-zoo study`: what it writes, and that it goes on where it was stopped.

use super::support::{command, mtl, tiny_backbone, write};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Three small tasks on a backbone that takes no time.
fn three_tasks(folder: &Path) {
    tiny_backbone(&folder.join("tiny"));
    let words = ["fine", "dull", "warm", "cold", "slow", "lovely", "long"];
    let rows = |task: usize, count: usize| {
        let line = |n: usize| {
            let (one, other) = (words[(n * (task + 2)) % 7], words[(n * n + task) % 7]);
            format!("a {one} and {other} text {n}\t{}", (n * (task + 2)) % 7)
        };
        ["text\tlabel".to_owned()].into_iter().chain((0..count).map(line)).collect::<Vec<_>>().join("\n")
    };
    let mut recipe = "backbone = { id = \"tiny\", max_tokens = 24 }\n\
                      training = { steps = 12, batch_tokens = 100 }\n"
        .to_owned();
    for (task, name) in ["one", "two", "three"].into_iter().enumerate() {
        write(folder, &format!("{name}.train.tsv"), rows(task, 40));
        write(folder, &format!("{name}.test.tsv"), rows(task, 25));
        let limit = if task == 0 { "limit = 20\n" } else { "" };
        recipe += &format!(
            "[tasks.{name}]\ntype = \"regression\"\ntrain = \"{name}.train.tsv\"\nvalidation = \"{name}.test.tsv\"\n\
             test = \"{name}.test.tsv\"\nmetrics = [\"mse\"]\n{limit}"
        );
    }
    write(folder, "three.toml", recipe);
}

/// What a report says of anything but times.
fn without_times(mut report: Value) -> Value {
    fn clear(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.remove("seconds");
                map.remove("answering");
                map.values_mut().for_each(clear);
            }
            Value::Array(values) => values.iter_mut().for_each(clear),
            _ => {}
        }
    }
    clear(&mut report);
    report
}

#[test]
fn a_study_writes_its_report_and_a_recipe() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    three_tasks(folder);
    let plan = mtl(folder, &["study", "three.toml", "--dry-run", "--json"]).json();
    assert!(!folder.join("studies").exists());
    let ended =
        mtl(folder, &["study", "three.toml", "--seeds", "2", "--methods", "cagrad", "--write-recipe", "next.toml"]);
    assert!(ended.stderr.contains("study: studies/three, "), "{}", ended.stderr);
    let summary = ended.ok();
    assert!(["one", "two", "three"].iter().all(|task| summary.contains(task)), "{summary}");
    let study = folder.join("studies/three");
    let page = fs::read_to_string(study.join("report.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    let report: Value = serde_json::from_slice(&fs::read(study.join("report.json")).unwrap()).unwrap();
    assert_eq!(report["tasks"].as_object().unwrap().len(), 3);
    assert_eq!(report["labels"]["task"], "one");
    assert_eq!((&report["labels"]["used"], &report["labels"]["most"]), (&20.into(), &40.into()));
    assert_eq!(report["failed"], serde_json::json!([]));
    assert!(report["time"]["answering"]["texts"].as_u64().unwrap() > 0);
    assert!(plan["runs"].as_u64().unwrap() > report["runs"].as_u64().unwrap());
    // What is advised can be trained.
    mtl(folder, &["finetune", "next.toml", "--dry-run"]).ok();
    // All runs are there: nothing is left to do, and the report is the same.
    let again = mtl(folder, &["study", "three.toml", "--seeds", "2", "--methods", "cagrad", "--json"]);
    assert!(!again.stderr.contains("1/"), "{}", again.stderr);
    assert_eq!(without_times(again.json()), without_times(report));
    // Another recipe is another study.
    let other = mtl(folder, &["study", "three.toml", "--set", "training.steps=3"]);
    assert_eq!(other.code, Some(2));
    assert!(other.stderr.contains("a study with another recipe"), "{}", other.stderr);
}

#[cfg(unix)]
#[test]
fn a_study_that_was_killed_ends_with_the_same_report() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    three_tasks(folder);
    let args = |out: &'static str| ["study", "three.toml", "--seeds", "2", "--json", "--out", out];
    let start = std::time::Instant::now();
    let whole = mtl(folder, &args("whole")).json();
    let time = start.elapsed();
    let done = || {
        let runs = fs::read_dir(folder.join("killed/runs")).into_iter().flatten();
        runs.filter(|run| run.as_ref().unwrap().path().join("result.json").is_file()).count() as u64
    };
    let mut amid = 0;
    for share in [0.3, 0.15, 0.45, 0.25, 0.35] {
        let mut child = command(folder, &args("killed")).spawn().unwrap();
        std::thread::sleep(time.mul_f64(share));
        child.kill().unwrap();
        child.wait().unwrap();
        amid += u32::from(done() > 0 && done() < whole["runs"].as_u64().unwrap());
    }
    assert!(amid >= 2, "only {amid} of 5 kills fell between two runs");
    let killed = mtl(folder, &args("killed")).json();
    assert_eq!(without_times(killed), without_times(whole));
    for file in ["report.html", "report.json"] {
        assert!(folder.join("killed").join(file).is_file(), "{file}");
    }
}
