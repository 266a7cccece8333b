//! `mtl-zoo finetune`

use super::output::{self, note, warn};
use super::progress::Progress;
use super::{dry_run, sources};
use anyhow::{Context, Result};
use clap::ValueEnum;
use mtl_zoo::catalog::Catalog;
use mtl_zoo::checkpoint::Manifest;
use mtl_zoo::data::TokenCache;
use mtl_zoo::recipe::{Override, Recipe, RecipeSource};
use mtl_zoo::train::{Outcome, Prepared, RECIPE_FILE, Run, RunState, peak_memory};
use mtl_zoo::{Error, Problem};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

const EXAMPLES: &str = "\
Examples:
  mtl-zoo finetune sentiment                           a recipe of the zoo
  mtl-zoo finetune my.toml --dry-run                   what would be trained, and for how long
  mtl-zoo finetune my.toml --set training.epochs=5     change single settings
  mtl-zoo finetune my.toml --tasks topic               one task of a recipe alone, to compare
  mtl-zoo finetune --tasks vader-amazon,vader-tweets   task cards, all else by default
  mtl-zoo finetune --resume runs/my                    go on after Ctrl-C

A run's folder holds recipe.toml (every setting), metrics.jsonl (every step) and, at the end,
the checkpoint.";

/// Fine-tune one backbone on several tasks jointly.
///
/// Reads a recipe, trains all its tasks together and writes a checkpoint with one head for each task. Ctrl-C saves the
/// run, so that --resume can go on with it as if it had never been stopped.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Finetune {
    /// Recipe file, or the name of a recipe card (see `mtl-zoo list recipes`).
    #[arg(value_name = "RECIPE")]
    recipe: Option<PathBuf>,
    /// With a recipe, the tasks of it to train; without, task cards (see `mtl-zoo list tasks`).
    #[arg(long, value_delimiter = ',', value_name = "NAME,NAME")]
    tasks: Vec<String>,
    /// Pretrained encoder: a card's name, a folder or a Hub id.
    #[arg(long, value_name = "ID", env = "MTL_ZOO_BACKBONE")]
    backbone: Option<String>,
    /// Balancing method: how task losses are combined (`mtl-zoo list balance`); parameters by
    /// `--set balance.NAME=VALUE`.
    #[arg(long, value_name = "METHOD", env = "MTL_ZOO_BALANCE")]
    balance: Option<String>,
    /// Folder of the run, which must not hold one yet [default: runs/NAME, or runs/NAME-2, ...].
    #[arg(long, value_name = "DIR", env = "MTL_ZOO_OUT")]
    out: Option<PathBuf>,
    /// Go on with a run that was stopped.
    #[arg(long, value_name = "DIR")]
    resume: Option<PathBuf>,
    /// What computes: auto or cpu; cuda, cuda:N and metal are not there yet.
    #[arg(long, value_name = "DEVICE", default_value = "auto", env = "MTL_ZOO_DEVICE")]
    device: String,
    /// Number format of the products: bf16 is about twice as fast on processors that have it.
    #[arg(long, value_name = "FORMAT", env = "MTL_ZOO_DTYPE")]
    dtype: Option<Dtype>,
    /// Seed of heads, sampling and dropout. Same seed, same machine, same threads: same bytes.
    #[arg(long, value_name = "N", env = "MTL_ZOO_SEED", allow_negative_numbers = true)]
    seed: Option<i64>,
    /// Threads; all cores by default.
    #[arg(long, value_name = "N", env = "MTL_ZOO_THREADS", allow_negative_numbers = true)]
    threads: Option<i64>,
    /// Replace any value of the recipe; may be given several times.
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    overrides: Vec<String>,
    /// Only show the resolved recipe, the data and the length of the run.
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON document instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Dtype {
    F32,
    Bf16,
}

impl Dtype {
    fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

impl Finetune {
    /// `written` says whether a flag stands on the command line itself, and not only in the environment.
    pub fn run(self, written: impl Fn(&str) -> bool) -> Result<ExitCode> {
        check_device(&self.device)?;
        let catalog = Catalog::standard()?;
        let recipe = match &self.resume {
            Some(folder) => self.resumed(folder, &catalog, written)?,
            None => self.recipe(&catalog)?,
        };
        if let Some(threads) = recipe.training.threads {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().context("cannot start the threads")?;
        }
        self.go(recipe, &catalog).map_err(|error| self.name_recipe(error))
    }

    fn go(&self, recipe: Recipe, catalog: &Catalog) -> Result<ExitCode> {
        let near = self.recipe.as_deref().and_then(Path::parent).or(self.resume.as_deref()).unwrap_or(Path::new("."));
        let (id, revision) = (&recipe.backbone.id, recipe.backbone.revision.as_deref());
        let backbone = sources::backbone(catalog, id, revision, near)?;
        let prepared = Prepared::with_cache(recipe, backbone, TokenCache::standard().as_ref())?;
        dry_run::warnings(&prepared).iter().for_each(warn);
        let folder =
            self.resume.clone().or_else(|| self.out.clone()).unwrap_or_else(|| default_folder(&prepared.recipe));
        if folder.is_file() {
            let help = "name a new folder";
            return Err(Problem::new("a file", "a folder for the run", help)
                .file(folder)
                .key("--out")
                .argument()
                .into());
        }
        if self.dry_run {
            dry_run::show(prepared, &folder, self.json)?;
            return Ok(ExitCode::SUCCESS);
        }
        self.train(prepared, &folder)
    }

    /// What a recipe asks of its data and backbone is found out after the recipe itself was read.
    fn name_recipe(&self, error: anyhow::Error) -> anyhow::Error {
        match (error.downcast_ref(), &self.recipe) {
            (Some(Error::Recipe(_)), Some(file)) => error.context(file.display().to_string()),
            _ => error,
        }
    }

    fn train(&self, prepared: Prepared, folder: &Path) -> Result<ExitCode> {
        if self.device == "auto" {
            note("device: cpu, the only one that computes so far");
        }
        let names = prepared.tasks.iter().map(|task| task.data.name.clone()).collect();
        let run = match self.resume {
            Some(_) => Run::resume(prepared, folder)?,
            None => Run::start(prepared, folder)?,
        };
        note(format_args!("run: {}, {} steps", folder.display(), run.steps()));
        let start = Instant::now();
        let mut progress = Progress::new(names, run.steps());
        progress.stop_on_signal().context("cannot listen for Ctrl-C")?;
        let outcome = run.train(&mut progress);
        progress.finish();
        match outcome? {
            Outcome::Finished { checkpoint, manifest } => {
                self.report(&checkpoint, &manifest, start.elapsed().as_secs_f64())?;
                Ok(ExitCode::SUCCESS)
            }
            Outcome::Stopped { step } => {
                note(format_args!("stopped after step {step}; the state is saved. To go on:"));
                note(format_args!("  mtl-zoo finetune --resume {}", quoted(folder)));
                Ok(ExitCode::from(130))
            }
        }
    }

    fn report(&self, checkpoint: &Path, manifest: &Manifest, seconds: f64) -> Result<()> {
        if self.json {
            let scores = manifest.heads.iter().map(|(name, head)| (name.clone(), json!(head.metrics)));
            return output::print_json(&json!({
                "checkpoint": checkpoint,
                "device": "cpu",
                "seconds": seconds,
                "steps": manifest.training.steps,
                "tokens": manifest.training.tokens,
                "tasks": scores.collect::<serde_json::Map<_, _>>(),
            }));
        }
        let splits = manifest.heads.iter().map(|(name, head)| {
            (name.as_str(), vec![("validation", &head.metrics.validation), ("test", &head.metrics.test)])
        });
        output::print(output::score_table(&splits.collect::<Vec<_>>()))?;
        output::print(format_args!("checkpoint: {}", checkpoint.display()))?;
        let training = &manifest.training;
        let memory = peak_memory().map(|bytes| format!(" and {} of memory", output::megabytes(bytes)));
        note(format_args!(
            "{} steps, {} tokens in {}{}; the weights are those of step {}, the best on validation. To use them:",
            training.steps,
            output::thousands(training.tokens as usize),
            output::duration(seconds),
            memory.unwrap_or_default(),
            training.best_step,
        ));
        note(format_args!("  mtl-zoo predict {} \"some text\"", quoted(checkpoint)));
        Ok(())
    }

    fn recipe(&self, catalog: &Catalog) -> Result<Recipe> {
        let source = match (&self.recipe, self.tasks.as_slice()) {
            (None, []) => {
                let help = "`mtl-zoo finetune sentiment`, `mtl-zoo finetune my.toml` or `mtl-zoo finetune --tasks \
                            vader-amazon,vader-tweets`; `mtl-zoo list` shows what there is";
                return Err(argument("no recipe and no `--tasks`", "one of the two", help, "RECIPE"));
            }
            (Some(file), _) if file.is_dir() => {
                let help = match file.join(RECIPE_FILE).is_file() {
                    true => format!("to go on with this run: `--resume {}`", quoted(file)),
                    false => "name the recipe's file in it".into(),
                };
                return Err(Problem::new("a folder", "a recipe file", help).file(file).key("RECIPE").argument().into());
            }
            (Some(file), _) => RecipeSource::File(file),
            (None, names) => RecipeSource::Tasks { names, folder: ".".into() },
        };
        let mut recipe = Recipe::load(source, &self.overrides()?, catalog)?;
        if self.recipe.is_some() && !self.tasks.is_empty() {
            recipe.keep_tasks(&self.tasks)?;
        }
        Ok(recipe)
    }

    /// The flags first, so that `--set` wins over what may come from the environment.
    fn overrides(&self) -> Result<Vec<Override>, Error> {
        let text = |path, value: &Option<String>, flag| value.clone().map(|value| Override::new(path, value, flag));
        let number = |path, value: Option<i64>, flag| value.map(|value| Override::new(path, value, flag));
        let flags = [
            text("backbone.id", &self.backbone, "--backbone"),
            text("balance.method", &self.balance, "--balance"),
            text("training.dtype", &self.dtype.map(|dtype| dtype.name().to_owned()), "--dtype"),
            number("training.seed", self.seed, "--seed"),
            number("training.threads", self.threads, "--threads"),
        ];
        let set = self.overrides.iter().map(|text| Override::parse(text));
        flags.into_iter().flatten().map(Ok).chain(set).collect()
    }

    /// The recipe of a run that was stopped. It cannot be changed: the result would be that of no recipe.
    fn resumed(&self, folder: &Path, catalog: &Catalog, written: impl Fn(&str) -> bool) -> Result<Recipe> {
        let recipe_flags =
            ["recipe", "tasks", "backbone", "balance", "out", "dtype", "seed", "threads", "overrides", "dry_run"];
        if let Some(flag) = recipe_flags.into_iter().find(|flag| written(flag)) {
            let flag = match flag {
                "recipe" => "a recipe".into(),
                "overrides" => "`--set`".into(),
                flag => format!("`--{}`", flag.replace('_', "-")),
            };
            let help = "a stopped run goes on with its own recipe; for other settings start a new run";
            return Err(argument(&format!("{flag} beside `--resume`"), "`--resume DIR` alone", help, "--resume"));
        }
        if !folder.join(RECIPE_FILE).is_file() {
            let found =
                if folder.is_dir() { format!("a folder without {RECIPE_FILE}") } else { "no such folder".into() };
            let help = "give the folder of the run, such as `runs/sentiment`, not that of its checkpoint";
            let problem = Problem::new(found, "the folder of a run that was stopped", help);
            return Err(problem.file(folder).key("--resume").argument().into());
        }
        if RunState::saved(folder).is_empty() {
            RunState::load(folder)?;
        }
        Ok(Run::recipe(folder, catalog)?)
    }
}

fn argument(found: &str, expected: &str, help: &str, key: &str) -> anyhow::Error {
    Problem::new(found, expected, help).key(key).argument().into()
}

fn check_device(device: &str) -> Result<()> {
    let (kind, number) = device.split_once(':').map_or((device, None), |(kind, number)| (kind, Some(number)));
    let expected = "`auto` or `cpu`, the only devices that compute so far";
    let help = match (kind, number) {
        ("auto" | "cpu", None) => return Ok(()),
        ("cuda", None) | ("metal", None) => "leave `--device` out to train on the CPU; small backbones are quick there",
        ("cuda", Some(n)) if n.parse::<usize>().is_ok() => "leave `--device` out to train on the CPU",
        _ => "write `--device cpu`",
    };
    Err(argument(&format!("`{device}`"), expected, help, "--device"))
}

/// `runs/NAME`, or the first of `runs/NAME-2`, `runs/NAME-3`, ... that is free.
fn default_folder(recipe: &Recipe) -> PathBuf {
    let name = recipe.name.as_deref().unwrap_or("run");
    let numbered = (2..).map(|number| Path::new("runs").join(format!("{name}-{number}")));
    let mut folders = std::iter::once(Path::new("runs").join(name)).chain(numbered);
    folders.find(|folder| !folder.exists()).expect("one of the numbers is free")
}

/// The path as a shell takes it.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-~+@".contains(c);
    if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}
