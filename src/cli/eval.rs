//! `mtl-zoo eval`

use super::device::DeviceArg;
use super::output::{self, warn};
use super::{parallel, sources};
use anyhow::Result;
use clap::ValueEnum;
use indexmap::IndexMap;
use mtl_zoo::checkpoint::{HeadInfo, MANIFEST_FILE, Manifest, MultiTask};
use mtl_zoo::data::{Row, TaskData, labelled_rows, task_data};
use mtl_zoo::hub::{HubOptions, is_hub_uri};
use mtl_zoo::ops::Precision;
use mtl_zoo::recipe::{Files, Recipe, Split, Task};
use mtl_zoo::train::evaluate;
use mtl_zoo::{Error, Fault, Problem};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  mtl-zoo eval runs/sentiment/checkpoint                          the test data that the recipe names
  mtl-zoo eval runs/sentiment/checkpoint --split validation --json
  mtl-zoo eval runs/sentiment/checkpoint --head tweets --data my.tsv

Rows of --data have the columns that the recipe names for the head.";

/// Score a checkpoint on labelled data.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Eval {
    /// Folder of a checkpoint, or its Hub id.
    checkpoint: String,
    /// Score only this head; may be given several times.
    #[arg(long = "head", value_name = "HEAD")]
    heads: Vec<String>,
    /// Which split of the data that the recipe names.
    #[arg(long, value_enum, default_value_t = Which::Test)]
    split: Which,
    /// Labelled rows of your own: .csv, .tsv, .jsonl or .parquet.
    #[arg(long, value_name = "FILE", conflicts_with = "split")]
    data: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArg,
    /// Print one JSON document: {"tasks": {NAME: {SPLIT: {METRIC: x}}}}.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Which {
    Train,
    Validation,
    Test,
}

impl Which {
    fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

impl Eval {
    pub fn run(self) -> Result<()> {
        parallel::refuse("eval")?;
        let files = sources::checkpoint(&self.checkpoint)?;
        let predictor = MultiTask::load_on(&files.folder, &HubOptions::default(), &self.device.open()?)?;
        let manifest = predictor.manifest();
        let recipe = recipe(manifest, &files.folder)?;
        let names: Vec<&str> = manifest.heads.keys().map(String::as_str).collect();
        self.heads.iter().try_for_each(|head| sources::check_head(head, &names))?;
        let split = if self.data.is_some() { "data" } else { self.split.name() };

        let mut results: IndexMap<String, output::Metrics> = IndexMap::new();
        for (index, (name, head)) in manifest.heads.iter().enumerate() {
            if !self.heads.is_empty() && !self.heads.contains(name) {
                continue;
            }
            let Some(task) = recipe.tasks.get(name) else { return Err(no_recipe(&files.folder, name)) };
            let rows = match &self.data {
                Some(file) => self.own_rows(task, head, file, names.len())?,
                None => match self.rows(name, task, head)? {
                    Some(rows) => rows,
                    None => {
                        warn(format_args!("task `{name}` has no {split} split and is left out"));
                        continue;
                    }
                },
            };
            if self.data.is_none() {
                check_fingerprint(manifest, name, split, &rows, &head.labels);
            }
            let examples = predictor.tokenizer().examples(&rows, manifest.max_tokens)?;
            let metrics = task.metrics.clone();
            let metrics = metrics.unwrap_or_else(|| task.kind.predictions().default_metrics().to_vec());
            let scores = evaluate(predictor.model(), index, &head.labels, &metrics, &examples, Precision::F32)?;
            results.insert(name.clone(), scores.metrics);
        }
        if results.is_empty() {
            let help = "choose another `--split`, or give labelled rows with `--data FILE`";
            let problem = Problem::new(format!("no task with a {split} split"), "rows to score", help);
            return Err(problem.key("--split").argument().into());
        }
        if self.json {
            let tasks: Map<String, Value> =
                results.into_iter().map(|(name, metrics)| (name, json!({split: metrics}))).collect();
            return output::print_json(&json!({"tasks": tasks}));
        }
        let columns: Vec<_> = results.iter().map(|(name, metrics)| (name.as_str(), vec![(split, metrics)])).collect();
        Ok(output::print(output::score_table(&columns))?)
    }

    /// The rows of `--data`, read as the head's task reads its own.
    fn own_rows(&self, task: &Task, head: &HeadInfo, file: &Path, heads: usize) -> Result<Vec<Row>> {
        let rows = labelled_rows(task, &head.labels, file);
        if heads > 1 && self.heads.is_empty() {
            return Ok(
                rows.inspect_err(|_| warn("the file is read for every head; name those it is for with `--head`"))?
            );
        }
        Ok(rows?)
    }

    /// The rows of a split as the recipe describes them; `None` if the task has no such split.
    fn rows(&self, name: &str, task: &Task, head: &HeadInfo) -> Result<Option<Vec<Row>>> {
        // The labels in the order of the head's outputs, whatever the files hold now.
        let mut task = task.clone();
        task.labels = (!head.labels.is_empty()).then(|| head.labels.clone());
        let own = |files: &Files| -> Result<Option<Vec<Row>>> {
            check_files(name, files)?;
            let rows = files.paths().iter().map(|path| labelled_rows(&task, &head.labels, path));
            Ok(Some(rows.collect::<mtl_zoo::Result<Vec<_>>>()?.concat()))
        };
        match (self.split, &task.validation, &task.test) {
            (Which::Test, _, None) => Ok(None),
            (Which::Validation, Split::Files(files), _) | (Which::Test, _, Some(Split::Files(files))) => own(files),
            _ => {
                // A fraction of the training rows: the whole task has to be read as it was for training.
                check_files(name, &task.train)?;
                for split in [Some(&task.validation), task.test.as_ref()].into_iter().flatten() {
                    if let Split::Files(files) = split {
                        check_files(name, files)?;
                    }
                }
                let data = TaskData::load(name, &task)?;
                Ok(match self.split {
                    Which::Train => Some(data.train),
                    Which::Validation => Some(data.validation),
                    Which::Test => data.test,
                })
            }
        }
    }
}

fn recipe(manifest: &Manifest, folder: &Path) -> Result<Recipe> {
    serde_json::from_value(manifest.recipe.clone()).map_err(|error| {
        let help = "the checkpoint was edited or made by another version; score its predictions yourself";
        let problem = Problem::new(error.to_string(), "the recipe that the checkpoint was trained with", help);
        problem.file(folder.join(MANIFEST_FILE)).key("recipe").checkpoint(Fault::Json).into()
    })
}

fn no_recipe(folder: &Path, task: &str) -> anyhow::Error {
    let help = "name the heads that have one with `--head`";
    let problem = Problem::new(format!("no task `{task}`"), "a task for each head", help);
    problem.file(folder.join(MANIFEST_FILE)).key("recipe.tasks").checkpoint(Fault::Json).into()
}

/// The recipe has the paths of the machine that trained.
fn check_files(task: &str, files: &Files) -> Result<(), Error> {
    match files.paths().iter().find(|path| !is_hub_uri(path) && !path.exists()) {
        None => Ok(()),
        Some(path) => {
            let help = format!("put it back, or score rows of your own: `--head {task} --data FILE`");
            Err(Problem::new("no such file", format!("the data of task `{task}`"), help).file(path).data())
        }
    }
}

fn check_fingerprint(manifest: &Manifest, task: &str, split: &str, rows: &[Row], labels: &[String]) {
    let Some(then) = manifest.data.get(task).and_then(|splits| splits.get(split)) else { return };
    let now = task_data::fingerprint(rows, labels);
    if now.sha256 != then.sha256 {
        warn(format_args!(
            "task `{task}`: the {split} data changed since training ({} rows then, {} now); its scores cannot be compared",
            then.rows, now.rows
        ));
    }
}
