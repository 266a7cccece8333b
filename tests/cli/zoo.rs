//! What needs no training: dry runs, lists, cards, help.

use super::support::{command, five_tasks, mtl, tiny_backbone, write};
use serde_json::json;

#[test]
fn a_dry_run_tells_everything_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    five_tasks(folder);
    let args = ["finetune", "five.toml", "--dry-run", "--set", "tasks.topic.labels=[\"music\", \"food\", \"film\"]"];
    let text = mtl(folder, &args).ok();
    let resolved: toml::Table = text.parse().expect("valid TOML");
    assert_eq!(resolved["training"]["weight_decay"].as_float(), Some(0.01));
    assert!(resolved["tasks"]["stars"]["train"].as_str().unwrap().ends_with("stars.tsv"));
    assert!(text.contains("# task      split        rows   min   median"), "{text}");
    assert!(text.contains("# topic (classification)   train   validation   test\n"), "{text}");
    assert!(text.contains("# music "), "{text}");
    assert!(text.contains("# run folder             runs/five\n"), "{text}");
    // What it prints is a recipe that says the same.
    write(folder, "resolved.toml", &text);
    assert_eq!(mtl(folder, &["finetune", "resolved.toml", "--dry-run"]).ok(), text);
    assert!(!folder.join("runs").exists());

    let found = mtl(folder, &["finetune", "five.toml", "--dry-run", "--json", "--seed", "7", "--out", "here"]).json();
    let keys =
        ["recipe", "tasks", "shared_inputs", "steps", "tokens_per_step", "parameters", "peak_memory", "device", "out"];
    assert_eq!(super::keys(&found), keys);
    assert_eq!(
        (&found["recipe"]["training"]["seed"], &found["out"], &found["steps"]),
        (&json!(7), &json!("here"), &json!(3))
    );
    let topic = &found["tasks"]["topic"];
    assert_eq!(topic["splits"]["train"]["rows"], 10);
    assert_eq!(topic["overlap"], json!({"validation": 0, "test": 0}));
    assert_eq!(found["parameters"]["frozen"], 0);
    // Parameters, their best values, and two moments of each, beside all that is smaller.
    let parameters = found["parameters"]["trainable"].as_u64().unwrap();
    let memory = found["peak_memory"].as_u64().unwrap();
    assert!(memory > 16 * parameters && memory < 64 * parameters, "{memory} bytes for {parameters} parameters");
    let frozen = ["finetune", "five.toml", "--dry-run", "--json", "--set", "backbone.freeze=all"];
    let backbone = mtl(folder, &["inspect", "bundled", "--json"]).json();
    let all: u64 = backbone["parameters"].as_object().unwrap().values().filter_map(serde_json::Value::as_u64).sum();
    assert_eq!(mtl(folder, &frozen).json()["parameters"]["frozen"], all);
}

#[test]
fn tasks_that_label_the_same_inputs_are_drawn_together() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    tiny_backbone(&folder.join("tiny"));
    let rows = (0..30).map(|n| format!("a text of number {n},{},{}", ["good", "bad"][n % 2], n % 5));
    write(folder, "both.csv", ["text,mood,stars".to_owned()].into_iter().chain(rows).collect::<Vec<_>>().join("\n"));
    let recipe = r#"
        backbone = { id = "tiny", max_tokens = 24 }
        training = { steps = 2, batch_tokens = 100, conflicts_every = 1 }
        tasks.mood = { type = "classification", train = "both.csv", validation = 0.2, columns.label = "mood" }
        tasks.stars = { type = "regression", train = "both.csv", validation = 0.2, columns.label = "stars" }
        tasks.fewer = { type = "regression", train = "both.csv", validation = 0.2, columns.label = "stars", limit = 20 }
    "#;
    write(folder, "both.toml", recipe);
    let plan = |more: &[&str]| mtl(folder, &[&["finetune", "both.toml", "--dry-run", "--json"], more].concat()).json();
    let together = plan(&[]);
    assert_eq!(together["shared_inputs"], json!([["mood", "stars"]]));
    let rows = |plan: &serde_json::Value, task: &str| plan["tasks"][task]["rows_per_step"].as_f64().unwrap();
    assert_eq!(rows(&together, "mood"), rows(&together, "stars"));
    let text = mtl(folder, &["finetune", "both.toml", "--dry-run"]).ok();
    assert!(text.contains("# same inputs ") && text.contains(" mood + stars\n"), "{text}");
    // Unequal shares are what the recipe asks for.
    let uneven = plan(&["--set", "sampling={method=\"fixed\", weights={mood=1.0, stars=2.0, fewer=1.0}}"]);
    assert_eq!(uneven["shared_inputs"], json!([]));
    assert!(rows(&uneven, "stars") > 1.5 * rows(&uneven, "mood"));

    mtl(folder, &["finetune", "both.toml", "--out", "run"]).ok();
    let metrics = std::fs::read_to_string(folder.join("run/metrics.jsonl")).unwrap();
    let step: serde_json::Value = serde_json::from_str(metrics.lines().next().unwrap()).unwrap();
    assert!(step["gradient_cosines"]["mood"]["stars"].is_f64(), "{step}");
    assert!(step["tokens"].as_u64().unwrap() <= 100);
}

#[test]
fn flags_may_come_from_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    five_tasks(folder.path());
    let seed = |args: &[&str]| {
        let args = [&["finetune", "five.toml", "--dry-run", "--json"], args].concat();
        let output = command(folder.path(), &args).env("MTL_ZOO_SEED", "5").output().unwrap();
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["recipe"]["training"]["seed"].clone()
    };
    assert_eq!(seed(&[]), 5);
    assert_eq!(seed(&["--seed", "6"]), 6);
    assert_eq!(seed(&["--set", "training.seed=7"]), 7);
}

#[test]
fn task_cards_need_no_recipe() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["finetune", "--tasks", "vader-amazon,vader-tweets", "--dry-run", "--json"];
    let found = mtl(folder.path(), &args).json();
    assert_eq!(super::keys(&found["tasks"]), ["vader-amazon", "vader-tweets"]);
    assert_eq!(found["out"], "runs/vader-amazon-vader-tweets");
}

#[test]
fn lists_cards_and_completions() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| mtl(folder.path(), args);
    let all = run(&["list", "--json"]).json();
    assert_eq!(super::keys(&all), ["backbones", "tasks", "recipes", "checkpoints", "heads", "balance"]);
    assert!(all["recipes"].as_array().unwrap().iter().any(|recipe| recipe["name"] == "sentiment"));
    let tasks = run(&["list", "tasks"]).ok();
    let row = |name: &str| tasks.lines().find(|line| line.split(' ').next() == Some(name)).unwrap();
    assert!(row("vader-nyt").contains(" yes ") && row("vader-nyt").contains(" Sentiment intensity"), "{tasks}");
    assert!(row("sst2").contains(" no ") && tasks.contains("\nverified no: id, revision"), "{tasks}");
    assert!(!run(&["list", "recipes"]).ok().contains("verified"));
    let listed = run(&["list", "backbones", "--json"]).json();
    let minilm = listed.as_array().unwrap().iter().find(|card| card["name"] == "all-minilm-l6-v2").unwrap();
    assert_eq!((&minilm["verified"], &minilm["parameters"]), (&json!(false), &json!(22_713_216)));
    let methods = run(&["list", "balance", "--json"]).json();
    for (method, entry) in methods.as_array().unwrap().iter().zip(mtl_zoo::balance::methods()) {
        assert_eq!(super::keys(method), ["name", "needs", "paper", "extra_cost", "summary", "parameters"]);
        assert_eq!(method["name"], entry.name);
    }
    let table = run(&["list", "balance"]).ok();
    assert!(
        table.starts_with("balance") && table.contains("extra cost") && table.contains("arXiv:2110.14048"),
        "{table}"
    );
    assert!(run(&["show", "sentiment"]).ok().parse::<toml::Table>().unwrap().contains_key("tasks"));
    let card = run(&["show", "vader-tweets"]).ok();
    assert!(card.contains("[task]") && !card.contains("not verified"), "{card}");
    let card = run(&["show", "sst2"]).ok();
    assert!(card.contains("\n# not verified: id, revision") && card.parse::<toml::Table>().is_ok(), "{card}");
    let backbone = run(&["inspect", "bundled", "--json"]).json();
    assert_eq!((&backbone["kind"], &backbone["layers"]), (&json!("backbone"), &json!(3)));
    assert!(run(&["inspect", "bundled"]).ok().contains("3 of width 384"));
    assert!(run(&["completions", "bash"]).ok().contains("mtl-zoo"));
    assert!(run(&["finetune", "--help"]).ok().contains("mtl-zoo finetune my.toml --dry-run"));
    assert!(run(&["--version"]).ok().starts_with("mtl-zoo "));
}
