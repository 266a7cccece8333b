//! `mtl-zoo finetune`

use super::device::DeviceArg;
use super::output::{self, note, warn};
use super::progress::Progress;
use super::recipe_args::RecipeArgs;
use super::{argument, dry_run, parallel, quoted, sources};
use anyhow::{Context, Result};
use candle_core::Device;
use mtl_zoo::Problem;
use mtl_zoo::catalog::Catalog;
use mtl_zoo::checkpoint::Manifest;
use mtl_zoo::collective::Collective;
use mtl_zoo::data::TokenCache;
use mtl_zoo::device::describe;
use mtl_zoo::recipe::Recipe;
use mtl_zoo::train::{Outcome, Prepared, RECIPE_FILE, Run, RunState, check_number_format, peak_memory};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

const EXAMPLES: &str = "\
Examples:
  mtl-zoo finetune sentiment                           a recipe of the zoo
  mtl-zoo finetune my.toml --dry-run                   what would be trained, and for how long
  mtl-zoo finetune my.toml --set training.epochs=5     change single settings
  mtl-zoo finetune my.toml --tasks topic               one task of a recipe alone, to compare
  mtl-zoo finetune --tasks vader-amazon,vader-tweets   task cards, all else by default
  mtl-zoo finetune --resume runs/my                    go on after Ctrl-C
  torchrun --no-python --nproc-per-node 4 mtl-zoo finetune my.toml
                                                       on four cards (feature nccl; mpirun and srun do as well)

A run's folder holds recipe.toml (every setting), metrics.jsonl (every step) and, at the end,
the checkpoint.";

/// Fine-tune one backbone on several tasks jointly.
///
/// Reads a recipe, trains all its tasks together and writes a checkpoint with one head for each task. Ctrl-C saves the
/// run, so that --resume can go on with it as if it had never been stopped.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Finetune {
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Folder of the run, which must not hold one yet [default: runs/NAME, or runs/NAME-2, ...].
    #[arg(long, value_name = "DIR", env = "MTL_ZOO_OUT")]
    out: Option<PathBuf>,
    /// Go on with a run that was stopped.
    #[arg(long, value_name = "DIR")]
    resume: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArg,
    /// Only show the resolved recipe, the data and the length of the run.
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON document instead of a table.
    #[arg(long)]
    json: bool,
}

impl Finetune {
    /// `written` says whether a flag stands on the command line itself, and not only in the environment.
    pub fn run(self, written: impl Fn(&str) -> bool) -> Result<ExitCode> {
        self.device.check()?;
        let joined = parallel::join(&self.device)?;
        let threads = joined.as_ref().map_or(Ok(None), |(_, ranks)| parallel::threads(&**ranks))?;
        let (device, ranks) = joined.unzip();
        // Rank 0 reads everything first: what is wrong is said once, and what it downloads and tokenizes, the others find.
        if let Some(ranks) = ranks.iter().find(|ranks| !ranks.leads()) {
            ranks.wait()?;
            if self.dry_run {
                return Ok(ExitCode::SUCCESS);
            }
        }
        let catalog = Catalog::standard()?;
        let recipe = match &self.resume {
            Some(folder) => self.resumed(folder, &catalog, written)?,
            None => self.recipe.load(&catalog)?,
        };
        if let Some(threads) = recipe.training.threads.or(threads) {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().context("cannot start the threads")?;
        }
        self.go(recipe, &catalog, device, ranks).map_err(|error| self.recipe.name(error))
    }

    fn go(
        &self,
        recipe: Recipe,
        catalog: &Catalog,
        device: Option<Device>,
        ranks: Option<Arc<dyn Collective>>,
    ) -> Result<ExitCode> {
        let near = self.recipe.folder().or(self.resume.as_deref()).unwrap_or(Path::new("."));
        let (id, revision) = (&recipe.backbone.id, recipe.backbone.revision.as_deref());
        let backbone = sources::backbone(catalog, id, revision, near)?;
        let recipe = sources::data(recipe)?;
        let device = device.map_or_else(|| self.device.open(), Ok)?;
        let mut prepared = Prepared::with_cache(recipe, backbone, TokenCache::standard().as_ref())?;
        prepared.device = device;
        check_number_format(prepared.recipe.training.dtype, &prepared.device)?;
        if let Some(ranks) = ranks {
            prepared.ranks = ranks;
        }
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
        let ranks = prepared.ranks.clone();
        if ranks.leads() {
            ranks.wait()?;
        }
        if self.dry_run {
            dry_run::show(&prepared, &folder, self.json)?;
            return Ok(ExitCode::SUCCESS);
        }
        if ranks.ranks() == 1 {
            return self.train(prepared, &folder);
        }
        self.train(prepared, &parallel::folder_of_rank_0(&*ranks, folder)?)
    }

    fn train(&self, prepared: Prepared, folder: &Path) -> Result<ExitCode> {
        let device = describe(&prepared.device);
        let names = prepared.tasks.iter().map(|task| task.data.name.clone()).collect();
        let run = match self.resume {
            Some(_) => Run::resume(prepared, folder)?,
            None => Run::start(prepared, folder)?,
        };
        note(format_args!("run: {}, {} steps", folder.display(), run.steps()));
        if let Some(tokens) = run.divided() {
            note(format_args!(
                "a batch of {} tokens does not fit into the device's memory: it passes in pieces of at most {tokens}",
                run.prepared().recipe.training.batch_tokens
            ));
        }
        let start = Instant::now();
        let mut progress = Progress::new(names, run.steps());
        progress.stop_on_signal().context("cannot listen for Ctrl-C")?;
        let outcome = run.train(&mut progress);
        progress.finish();
        match outcome? {
            Outcome::Finished { checkpoint, manifest } => {
                self.report(&checkpoint, &manifest, &device, start.elapsed().as_secs_f64())?;
                Ok(ExitCode::SUCCESS)
            }
            Outcome::Stopped { step } => {
                note(format_args!("stopped after step {step}; the state is saved. To go on:"));
                note(format_args!("  mtl-zoo finetune --resume {}", quoted(folder)));
                Ok(ExitCode::from(130))
            }
        }
    }

    fn report(&self, checkpoint: &Path, manifest: &Manifest, device: &str, seconds: f64) -> Result<()> {
        if self.json {
            let scores = manifest.heads.iter().map(|(name, head)| (name.clone(), json!(head.metrics)));
            return output::print_json(&json!({
                "checkpoint": checkpoint,
                "device": device,
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

/// `runs/NAME`, or the first of `runs/NAME-2`, `runs/NAME-3`, ... that is free.
fn default_folder(recipe: &Recipe) -> PathBuf {
    let name = recipe.name.as_deref().unwrap_or("run");
    let numbered = (2..).map(|number| Path::new("runs").join(format!("{name}-{number}")));
    let mut folders = std::iter::once(Path::new("runs").join(name)).chain(numbered);
    folders.find(|folder| !folder.exists()).expect("one of the numbers is free")
}
