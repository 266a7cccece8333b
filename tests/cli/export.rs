//! `mtl-zoo export`, and a backbone whose weights are a pickle.

use super::support::{five_tasks, mtl, tiny_backbone, write};
use std::fs;
use std::path::Path;

#[test]
fn a_checkpoint_becomes_folders_of_other_libraries() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    tiny_backbone(&at.join("tiny"));
    five_tasks(at);
    mtl(at, &["finetune", "five.toml", "--backbone", "./tiny", "--out", "run"]).ok();
    let export = |args: &[&str]| mtl(at, &[&["export", "run"], args].concat());

    let made =
        export(&["--format", "transformers", "--head", "names", "--dtype", "bf16", "--out", "names", "--json"]).json();
    assert_eq!(made["class"], "BertForTokenClassification");
    assert_eq!((&made["dtype"], &made["max_tokens"], &made["head"]), (&"bf16".into(), &24.into(), &"names".into()));
    for file in made["files"].as_array().unwrap() {
        assert!(at.join("names").join(file.as_str().unwrap()).is_file(), "{file}");
    }
    let own = export(&["--format", "transformers", "--head", "topic", "--out", "topic"]);
    assert!(own.stderr.contains("note: transformers has no class with mean pooling"), "{}", own.stderr);
    assert!(own.stderr.contains("trust_remote_code=True"), "{}", own.stderr);
    assert!(own.ok().starts_with("topic: head topic for MtlZooBertForSequenceClassification, "));
    let encoder = export(&["--format", "sentence-transformers", "--pooling", "mean", "--out", "encoder"]);
    assert!(encoder.ok().starts_with("encoder: the encoder for SentenceTransformer"));
    assert!(at.join("encoder/1_Pooling/config.json").is_file());
}

#[test]
fn a_backbone_that_is_a_pickle_is_converted_and_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pytorch");
    for (name, file) in [("good", "zip.bin"), ("bad", "system.bin")] {
        tiny_backbone(&at.join(name));
        fs::remove_file(at.join(name).join("model.safetensors")).unwrap();
        write(at, &format!("{name}/pytorch_model.bin"), fs::read(golden.join(file)).unwrap());
    }
    let good = mtl(at, &["inspect", "good", "--json"]);
    assert!(good.stderr.contains("note: ") && good.stderr.contains("nothing was run"), "{}", good.stderr);
    assert!(good.json()["folder"].as_str().unwrap().contains("cache"));
    let bad = mtl(at, &["inspect", "bad"]);
    assert_eq!(bad.code, Some(1));
    for part in
        ["bad/pytorch_model.bin: found the Python function or class `posix.system`", "help: ", "nothing was run"]
    {
        assert!(bad.stderr.contains(part), "{}", bad.stderr);
    }
}
