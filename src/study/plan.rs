//! Which runs a study needs, and by which recipes.

use super::execute::training_rows;
use super::report::{Answering, TaskFacts};
use super::{About, Arm};
use crate::data::TaskData;
use crate::error::{Problem, Result};
use crate::recipe::{Balance, Recipe, Split, TaskType};
use crate::train::{Drawn, Prepared, PreparedTask};
use serde::{Deserialize, Serialize};

/// What a study does beside comparing the recipe's joint training with each task alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Seeds of the main comparison.
    pub seeds: usize,
    /// Seeds of learning curves.
    pub label_seeds: usize,
    /// Seeds of pairs, of tasks left out and of tasks trained one after the other.
    pub transfer_seeds: usize,
    /// Balancing methods that are compared, beside the recipe's and equal weighting.
    pub methods: Vec<String>,
    /// The task of which labels are left out; the one with the fewest if absent.
    pub target: Option<String>,
    /// Shares of that task's labels in joint training.
    pub fractions: Vec<f64>,
    /// Whether there are learning curves.
    pub labels: bool,
    /// Whether transfer is measured.
    pub transfer: bool,
    /// Evaluations of each run, of which the best on validation counts.
    pub evaluations: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seeds: 5,
            label_seeds: 3,
            transfer_seeds: 1,
            methods: vec!["search".into()],
            target: None,
            fractions: vec![0.25, 0.5],
            labels: true,
            transfer: true,
            evaluations: 5,
        }
    }
}

/// Fewest steps of a task alone: passes over few rows are few steps, and an undertrained baseline would flatter joint
/// training. An equal share of the joint run's steps, if that is less.
pub const LEAST_STEPS: usize = 100;
/// Measurements of conflict, and of affinity, in a run.
const CONFLICTS: usize = 100;
const AFFINITIES: usize = 25;

/// A run to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// What is trained.
    pub arm: Arm,
    /// Which seed of the study, counted from 0.
    pub seed: usize,
    /// The run's recipe. Its backbone is replaced by that of the run in `after`, its weights by those found there.
    pub recipe: Recipe,
    /// Tokens that it trains on, nearly.
    pub tokens: usize,
    /// Tokens that are scored on the way and at the end, nearly.
    pub scored: usize,
    /// Name of the run that has to be done before.
    pub after: Option<String>,
    /// Whether its checkpoint is read by another run, or at the end.
    pub keeps_checkpoint: bool,
}

impl Planned {
    /// Whether it takes the weights of the run before it, and not its backbone.
    pub(super) fn reads_weights(&self) -> bool {
        self.recipe.balance.method == "search"
    }

    /// Name of the run, and of its folder.
    pub fn name(&self) -> String {
        run_name(&self.arm, self.seed)
    }
}

fn run_name(arm: &Arm, seed: usize) -> String {
    format!("{}-seed{seed}", arm.name())
}

/// All runs of a study, the most important ones first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The runs.
    pub runs: Vec<Planned>,
    /// Steps of joint training.
    pub steps: usize,
    /// The task of the learning curves.
    pub target: Option<String>,
    /// Labels of it that the recipe uses, and that there are.
    pub labels: [usize; 2],
}

impl Plan {
    /// Plans the study of a recipe.
    ///
    /// # Errors
    /// If the options do not fit the recipe.
    pub fn new(prepared: &Prepared, options: &Options) -> Result<Self> {
        let base = written_out(prepared);
        let names: Vec<&String> = base.tasks.keys().collect();
        if names.len() < 2 {
            let help = "add tasks to compare; `mtl-zoo finetune` trains a single one";
            return Err(Problem::new("one task", "at least two", help).key("tasks").recipe());
        }
        if let Some(unknown) = options.target.as_ref().filter(|target| !names.contains(target)) {
            let help = "name one of the recipe's tasks";
            let expected = crate::recipe::suggest::list(names.iter().map(|name| name.as_str()));
            return Err(Problem::new(format!("`{unknown}`"), expected, help).key("--target").argument());
        }
        let steps = prepared.steps()?;
        let size = |name: &str| prepared.tasks.iter().find(|task| task.data.name == name).map_or(0, |t| t.train.len());
        let fewest = || names.iter().min_by_key(|name| size(name)).map(|name| (*name).clone());
        let target = options.target.clone().or_else(fewest).filter(|_| options.labels);
        let labels = match &target {
            Some(target) => [size(target), all_rows(&base, target)?.max(size(target))],
            None => [0, 0],
        };
        let planner = Planner { base: &base, prepared, drawn: prepared.drawn(steps)?, steps, options };
        let mut runs = Vec::new();
        for seed in 0..options.seeds.max(1) {
            planner.main(seed, &mut runs)?;
        }
        if let Some(target) = &target {
            for seed in 0..options.label_seeds.min(options.seeds) {
                planner.labels(target, labels, seed, &mut runs)?;
            }
        }
        if options.transfer {
            for seed in 0..options.transfer_seeds.min(options.seeds) {
                planner.transfer(seed, &mut runs)?;
            }
        }
        let needed: Vec<String> = runs
            .iter()
            .filter(|run| matches!(run.arm, Arm::After { .. }))
            .filter_map(|run| run.after.clone())
            .collect();
        let joint = Arm::Joint { method: base.balance.method.clone() };
        for run in &mut runs {
            run.keeps_checkpoint = needed.contains(&run.name()) || (run.seed == 0 && run.arm == joint);
        }
        Ok(Self { runs, steps, target, labels })
    }
}

/// The recipe with its labels written out: fewer rows must not mean fewer labels.
fn written_out(prepared: &Prepared) -> Recipe {
    let mut recipe = prepared.recipe.clone();
    for (task, data) in recipe.tasks.values_mut().zip(&prepared.tasks) {
        if task.kind != TaskType::Regression {
            task.labels = Some(data.data.labels.clone());
        }
    }
    recipe
}

/// Training rows of a task without its limit.
fn all_rows(recipe: &Recipe, task: &str) -> Result<usize> {
    let mut task_recipe = recipe.tasks[task].clone();
    if task_recipe.limit.take().is_none() {
        return Ok(0);
    }
    Ok(TaskData::load(task, &task_recipe)?.train.len())
}

struct Planner<'a> {
    base: &'a Recipe,
    prepared: &'a Prepared,
    /// By the joint run.
    drawn: Drawn,
    steps: usize,
    options: &'a Options,
}

impl Planner<'_> {
    /// Each task alone and all tasks together.
    fn main(&self, seed: usize, runs: &mut Vec<Planned>) -> Result<()> {
        let own = &self.base.balance.method;
        let names: Vec<String> = self.base.tasks.keys().cloned().collect();
        let mut methods = vec![own.clone(), "equal".into()];
        methods.extend(self.options.methods.iter().cloned());
        let mut seen = Vec::new();
        methods.retain(|method| {
            !seen.contains(method) && {
                seen.push(method.clone());
                true
            }
        });
        let joint = |method: &str| -> Result<Planned> {
            let mut recipe = self.recipe(seed, &names)?;
            if method != own {
                recipe.balance = Balance::new(method);
            } else {
                recipe.training.conflicts_every = (self.steps / CONFLICTS).max(1);
                recipe.training.conflicts_by_layer = true;
                if seed < self.options.transfer_seeds && self.options.transfer {
                    recipe.training.affinity_every = (self.steps / AFFINITIES).max(1);
                }
            }
            let arm = Arm::Joint { method: method.to_owned() };
            // Weights are searched once.
            let after = (method == "search" && seed > 0).then(|| run_name(&arm, 0));
            let mut run = self.run(arm, seed, recipe, self.drawn.total, self.steps);
            if method == "search" && seed == 0 {
                let balance = &run.recipe.balance;
                let number = |name: &str| match balance.value(name) {
                    Some(crate::recipe::ParameterValue::Number(x)) => x,
                    Some(crate::recipe::ParameterValue::Whole(n)) => n as f64,
                    _ => 0.0,
                };
                run.tokens += (number("trials") * number("share") * self.drawn.total as f64) as usize;
            }
            run.after = after;
            Ok(run)
        };
        runs.push(joint(own)?);
        for task in &names {
            let recipe = self.recipe(seed, std::slice::from_ref(task))?;
            let (tokens, steps) = self.alone(self.tokens(task));
            runs.push(self.run(Arm::Single { task: task.clone() }, seed, recipe, tokens, steps));
        }
        for method in &methods[1..] {
            runs.push(joint(method)?);
        }
        Ok(())
    }

    /// Learning curves of one task.
    fn labels(&self, target: &str, [used, most]: [usize; 2], seed: usize, runs: &mut Vec<Planned>) -> Result<()> {
        let names: Vec<String> = self.base.tasks.keys().cloned().collect();
        let fewer = self.options.fractions.iter().map(|fraction| (fraction * used as f64).round() as usize);
        let mut fewer: Vec<usize> = fewer.filter(|&rows| rows >= 2 && rows < used).collect();
        fewer.sort_unstable();
        fewer.dedup();
        let mut more: Vec<usize> =
            std::iter::successors(Some(2 * used), |rows| Some(2 * rows)).take_while(|&rows| rows < most).collect();
        if most > used {
            // A last doubling that is nearly all there is would tell little.
            more.retain(|&rows| 4 * rows < 3 * most);
            more.push(most);
        }
        let whole = self.tokens(target);
        let of_rows = |rows: usize| (whole as f64 * rows as f64 / used.max(1) as f64) as usize;
        let arm = |rows, joint| Arm::Labels { task: target.to_owned(), rows, joint };
        for &rows in &fewer {
            let mut recipe = self.recipe(seed, &names)?;
            recipe.tasks[target].limit = Some(rows);
            let tokens = self.drawn.total - whole.min(self.drawn.total) + of_rows(rows);
            runs.push(self.run(arm(rows, true), seed, recipe, tokens, self.steps_for(tokens)));
        }
        for &rows in fewer.iter().chain(&more) {
            let mut recipe = self.recipe(seed, &[target.to_owned()])?;
            recipe.tasks[target].limit = Some(rows);
            let (tokens, steps) = self.alone(of_rows(rows));
            runs.push(self.run(arm(rows, false), seed, recipe, tokens, steps));
        }
        Ok(())
    }

    /// Pairs, tasks left out, tasks one after the other.
    fn transfer(&self, seed: usize, runs: &mut Vec<Planned>) -> Result<()> {
        let names: Vec<String> = self.base.tasks.keys().cloned().collect();
        let mut several = |arm: Arm, names: &[String]| -> Result<()> {
            let tokens = names.iter().map(|name| self.tokens(name)).sum::<usize>().min(self.drawn.total);
            let recipe = self.recipe(seed, names)?;
            let steps = self.steps_for(tokens).max(self.least_steps());
            runs.push(self.run(arm, seed, recipe, steps * self.step_tokens(), steps));
            Ok(())
        };
        if names.len() > 2 {
            for (index, first) in names.iter().enumerate() {
                for second in &names[index + 1..] {
                    let tasks = [first.clone(), second.clone()];
                    several(Arm::Pair { tasks: tasks.clone() }, &tasks)?;
                }
            }
        }
        if names.len() > 3 {
            for task in &names {
                let rest: Vec<String> = names.iter().filter(|name| *name != task).cloned().collect();
                several(Arm::Without { task: task.clone() }, &rest)?;
            }
        }
        for first in &names {
            for task in names.iter().filter(|task| *task != first) {
                let recipe = self.recipe(seed, std::slice::from_ref(task))?;
                let (tokens, steps) = self.alone(self.tokens(task));
                let arm = Arm::After { first: first.clone(), task: task.clone() };
                let mut run = self.run(arm, seed, recipe, tokens, steps);
                run.after = Some(run_name(&Arm::Single { task: first.clone() }, seed));
                runs.push(run);
            }
        }
        Ok(())
    }

    /// The recipe of some tasks with the seed of the study; a task alone needs no balancing.
    fn recipe(&self, seed: usize, tasks: &[String]) -> Result<Recipe> {
        let mut recipe = self.base.clone();
        recipe.keep_tasks(tasks)?;
        if tasks.len() == 1 {
            recipe.balance = Balance::new("equal");
        }
        let training = &mut recipe.training;
        training.seed += seed as u64;
        training.patience = None;
        training.threads = None;
        training.conflicts_every = 0;
        training.conflicts_by_layer = false;
        training.affinity_every = 0;
        // A run that was interrupted starts again.
        training.save_every = Some(usize::MAX >> 1);
        for task in recipe.tasks.values_mut() {
            let fraction = |split: &Split| matches!(split, Split::Fraction(_));
            // Another draw of the labels a seed, unless the test rows would change with it.
            if !fraction(&task.validation) && !task.test.as_ref().is_some_and(fraction) {
                task.split_seed += seed as u64;
            }
        }
        Ok(recipe)
    }

    fn run(&self, arm: Arm, seed: usize, mut recipe: Recipe, tokens: usize, steps: usize) -> Planned {
        let evaluations = self.options.evaluations.clamp(1, steps.max(1));
        recipe.training.steps = Some(steps);
        recipe.training.evaluate_every = Some(steps.div_ceil(evaluations));
        let tasks = self.prepared.tasks.iter().filter(|task| recipe.tasks.contains_key(&task.data.name));
        let length = |examples: &[crate::data::Example]| examples.iter().map(|e| e.encoded.ids.len()).sum::<usize>();
        let scored = tasks.map(|task| {
            let test = task.test.as_deref().unwrap_or(&task.validation);
            let test = if arm.scores(&task.data.name) { length(test) } else { 0 };
            let rows = if arm.scores_training_rows() { training_rows(task) } else { 0 };
            evaluations * length(&task.validation) + test + length(&task.train[..rows])
        });
        let scored = scored.sum();
        Planned { arm, seed, tokens, scored, recipe, after: None, keeps_checkpoint: false }
    }

    /// Tokens of a task that the joint run draws.
    fn tokens(&self, task: &str) -> usize {
        self.base.tasks.get_index_of(task).map_or(0, |index| self.drawn.tokens[index])
    }

    /// Tokens and steps of a task alone that is to see so many tokens at least.
    fn alone(&self, tokens: usize) -> (usize, usize) {
        let steps = self.steps_for(tokens).max(self.least_steps());
        (steps * self.step_tokens(), steps)
    }

    fn least_steps(&self) -> usize {
        LEAST_STEPS.min(self.steps / self.base.tasks.len().max(1))
    }

    fn step_tokens(&self) -> usize {
        (self.drawn.total / self.steps.max(1)).max(1)
    }

    fn steps_for(&self, tokens: usize) -> usize {
        tokens.div_ceil(self.step_tokens()).max(1)
    }
}

impl About {
    /// What the study of a recipe is about.
    pub fn new(prepared: &Prepared, plan: &Plan, options: &Options, answering: Option<Answering>) -> Self {
        let recipe = &prepared.recipe;
        let facts = |task: &PreparedTask| TaskFacts {
            kind: task.data.kind.name().to_owned(),
            metric: task.metrics[0],
            train: task.train.len(),
            test: task.test.as_ref().unwrap_or(&task.validation).len(),
        };
        Self {
            name: recipe.name.clone().unwrap_or_else(|| "study".into()),
            backbone: recipe.backbone.id.clone(),
            balance: recipe.balance.method.clone(),
            seeds: (0..options.seeds as u64).collect(),
            tasks: prepared.tasks.iter().map(|task| (task.data.name.clone(), facts(task))).collect(),
            target: plan.target.clone(),
            labels_used: plan.labels[0],
            labels_most: plan.labels[1],
            answering,
        }
    }
}
