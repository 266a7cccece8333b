//! Recipes that cannot be used as written.

use super::Change::{self, *};
use super::{Case, Fixture};

const fn recipe(change: Change, says: &'static [&'static str]) -> Case {
    Case { file: "base.toml", change, args: "finetune base.toml --dry-run", code: 2, says }
}

const STEPS: &str = "steps = 2";
const MOOD: &str = "type = \"classification\"";
const STARS: &str = "type = \"regression\"";
const NAMES: &str = "type = \"token_classification\"";

#[rustfmt::skip]
pub(crate) const CASES: &[Case] = &[
    // TOML
    recipe(Bytes(b""), &["base.toml:1:", "tasks"]),
    recipe(Bytes(b"[tasks.a\n"), &["base.toml:1:", "`[tasks.a`", "valid TOML"]),
    recipe(Bytes(b"name = \"\xff\"\n"), &["base.toml:1:", "not UTF-8", "save the file as UTF-8"]),
    recipe(Swap(STEPS, "steps = 2\nsteps = 3"), &["base.toml:9:", "duplicate key", "keep one of the two"]),
    recipe(Swap(STEPS, "steps = two"), &["base.toml:8:", "`steps = two`", "text goes in quotes"]),
    // Keys and types
    recipe(Swap("name = ", "nam = "), &["base.toml:1: `nam`", "an unknown key", "did you mean `name`?"]),
    recipe(Swap("learning_rate", "learnin_rate"), &["base.toml:10: `training.learnin_rate`", "did you mean `learning_rate`?"]),
    recipe(Swap("[training]", "[trainig]"), &["base.toml:7: `trainig`", "did you mean `training`?"]),
    recipe(Swap("max_tokens = 16", "max_tokens = 16\nseed = 1"), &["base.toml:6: `backbone.seed`", "did you mean `training.seed`?"]),
    recipe(Swap(STEPS, "steps = \"two\""), &["base.toml:8: `training.steps`", "found \"two\"", "a whole number"]),
    recipe(Swap(STEPS, "steps = 2.5"), &["base.toml:8: `training.steps`", "found 2.5", "a whole number"]),
    recipe(Swap("id = \"./tiny\"", "id = 7"), &["base.toml:4: `backbone.id`", "found 7", "text in quotes"]),
    recipe(Swap("columns = { label = \"score\" }", "columns = \"score\""), &["base.toml:20: `tasks.stars.columns`"]),
    recipe(Swap("columns = { label", "columns = { lable"), &["base.toml:20: `tasks.stars.columns.lable`", "did you mean `label`?"]),
    // Training
    recipe(Swap(STEPS, "steps = 0"), &["base.toml:8: `training.steps`", "found 0", "1 or more", "leave it out"]),
    recipe(Swap(STEPS, "steps = -1"), &["base.toml:8: `training.steps`", "found -1"]),
    recipe(Swap(STEPS, "epochs = 0.0"), &["base.toml:8: `training.epochs`", "a number above 0"]),
    recipe(Swap(STEPS, "accumulate = 0"), &["base.toml:8: `training.accumulate`", "1 or more"]),
    recipe(Swap(STEPS, "warmup = 2.0"), &["base.toml:8: `training.warmup`", "a share of all steps"]),
    recipe(Swap(STEPS, "clip = -1.0"), &["base.toml:8: `training.clip`", "0 turns clipping off"]),
    recipe(Swap(STEPS, "betas = [0.9, 1.0]"), &["base.toml:8: `training.betas`", "[0.9, 0.999] is usual"]),
    recipe(Swap(STEPS, "betas = [0.9]"), &["base.toml:8: `training.betas`"]),
    recipe(Swap(STEPS, "schedule = \"liner\""), &["base.toml:8: `training.schedule`", "did you mean `linear`?"]),
    recipe(Swap(STEPS, "seed = 99999999999999999999"), &["base.toml:8: `training.seed`", "write a smaller number"]),
    recipe(Swap(STEPS, "threads = 0"), &["base.toml:8: `training.threads`", "all cores"]),
    recipe(Swap(STEPS, "dtype = \"f8\""), &["base.toml:8: `training.dtype`", "found \"f8\"", "`f32`, `bf16` or `f16`"]),
    recipe(Swap(STEPS, "dtype = \"f16\""), &["base.toml: `training.dtype`", "the CPU computes", "write `dtype = \"bf16\"`"]),
    recipe(Swap("learning_rate = 1e-3", "learning_rate = 0.0"), &["base.toml:10: `training.learning_rate`", "a number above 0"]),
    recipe(Swap("learning_rate = 1e-3", "learning_rate = nan"), &["base.toml:10: `training.learning_rate`"]),
    recipe(Swap("batch_tokens = 64", "batch_tokens = 15"), &["base.toml:9: `training.batch_tokens`", "backbone.max_tokens = 16"]),
    // Backbone
    recipe(Swap("max_tokens = 16", "max_tokens = 33"), &["base.toml: `backbone.max_tokens`", "found 33", "at most 32", "write `max_tokens = 32`"]),
    recipe(Swap("max_tokens = 16", "max_tokens = 2"), &["`backbone.max_tokens`", "found 2"]),
    recipe(Swap("max_tokens = 16", "freeze = \"al\""), &["base.toml:5: `backbone.freeze`", "\"embeddings\", \"all\" or a number of layers"]),
    recipe(Swap("max_tokens = 16", "max_tokens = 16\nfreeze = 2"), &["base.toml: `backbone.freeze`", "found 2", "at most 1"]),
    recipe(Swap("max_tokens = 16", "dropout = 1.0"), &["base.toml:5: `backbone.dropout`", "0.1 is usual"]),
    recipe(Swap("max_tokens = 16", "revision = \"v1\""), &["base.toml:5: `backbone.revision`", "of a folder", "remove `backbone.revision`"]),
    recipe(Swap("./tiny", "org/name@"), &["base.toml:4: `backbone.id`", "`ID@REVISION`"]),
    // Sampling and balancing
    recipe(Swap("[training]", "[sampling]\nmethod = \"unifrom\"\n[training]"), &["base.toml:8: `sampling.method`", "did you mean `uniform`?"]),
    recipe(Swap("[training]", "[sampling]\nmethod = \"fixed\"\nweights = { mood = 1 }\n[training]"), &["no weight for task `stars`", "add `stars = 1.0`"]),
    recipe(Swap("[training]", "[sampling]\nmethod = \"temperature\"\ntemperature = 0\n[training]"), &["base.toml:9: `sampling.temperature`", "1 is proportional"]),
    recipe(Swap("[training]", "[balance]\nmethod = \"gradnrm\"\n[training]"), &["base.toml:8: `balance.method`", "did you mean `gradnorm`?"]),
    recipe(Swap("[training]", "[balance]\nmethod = \"cagrad\"\nc = -1\n[training]"), &["base.toml:9: `balance.c`", "found -1", "a number, 0 or more"]),
    recipe(Swap("[training]", "[balance]\nmethod = \"mgda\"\nc = 1\n[training]"), &["base.toml:9: `balance.c`", "`c` belongs to `cagrad`"]),
    recipe(Swap("[training]", "[balance]\nmethod = \"db_mtl\"\nlevel = \"representation\"\n[training]"), &["base.toml:9: `balance.level`", "\"trunk\" or \"layers\" with `db_mtl`"]),
    recipe(Swap("[training]", "[balance]\nmethod = \"mgda\"\nlevel = \"representation\"\n[training]\naccumulate = 2"), &["base.toml:11: `training.accumulate`", "found 2", "1 with `balance.level = \"representation\"`"]),
    recipe(Swap("[training]", "[balance]\nmethod = \"krum\"\nbyzantine = 1\n[training]"), &["base.toml:9: `balance.byzantine`", "the number of tasks less three"]),
    recipe(Swap("[training]", "[balance]\nmethod = \"search\"\ntrials = 0\n[training]"), &["base.toml:9: `balance.trials`", "found 0", "1 or more"]),
    recipe(Swap("[training]", "[balance]\nmethod = \"fixed\"\nweights = { mod = 1 }\n[training]"), &["base.toml:9: `balance.weights.mod`", "did you mean `mood`?"]),
    recipe(Swap("[training]", "[checkpoint]\ndtype = \"f8\"\n[training]"), &["base.toml:8: `checkpoint.dtype`", "found \"f8\"", "`bf16`"]),
    // Tasks
    recipe(Swap(MOOD, "type = \"clasification\""), &["base.toml:13: `tasks.mood.type`", "did you mean `classification`?"]),
    recipe(Swap(MOOD, ""), &["base.toml:12: `tasks.mood", "type"]),
    recipe(Swap("train = \"mood.csv\"", ""), &["base.toml:12: `tasks.mood", "train"]),
    recipe(Swap("[tasks.mood]", "[tasks.\"my mood\"]"), &["base.toml:12: `tasks.\"my mood\"`", "rename the task"]),
    recipe(Swap(MOOD, "card = \"vader-amazn\""), &["base.toml:13: `tasks.mood.card`", "did you mean `vader-amazon`?"]),
    recipe(Swap("train = \"mood.csv\"", "train = []"), &["base.toml:14: `tasks.mood.train`", "at least one file"]),
    recipe(Swap("validation = 0.25", "validation = 1.5"), &["base.toml:15: `tasks.mood.validation`", "a fraction above 0 and below 1"]),
    recipe(Swap("validation = 0.25", "validation = 0.95"), &["base.toml: `tasks.mood`", "6 rows of which 6 are taken out", "lower the fractions"]),
    recipe(Swap("validation = 0.25", "validation = 0.5\ntest = 0.5"), &["base.toml:15: `tasks.mood.validation`", "a sum below 1"]),
    recipe(Swap(MOOD, "type = \"classification\"\nlimit = 0"), &["base.toml:14: `tasks.mood.limit`", "1 or more"]),
    recipe(Swap(MOOD, "type = \"classification\"\nweight = 0"), &["base.toml:14: `tasks.mood.weight`", "to leave a task out, remove it"]),
    recipe(Swap(MOOD, "type = \"classification\"\ndropout = -0.1"), &["base.toml:14: `tasks.mood.dropout`"]),
    recipe(Swap(MOOD, "type = \"classification\"\nformat = \"xls\""), &["base.toml:14: `tasks.mood.format`", "found \"xls\"", "`parquet`"]),
    recipe(Swap(MOOD, "type = \"classification\"\npooling = \"pooler\""), &["base.toml: `tasks.mood.pooling`", "no pooler", "write `pooling = \"mean\"`"]),
    recipe(Swap(MOOD, "type = \"classification\"\nlabels = [\"good\"]"), &["base.toml:14: `tasks.mood.labels`", "at least 2 labels"]),
    recipe(Swap(MOOD, "type = \"classification\"\nlabels = [\"good\", \"good\"]"), &["`tasks.mood.labels[1]`", "each label once"]),
    recipe(Swap(MOOD, "type = \"classification\"\nlabel_smoothing = 1.0"), &["base.toml:14: `tasks.mood.label_smoothing`", "0.1 is usual"]),
    recipe(Swap(MOOD, "type = \"classification\"\nclass_weights = { god = 2 }"), &["base.toml: `tasks.mood.class_weights`", "god", "bad, good"]),
    recipe(Swap(MOOD, "type = \"classification\"\nmetrics = [\"acuracy\"]"), &["base.toml:14: `tasks.mood.metrics[0]`", "did you mean `accuracy`?"]),
    recipe(Swap(MOOD, "type = \"classification\"\nmetrics = [\"pearson\"]"), &["base.toml:14: `tasks.mood.metrics[0]`", "a metric of classification"]),
    recipe(Swap(STARS, "type = \"regression\"\nmetrics = [\"mse\", \"mse\"]"), &["base.toml:19: `tasks.stars.metrics[1]`", "each metric once"]),
    recipe(Swap(STARS, "type = \"regression\"\nlabels = [\"a\", \"b\"]"), &["base.toml:19: `tasks.stars.labels`", "remove `labels`"]),
    recipe(Swap(STARS, "type = \"regression\"\nclass_weights = \"balanced\""), &["base.toml:19: `tasks.stars.class_weights`", "remove `class_weights`"]),
    recipe(Swap(NAMES, "type = \"token_classification\"\ncolumns = { pair = \"b\" }"), &["base.toml:25: `tasks.names.columns.pair`", "remove `pair`"]),
];

#[test]
fn bad_recipes() {
    Fixture::new().check(CASES);
}
