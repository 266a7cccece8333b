//! Checkpoints and backbones that cannot be used.

use super::Change::{self, *};
use super::{Case, Fixture};

const fn file(file: &'static str, change: Change, args: &'static str, says: &'static [&'static str]) -> Case {
    Case { file, change, args, code: 1, says }
}

const fn manifest(change: Change, says: &'static [&'static str]) -> Case {
    file("run/checkpoint/mtl_zoo.json", change, PREDICT, says)
}

const fn backbone(name: &'static str, change: Change, says: &'static [&'static str]) -> Case {
    file(name, change, "finetune base.toml --dry-run", says)
}

const PREDICT: &str = "predict run/checkpoint hello";
const INSPECT: &str = "inspect run/checkpoint";

#[rustfmt::skip]
pub(crate) const CASES: &[Case] = &[
    // Which one
    file("unused", Bytes(b""), "predict nowhere hello", &["\"nowhere\"", "a folder or a Hub id"]),
    file("unused", Bytes(b""), "predict base.toml hello", &["base.toml: found a file", "the folder of a checkpoint"]),
    file("unused", Bytes(b""), "predict tiny hello", &["tiny: found no mtl_zoo.json", "`mtl-zoo finetune` makes one"]),
    file("unused", Bytes(b""), "predict org/not-cached hello", &["org/not-cached"]),
    file("unused", Bytes(b""), "inspect run/state", &["run/state"]),
    file("unused", Bytes(b""), "eval tiny", &["tiny: found no mtl_zoo.json"]),
    // The manifest
    manifest(Bytes(b""), &["mtl_zoo.json:1:", "the manifest of a checkpoint"]),
    manifest(Bytes(b"{\"format\": \"1.0\"}"), &["mtl_zoo.json:1:", "missing field"]),
    manifest(Swap("\"format\": \"1.0\"", "\"format\": \"2.0\""), &["mtl_zoo.json: `format`", "format version \"2.0\"", "a version up to 1.x", "install a newer one"]),
    manifest(Swap("\"format\": \"1.0\"", "\"format\": \"one\""), &["mtl_zoo.json: `format`", "\"1.0\""]),
    manifest(Swap("\"mood\"", "\"../mood\""), &["mtl_zoo.json: `heads`", "letters, digits"]),
    manifest(Swap("\"good\"", "\"bad\""), &["mtl_zoo.json: `heads.mood.labels`", "label \"bad\" twice"]),
    manifest(Swap("\"stars\": {", "\"moon\": {"), &["model.safetensors: `heads.moon.weight`", "no such tensor"]),
    manifest(Swap("\"config.json\":", "\"../config.json\":"), &["mtl_zoo.json: `sha256`", "the name of a file in this folder"]),
    manifest(Swap("\"max_tokens\": 16", "\"max_tokens\": 0"), &["mtl_zoo.json: `max_tokens`", "found 0"]),
    manifest(Swap("\"max_tokens\": 16", "\"max_tokens\": 999"), &["max_tokens", "999", "32"]),
    file("run/checkpoint/model.safetensors", Cut(5000), "export run/checkpoint --format transformers --head mood --out new", &["model.safetensors", "bytes of data"]),
    // The other files
    file("run/checkpoint/mtl_zoo.json", Gone, PREDICT, &["no mtl_zoo.json"]),
    file("run/checkpoint/config.json", Gone, PREDICT, &["no config.json"]),
    file("run/checkpoint/tokenizer.json", Gone, INSPECT, &["no tokenizer.json"]),
    file("run/checkpoint/model.safetensors", Gone, INSPECT, &["no model.safetensors"]),
    file("run/checkpoint/config.json", Swap("\"hidden_size\": 8", "\"hidden_size\": 9"), INSPECT, &["config.json", "SHA-256", "changed after the export"]),
    file("run/checkpoint/model.safetensors", Cut(4), INSPECT, &["model.safetensors", "a file of 4 bytes"]),
    file("run/checkpoint/model.safetensors", Cut(5000), INSPECT, &["model.safetensors", "bytes of data"]),
    file("run/checkpoint/model.safetensors", Bytes(b"\xff\xff\xff\xff\xff\xff\xff\xff{}"), PREDICT, &["model.safetensors", "a header of"]),
    file("run/checkpoint/model.safetensors", Bytes(b"\x02\0\0\0\0\0\0\0{}"), PREDICT, &["model.safetensors", "no tensor"]),
    // What eval needs
    file("more.tsv", Gone, "eval run/checkpoint --split validation --head stars", &["more.tsv: found no such file", "--head stars --data FILE"]),
    file("mood.csv", Gone, "eval run/checkpoint --split validation", &["mood.csv: found no such file", "the data of task `mood`"]),
    // Backbones
    backbone("tiny/model.safetensors", Gone, &["tiny: found no model.safetensors", "pytorch_model.bin to convert"]),
    backbone("tiny/tokenizer.json", Gone, &["tiny: found no tokenizer.json", "save the tokenizer"]),
    backbone("tiny/tokenizer.json", Bytes(b"{}"), &["tokenizer.json", "`tokenizers` library"]),
    backbone("tiny/config.json", Bytes(b"{"), &["config.json", "a JSON object"]),
    backbone("tiny/config.json", Swap("\"bert\"", "\"llama\""), &["config.json", "model_type \"llama\"", "mtl-zoo list backbones"]),
    backbone("tiny/config.json", Swap("\"num_attention_heads\": 2", "\"num_attention_heads\": 3"), &["config.json"]),
    backbone("tiny/config.json", Swap("\"hidden_size\": 8", "\"hidden_size\": 16"), &["shape"]),
    backbone("tiny/config.json", Swap("\"num_hidden_layers\": 1", "\"num_hidden_layers\": 2"), &["encoder.layer.1"]),
    backbone("tiny/config.json", Swap("12000", "4096"), &["found a tokenizer of", "at most 4096"]),
    backbone("tiny/model.safetensors", Cut(100_000), &["model.safetensors", "bytes of data"]),
    file("unused", Bytes(b""), "finetune base.toml --backbone nonsense --dry-run", &["\"nonsense\"", "a folder or a Hub id"]),
    file("unused", Bytes(b""), "finetune base.toml --backbone org/not-cached --dry-run", &["org/not-cached"]),
];

#[test]
fn bad_checkpoints() {
    let fixture = Fixture::new();
    fixture.checkpoint();
    fixture.check(CASES);
}

#[test]
fn weights_that_are_no_numbers_stop_the_first_step() {
    let fixture = Fixture::new();
    let path = fixture.path().join("tiny/model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[header..].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let ended = super::mtl(fixture.path(), &["finetune", "base.toml"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("error: step 1: the loss of task `mood` is NaN\n  help: "), "{}", ended.stderr);
}
