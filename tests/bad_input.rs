//! Bad recipes, data, checkpoints and arguments: each is refused with its place, what was found, what was expected and
//! what to do, and with the right exit code.
#![cfg(feature = "cli")]

#[path = "cli/bad_arguments.rs"]
mod bad_arguments;
#[path = "cli/bad_checkpoints.rs"]
mod bad_checkpoints;
#[path = "cli/bad_data.rs"]
mod bad_data;
#[path = "cli/bad_recipes.rs"]
mod bad_recipes;
#[path = "cli/support.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use support::{Ended, mtl, mtl_reads, tiny_backbone, write};

/// What a case does to a file before the program runs.
#[derive(Clone, Copy)]
pub(crate) enum Change {
    /// A piece of the text becomes another.
    Swap(&'static str, &'static str),
    /// The whole contents.
    Bytes(&'static [u8]),
    /// Only so many bytes stay.
    Cut(usize),
    Gone,
}

/// One bad input.
pub(crate) struct Case {
    file: &'static str,
    change: Change,
    args: &'static str,
    code: i32,
    /// Fragments that stderr has.
    says: &'static [&'static str],
}

/// A folder with a good recipe over a tiny backbone and its data.
pub(crate) struct Fixture {
    folder: tempfile::TempDir,
}

const RECIPE: &str = r#"name = "base"

[backbone]
id = "./tiny"
max_tokens = 16

[training]
steps = 2
batch_tokens = 64
learning_rate = 1e-3

[tasks.mood]
type = "classification"
train = "mood.csv"
validation = 0.25

[tasks.stars]
type = "regression"
train = "stars.tsv"
columns = { label = "score" }
validation = "more.tsv"

[tasks.names]
type = "token_classification"
train = "names.jsonl"
validation = 0.25
"#;

impl Fixture {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        tiny_backbone(&at.join("tiny"));
        write(at, "base.toml", RECIPE);
        write(at, "mood.csv", "text,label\nfine day,good\nbad day,bad\nnice,good\nugly,bad\nlovely,good\nawful,bad\n");
        write(at, "stars.tsv", "text\tscore\nfine\t4\ndull\t1.5\ngreat\t5\n");
        write(at, "more.tsv", "text\tscore\nok\t3\nbad\t1\n");
        let names = r#"{"tokens": ["Ada", "ran"], "tags": ["B-PER", "O"]}"#;
        write(at, "names.jsonl", [names; 4].join("\n"));
        Self { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, case: &Case) -> Ended {
        let path = self.path().join(case.file);
        let before = fs::read(&path).ok();
        match case.change {
            Change::Swap(from, to) => {
                let text = String::from_utf8(before.clone().unwrap()).unwrap();
                assert!(text.contains(from), "{} has no {from:?}", case.file);
                fs::write(&path, text.replacen(from, to, 1)).unwrap();
            }
            Change::Bytes(bytes) => drop(write(self.path(), case.file, bytes)),
            Change::Cut(length) => fs::write(&path, &before.as_ref().unwrap()[..length]).unwrap(),
            Change::Gone => fs::remove_file(&path).unwrap(),
        }
        let (args, input) = case.args.split_once(" < ").unwrap_or((case.args, ""));
        let args: Vec<&str> = args.split_whitespace().collect();
        let ended =
            if input.is_empty() { mtl(self.path(), &args) } else { mtl_reads(self.path(), &args, input.as_bytes()) };
        match before {
            Some(before) => fs::write(&path, before).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        ended
    }

    /// Runs every case and tells all that went wrong.
    pub fn check(&self, cases: &[Case]) {
        let mut wrong = Vec::new();
        for case in cases {
            let ended = self.run(case);
            if std::env::var_os("SHOW").is_some() {
                println!("--- {} [{}]\n{}", case.args, ended.code.unwrap_or(-1), ended.stderr);
            }
            let own = !ended.stderr.contains("For more information, try '--help'");
            let form: &[&str] = if own { &["error: ", "found ", "expected ", "  help: "] } else { &["error: "] };
            let missing: Vec<_> = form.iter().chain(case.says).filter(|text| !ended.stderr.contains(**text)).collect();
            let panicked = ended.stderr.contains("panicked") || ended.stderr.contains("a bug in mtl-zoo");
            if ended.code != Some(case.code) || !missing.is_empty() || panicked || !ended.stdout.is_empty() {
                wrong.push(format!(
                    "{} ({}): code {:?}, no {missing:?} in\n{}{}",
                    case.args, case.file, ended.code, ended.stderr, ended.stdout
                ));
            }
        }
        assert!(wrong.is_empty(), "{} of {} cases\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    }

    /// Trains the good recipe; what is refused below is not refused for another reason.
    pub fn checkpoint(&self) -> PathBuf {
        mtl(self.path(), &["finetune", "base.toml", "--out", "run"]).ok();
        self.path().join("run/checkpoint")
    }
}

#[test]
fn there_are_enough_cases() {
    let counts =
        [bad_recipes::CASES.len(), bad_data::CASES.len(), bad_arguments::CASES.len(), bad_checkpoints::CASES.len()];
    assert!(counts.iter().sum::<usize>() >= 100, "{counts:?}");
}

#[test]
fn the_good_input_is_good() {
    let fixture = Fixture::new();
    mtl(fixture.path(), &["finetune", "base.toml", "--dry-run"]).ok();
}
