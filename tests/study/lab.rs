//! Small studies of the bundled data.

use mtl_zoo::catalog::Catalog;
use mtl_zoo::data::random::Random;
use mtl_zoo::hub::{HubOptions, resolve_backbone};
use mtl_zoo::recipe::{Recipe, RecipeSource};
use mtl_zoo::study::{About, Arm, Means, Options, Plan, Report, RunResult, StudyFolder, findings, run_all};
use mtl_zoo::train::Prepared;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Lines of a bundled data file: text and score.
#[derive(Clone)]
pub struct Rows(Vec<String>);

impl Rows {
    pub fn read(domain: &str, split: &str) -> Self {
        let path = zoo().join(format!("bundled/data/{domain}.{split}.tsv"));
        let text = std::fs::read_to_string(&path).unwrap();
        Self(text.lines().skip(1).map(str::to_owned).collect())
    }

    pub fn part(&self, range: Range<usize>) -> Self {
        Self(self.0[range].to_vec())
    }

    /// The same texts with other scores.
    pub fn map(&self, score: impl Fn(usize, f64) -> f64) -> Self {
        let line = |(index, line): (usize, &String)| {
            let (text, value) = line.rsplit_once('\t').unwrap();
            format!("{text}\t{}", score(index, value.parse().unwrap()))
        };
        Self(self.0.iter().enumerate().map(line).collect())
    }
}

/// The same texts, each with the score of another.
pub fn shuffled(rows: Rows, seed: u64) -> Rows {
    let mut scores: Vec<f64> = rows.0.iter().map(|line| line.rsplit_once('\t').unwrap().1.parse().unwrap()).collect();
    Random::new(&[seed]).shuffle(&mut scores);
    rows.map(|index, _| scores[index])
}

/// A folder with a recipe of regression tasks on the bundled backbone, of which the last layer is trained.
pub struct Lab {
    pub folder: tempfile::TempDir,
    recipe: String,
}

/// What a study has done.
pub struct Done {
    pub about: About,
    pub results: Vec<RunResult>,
}

impl Lab {
    /// Tasks by name and training rows, scored on rows of a domain.
    pub fn new(epochs: f64, tasks: &[(&str, Rows)], domain: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut recipe = format!(
            "backbone = {{ id = \"bundled\", max_tokens = 32, freeze = 2 }}\n\
             training = {{ epochs = {epochs:?}, batch_tokens = 256, learning_rate = 2e-4 }}\n"
        );
        for (name, _) in tasks {
            recipe += &format!(
                "[tasks.{name}]\ntype = \"regression\"\nmetrics = [\"pearson\"]\ncolumns.label = \"score\"\n\
                 train = \"{name}.train.tsv\"\nvalidation = \"{name}.validation.tsv\"\ntest = \"{name}.test.tsv\"\n"
            );
        }
        let mut lab = Self { folder, recipe };
        for (name, rows) in tasks {
            lab.replace(name, "train", rows.clone());
            lab.replace(name, "validation", Rows::read(domain, "validation").part(0..60));
            lab.replace(name, "test", Rows::read(domain, "test").part(0..200));
        }
        lab
    }

    pub fn replace(&mut self, task: &str, split: &str, rows: Rows) {
        let text = ["text\tscore".to_owned()].into_iter().chain(rows.0).collect::<Vec<_>>().join("\n");
        std::fs::write(self.folder.path().join(format!("{task}.{split}.tsv")), text).unwrap();
    }

    /// The same rows for all tasks.
    pub fn replace_all(&mut self, split: &str, rows: Rows) {
        let names: Vec<String> = self.prepared().recipe.tasks.keys().cloned().collect();
        names.iter().for_each(|task| self.replace(task, split, rows.clone()));
    }

    pub fn prepared(&self) -> Prepared {
        let (folder, name) = (self.folder.path().to_owned(), "lab.toml");
        let source = RecipeSource::Text { name, text: &self.recipe, folder };
        let recipe = Recipe::load(source, &[], &Catalog::standard().unwrap()).unwrap();
        let backbone = zoo().join("bundled/backbone");
        Prepared::new(recipe, resolve_backbone(backbone.to_str().unwrap(), None, &HubOptions::default()).unwrap())
            .unwrap()
    }

    /// Does the runs of the arms that are wanted.
    pub fn study(&self, options: &Options, wanted: impl Fn(&Arm) -> bool) -> (Done, Report) {
        let prepared = self.prepared();
        let mut plan = Plan::new(&prepared, options).unwrap();
        plan.runs.retain(|run| wanted(&run.arm));
        plan.runs.iter_mut().for_each(|run| run.keeps_checkpoint = false);
        let folder = StudyFolder::open(&self.folder.path().join("study"), &prepared).unwrap();
        let stop = AtomicBool::new(false);
        let means = Means {
            backbone: &prepared.backbone,
            device: &prepared.device,
            cache: None,
            jobs: 2,
            threads: 1,
            stop: &stop,
        };
        let results = run_all(&plan, &folder, &means, &|_| {}).unwrap().expect("nobody stops it");
        let about = About::new(&prepared, &plan, options, None);
        let report = findings(&about, &results);
        (Done { about, results }, report)
    }
}

fn zoo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("zoo")
}
