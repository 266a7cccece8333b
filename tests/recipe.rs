//! Recipes: what is read, what is written, and what a person is told when a recipe cannot be used.
#![cfg(feature = "train")]

use mtl_zoo::catalog::Catalog;
use mtl_zoo::error::{Error, Result};
use mtl_zoo::recipe::{
    Balance, BalanceMethod, Balanced, CardKind, CheckpointDtype, ClassWeights, Files, Freeze, Level, Override,
    ParameterValue, Pooling, Recipe, RecipeSource, Sampling, Schedule, Split, TaskType,
};
use std::path::Path;

/// A task that needs nothing else.
const TASK: &str = "[tasks.a]\ntype = \"classification\"\ntrain = \"a.csv\"\n";

fn load(text: &str, overrides: &[&str]) -> Result<Recipe> {
    let overrides = overrides.iter().map(|text| Override::parse(text)).collect::<Result<Vec<_>>>()?;
    let source = RecipeSource::Text { name: "r.toml", text, folder: "/data".into() };
    Recipe::load(source, &overrides, &Catalog::built_in())
}

fn good(text: &str, overrides: &[&str]) -> Recipe {
    load(text, overrides).unwrap_or_else(|error| panic!("{error}"))
}

fn message(result: Result<Recipe>) -> String {
    result.expect_err("a bad recipe was taken").to_string()
}

/// Asserts that the parts are in the text, in their order.
fn assert_in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let Some(at) = rest.find(part) else { panic!("no `{part}` (or not there) in:\n{text}\n") };
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn the_smallest_recipe_has_every_default() {
    let recipe = good(TASK, &[]);
    assert_eq!(recipe.name.as_deref(), Some("r"));
    assert_eq!(recipe.backbone.id, "bundled");
    assert_eq!(recipe.training.learning_rate, 5e-5);
    assert_eq!(recipe.sampling, Sampling::Proportional {});
    assert_eq!(recipe.balance, Balance::new("equal"));
    let task = &recipe.tasks["a"];
    assert_eq!(task.kind, TaskType::Classification);
    assert_eq!(task.train, Files::One("/data/a.csv".into()));
    assert_eq!(task.validation, Split::Fraction(0.1));
    assert_eq!((task.dropout, task.weight, task.pooling), (0.1, 1.0, Pooling::Mean));
}

#[test]
fn a_resolved_recipe_is_read_as_itself() {
    for recipe in [good(TASK, &[]), good(FULL, &[])] {
        let text = recipe.to_toml();
        // Nothing in it depends on where it lies or on cards.
        let source = RecipeSource::Text { name: "elsewhere.toml", text: &text, folder: "/other".into() };
        let again = Recipe::load(source, &[], &()).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(recipe, again, "{text}");
        assert_eq!(text, again.to_toml());
    }
    let text = good(TASK, &[]).to_toml();
    for default in [
        "name = \"r\"",
        "seed = 0",
        "learning_rate = 0.00005",
        "betas = [0.9, 0.999]",
        "method = \"equal\"",
        "level = \"trunk\"",
        "every = 1\n",
        "dropout = 0.1\n",
    ] {
        assert!(text.contains(default), "no `{default}` in:\n{text}");
    }
}

/// Every field of a recipe.
const FULL: &str = r#"
name = "everything"
checkpoint.dtype = "bf16"

[backbone]
id = "org/name@abc"
max_tokens = 64
dropout = 0.2
attention_dropout = 0.0
freeze = 2

[training]
seed = 9_007_199_254_740_993
epochs = 2
steps = 10
batch_tokens = 256
accumulate = 2
learning_rate = 1e-4
head_learning_rate = 1e-3
layer_decay = 0.9
weight_decay = 0
betas = [0.8, 0.99]
epsilon = 1e-7
schedule = "cosine"
warmup = 0.06
clip = 0.5
evaluate_every = 5
patience = 3
save_every = 2
dtype = "f32"
threads = 2

[sampling]
method = "fixed"
weights = { one = 1, two = 0.3, tags = 0 }

[balance]
method = "fixed"
weights.one = 2.5

[tasks.one]
type = "classification"
train = ["x.csv", "../y.csv"]
validation = "v.csv"
test = 0.25
format = "csv"
columns = { text = "Satz", pair = "zweiter Satz", label = "ä", tokens = "t", tags = "g", separator = "," }
labels = ["no", "y\"es\n"]
limit = 100
split_seed = 7
pooling = "cls"
dropout = 0.3
weight = 0.7
class_weights = { no = 0.1 }
label_smoothing = 0.1
metrics = ["macro_f1", "accuracy"]

[tasks.two]
type = "multi_label"
train = "/abs/x.jsonl"
validation = 0.2
class_weights = "balanced"

[tasks.tags]
type = "token_classification"
train = "t.jsonl"
test = ["t1.parquet", "t2.parquet"]
metrics = ["entity_f1"]
"#;

#[test]
fn every_field_arrives() {
    let recipe = good(FULL, &[]);
    assert_eq!(recipe.name.as_deref(), Some("everything"));
    assert_eq!(recipe.checkpoint.dtype, CheckpointDtype::Bf16);
    assert_eq!((recipe.backbone.id.as_str(), recipe.backbone.revision.as_deref()), ("org/name", Some("abc")));
    assert_eq!(recipe.backbone.freeze, Freeze::Layers(2));
    assert_eq!(recipe.training.seed, 9_007_199_254_740_993);
    assert_eq!(recipe.training.schedule, Schedule::Cosine);
    assert_eq!(recipe.tasks.keys().collect::<Vec<_>>(), ["one", "two", "tags"]);
    let one = &recipe.tasks["one"];
    assert_eq!(one.train, Files::Many(vec!["/data/x.csv".into(), "/y.csv".into()]));
    assert_eq!(one.labels.as_deref(), Some(&["no".to_owned(), "y\"es\n".to_owned()][..]));
    assert_eq!(one.label_smoothing, 0.1);
    let two = &recipe.tasks["two"];
    assert_eq!(two.train, Files::One("/abs/x.jsonl".into()));
    assert_eq!(two.class_weights, Some(ClassWeights::Named(Balanced::Balanced)));
}

#[test]
fn overrides_win_in_their_order() {
    let recipe = good(
        FULL,
        &[
            "training.seed=1",
            "training.seed = 2",
            "training.schedule=constant",
            "tasks.one.limit=5",
            "tasks.two.labels=[\"x\", \"y\"]",
            "tasks.two.class_weights={ x = 2 }",
            "sampling.method=temperature",
            "balance.method=equal",
        ],
    );
    assert_eq!(recipe.training.seed, 2);
    assert_eq!(recipe.training.schedule, Schedule::Constant);
    assert_eq!(recipe.tasks["one"].limit, Some(5));
    assert_eq!(recipe.tasks["two"].labels.as_ref().unwrap().len(), 2);
    // Another method does not take the numbers of the one before.
    assert_eq!(recipe.sampling, Sampling::Temperature { temperature: 2.0 });
    assert_eq!(recipe.balance, Balance::new("equal"));

    // Files named on the command line are those of the current folder.
    let recipe = good(TASK, &["tasks.a.train=mine.csv"]);
    assert_eq!(recipe.tasks["a"].train, Files::One(std::env::current_dir().unwrap().join("mine.csv")));
}

#[test]
fn balancing_methods_have_their_parameters() {
    let balance = |text: &str, overrides: &[&str]| good(&format!("[balance]\n{text}\n{TASK}"), overrides).balance;
    let mut cagrad = Balance::new("cagrad");
    assert_eq!(balance("method = \"cagrad\"", &[]), cagrad);
    cagrad.parameters.insert("c".into(), ParameterValue::Number(1.0));
    (cagrad.level, cagrad.every) = (Level::Layers, 4);
    // A whole number is a number.
    assert_eq!(balance("method = \"cagrad\"\nc = 1\nlevel = \"layers\"\nevery = 4", &[]), cagrad);
    // Another method does not take the parameters of the one before, but what all of them have.
    let other = balance("method = \"cagrad\"\nc = 1\nlevel = \"layers\"\nevery = 4", &["balance.method=dwa"]);
    assert_eq!(other, Balance { level: Level::Layers, every: 4, ..Balance::new("dwa") });
    let same = balance("method = \"cagrad\"\nc = 1", &["balance.method=cagrad", "balance.every=2"]);
    assert_eq!(same, Balance { level: Level::Trunk, every: 2, ..cagrad });
    let fixed = balance("method = \"dwa\"\nperiod = 2", &["balance.method=fixed", "balance.weights.a=2"]);
    assert_eq!(fixed, Balance::fixed([("a".to_owned(), 2.0)].into_iter().collect()));
}

#[test]
fn every_balancing_method_is_read_as_it_was_written() {
    for method in BalanceMethod::ALL {
        let weights = if method.name == "fixed" { "weights = { a = 2 }" } else { "" };
        let recipe = good(&format!("[balance]\nmethod = \"{}\"\n{weights}\n{TASK}", method.name), &[]);
        let text = recipe.to_toml();
        for parameter in method.parameters {
            assert!(text.contains(&format!("\n{} = ", parameter.name)), "{} in {text}", parameter.name);
            assert!(parameter.accepts(&parameter.default_value()), "{}: {}", method.name, parameter.name);
        }
        assert_eq!(good(&text, &[]), recipe, "{text}");
        let json = serde_json::to_string(&recipe).unwrap();
        assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), recipe, "{json}");
    }
}

#[test]
fn weights_of_absent_tasks_are_dropped() {
    let two = format!("{TASK}{}", TASK.replace("tasks.a", "tasks.b"));
    let mut recipe = good(&format!("[balance]\nmethod = \"fixed\"\nweights = {{ a = 2, b = 3 }}\n{two}"), &[]);
    recipe.keep_tasks(&["b".into()]).unwrap();
    assert_eq!(recipe.balance, Balance::fixed([("b".to_owned(), 3.0)].into_iter().collect()));
}

#[test]
fn another_backbone_drops_the_revision_only() {
    let text = format!("[backbone]\nid = \"org/a\"\nrevision = \"r1\"\nmax_tokens = 32\n{TASK}");
    for path in ["backbone=org/b", "backbone.id=org/b"] {
        let backbone = good(&text, &[path]).backbone;
        assert_eq!((backbone.id.as_str(), backbone.revision, backbone.max_tokens), ("org/b", None, 32));
    }
    let backbone = good(&text, &["backbone.id=org/b@r2"]).backbone;
    assert_eq!((backbone.id.as_str(), backbone.revision.as_deref()), ("org/b", Some("r2")));
    let backbone = good(&format!("backbone = \"org/a\"\n{TASK}"), &["backbone.max_tokens=16"]).backbone;
    assert_eq!((backbone.id.as_str(), backbone.max_tokens), ("org/a", 16));
    let backbone = good(&format!("backbone = \"./models/mine\"\n{TASK}"), &[]).backbone;
    assert_eq!(backbone.id, "/data/models/mine");
}

#[test]
fn cards_give_what_a_task_does_not_say() {
    let text = "[tasks.mine]\ncard = \"vader-nyt\"\nlimit = 10\ntrain = \"mine.tsv\"\ncolumns.label = \"rating\"\n";
    let recipe = good(text, &["tasks.mine.weight=2"]);
    let task = &recipe.tasks["mine"];
    assert_eq!((task.card.as_deref(), task.from_card.as_deref()), (None, Some("vader-nyt")));
    assert_eq!((task.kind, task.limit, task.weight), (TaskType::Regression, Some(10), 2.0));
    assert_eq!(task.train, Files::One("/data/mine.tsv".into()));
    assert_eq!((task.columns.text.as_str(), task.columns.label.as_str()), ("text", "rating"));
    let Some(Split::Files(Files::One(test))) = &task.test else { panic!("{task:?}") };
    assert!(test.is_absolute() && test.ends_with("bundled/data/nyt.test.tsv") && test.is_file(), "{test:?}");
}

#[test]
fn task_cards_alone_make_a_recipe() {
    let catalog = Catalog::built_in();
    let names = ["vader-amazon".to_owned(), "vader-nyt".to_owned()];
    let load = |overrides: &[Override]| {
        Recipe::load(RecipeSource::Tasks { names: &names, folder: ".".into() }, overrides, &catalog)
    };
    let recipe = load(&[Override::parse("tasks.vader-amazon.limit=100").unwrap()]).unwrap();
    assert_eq!(recipe.name.as_deref(), Some("vader-amazon-vader-nyt"));
    assert_eq!(recipe.backbone.id, "bundled");
    assert_eq!(recipe.tasks["vader-amazon"].limit, Some(100));
    let error = load(&[Override::new("training.seed", -1, "--seed -1")]).unwrap_err();
    assert!(matches!(error, Error::Argument(_)));
    assert_in_order(&error.to_string(), &["--seed -1: `training.seed`: found -1, expected a whole number, 0 or more"]);

    for (names, parts) in [
        (
            vec!["vader-amazn"],
            ["--tasks vader-amazn: found `vader-amazn`", "expected one of the ", "did you mean `vader-amazon`?"],
        ),
        (
            vec!["vader-nyt", "vader-nyt"],
            ["--tasks vader-nyt,vader-nyt: found `vader-nyt` twice", "expected each", "remove"],
        ),
        (vec![], ["found no task", "expected at least one task", "mtl-zoo list tasks"]),
    ] {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let source = RecipeSource::Tasks { names: &names, folder: ".".into() };
        assert_in_order(&message(Recipe::load(source, &[], &catalog)), &parts);
    }
}

#[test]
fn recipes_are_files_or_cards() {
    let catalog = Catalog::built_in();
    let load = |path: &str| Recipe::load(RecipeSource::File(Path::new(path)), &[], &catalog);
    let by_name = load("sentiment").unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("zoo/recipes/sentiment.toml");
    assert_eq!(by_name.tasks.len(), 4);
    assert_eq!(by_name.training, load(file.to_str().unwrap()).unwrap().training);
    assert_in_order(
        &message(load("sentimant")),
        &["sentimant: found no such file", "`sentiment`", "did you mean `sentiment`?"],
    );
    assert_in_order(
        &message(load("no/such.toml")),
        &["no/such.toml: found no such file", "expected a recipe file", "help: check the path"],
    );

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("my run.toml");
    std::fs::write(&file, format!("\u{feff}{TASK}")).unwrap();
    let recipe = load(file.to_str().unwrap()).unwrap();
    assert_eq!(recipe.name.as_deref(), Some("my run"));
    assert_eq!(recipe.tasks["a"].train, Files::One(folder.path().join("a.csv")));
    std::fs::write(&file, b"a = 1\nb = \"\xff\"\n").unwrap();
    assert_in_order(&message(load(file.to_str().unwrap())), &["my run.toml:2: found bytes that are not UTF-8"]);
    assert!(matches!(load(folder.path().to_str().unwrap()), Err(Error::Io { .. })));
}

#[test]
fn errors_in_a_card_name_the_card() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("tasks")).unwrap();
    let card = |text: &str| {
        std::fs::write(folder.path().join("tasks/mine.toml"), text).unwrap();
        let mut catalog = Catalog::built_in();
        catalog.add_folder(folder.path()).unwrap();
        let source =
            RecipeSource::Text { name: "r.toml", text: "[tasks.x]\ncard = \"mine\"\n", folder: "/data".into() };
        Recipe::load(source, &[], &catalog)
    };
    let head = "description = \"d\"\nlicense = \"mit\"\nsource = \"s\"\n";
    let task = "[task]\ntype = \"regression\"\ntrain = \"x.csv\"\n";
    let recipe = card(&format!("{head}{task}")).unwrap();
    assert_eq!(recipe.tasks["x"].train, Files::One(folder.path().join("tasks/x.csv")));
    let parts = ["tasks/mine.toml:7: `tasks.x.dropout`: found 1.5, expected a number from 0"];
    assert_in_order(&message(card(&format!("{head}{task}dropout = 1.5\n"))), &parts);
    let parts = ["tasks/mine.toml:7: `tasks.x.limits`: found an unknown key", "did you mean `limit`?"];
    assert_in_order(&message(card(&format!("{head}{task}limits = 1\n"))), &parts);
    assert_in_order(
        &message(card(&format!("{head}{task}card = \"b\"\n"))),
        &["mine.toml:7: `task.card`: found a card that names"],
    );
    assert_in_order(&message(card(head)), &["mine.toml:1: found no table `[task]`", "expected", "help: write"]);
    assert_in_order(&message(card("x = \n")), &["mine.toml:1: found `x =`, expected valid TOML", "help:"]);
}

#[test]
fn tasks_can_be_picked() {
    let mut recipe = good(FULL, &[]);
    recipe.keep_tasks(&["two".into(), "one".into()]).unwrap();
    assert_eq!(recipe.tasks.keys().collect::<Vec<_>>(), ["one", "two"]);
    let Sampling::Fixed { weights } = &recipe.sampling else { panic!() };
    assert_eq!(weights.len(), 2);
    let error = recipe.keep_tasks(&["tow".into()]).unwrap_err().to_string();
    assert_in_order(
        &error,
        &["`tasks`: found `tow`", "expected a task of the recipe: `one` or `two`", "did you mean `two`?"],
    );
}

#[test]
fn a_recipe_made_by_a_program_is_checked() {
    let mut recipe = good(TASK, &[]);
    recipe.training.learning_rate = f64::NAN;
    assert_in_order(
        &recipe.validate().unwrap_err().to_string(),
        &["`training.learning_rate`: found NaN, expected a number above 0"],
    );
    assert_in_order(&Recipe::default().validate().unwrap_err().to_string(), &["`tasks`: found no task"]);
    assert_eq!(CardKind::ALL.map(CardKind::folder), ["backbones", "tasks", "recipes", "checkpoints"]);
}

/// A recipe, and what its error says in order: file, line and key; found; expected; remedy.
type Bad = (&'static str, [&'static str; 4]);

/// Recipes in which `TASK` follows the text.
#[rustfmt::skip]
const BEFORE_TASK: &[Bad] = &[
    ("x = \n", [
        "r.toml:1:", "found `x =`", "expected valid TOML (string values must be quoted, expected", "help: write `key = value` or `[table]`; text goes in",
    ]),
    ("[training\nseed = 1\n", [
        "r.toml:1:", "found `[training`", "expected valid TOML (unclosed table, expected `]`)", "help: write `key = value` or `[table]`; text goes in",
    ]),
    ("seed = 1\nseed = 2\n", [
        "r.toml:2:", "found `seed = 2`", "expected valid TOML (duplicate key)", "help: keep one of the two; a table `[x]` may have its",
    ]),
    ("[training]\nlearnin_rate = 1e-4\n", [
        "r.toml:2: `training.learnin_rate`:", "found an unknown key", "expected `seed`, `epochs`, `steps`, `batch_tokens`,", "help: did you mean `learning_rate`?",
    ]),
    ("[training]\nlr = 1e-4\n", [
        "r.toml:2: `training.lr`:", "found an unknown key", "expected `seed`, `epochs`, `steps`, `batch_tokens`,", "help: did you mean `learning_rate`?",
    ]),
    ("[trainig]\nseed = 1\n", [
        "r.toml:1: `trainig`:", "found an unknown key", "expected `name`, `backbone`, `training`, `sampling`,", "help: did you mean `training`?",
    ]),
    ("[training]\noptimizer = \"sgd\"\n", [
        "r.toml:2: `training.optimizer`:", "found an unknown key", "expected `seed`, `epochs`, `steps`, `batch_tokens`,", "help: remove `training.optimizer`; `mtl-zoo finetune",
    ]),
    ("[training]\n\nseed = \"1\"\n", [
        "r.toml:3: `training.seed`:", "found \"1\"", "expected a whole number, 0 or more", "help: remove the quotes: `1`",
    ]),
    ("[training]\nseed = -1\n", [
        "r.toml:2: `training.seed`:", "found -1", "expected a whole number, 0 or more", "help: write a whole number, 0 or more",
    ]),
    ("training.seed = 1.5\n", [
        "r.toml:1: `training.seed`:", "found 1.5", "expected a whole number, 0 or more", "help: write a number without a fraction",
    ]),
    ("training.seed = 99999999999999999999\n", [
        "r.toml:1: `training.seed`:", "found 99999999999999999999", "expected a whole number of at most 64 bits with sign", "help: write a smaller number",
    ]),
    ("[training]\nlearning_rate = \"fast\"\n", [
        "r.toml:2: `training.learning_rate`:", "found \"fast\"", "expected a number", "help: write a number",
    ]),
    ("[training]\nlearning_rate = 0\n", [
        "r.toml:2: `training.learning_rate`:", "found 0", "expected a number above 0, up to 1", "help: 2e-5 to 1e-4 is usual for a whole BERT",
    ]),
    ("[training]\nlearning_rate = 5\n", [
        "r.toml:2: `training.learning_rate`:", "found 5", "expected a number above 0, up to 1", "help: 2e-5 to 1e-4 is usual for a whole BERT",
    ]),
    ("[training]\nlearning_rate = nan\n", [
        "r.toml:2: `training.learning_rate`:", "found nan", "expected a number above 0, up to 1", "help: 2e-5 to 1e-4 is usual for a whole BERT",
    ]),
    ("[training]\nhead_learning_rate = -1e-3\n", [
        "r.toml:2: `training.head_learning_rate`:", "found -1e-3", "expected a number above 0, up to 1", "help: leave it out to use `training.learning_rate`",
    ]),
    ("[training]\nepochs = inf\n", [
        "r.toml:2: `training.epochs`:", "found inf", "expected a number above 0", "help: 3 is usual; fractions such as 0.5 are allowed",
    ]),
    ("[training]\nepochs = -1\n", [
        "r.toml:2: `training.epochs`:", "found -1", "expected a number above 0", "help: 3 is usual; fractions such as 0.5 are allowed",
    ]),
    ("[training]\nsteps = 0\n", [
        "r.toml:2: `training.steps`:", "found 0", "expected a whole number, 1 or more", "help: leave it out to train for `training.epochs`",
    ]),
    ("[training]\nbatch_tokens = 4\n", [
        "r.toml:2: `training.batch_tokens`:", "found 4", "expected 8 tokens or more", "help: 1024 is usual",
    ]),
    ("[backbone]\nmax_tokens = 2_048\n", [
        "r.toml:2: `backbone.max_tokens`:", "found batch_tokens = 1024, backbone.max_tokens = 2048", "expected batches that hold the longest input", "help: raise `training.batch_tokens` or lower",
    ]),
    ("[training]\nbatch_tokens = 64\n", [
        "r.toml:2: `training.batch_tokens`:", "found batch_tokens = 64, backbone.max_tokens = 128", "expected batches that hold the longest input", "help: raise `training.batch_tokens` or lower",
    ]),
    ("[training]\naccumulate = 0\n", [
        "r.toml:2: `training.accumulate`:", "found 0", "expected a whole number, 1 or more", "help: 1 for a step after each batch",
    ]),
    ("[training]\nlayer_decay = 1.1\n", [
        "r.toml:2: `training.layer_decay`:", "found 1.1", "expected a number above 0, up to 1", "help: 1 gives all layers the same rate, 0.9 is mild",
    ]),
    ("[training]\nweight_decay = -0.1\n", [
        "r.toml:2: `training.weight_decay`:", "found -0.1", "expected a number, 0 or more", "help: 0.01 is usual",
    ]),
    ("[training]\nbetas = [0.9]\n", [
        "r.toml:2: `training.betas`:", "found [0.9]", "expected a list of 2 numbers", "help: write a list of 2 numbers",
    ]),
    ("[training]\nbetas = [0.9, 1.0]\n", [
        "r.toml:2: `training.betas`:", "found [0.9, 1.0]", "expected two numbers from 0 to below 1", "help: [0.9, 0.999] is usual",
    ]),
    ("[training]\nbetas = 0.9\n", [
        "r.toml:2: `training.betas`:", "found 0.9", "expected a list of 2 numbers", "help: write a list of 2 numbers",
    ]),
    ("[training]\nepsilon = 0\n", [
        "r.toml:2: `training.epsilon`:", "found 0", "expected a number above 0", "help: 1e-8 is usual",
    ]),
    ("[training]\nwarmup = 100\n", [
        "r.toml:2: `training.warmup`:", "found 100", "expected a share of all steps, 0 to 1", "help: 0.1 is a tenth of the steps",
    ]),
    ("[training]\nclip = -1\n", [
        "r.toml:2: `training.clip`:", "found -1", "expected a number, 0 or more", "help: 1 is usual, 0 turns clipping off",
    ]),
    ("[training]\nevaluate_every = 0\n", [
        "r.toml:2: `training.evaluate_every`:", "found 0", "expected a whole number, 1 or more", "help: leave it out to evaluate once an epoch",
    ]),
    ("[training]\npatience = 0\n", [
        "r.toml:2: `training.patience`:", "found 0", "expected a whole number, 1 or more", "help: leave it out to never stop early",
    ]),
    ("[training]\nthreads = 0\n", [
        "r.toml:2: `training.threads`:", "found 0", "expected a whole number, 1 or more", "help: leave it out to use all cores",
    ]),
    ("[training]\nschedule = \"cosin\"\n", [
        "r.toml:2: `training.schedule`:", "found \"cosin\"", "expected `linear`, `cosine` or `constant`", "help: did you mean `cosine`?",
    ]),
    ("[training]\nschedule = 3\n", [
        "r.toml:2: `training.schedule`:", "found 3", "expected `linear`, `cosine` or `constant`", "help: write \"linear\", \"cosine\" or \"constant\"",
    ]),
    ("[training]\ndtype = \"fp16\"\n", [
        "r.toml:2: `training.dtype`:", "found \"fp16\"", "expected `f32`, `bf16` or `f16`", "help: did you mean",
    ]),
    ("training = 3\n", [
        "r.toml:1: `training`:", "found 3", "expected a table", "help: write a header `[training]` and its keys below it",
    ]),
    ("backbone = 3\n", [
        "r.toml:1: `backbone`:", "found 3", "expected a table", "help: write a header `[backbone]` and its keys below it",
    ]),
    ("backbone = \"\"\n", [
        "r.toml:1: `backbone.id`:", "found \"\"", "expected a card, a folder or a Hub id", "help: name a card (`mtl-zoo list backbones`), a folder or a",
    ]),
    ("[backbone]\nmax_tokens = 2\n", [
        "r.toml:2: `backbone.max_tokens`:", "found 2", "expected 3 to 1048576 tokens", "help: two special tokens and a word need 3; 128 is usual",
    ]),
    ("[backbone]\ndropout = 1\n", [
        "r.toml:2: `backbone.dropout`:", "found 1", "expected a number from 0 to below 1", "help: 0.1 is usual, 0 turns it off",
    ]),
    ("[backbone]\nfreeze = \"embedings\"\n", [
        "r.toml:2: `backbone.freeze`:", "found \"embedings\"", "expected \"none\", \"embeddings\", \"all\" or a number of layers", "help: did you mean `embeddings`?",
    ]),
    ("[backbone]\nfreeze = -1\n", [
        "r.toml:2: `backbone.freeze`:", "found -1", "expected \"none\", \"embeddings\", \"all\" or a number of layers", "help: write \"none\", \"embeddings\", \"all\" or a number of",
    ]),
    ("backbone = { id = \"o/n@a\", revision = \"b\" }\n", [
        "r.toml:1: `backbone.id`:", "found revision `a` here and `b` in `backbone.revision`", "expected one revision", "help: remove one of the two",
    ]),
    ("backbone = \"o/n@\"\n", [
        "r.toml:1: `backbone.id`:", "found \"o/n@\"", "expected `ID@REVISION`", "help: name both, or leave `@` out",
    ]),
    ("backbone = { id = \"./x\", revision = \"b\" }\n", [
        "r.toml:1: `backbone.revision`:", "found revision `b` of a folder", "expected a Hub id, which has revisions", "help: remove `backbone.revision`",
    ]),
    ("[backbone]\nname = \"x\"\n", [
        "r.toml:2: `backbone.name`:", "found an unknown key", "expected `id`, `revision`, `max_tokens`, `dropout`,", "help: remove `backbone.name`; `mtl-zoo finetune --dry-run`",
    ]),
    ("[sampling]\nmethod = \"temprature\"\n", [
        "r.toml:2: `sampling.method`:", "found \"temprature\"", "expected `proportional`, `uniform`, `temperature`, `power`,", "help: did you mean `temperature`?",
    ]),
    ("[sampling]\ntemperature = 2\n", [
        "r.toml:1: `sampling.method`:", "found nothing", "expected `proportional`, `uniform`, `temperature`, `power`,", "help: add `method = \"proportional\"`",
    ]),
    ("sampling = \"uniform\"\n", [
        "r.toml:1: `sampling`:", "found \"uniform\"", "expected a table with a `method`", "help: write `sampling = { method = \"uniform\" }`",
    ]),
    ("[sampling]\nmethod = \"uniform\"\ntemperature = 2\n", [
        "r.toml:3: `sampling.temperature`:", "found an unknown key", "expected no key here", "help: remove `sampling.temperature`; `mtl-zoo finetune",
    ]),
    ("[sampling]\nmethod = \"temperature\"\ntemprature = 2\n", [
        "r.toml:3: `sampling.temprature`:", "found an unknown key", "expected `temperature`", "help: did you mean `temperature`?",
    ]),
    ("[sampling]\nmethod = \"temperature\"\ntemperature = 0\n", [
        "r.toml:3: `sampling.temperature`:", "found 0", "expected a number above 0", "help: 1 is proportional to size, large is uniform",
    ]),
    ("[sampling]\nmethod = \"power\"\npower = \"half\"\n", [
        "r.toml:3: `sampling.power`:", "found \"half\"", "expected a number", "help: write a number",
    ]),
    ("[sampling]\nmethod = \"power\"\ncap = 0\n", [
        "r.toml:3: `sampling.cap`:", "found 0", "expected a whole number, 1 or more", "help: leave it out for no cap",
    ]),
    ("[sampling]\nmethod = \"annealed\"\nto = -1\n", [
        "r.toml:3: `sampling.to`:", "found -1", "expected a number, 0 or more", "help: 1 is proportional to size, 0 is uniform; from 1 to",
    ]),
    ("[sampling]\nmethod = \"fixed\"\n", [
        "r.toml:1: `sampling.weights`:", "found nothing", "expected a table", "help: add `weights = { … }`",
    ]),
    ("[sampling]\nmethod = \"fixed\"\nweights = {}\n", [
        "r.toml:3: `sampling.weights`:", "found no weight for task `a`", "expected a weight for every task", "help: add `a = 1.0`",
    ]),
    ("[sampling]\nmethod = \"fixed\"\nweights = { a = 0 }\n", [
        "r.toml:3: `sampling.weights`:", "found only zeros", "expected a weight above 0", "help: give at least one task a weight above 0",
    ]),
    ("[sampling]\nmethod = \"fixed\"\nweights.a = 1\nweights.aa = 1\n", [
        "r.toml:4: `sampling.weights.aa`:", "found the name of no task", "expected a task of the recipe: `a`", "help: did you mean `a`?",
    ]),
    ("[balance]\nmethod = \"fixed\"\n[balance.weights]\na = \"x\"\n", [
        "r.toml:4: `balance.weights.a`:", "found \"x\"", "expected a number", "help: write a number",
    ]),
    ("[balance]\nmethod = \"fixed\"\nweights.a = -1\n", [
        "r.toml:3: `balance.weights.a`:", "found -1", "expected a number, 0 or more", "help: 1 is neutral, 0 leaves the task out",
    ]),
    ("[balance]\nmethod = \"equals\"\n", [
        "r.toml:2: `balance.method`:", "found \"equals\"", "expected the name of a balancing method", "help: did you mean `equal`?",
    ]),
    ("[balance]\nmethod = \"best\"\n", [
        "r.toml:2: `balance.method`:", "found \"best\"", "expected the name of a balancing method", "help: `mtl-zoo list balance` shows them",
    ]),
    ("[balance]\nevery = 2\n", [
        "r.toml:1: `balance.method`:", "found nothing", "expected text in quotes", "help: add `method = \"equal\"`",
    ]),
    ("balance = \"cagrad\"\n", [
        "r.toml:1: `balance`:", "found \"cagrad\"", "expected a table with a `method`", "help: write `balance = { method = \"cagrad\" }`",
    ]),
    ("[balance]\nmethod = 3\n", [
        "r.toml:2: `balance.method`:", "found 3", "expected text in quotes", "help: put it in quotes: \"3\"",
    ]),
    ("[balance]\nmethod = \"cagrad\"\nc = -0.4\n", [
        "r.toml:3: `balance.c`:", "found -0.4", "expected a number, 0 or more", "help: 0.5 is the default: how far from the mean gradient",
    ]),
    ("[balance]\nmethod = \"cagrad\"\nc = \"0.4\"\n", [
        "r.toml:3: `balance.c`:", "found \"0.4\"", "expected a number, 0 or more", "help: 0.5 is the default",
    ]),
    ("[balance]\nmethod = \"cagrad\"\nc = [0.4]\n", [
        "r.toml:3: `balance.c`:", "found [0.4]", "expected a number, 0 or more", "help: 0.5 is the default",
    ]),
    ("[balance]\nmethod = \"cagrad\"\nc = nan\n", [
        "r.toml:3: `balance.c`:", "found nan", "expected a number, 0 or more", "help: 0.5 is the default",
    ]),
    ("[balance]\nmethod = \"dwa\"\nperiod = 1.5\n", [
        "r.toml:3: `balance.period`:", "found 1.5", "expected a whole number, 1 or more", "help: 1 is the default: steps whose mean losses",
    ]),
    ("[balance]\nmethod = \"dwa\"\nperiod = 0\n", [
        "r.toml:3: `balance.period`:", "found 0", "expected a whole number, 1 or more", "help: 1 is the default",
    ]),
    ("[balance]\nmethod = \"stch\"\nlogarithm = 1\n", [
        "r.toml:3: `balance.logarithm`:", "found 1", "expected true or false", "help: false is the default",
    ]),
    ("[balance]\nmethod = \"rlw\"\ndistribution = \"gauss\"\n", [
        "r.toml:3: `balance.distribution`:", "found \"gauss\"", "expected \"normal\" or \"uniform\" or", "help: \"normal\" is the default",
    ]),
    ("[balance]\nmethod = \"dwa\"\ntemprature = 2\n", [
        "r.toml:3: `balance.temprature`:", "found an unknown key", "expected `method`, `level`, `every`, `temperature` or `period`", "help: did you mean `temperature`?",
    ]),
    ("[balance]\nmethod = \"equal\"\ntemperature = 2\n", [
        "r.toml:3: `balance.temperature`:", "found an unknown key", "expected `method`, `level` or `every`", "help: `temperature` belongs to `dwa`: name that method or remove",
    ]),
    ("[balance]\nmethod = \"equal\"\nweights = { a = 2 }\n", [
        "r.toml:3: `balance.weights`:", "found an unknown key", "expected `method`, `level` or `every`", "help: `weights` belongs to `fixed`: name that method or remove",
    ]),
    ("[balance]\nmethod = \"fixed\"\n", [
        "r.toml:1: `balance.weights`:", "found nothing", "expected a table with a weight for some tasks", "help: add `weights = { TASK = 2.0 }`",
    ]),
    ("[balance]\nmethod = \"cagrad\"\nlevel = \"layer\"\n", [
        "r.toml:3: `balance.level`:", "found \"layer\"", "expected `trunk`, `layers` or `representation`", "help: did you mean `layers`?",
    ]),
    ("[balance]\nmethod = \"cagrad\"\nevery = 0\n", [
        "r.toml:3: `balance.every`:", "found 0", "expected a whole number, 1 or more", "help: 1 computes the weights at each step",
    ]),
    ("[balance]\nmethod = \"cagrad\"\nevery = 0.5\n", [
        "r.toml:3: `balance.every`:", "found 0.5", "expected a whole number, 0 or more", "help: write a number without a fraction",
    ]),
    ("[checkpoint]\ndtype = \"fp16\"\n", [
        "r.toml:2: `checkpoint.dtype`:", "found \"fp16\"", "expected `f32`, `f16` or `bf16`", "help: did you mean `f16`?",
    ]),
    ("name = \"a/b\"\n", [
        "r.toml:1: `name`:", "found \"a/b\"", "expected a name that can be a folder: 1 to 200 characters,", "help: write a name such as `name = \"sentiment-1\"`",
    ]),
    ("learning_rate = 1\n", [
        "r.toml:1: `learning_rate`:", "found an unknown key", "expected `name`, `backbone`, `training`, `sampling`,", "help: did you mean `training.learning_rate`?",
    ]),
    ("[training]\nmax_tokens = 64\n", [
        "r.toml:2: `training.max_tokens`:", "found an unknown key", "expected `seed`, `epochs`, `steps`, `batch_tokens`,", "help: did you mean `backbone.max_tokens`?",
    ]),
    ("[backbone]\nid = 7\n", [
        "r.toml:2: `backbone.id`:", "found 7", "expected text in quotes", "help: put it in quotes: \"7\"",
    ]),
    ("checkpoint.dtype = 16\n", [
        "r.toml:1: `checkpoint.dtype`:", "found 16", "expected `f32`, `f16` or `bf16`", "help: write \"f32\", \"f16\" or \"bf16\"",
    ]),
    ("seed = 1979-05-27T07:32:00Z\n", [
        "r.toml:1: `seed`:", "found an unknown key", "expected `name`, `backbone`, `training`, `sampling`,", "help: did you mean `training.seed`?",
    ]),
    ("[training]\nlearning_rate = true\n", [
        "r.toml:2: `training.learning_rate`:", "found true", "expected a number", "help: write a number",
    ]),
];

/// Recipes in which the text follows `TASK`, which has three lines.
#[rustfmt::skip]
const AFTER_TASK: &[Bad] = &[
    ("limt = 3\n", [
        "r.toml:4: `tasks.a.limt`:", "found an unknown key", "expected `card`, `from_card`, `type`, `train`,", "help: did you mean `limit`?",
    ]),
    ("limit = 0\n", [
        "r.toml:4: `tasks.a.limit`:", "found 0", "expected a whole number of rows, 1 or more", "help: leave it out to use all rows",
    ]),
    ("limit = \"all\"\n", [
        "r.toml:4: `tasks.a.limit`:", "found \"all\"", "expected a whole number, 0 or more", "help: write a whole number, 0 or more",
    ]),
    ("x", [
        "r.toml:4:", "found `x`", "expected valid TOML (key with no value, expected `=`)", "help: write `key = value` or `[table]`; text goes in",
    ]),
    ("card = \"vader-amazn\"\n", [
        "r.toml:4: `tasks.a.card`:", "found \"vader-amazn\"", "expected one of the ", "help: did you mean `vader-amazon`?",
    ]),
    ("card = 3\n", [
        "r.toml:4: `tasks.a.card`:", "found 3", "expected text in quotes", "help: put it in quotes: \"3\"",
    ]),
    ("validation = 1.5\n", [
        "r.toml:4: `tasks.a.validation`:", "found 1.5", "expected a fraction above 0 and below 1, or files", "help: 0.1 takes a tenth of the training rows; `validation =",
    ]),
    ("validation = 0.5\ntest = 0.5\n", [
        "r.toml:4: `tasks.a.validation`:", "found 1 as the sum of the validation and test fractions", "expected a sum below 1", "help: leave rows for training: 0.1 and 0.1 are usual",
    ]),
    ("validation = { a = 1 }\n", [
        "r.toml:4: `tasks.a.validation`:", "found { a = 1 }", "expected a fraction such as 0.1, a file name, or a list of", "help: write a fraction such as 0.1, a file name, or a list",
    ]),
    ("test = [\"a\", 3]\n", [
        "r.toml:4: `tasks.a.test`:", "found [\"a\", 3]", "expected a fraction such as 0.1, a file name, or a list of", "help: write a fraction such as 0.1, a file name, or a list",
    ]),
    ("format = \"xlsx\"\n", [
        "r.toml:4: `tasks.a.format`:", "found \"xlsx\"", "expected `csv`, `tsv`, `jsonl` or `parquet`", "help: write \"csv\", \"tsv\", \"jsonl\" or \"parquet\"",
    ]),
    ("columns = \"text\"\n", [
        "r.toml:4: `tasks.a.columns`:", "found \"text\"", "expected a table", "help: write a header `[tasks.a.columns]` and its keys below",
    ]),
    ("columns = { txt = \"text\" }\n", [
        "r.toml:4: `tasks.a.columns.txt`:", "found an unknown key", "expected `text`, `pair`, `label`, `tokens`, `tags` or", "help: did you mean `text`?",
    ]),
    ("columns.separator = \"\"\n", [
        "r.toml:4: `tasks.a.columns.separator`:", "found \"\"", "expected at least one character", "help: a space is the default, \",\" is usual",
    ]),
    ("labels = [\"x\"]\n", [
        "r.toml:4: `tasks.a.labels`:", "found [\"x\"]", "expected at least 2 labels", "help: name every label, or leave the key out to find them",
    ]),
    ("labels = [\"x\", \"y\", \"x\"]\n", [
        "r.toml:4: `tasks.a.labels[2]`:", "found label `x` twice", "expected each label once", "help: remove one of the two",
    ]),
    ("labels = \"x\"\n", [
        "r.toml:4: `tasks.a.labels`:", "found \"x\"", "expected a list", "help: put it in brackets: [\"x\"]",
    ]),
    ("pooling = \"avg\"\n", [
        "r.toml:4: `tasks.a.pooling`:", "found \"avg\"", "expected `cls`, `mean`, `max` or `pooler`", "help: write \"cls\", \"mean\", \"max\" or \"pooler\"",
    ]),
    ("dropout = 1.0\n", [
        "r.toml:4: `tasks.a.dropout`:", "found 1.0", "expected a number from 0 to below 1", "help: 0.1 is usual, 0 turns it off",
    ]),
    ("weight = 0\n", [
        "r.toml:4: `tasks.a.weight`:", "found 0", "expected a number above 0", "help: 1 is neutral; to leave a task out, remove it",
    ]),
    ("label_smoothing = 1\n", [
        "r.toml:4: `tasks.a.label_smoothing`:", "found 1", "expected a number from 0 to below 1", "help: 0.1 is usual, 0 turns it off",
    ]),
    ("class_weights = \"balancd\"\n", [
        "r.toml:4: `tasks.a.class_weights`:", "found \"balancd\"", "expected \"balanced\", or a table with a number for each label", "help: did you mean `balanced`?",
    ]),
    ("class_weights = { x = \"heavy\" }\n", [
        "r.toml:4: `tasks.a.class_weights.x`:", "found \"heavy\"", "expected \"balanced\", or a table with a number for each label", "help: write \"balanced\", or a table with a number for each",
    ]),
    ("class_weights = { x = 0 }\n", [
        "r.toml:4: `tasks.a.class_weights.x`:", "found 0", "expected a number above 0", "help: 1 is neutral; labels that are not named weigh 1",
    ]),
    ("labels = [\"x\", \"y\"]\nclass_weights = { z = 2 }\n", [
        "r.toml:5: `tasks.a.class_weights.z`:", "found no such label", "expected one of `labels`: `x` or `y`", "help: remove it, or add it to `labels`",
    ]),
    ("metrics = [\"acuracy\"]\n", [
        "r.toml:4: `tasks.a.metrics[0]`:", "found \"acuracy\"", "expected `accuracy`, `balanced_accuracy`, `macro_f1`,", "help: did you mean `accuracy`?",
    ]),
    ("metrics = [\"accuracy\", \"pearson\"]\n", [
        "r.toml:4: `tasks.a.metrics[1]`:", "found \"pearson\"", "expected a metric of classification: `accuracy`,", "help: replace it, or change the task's `type`",
    ]),
    ("metrics = []\n", [
        "r.toml:4: `tasks.a.metrics`:", "found []", "expected at least one metric", "help: name some of `accuracy`, `balanced_accuracy`,",
    ]),
    ("metrics = [\"accuracy\", \"accuracy\"]\n", [
        "r.toml:4: `tasks.a.metrics[1]`:", "found metric `accuracy` twice", "expected each metric once", "help: remove one of the two",
    ]),
    ("split_seed = -3\n", [
        "r.toml:4: `tasks.a.split_seed`:", "found -3", "expected a whole number, 0 or more", "help: write a whole number, 0 or more",
    ]),
    ("class_weights = [1, 2]\n", [
        "r.toml:4: `tasks.a.class_weights`:", "found [1, 2]", "expected \"balanced\", or a table with a number for each label", "help: write \"balanced\", or a table with a number for each",
    ]),
    ("columns.label = 3\n", [
        "r.toml:4: `tasks.a.columns.label`:", "found 3", "expected text in quotes", "help: put it in quotes: \"3\"",
    ]),
    ("weight = inf\n", [
        "r.toml:4: `tasks.a.weight`:", "found inf", "expected a number above 0", "help: 1 is neutral; to leave a task out, remove it",
    ]),
    ("labels = [\n  \"x\",\n  \"y\",\n  \"\",\n]\n", [
        "r.toml:7: `tasks.a.labels[2]`:", "found an empty label", "expected labels with a text", "help: remove it or write its text",
    ]),
];

/// Whole recipes.
#[rustfmt::skip]
const WHOLE: &[Bad] = &[
    ("", [
        "r.toml:1: `tasks`:", "found no task", "expected at least one task", "help: add `[tasks.NAME]` with `card = \"…\"`, or with `type`",
    ]),
    ("tasks = 3\n", [
        "r.toml:1: `tasks`:", "found 3", "expected a table", "help: write a header `[tasks]` and its keys below it",
    ]),
    ("[[tasks]]\nname = \"a\"\ntype = \"regression\"\n", [
        "r.toml:1: `tasks`:", "found [[tasks]]", "expected a table", "help: give each task a name and single brackets:",
    ]),
    ("[tasks.a]\n", [
        "r.toml:1: `tasks.a.type`:", "found nothing", "expected `classification`, `multi_label`, `regression` or", "help: add `type = \"classification\"`, or `card = \"NAME\"` to",
    ]),
    ("[tasks.a]\ntype = \"regression\"\n", [
        "r.toml:1: `tasks.a.train`:", "found nothing", "expected a file name, or a list of file names", "help: add `train = \"train.csv\"`, or `card = \"NAME\"` to take",
    ]),
    ("[tasks.a]\ntrain = \"x\"\n", [
        "r.toml:1: `tasks.a.type`:", "found nothing", "expected `classification`, `multi_label`, `regression` or", "help: add `type = \"classification\"`, or `card = \"NAME\"` to",
    ]),
    ("[tasks.a]\ntype = \"regresion\"\ntrain = \"x\"\n", [
        "r.toml:2: `tasks.a.type`:", "found \"regresion\"", "expected `classification`, `multi_label`, `regression` or", "help: did you mean `regression`?",
    ]),
    ("[tasks.\"a.b\"]\ntype = \"regression\"\ntrain = \"x\"\n", [
        "r.toml:1: `tasks.\"a.b\"`:", "found a task name that cannot be part of a tensor's name", "expected a name of 1 to 64 letters, digits, `_` or `-`", "help: rename the task; its tensors will be called",
    ]),
    ("[tasks.a]\ntype = \"regression\"\ntrain = \"\"\n", [
        "r.toml:3: `tasks.a.train`:", "found \"\"", "expected file names", "help: write `train = \"FILE\"` or `train = [\"FILE\", \"FILE\"]`",
    ]),
    ("[tasks.a]\ntype = \"regression\"\ntrain = \"x\"\nlabels = [\"x\", \"y\"]\n", [
        "r.toml:4: `tasks.a.labels`:", "found [\"x\", \"y\"]", "expected no labels: a regression task predicts a number", "help: remove `labels`",
    ]),
    ("[tasks.a]\ntype = \"regression\"\ntrain = \"x\"\nlabel_smoothing = 0.1\n", [
        "r.toml:4: `tasks.a.label_smoothing`:", "found 0.1", "expected 0: only classification and token_classification", "help: remove `label_smoothing`",
    ]),
    ("[tasks.a]\ntype = \"regression\"\ntrain = \"x\"\nclass_weights = \"balanced\"\n", [
        "r.toml:4: `tasks.a.class_weights`:", "found class weights in a regression task", "expected no classes: it predicts a number", "help: remove `class_weights`",
    ]),
    ("[tasks.a]\ntype = \"token_classification\"\ntrain = \"x\"\ncolumns.pair = \"b\"\n", [
        "r.toml:4: `tasks.a.columns.pair`:", "found \"b\"", "expected no second text: a token classification task reads", "help: remove `pair`, or change the task's `type`",
    ]),
    ("[tasks.a]\ntype = \"multi_label\"\ntrain = \"x\"\nlabel_smoothing = 0.1\n", [
        "r.toml:4: `tasks.a.label_smoothing`:", "found 0.1", "expected 0: only classification and token_classification", "help: remove `label_smoothing`",
    ]),
    ("tasks.a.type = \"regression\"\ntasks.a.train = []\n", [
        "r.toml:2: `tasks.a.train`:", "found []", "expected at least one file", "help: write `train = \"FILE\"` or `train = [\"FILE\", \"FILE\"]`",
    ]),
    ("backbone = \"x\"\nbackbone.id = \"y\"\n", [
        "r.toml:2:", "found `backbone.id = \"y\"`", "expected valid TOML (cannot extend value of type string", "help: write `key = value` or `[table]`; text goes in",
    ]),
    ("tasks.a = \"vader-nyt\"\n", [
        "r.toml:1: `tasks.a`:", "found \"vader-nyt\"", "expected a table", "help: write a header `[tasks.a]` and its keys below it",
    ]),
];

#[test]
fn bad_recipes_are_explained() {
    let before = BEFORE_TASK.iter().map(|(text, parts)| (format!("{text}{TASK}"), parts));
    let after = AFTER_TASK.iter().map(|(text, parts)| (format!("{TASK}{text}"), parts));
    let whole = WHOLE.iter().map(|(text, parts)| ((*text).to_owned(), parts));
    let all: Vec<_> = before.chain(after).chain(whole).collect();
    assert!(all.len() > 100);
    for (text, parts) in all {
        let error = load(&text, &[]).expect_err(&text);
        assert!(matches!(error, Error::Recipe(_)), "{error}");
        assert_in_order(&error.to_string(), parts);
    }
}

/// Overrides of [`FULL`], and what their error says.
const OVERRIDES: &[Bad] = &[
    (
        "training.seed",
        ["--set training.seed: ", "found `training.seed`", "expected a key, `=` and a value", "help: write it as"],
    ),
    (
        "tasks.one.labels=[a, b]",
        ["--set tasks.one.labels=[a, b]: ", "found `[a, b]`", "expected a TOML list", "help: quote"],
    ),
    (
        "training.sed=1",
        ["--set training.sed=1: `training.sed`: ", "found an unknown key", "expected `seed`", "did you mean `seed`?"],
    ),
    (
        "training.seed=x",
        ["--set training.seed=x: `training.seed`: ", "found \"x\"", "expected a whole number", "help: write"],
    ),
    (
        "training.seed.x=1",
        [
            "--set training.seed.x=1: `training.seed`: ",
            "found 9_007_199_254_740_993",
            "expected a table that may hold `x`",
            "help: set the whole value: `--set training.seed=…`",
        ],
    ),
    (
        "training.betas.0=1",
        [
            "--set training.betas.0=1: `training.betas`: ",
            "found [0.8, 0.99]",
            "expected a table",
            "help: set the whole value",
        ],
    ),
    (
        "training.learning_rate=2",
        [
            "--set training.learning_rate=2: `training.learning_rate`: ",
            "found 2",
            "expected a number above 0",
            "help: 2e-5",
        ],
    ),
    (
        "tasks.oen.limit=3",
        [
            "--set tasks.oen.limit=3: `tasks.oen.limit`: ",
            "found no task `oen`",
            "expected a task of the recipe: `one`, `two` or `tags`",
            "did you mean `one`?",
        ],
    ),
    (
        "tasks.new.card=vader-ny",
        [
            "--set tasks.new.card=vader-ny: `tasks.new.card`: ",
            "found \"vader-ny\"",
            "expected one of the ",
            "did you mean `vader-nyt`?",
        ],
    ),
    (
        "tasks.one.metrics=[\"f1\"]",
        [
            "--set tasks.one.metrics=[\"f1\"]: `tasks.one.metrics[0]`: ",
            "found \"f1\"",
            "expected `accuracy`",
            "did you mean `macro_f1`?",
        ],
    ),
    (
        "sampling.method=fixd",
        [
            "--set sampling.method=fixd: `sampling.method`: ",
            "found \"fixd\"",
            "expected `proportional`",
            "did you mean `fixed`?",
        ],
    ),
    (
        "backbone.id=org/x@",
        ["--set backbone.id=org/x@: `backbone.id`: ", "found \"org/x@\"", "expected `ID@REVISION`", "help: name both"],
    ),
    (
        "backbone.max_tokens=1000",
        [
            "r.toml:16: `training.batch_tokens`: ",
            "found batch_tokens = 256, backbone.max_tokens = 1000",
            "expected batches",
            "help: raise",
        ],
    ),
];

#[test]
fn bad_overrides_are_explained() {
    for (text, parts) in OVERRIDES {
        let error = load(FULL, &[text]).expect_err(text);
        assert_in_order(&error.to_string(), parts);
    }
}
