//! Runs the program and makes what it reads.
#![allow(dead_code, reason = "each test file uses its own part")]

use mtl_zoo::checkpoint::{TensorData, write_tensors};
use mtl_zoo::files::write_file;
use mtl_zoo::model::backbones::BackboneConfig;
use mtl_zoo::recipe::CheckpointDtype;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// What it printed, if all went well.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.stdout
    }

    /// The JSON that it printed, if all went well.
    #[track_caller]
    pub fn json(self) -> Value {
        serde_json::from_str(&self.ok()).expect("one JSON document")
    }
}

/// The program in a folder, cut off from the Hub and from this machine's settings.
pub fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mtl-zoo"));
    command.current_dir(folder).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MTL_ZOO_") {
            command.env_remove(name);
        }
    }
    command.env("HF_HUB_OFFLINE", "1").env("HF_HOME", folder.join("hub")).env("XDG_CONFIG_HOME", folder);
    command.env("MTL_ZOO_CACHE", folder.join("cache"));
    command.env("MTL_ZOO_BUNDLED", Path::new(env!("CARGO_MANIFEST_DIR")).join("zoo/bundled"));
    command
}

/// Runs the program to its end.
pub fn mtl(folder: &Path, args: &[&str]) -> Ended {
    mtl_reads(folder, args, b"")
}

/// Runs the program with bytes on stdin.
pub fn mtl_reads(folder: &Path, args: &[&str], input: &[u8]) -> Ended {
    let mut child = command(folder, args).stdin(Stdio::piped()).spawn().unwrap();
    // A program that refuses its arguments does not read.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Writes a file and gives its path.
pub fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

/// Five small data sets, one for each kind of head and one of sentence pairs, and a recipe with the bundled backbone.
pub fn five_tasks(folder: &Path) {
    let texts =
        ["a fine film", "too long and dull", "the best coffee in town", "cold soup, slow waiter", "lovely songs"];
    let line = |n: usize| format!("{} number {n}", texts[n % texts.len()]);
    let lines = |header: &str, line: &dyn Fn(usize) -> String| {
        std::iter::once(header.to_owned())
            .chain((0..20).map(line))
            .filter(|l| !l.is_empty())
            .collect::<Vec<_>>()
            .join("\n")
    };
    let topics = ["film", "film", "food", "food", "music"];
    write(folder, "topic.csv", lines("text,label", &|n| format!("\"{}\",{}", line(n), topics[n % 5])));
    write(folder, "stars.tsv", lines("text\tscore", &|n| format!("{}\t{}", line(n), [4.0, 1.5, 5.0, 1.0, 4.5][n % 5])));
    let flags = ["[\"short\"]", "[]", "[\"short\", \"warm\"]", "[\"warm\"]", "[\"short\"]"];
    write(folder, "flags.jsonl", lines("", &|n| format!("{{\"text\": \"{}\", \"label\": {}}}", line(n), flags[n % 5])));
    let entails = ["yes", "no"];
    write(
        folder,
        "pairs.csv",
        lines("a,b,label", &|n| format!("\"{}\",\"it is {}\",{}", line(n), n % 3, entails[n % 2])),
    );
    let tagged = |n: usize| {
        format!(
            "{{\"tokens\": [\"Ada\", \"met\", \"Bob{n}\"], \"tags\": [\"B-PER\", \"O\", \"{}\"]}}",
            ["B-PER", "O"][n % 2]
        )
    };
    write(folder, "names.jsonl", lines("", &tagged));
    write(folder, "five.toml", FIVE);
}

const FIVE: &str = r#"
[backbone]
max_tokens = 24

[training]
steps = 3
batch_tokens = 160
learning_rate = 1e-4
evaluate_every = 2

[tasks.topic]
type = "classification"
train = "topic.csv"
validation = 0.25
test = 0.25
class_weights = "balanced"

[tasks.stars]
type = "regression"
train = "stars.tsv"
validation = 0.25
test = "stars.tsv"
columns = { label = "score" }
metrics = ["mse", "pearson"]

[tasks.flags]
type = "multi_label"
train = "flags.jsonl"
validation = 0.25

[tasks.entails]
type = "classification"
train = "pairs.csv"
validation = 0.25
test = 0.2
columns = { text = "a", pair = "b" }
pooling = "cls"

[tasks.names]
type = "token_classification"
train = "names.jsonl"
validation = 0.25
test = 0.25
"#;

/// A random backbone of one narrow layer, with the bundled tokenizer and a table for more tokens than that has.
pub fn tiny_backbone(folder: &Path) {
    let config = r#"{"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "vocab_size": 12000, "max_position_embeddings": 32, "type_vocab_size": 2}"#;
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("zoo/bundled/backbone");
    write(folder, "config.json", config);
    fs::copy(bundled.join("tokenizer.json"), folder.join("tokenizer.json")).unwrap();
    let parameters = BackboneConfig::parse(config.as_bytes()).unwrap().parameters(false);
    let mut number = 1u32;
    let mut next = || {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (f64::from(number) / 4_294_967_296.0 - 0.5) as f32 * 0.2
    };
    let values: Vec<Vec<f32>> =
        parameters.iter().map(|spec| (0..spec.shape.iter().product()).map(|_| next()).collect()).collect();
    let tensors: Vec<_> = parameters
        .iter()
        .zip(&values)
        .map(|(spec, values)| TensorData { name: spec.name.clone(), shape: spec.shape.clone(), values })
        .collect();
    let path = folder.join("model.safetensors");
    write_file(&path, |out| write_tensors(out, &path, &tensors, CheckpointDtype::F32, &[])).unwrap();
}
