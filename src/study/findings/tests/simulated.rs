//! Simulated runs.

use crate::data::random::Random;
use crate::metrics::Metric;
use crate::recipe::TaskType;
use crate::study::report::TaskFacts;
use crate::study::{About, Affinity, Arm, Clock, Cosines, Evaluated, RunResult, TaskResult};
use crate::train::Answers;
use indexmap::IndexMap;

/// The recipe's method in all simulated studies.
pub const METHOD: &str = "db_mtl";

/// A study of tasks with a metric each.
pub fn about(tasks: &[(&str, Metric)], seeds: usize) -> About {
    let facts = |metric| TaskFacts { kind: kind(metric).name().into(), metric, train: 100, test: 60 };
    About {
        name: "simulated".into(),
        backbone: "a/backbone".into(),
        balance: METHOD.into(),
        seeds: (0..seeds as u64).collect(),
        tasks: tasks.iter().map(|(task, metric)| (task.to_string(), facts(*metric))).collect(),
        target: None,
        labels_used: 100,
        labels_most: 2500,
        answering: None,
    }
}

fn kind(metric: Metric) -> TaskType {
    match metric {
        Metric::Accuracy | Metric::MacroF1 => TaskType::Classification,
        Metric::MicroF1 => TaskType::MultiLabel,
        Metric::EntityF1 => TaskType::TokenClassification,
        _ => TaskType::Regression,
    }
}

pub fn single(task: &str) -> Arm {
    Arm::Single { task: task.into() }
}

pub fn joint(method: &str) -> Arm {
    Arm::Joint { method: method.into() }
}

/// A run without tasks.
pub fn run(arm: Arm, seed: u64) -> RunResult {
    RunResult {
        arm,
        seed,
        failed: None,
        tasks: IndexMap::new(),
        steps: 100,
        best_step: 50,
        tokens: 1000,
        parameters: 10,
        memory: 1000,
        curve: Vec::new(),
        conflicts: Vec::new(),
        affinities: Vec::new(),
        weights: None,
        clock: Clock { threads: 2, ..Clock::default() },
    }
}

/// A run with the answers to each task.
pub fn run_with(arm: Arm, seed: u64, tasks: Vec<(&str, TaskResult)>) -> RunResult {
    let tasks = tasks.into_iter().map(|(task, result)| (task.to_owned(), result)).collect();
    RunResult { tasks, ..run(arm, seed) }
}

/// A task's result from its answers.
pub fn scored(metric: Metric, answers: Answers) -> TaskResult {
    let names: &[&str] = match kind(metric) {
        TaskType::Regression => &[],
        TaskType::TokenClassification => &["O", "B-X", "I-X"],
        _ => &["a", "b", "c"],
    };
    let labels: Vec<String> = names.iter().map(|name| name.to_string()).collect();
    let test = answers.compute(metric, kind(metric), &labels);
    TaskResult { kind: kind(metric), labels, metric, rows: 100, train: test, validation: test, test, answers }
}

/// Answers of a run that is right on examples with a chance given by its skill, about 0 to 2: the examples have
/// difficulties of their own, the same in all runs of one `world`.
pub fn answers(metric: Metric, examples: usize, skill: f64, world: u64, run: &[u64]) -> Answers {
    let mut shared = Random::new(&[world, 1]);
    let mut own = Random::new(&[&[world, 2], run].concat());
    let mut answers = Answers::default();
    for _ in 0..examples {
        let difficulty = shared.normal();
        let words = 1 + shared.below(8);
        let mut mark = |below: usize| {
            let expected = shared.below(below) as u32;
            let right = skill + 0.8 * own.normal() > 0.8 * difficulty;
            [expected, if right { expected } else { own.below(below) as u32 }]
        };
        match kind(metric) {
            TaskType::Classification => answers.classes.push(mark(3)),
            TaskType::MultiLabel => answers.marks.extend((0..3).map(|_| mark(2).map(|mark| mark == 1))),
            TaskType::TokenClassification => {
                let pairs: Vec<[u32; 2]> = (0..words).map(|_| mark(3)).collect();
                answers.tags.push([0, 1].map(|side| pairs.iter().map(|pair| pair[side]).collect()));
            }
            TaskType::Regression => {
                let expected = shared.normal();
                let predicted = skill * (expected + 0.3 * difficulty) + own.normal();
                answers.values.push([expected as f32, predicted as f32]);
            }
        }
    }
    answers
}

/// Four tasks of different types.
pub const TASKS: [(&str, Metric); 4] = [
    ("values", Metric::Pearson),
    ("classes", Metric::MacroF1),
    ("labels", Metric::MicroF1),
    ("entities", Metric::EntityF1),
];

/// A study with every kind of run. Joint training, and the source `classes`, help `values`; all else is chance. The last
/// task conflicts with the first, in `layer 1`.
pub fn study(seeds: usize, examples: usize) -> (About, Vec<RunResult>) {
    let about = About { target: Some("values".into()), ..about(&TASKS, seeds) };
    let skill = |arm: &Arm, task: &str| match arm {
        _ if task != "values" => 0.6,
        Arm::Joint { .. } => 1.6,
        Arm::Without { task } if task == "classes" => 0.6,
        Arm::Without { .. } => 1.6,
        Arm::Pair { tasks: [_, other] } if other == "classes" => 1.6,
        Arm::After { first, .. } if first == "classes" => 1.6,
        Arm::Labels { rows, joint, .. } => {
            (*rows as f64 / 100.0).ln() * if *joint { 0.1 } else { 0.4 } + if *joint { 1.6 } else { 0.6 }
        }
        _ => 0.6,
    };
    let mut runs = Vec::new();
    for seed in 0..seeds as u64 {
        let mut add = |arm: Arm, trained: &[&str]| {
            let result = |task: &str| {
                let at = TASKS.iter().position(|(name, _)| *name == task).unwrap();
                let arm_hash = arm.name().bytes().fold(7, |hash: u64, byte| hash.wrapping_mul(31) + u64::from(byte));
                let level = 0.03 * Random::new(&[arm_hash, seed, at as u64]).normal() + skill(&arm, task);
                let metric = TASKS[at].1;
                scored(metric, answers(metric, examples, level, at as u64, &[arm_hash, seed]))
            };
            let tasks = trained.iter().map(|task| (*task, result(task))).collect();
            runs.push(with_telemetry(run_with(arm, seed, tasks)));
        };
        let names: Vec<&str> = TASKS.iter().map(|(task, _)| *task).collect();
        names.iter().for_each(|task| add(single(task), &[task]));
        [METHOD, "equal", "search", "dwa"].iter().for_each(|method| add(joint(method), &names));
        for rows in [25, 50, 250, 500, 1000, 2500] {
            add(Arm::Labels { task: "values".into(), rows, joint: false }, &["values"]);
            if rows < 100 {
                add(Arm::Labels { task: "values".into(), rows, joint: true }, &names);
            }
        }
        if seed >= 2 {
            continue;
        }
        for (at, task) in names.iter().enumerate() {
            let others: Vec<&str> = names.iter().copied().filter(|other| other != task).collect();
            add(Arm::Without { task: task.to_string() }, &others);
            for other in &others {
                add(Arm::After { first: other.to_string(), task: task.to_string() }, &[task]);
            }
            for other in &names[at + 1..] {
                add(Arm::Pair { tasks: [task, other].map(|task| task.to_string()) }, &[task, other]);
            }
        }
    }
    (about, runs)
}

/// Adds curves, cosines, affinities, weights and times to a run.
pub fn with_telemetry(mut run: RunResult) -> RunResult {
    let mut random = Random::new(&[run.seed, 77]);
    let count = run.tasks.len();
    let matrix = |value: &mut dyn FnMut(usize, usize) -> f64| -> Vec<Vec<Option<f64>>> {
        (0..count).map(|a| (0..count).map(|b| (a != b).then(|| value(a, b))).collect()).collect()
    };
    for step in (10..=100).step_by(10) {
        let share = step as f64 / 100.0;
        let score = |result: &TaskResult| result.validation.map(|score| score * share.sqrt());
        let scores = run.tasks.iter().map(|(task, result)| (task.clone(), score(result))).collect();
        run.curve.push(Evaluated { step, tokens: 10 * step as u64, scores });
        run.clock.seconds.push(share * 3.0);
    }
    if let Arm::Joint { method } = &run.arm {
        if method == "search" {
            run.weights = Some(run.tasks.keys().map(|task| (task.clone(), 1.0)).collect());
        }
        for step in (0..100).step_by(5) {
            let mut of_layer = |layer: &str| {
                let conflicting = |a: usize, b: usize| layer == "layer 1" && a.min(b) == 0 && a.max(b) == count - 1;
                matrix(&mut |a, b| if conflicting(a, b) { -0.4 } else { 0.1 } + 0.05 * random.normal())
            };
            let layers: IndexMap<_, _> =
                ["embeddings", "layer 0", "layer 1"].map(|layer| (layer.to_owned(), of_layer(layer))).into();
            run.conflicts.push(Cosines { step, whole: layers["layer 1"].clone(), layers });
            let lookahead = matrix(&mut |a, b| (a * count + b) as f64 * 0.001 + 0.0005 * random.normal());
            run.affinities.push(Affinity { step, lookahead });
        }
    }
    run
}
