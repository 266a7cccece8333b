//! The program from end to end, on the bundled backbone.
#![cfg(feature = "cli")]

#[path = "cli/support.rs"]
mod support;

#[path = "cli/answers.rs"]
mod answers;
#[path = "cli/export.rs"]
mod export;
#[path = "cli/pieces.rs"]
mod pieces;
#[path = "cli/published.rs"]
mod published;
#[path = "cli/resume.rs"]
mod resume;
#[path = "cli/study.rs"]
mod study;
#[path = "cli/zoo.rs"]
mod zoo;

use serde_json::{Value, json};
use std::path::Path;
use support::{five_tasks, mtl};

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// One run, and everything that is done with its checkpoint: they have to agree.
#[test]
fn one_checkpoint_one_truth() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    five_tasks(folder);
    let ended = mtl(folder, &["finetune", "five.toml", "--json"]);
    assert!(ended.stderr.contains("task `stars`: 15 test rows also in the training data"), "{}", ended.stderr);
    assert!(ended.stderr.contains("run: runs/five, 3 steps"), "{}", ended.stderr);
    assert!(ended.stderr.contains("step 3/3") && ended.stderr.contains("evaluated after step 2/3"), "{}", ended.stderr);
    assert!(!ended.stderr.contains('\x1b'), "{}", ended.stderr);
    let done = ended.json();
    assert_eq!(keys(&done), ["checkpoint", "device", "seconds", "steps", "tokens", "tasks"]);
    assert_eq!(
        (&done["checkpoint"], &done["device"], &done["steps"]),
        (&json!("runs/five/checkpoint"), &json!("cpu"), &json!(3))
    );
    assert!(done["seconds"].as_f64().unwrap() > 0.0 && done["tokens"].as_u64().unwrap() > 100);
    let tasks = ["topic", "stars", "flags", "entails", "names"];
    assert_eq!(keys(&done["tasks"]), tasks);
    for task in tasks {
        assert_eq!(keys(&done["tasks"][task]), ["validation", "test"]);
    }
    assert_eq!(keys(&done["tasks"]["stars"]["test"]), ["mse", "pearson"]);
    assert_eq!(done["tasks"]["flags"]["test"], json!({}));

    evaluation_agrees(folder, &done);
    inspection_agrees(folder, &done);
    answers::agree(folder, &done);
    // The next run of the same recipe has a folder of its own, and a person reads a table.
    let again = mtl(folder, &["finetune", "five.toml", "--set", "training.steps=1"]);
    assert!(again.stderr.contains("mtl-zoo predict runs/five-2/checkpoint"), "{}", again.stderr);
    let table = again.ok();
    assert!(table.contains("task      metric") && table.contains("validation") && table.contains("pearson"), "{table}");
    assert!(table.ends_with("checkpoint: runs/five-2/checkpoint\n"), "{table}");
}

fn evaluation_agrees(folder: &Path, done: &Value) {
    let eval = |args: &[&str]| mtl(folder, &[&["eval", "runs/five/checkpoint", "--json"], args].concat());
    let test = eval(&[]);
    assert!(test.stderr.contains("task `flags` has no test split"), "{}", test.stderr);
    let test = test.json();
    assert_eq!(keys(&test), ["tasks"]);
    assert_eq!(keys(&test["tasks"]), ["topic", "stars", "entails", "names"]);
    let validation = eval(&["--split", "validation"]).json();
    for (split, found) in [("test", &test), ("validation", &validation)] {
        for (task, scores) in found["tasks"].as_object().unwrap() {
            assert_eq!(keys(scores), [split]);
            for (metric, value) in scores[split].as_object().unwrap() {
                let then = &done["tasks"][task][split][metric];
                match (value.as_f64(), then.as_f64()) {
                    (Some(now), Some(then)) => {
                        assert!((now - then).abs() < 1e-6, "{task} {split} {metric}: {now} {then}")
                    }
                    (now, then) => assert_eq!(now, then, "{task} {split} {metric}"),
                }
            }
        }
    }
    // Rows of one's own; the test split of `stars` is the whole file.
    let own = eval(&["--head", "stars", "--data", "stars.tsv"]).json();
    assert_eq!(own["tasks"]["stars"]["data"], test["tasks"]["stars"]["test"]);
    let table = mtl(folder, &["eval", "runs/five", "--head", "stars"]).ok();
    assert!(table.starts_with("task    metric"), "{table}");
    // Changed data is scored, but not silently.
    let rows = std::fs::read_to_string(folder.join("stars.tsv")).unwrap();
    support::write(folder, "stars.tsv", format!("{rows}\none more\t3"));
    let changed = eval(&["--head", "stars"]);
    assert!(
        changed.stderr.contains("the test data changed since training (20 rows then, 21 now)"),
        "{}",
        changed.stderr
    );
    changed.json();
    support::write(folder, "stars.tsv", rows);
}

fn inspection_agrees(folder: &Path, done: &Value) {
    let found = mtl(folder, &["inspect", "runs/five/checkpoint", "--json"]).json();
    assert_eq!((&found["kind"], &found["verified"]), (&json!("checkpoint"), &json!(true)));
    assert_eq!(found["backbone"]["id"], "bundled");
    assert_eq!(found["heads"]["topic"]["labels"], json!(["film", "food", "music"]));
    assert_eq!(found["heads"]["topic"]["metrics"], done["tasks"]["topic"]);
    assert_eq!(found["parameters"]["heads.topic"], json!(3 * 384 + 3));
    let text = mtl(folder, &["inspect", "runs/five/checkpoint"]).ok();
    assert!(text.contains("entails   classification         pair"), "{text}");
    assert_eq!(mtl(folder, &["show", "runs/five/checkpoint"]).ok(), text);
}
