//! Arguments that cannot be used.

use super::Change::Bytes;
use super::{Case, Fixture};

const fn args(args: &'static str, says: &'static [&'static str]) -> Case {
    Case { file: "unused", change: Bytes(b""), args, code: 2, says }
}

#[rustfmt::skip]
pub(crate) const CASES: &[Case] = &[
    // Which recipe
    args("finetune", &["`RECIPE`", "no recipe and no `--tasks`", "mtl-zoo finetune sentiment"]),
    args("finetune base.toml --tasks mod", &["`tasks`: found `mod`", "a task of the recipe", "did you mean `mood`?"]),
    args("finetune bas.toml", &["bas.toml: found no such file", "check the path"]),
    args("finetune sentimnt", &["sentimnt: found no such file", "did you mean `sentiment`?"]),
    args("finetune tiny", &["tiny: `RECIPE`: found a folder", "a recipe file"]),
    args("finetune run", &["run: `RECIPE`: found a folder", "--resume run"]),
    args("finetune --tasks vader-amazn", &["--tasks vader-amazn", "did you mean `vader-amazon`?"]),
    args("finetune --tasks vader-nyt,vader-nyt", &["`vader-nyt` twice", "each task once"]),
    // Flags
    args("finetune base.toml --device metal", &["`--device`: found `metal`", "expected `auto`", "on the CPU"]),
    args("finetune base.toml --device cuda:x", &["`--device`: found `cuda:x`", "from 0"]),
    args("finetune base.toml --device gpu", &["`--device`: found `gpu`", "write `--device cuda`"]),
    args("finetune base.toml --dtype f64", &["invalid value 'f64'", "[possible values: f32, bf16, f16]"]),
    args("finetune base.toml --seed -1", &["--seed: `training.seed`: found -1", "0 or more"]),
    args("finetune base.toml --seed one", &["invalid value 'one'", "--seed"]),
    args("finetune base.toml --threads 0", &["--threads: `training.threads`: found 0", "all cores"]),
    args("finetune base.toml --balance unwritten", &["--balance: `balance.method`: found \"unwritten\"", "`equal`"]),
    args("finetune base.toml --balance fixed", &["weights"]),
    args("finetune base.toml --set training.seed", &["--set training.seed", "a key, `=` and a value"]),
    args("finetune base.toml --set training.sed=1", &["--set training.sed=1: `training.sed`", "did you mean `seed`?"]),
    args("finetune base.toml --set training.seed=x", &["--set training.seed=x: `training.seed`", "a whole number"]),
    args("finetune base.toml --set tasks.mod.limit=1", &["no task `mod`", "did you mean `mood`?"]),
    args("finetune base.toml --set tasks.mood.labels=[x", &["a TOML list or inline table"]),
    args("finetune base.toml --set name.x=1", &["`name`", "a table that may hold `x`"]),
    args("finetune base.toml --step 3", &["unexpected argument '--step'"]),
    args("finetune base.toml --out tiny/config.json", &["tiny/config.json: `--out`: found a file", "a folder for the run"]),
    // Runs
    args("finetune base.toml --out run", &["run: found a run already", "--resume run"]),
    args("finetune --resume nowhere", &["nowhere: `--resume`: found no such folder", "runs/sentiment"]),
    args("finetune --resume tiny", &["tiny: `--resume`: found a folder without recipe.toml"]),
    args("finetune --resume run", &["run: found no saved state", "a run that ended has none"]),
    args("finetune --resume run --seed 1", &["`--seed` beside `--resume`", "start a new run"]),
    args("finetune base.toml --resume run", &["a recipe beside `--resume`"]),
    args("finetune --resume run --set training.steps=9", &["`--set` beside `--resume`"]),
    // Studies
    args("study base.toml --methods cagrd", &["`--methods`: found `cagrd`", "did you mean `cagrad`?"]),
    args("study base.toml --methods fixed", &["`--methods`: found `fixed`", "`search`"]),
    args("study base.toml --fractions 1.5", &["`--fractions`: found 1.5", "numbers between 0 and 1"]),
    args("study base.toml --target mod", &["`--target`: found `mod`", "`mood`"]),
    args("study base.toml --tasks mood", &["found one task", "at least two", "mtl-zoo finetune"]),
    args("study base.toml --seeds 0", &["'--seeds <N>'", "at least 1"]),
    args("study base.toml --out tiny/config.json", &["tiny/config.json: `--out`: found a file", "a folder for the study"]),
    // Exports
    args("export run/checkpoint --format transformers --out new", &["`--head`: found 3 heads: `mood`, `stars`, `names`", "one of them"]),
    args("export run/checkpoint --format transformers --head mod --out new", &["`--head`: found `mod`", "did you mean `mood`?"]),
    args("export run/checkpoint --format transformers --head mood --pooling cls --out new", &["`--pooling`: found pooling \"cls\"", "leave --pooling out"]),
    args("export run/checkpoint --format sentence-transformers --pooling pooler --out new", &["`--pooling`", "the backbone has none"]),
    args("export run/checkpoint --format sentence-transformers --head names --out new", &["the head `names`, which reads every token"]),
    args("export run/checkpoint --format transformers --head mood --out run/checkpoint", &["run/checkpoint: found a folder with other files", "an export"]),
    args("export run/checkpoint --format transformers --head mood --out base.toml", &["base.toml: found a file", "a new folder"]),
    args("export run/checkpoint --format onnx --head mood --out new", &["`--format`: found onnx", "optimum-cli export onnx --model model new", "--head mood"]),
    args("export run/checkpoint --format tflite --out new", &["invalid value 'tflite'", "transformers, sentence-transformers, onnx"]),
    args("export run/checkpoint --format transformers --head mood --dtype f64 --out new", &["invalid value 'f64'", "f32, f16, bf16"]),
    args("export run/checkpoint --format transformers", &["--out <DIR>"]),
    // Other commands
    args("predict run/checkpoint hello --head mod", &["`--head`: found `mod`", "did you mean `mood`?"]),
    args("predict run/checkpoint --input gone.txt", &["gone.txt: `--input`: found no such file"]),
    args("predict run/checkpoint --input tiny", &["tiny: `--input`: found a folder"]),
    args("predict run/checkpoint hello --input base.toml", &["cannot be used with"]),
    args("predict run/checkpoint --pair hello", &["required arguments were not provided"]),
    args("predict run/checkpoint hello --pair you", &["no head can read", "`mood` single texts"]),
    args("predict run/checkpoint hello --format xml", &["invalid value 'xml'", "jsonl"]),
    args("predict", &["<CHECKPOINT>"]),
    args("eval run/checkpoint --head mod", &["`--head`: found `mod`", "did you mean `mood`?"]),
    args("eval run/checkpoint --split test --data stars.tsv", &["cannot be used with"]),
    args("eval run/checkpoint --split tests", &["invalid value 'tests'", "a similar value exists: 'test'"]),
    args("eval run/checkpoint", &["no task with a test split", "choose another `--split`"]),
    args("show sentimnt", &["`sentimnt`, which is no card", "did you mean `sentiment`?"]),
    args("list task", &["invalid value 'task'", "tasks"]),
    args("completions tcsh", &["invalid value 'tcsh'", "bash"]),
    args("fintune base.toml", &["unrecognized subcommand 'fintune'", "finetune"]),
];

#[test]
fn bad_arguments() {
    let fixture = Fixture::new();
    fixture.checkpoint();
    fixture.check(CASES);
}

#[test]
fn no_arguments_are_answered_with_help() {
    let ended = super::mtl(Fixture::new().path(), &[]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("Usage: mtl-zoo <COMMAND>"), "{}", ended.stderr);
}
