//! The checkpoint that comes with the program.

use super::support::{command, mtl};
use mtl_zoo::catalog::Catalog;
use mtl_zoo::checkpoint::CheckpointFolder;
use mtl_zoo::recipe::{Recipe, RecipeSource};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn shipped() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("zoo/bundled/checkpoints/sentiment")
}

#[test]
fn it_answers_by_its_name_without_network() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let texts = ["I loved every minute of it", "a complete waste of money"];
    let lines = mtl(folder, &["predict", "zoo:sentiment", texts[0], texts[1], "--format", "jsonl"]).ok();
    let answers: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for head in ["amazon", "tweets", "nyt", "movies"] {
        let score = |text: usize| answers[text]["heads"][head]["score"].as_f64().unwrap();
        assert!(score(0) > 0.5 && score(1) < -0.5, "{head}\n{lines}");
    }
    // The folder's name says the same, and so do `inspect` and `show`.
    let dir = shipped();
    let by_folder = mtl(folder, &["predict", dir.to_str().unwrap(), texts[0], texts[1], "--format", "jsonl"]).ok();
    assert_eq!(by_folder, lines);
    assert_eq!(mtl(folder, &["show", "zoo:sentiment"]).ok(), mtl(folder, &["inspect", "zoo:sentiment"]).ok());
    // Wherever the program's own sources are.
    let mut elsewhere = command(folder, &["predict", "zoo:sentiment", texts[0]]);
    assert!(elsewhere.env_remove("MTL_ZOO_BUNDLED").output().unwrap().status.success());

    let refused = mtl(folder, &["predict", "zoo:sentimental", texts[0]]);
    assert_eq!(refused.code, Some(2));
    for fragment in
        ["found `zoo:sentimental`", "expected a published checkpoint: `sentiment`", "did you mean `sentiment`?"]
    {
        assert!(refused.stderr.contains(fragment), "{}", refused.stderr);
    }
}

#[test]
fn it_is_what_its_card_and_its_recipe_say() {
    let folder = tempfile::tempdir().unwrap();
    let listed = mtl(folder.path(), &["list", "checkpoints", "--json"]).json();
    let opened = CheckpointFolder::open(shipped()).unwrap();
    let manifest = opened.manifest;
    assert_eq!(listed[0]["heads"], json!(manifest.heads.keys().collect::<Vec<_>>()));
    assert!(fs::metadata(shipped().join("model.safetensors")).unwrap().len() < 20_000_000);

    let catalog = Catalog::built_in();
    let recipe = Recipe::load(RecipeSource::File(Path::new(listed[0]["recipe"].as_str().unwrap())), &[], &catalog);
    let mut expected = manifest.clone();
    expected.recipe = json!(recipe.unwrap());
    assert_eq!(manifest.recipe, expected.for_publication().recipe, "train it again: scripts/make_checkpoint.sh");
}

#[test]
fn what_would_be_published_can_be_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let study = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/sentiment");
    let study = study.to_str().unwrap();
    mtl(folder, &["push", "zoo:sentiment", "--out", "seen", "--study", study]).ok();
    for name in ["README.md", "mtl_zoo.json", "model.safetensors", "tokenizer.json"] {
        assert!(fs::read(folder.join("seen").join(name)).unwrap() == fs::read(shipped().join(name)).unwrap(), "{name}");
    }
    let card = fs::read_to_string(folder.join("seen/README.md")).unwrap();
    assert!(card.contains("| amazon | pearson | 0.566 | 0.659 | +0.092 [+0.051 to +0.134] | p = 0.014 | helped |"));
    assert!(card.contains("100 labels of amazon with joint training are worth 442 without it"), "{card}");

    let heads = ["push", "zoo:sentiment", "--out", "heads", "--heads-only", "--head", "nyt", "--study", study];
    mtl(folder, &heads).ok();
    let card = fs::read_to_string(folder.join("heads/README.md")).unwrap();
    assert!(card.contains("| nyt | pearson |") && !card.contains("| amazon | pearson |"), "{card}");

    let refused = mtl(folder, &["push", "zoo:sentiment", "--out", "x", "--study", "heads/mtl_zoo.json"]);
    assert!(refused.stderr.contains("heads/mtl_zoo.json") && refused.stderr.contains("report"), "{}", refused.stderr);
    assert!(!folder.join("x").exists());
    let refused = mtl(folder, &["push", "zoo:sentiment", "--study", study]);
    assert!(refused.stderr.contains("REPO"), "{}", refused.stderr);
}
