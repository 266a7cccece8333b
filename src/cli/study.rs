//! `mtl-zoo study`

use super::device::DeviceArg;
use super::output::{self, note, warn};
use super::recipe_args::RecipeArgs;
use super::study_progress::{StudyProgress, stop_on_signal};
use super::{argument, dry_run, parallel, sources, study_summary};
use anyhow::{Context, Result};
use mtl_zoo::Problem;
use mtl_zoo::catalog::Catalog;
use mtl_zoo::checkpoint::CHECKPOINT_FOLDER;
use mtl_zoo::data::TokenCache;
use mtl_zoo::files::write_file;
use mtl_zoo::recipe::Recipe;
use mtl_zoo::report;
use mtl_zoo::study::{
    About, Changes, Means, Options, Plan, StudyFolder, advised, answering, findings, free_memory, run_all, time_a_token,
};
use mtl_zoo::train::{MemoryPlan, Prepared};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

const EXAMPLES: &str = "\
Examples:
  mtl-zoo study sentiment --dry-run                 which runs, and how long they take
  mtl-zoo study sentiment                           all of it: studies/sentiment/report.html
  mtl-zoo study my.toml --no-transfer --seeds 3     less
  mtl-zoo study my.toml --methods cagrad,famo       with more balancing methods
  mtl-zoo study my.toml --write-recipe better.toml  and act on the findings

Stopped or killed, the same command goes on: only runs that are missing are done.";

/// Measure what joint training does to each task, and write a report to look at.
///
/// Trains the tasks of a recipe alone, together and in parts, at equal budget and over several seeds. Says which tasks
/// joint training helped or hurt, how many labels and how much time it saves, which tasks help which, and what to do.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Study {
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Seeds of the main comparison. Learning curves take at most three, transfer one, unless said otherwise.
    #[arg(long, value_name = "N", default_value_t = Options::default().seeds, value_parser = at_least_one)]
    seeds: usize,
    /// Seeds of learning curves.
    #[arg(long, value_name = "N", default_value_t = Options::default().label_seeds, value_parser = at_least_one)]
    label_seeds: usize,
    /// Seeds of pairs, tasks left out and tasks one after the other.
    #[arg(long, value_name = "N", default_value_t = Options::default().transfer_seeds, value_parser = at_least_one)]
    transfer_seeds: usize,
    /// Balancing methods to compare, beside the recipe's and equal weighting; `none` for no more.
    #[arg(long, value_delimiter = ',', value_name = "NAME,NAME", default_value = "search")]
    methods: Vec<String>,
    /// Task of the learning curves [default: the one with the fewest labels].
    #[arg(long, value_name = "TASK")]
    target: Option<String>,
    /// Shares of that task's labels to train jointly with.
    #[arg(long, value_delimiter = ',', value_name = "F,F", default_value = "0.25,0.5")]
    fractions: Vec<f64>,
    /// No learning curves.
    #[arg(long)]
    no_labels: bool,
    /// No pairs, no tasks left out, no tasks one after the other.
    #[arg(long)]
    no_transfer: bool,
    /// Evaluations of each run; the best on validation counts.
    #[arg(long, value_name = "N", default_value_t = Options::default().evaluations, value_parser = at_least_one)]
    evaluations: usize,
    /// Runs at once [default: as many as cores and memory allow].
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    jobs: Option<usize>,
    #[command(flatten)]
    device: DeviceArg,
    /// Folder of the study [default: studies/NAME].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write the recipe that the findings advise.
    #[arg(long, value_name = "FILE")]
    write_recipe: Option<PathBuf>,
    /// Only show which runs there would be, and for how long.
    #[arg(long)]
    dry_run: bool,
    /// Print the report as one JSON document instead of a summary.
    #[arg(long)]
    json: bool,
}

/// Set by Ctrl-C.
static STOP: AtomicBool = AtomicBool::new(false);

impl Study {
    pub fn run(self) -> Result<ExitCode> {
        parallel::refuse("study")?;
        let catalog = Catalog::standard()?;
        let recipe = self.recipe.load(&catalog)?;
        self.go(recipe, &catalog).map_err(|error| self.recipe.name(error))
    }

    fn go(&self, recipe: Recipe, catalog: &Catalog) -> Result<ExitCode> {
        let near = self.recipe.folder().unwrap_or(Path::new("."));
        let backbone = sources::backbone(catalog, &recipe.backbone.id, recipe.backbone.revision.as_deref(), near)?;
        let cores =
            recipe.training.threads.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
        let cache = TokenCache::standard();
        let recipe = sources::data(recipe)?;
        let device = self.device.open()?;
        let mut prepared = Prepared::with_cache(recipe, backbone, cache.as_ref())?;
        prepared.device = device;
        dry_run::warnings(&prepared).iter().for_each(warn);
        let options = self.options()?;
        let plan = Plan::new(&prepared, &options)?;
        let jobs = self.jobs.unwrap_or_else(|| jobs(&prepared, cores)).min(plan.runs.len());
        let threads = (cores / jobs).max(1);
        let name = prepared.recipe.name.as_deref().unwrap_or("study");
        let folder = self.out.clone().unwrap_or_else(|| Path::new("studies").join(name));
        if folder.is_file() {
            let help = "name a new folder, or that of a study to go on with";
            let problem = Problem::new("a file", "a folder for the study", help);
            return Err(problem.file(folder).key("--out").argument().into());
        }
        for task in prepared.tasks.iter().filter(|task| task.test.is_none()) {
            let name = &task.data.name;
            warn(format_args!(
                "task `{name}` has no test rows: the validation rows that pick the best step stand in for them"
            ));
        }
        if self.dry_run {
            return self.show(&prepared, &plan, (jobs, threads), &folder).map(|()| ExitCode::SUCCESS);
        }
        let study = StudyFolder::open(&folder, &prepared)?;
        let at_once = if jobs > 1 { format!(", {jobs} at once") } else { String::new() };
        note(format_args!("study: {}, {} runs{at_once}", folder.display(), plan.runs.len()));
        stop_on_signal(&STOP).context("cannot listen for Ctrl-C")?;
        let progress = StudyProgress::new(&plan);
        let means = Means {
            backbone: &prepared.backbone,
            device: &prepared.device,
            cache: cache.as_ref(),
            jobs,
            threads,
            stop: &STOP,
        };
        let results = run_all(&plan, &study, &means, &|event| progress.tell(event));
        progress.finish();
        let Some(results) = results? else {
            note("stopped; the same command goes on with what is missing");
            return Ok(ExitCode::from(130));
        };
        let first = study.run(&format!("joint-{}-seed0", prepared.recipe.balance.method)).join(CHECKPOINT_FOLDER);
        let answering = if first.exists() { answering(&prepared, &first)? } else { None };
        let found = findings(&About::new(&prepared, &plan, &options, answering), &results);
        let written = report::write(&found, &folder)?;
        self.write_recipes(&prepared.recipe, &advised(&found))?;
        match self.json {
            true => output::print_json(&found)?,
            false => output::print(study_summary::summary(&found))?,
        }
        note(format_args!("report: {}", written.page.display()));
        Ok(ExitCode::SUCCESS)
    }

    /// Writes what is advised to the file that was named; to numbered ones beside it where the advice is several recipes.
    fn write_recipes(&self, recipe: &Recipe, changes: &Changes) -> Result<()> {
        let Some(file) = &self.write_recipe else { return Ok(()) };
        if changes.is_empty() {
            note("nothing that chance could not explain speaks for another recipe: it is written as it is");
        }
        for (number, recipe) in changes.apply(recipe)?.iter().enumerate() {
            let path = match number {
                0 => file.clone(),
                number => {
                    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
                    file.with_file_name(format!("{stem}-{}.toml", number + 1))
                }
            };
            let text = recipe.to_toml();
            write_file(&path, |out| {
                out.write_all(text.as_bytes()).map_err(|source| mtl_zoo::Error::Io {
                    path: path.clone(),
                    action: "write",
                    source,
                })
            })?;
            note(format_args!("recipe: {}", path.display()));
        }
        Ok(())
    }

    fn options(&self) -> Result<Options> {
        let methods: Vec<String> = self.methods.iter().filter(|name| *name != "none").cloned().collect();
        if let Some(wrong) = self.fractions.iter().find(|fraction| !(**fraction > 0.0 && **fraction < 1.0)) {
            let help = "write for instance `--fractions 0.1,0.5`; all labels are always trained with";
            return Err(argument(&format!("{wrong}"), "numbers between 0 and 1", help, "--fractions"));
        }
        for name in &methods {
            let known = || mtl_zoo::balance::methods().iter().map(|method| method.name);
            if name == "fixed" || !known().any(|known| known == name) {
                let help = match name.as_str() {
                    "fixed" => "write the weights into the recipe, or compare `search`, which finds some".into(),
                    name => mtl_zoo::recipe::suggest::did_you_mean(name, known(), "see `mtl-zoo list balance`"),
                };
                return Err(argument(&format!("`{name}`"), "balancing methods", &help, "--methods"));
            }
        }
        Ok(Options {
            seeds: self.seeds,
            label_seeds: self.label_seeds,
            transfer_seeds: self.transfer_seeds,
            methods,
            target: self.target.clone(),
            fractions: self.fractions.clone(),
            labels: !self.no_labels,
            transfer: !self.no_transfer,
            evaluations: self.evaluations,
        })
    }

    /// Prints the runs by arm, and how long they take.
    fn show(&self, prepared: &Prepared, plan: &Plan, (jobs, threads): (usize, usize), folder: &Path) -> Result<()> {
        let token = time_a_token(prepared, threads)?.as_secs_f64();
        let minutes = |work: f64| work * token / jobs as f64 / 60.0;
        let mut arms: Vec<(String, usize, f64, usize)> = Vec::new();
        for run in &plan.runs {
            let title = run.arm.title();
            match arms.iter_mut().find(|arm| arm.0 == title) {
                Some(arm) => (arm.1, arm.2) = (arm.1 + 1, arm.2 + run.work()),
                None => arms.push((title, 1, run.work(), run.recipe.training.steps.unwrap_or(0))),
            }
        }
        if self.json {
            let arms = arms.iter().map(|(title, runs, work, steps)| json!({"title": title, "runs": runs, "steps": steps, "minutes": minutes(*work)}));
            return output::print_json(&json!({
                "arms": arms.collect::<Vec<_>>(),
                "runs": plan.runs.len(),
                "minutes": minutes(plan.work()),
                "jobs": jobs,
                "threads": threads,
                "out": folder,
            }));
        }
        let rows = arms.iter().map(|(title, runs, work, steps)| {
            vec![title.clone(), runs.to_string(), output::thousands(*steps), format!("{:.1}", minutes(*work))]
        });
        output::print(output::table(&["trained", "runs", "steps", "minutes"], &rows.collect::<Vec<_>>()))?;
        let all = (plan.runs.len(), minutes(plan.work()).ceil());
        output::print(format_args!("{} runs, {jobs} at once, about {} minutes: {}", all.0, all.1, folder.display()))?;
        Ok(())
    }
}

/// Runs at once: one a core, as long as there is memory.
fn jobs(prepared: &Prepared, cores: usize) -> usize {
    if !prepared.device.is_cpu() {
        // One run fills a card.
        return 1;
    }
    let Ok(model) = prepared.model() else { return 1 };
    let each = MemoryPlan::new(prepared, &model).total().max(1);
    // Something is left to the others on the machine.
    let room = free_memory().map_or(cores, |free| (free as f64 * 0.7) as usize / each);
    room.clamp(1, cores)
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..) => Ok(number),
        _ => Err("expected a whole number, at least 1".into()),
    }
}
