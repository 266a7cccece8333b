//! Made-up reports for tests: of any number of tasks, with all that may be missing.

use crate::metrics::Metric;
use crate::study::Report;
use crate::study::report::*;
use indexmap::IndexMap;

const NAMES: [(&str, Metric, f64); 12] = [
    ("sentiment", Metric::Accuracy, 0.842),
    ("emotion", Metric::MacroF1, 0.514),
    ("similarity", Metric::Spearman, 0.781),
    ("valence", Metric::Mse, 0.431),
    ("irony", Metric::Matthews, 0.262),
    ("entities", Metric::EntityF1, 0.887),
    ("hate_speech_in_three_languages", Metric::BalancedAccuracy, 0.703),
    ("stance", Metric::WeightedF1, 0.664),
    ("paraphrase", Metric::Auroc, 0.912),
    ("arousal", Metric::Mae, 0.215),
    ("price", Metric::R2, -0.04),
    ("topic", Metric::MicroF1, 0.931),
];

/// A number between -1 and 1 that looks random.
fn noise(a: usize, b: usize, c: usize) -> f64 {
    let x = (a as f64 * 12.9898 + b as f64 * 78.233 + c as f64 * 37.719).sin() * 43758.5453;
    2.0 * (x - x.floor()) - 1.0
}

fn estimate(value: f64, half: f64) -> Estimate {
    Estimate { value, interval: Some([value - half, value + half]) }
}

fn effect(value: f64, half: f64, base: f64) -> Effect {
    let p = (-(value / half).powi(2) * 2.0).exp().clamp(0.0002, 1.0);
    let corrected = (p * 4.0).min(1.0);
    let verdict = match corrected < 0.05 {
        true if value > 0.0 => Verdict::Helped,
        true => Verdict::Hurt,
        false => Verdict::NoEvidence,
    };
    let percent = (base > 0.0).then(|| 100.0 * value / base);
    Effect { difference: estimate(value, half), percent, p: Some(p), corrected: Some(corrected), verdict }
}

/// A full report with so many tasks.
pub fn full(count: usize) -> Report {
    let names: Vec<(String, Metric, f64)> = (0..count)
        .map(|index| {
            let (name, metric, base) = NAMES[index % NAMES.len()];
            let round = index / NAMES.len();
            (if round > 0 { format!("{name}_{}", round + 1) } else { name.to_owned() }, metric, base)
        })
        .collect();
    let name = |index: usize| names[index].0.clone();
    // Turned so that above 0 is better.
    let gain = |task: usize| [0.021, 0.034, -0.006, 0.027, -0.031, 0.002][task % 6];
    let facts = |index: usize| TaskFacts {
        kind: "classification".into(),
        metric: names[index].1,
        train: 800 + 317 * index,
        test: 400 + 100 * (index % 3),
    };
    let scores = |task: usize, arm: usize, gain: f64| {
        let (_, metric, base) = names[task];
        let sign = if metric.higher_is_better() { 1.0 } else { -1.0 };
        let seeds: Vec<Option<f64>> =
            (0..5).map(|seed| Some(base + sign * gain + 0.011 * noise(task, arm, seed))).collect();
        let mean = seeds.iter().flatten().sum::<f64>() / 5.0;
        TaskScores {
            seeds,
            test: estimate(mean, 0.0117),
            train: Some(mean + sign * 0.061),
            gap: Some(0.061),
            effect: (arm > 0).then(|| effect(gain, 0.0142, base)),
        }
    };
    let arm = |title: &str, method: Option<&str>, number: usize| ArmScores {
        title: title.into(),
        method: method.map(str::to_owned),
        tasks: (0..count)
            .map(|task| {
                (
                    name(task),
                    scores(task, number, if number == 0 { 0.0 } else { gain(task) - 0.004 * (number as f64 - 1.0) }),
                )
            })
            .collect(),
        delta_m: (number > 0).then(|| estimate(2.1 - 0.9 * (number as f64 - 1.0), 1.3)),
        weights: None,
    };
    let mut joint: Vec<ArmScores> = ["uniform", "uncertainty", "pcgrad", "search"]
        .iter()
        .enumerate()
        .map(|(n, method)| arm(&format!("all together ({method})"), Some(method), n + 1))
        .collect();
    joint[3].weights = Some((0..count).map(|task| (name(task), 0.5 + 0.3 * noise(task, 9, 9).abs())).collect());
    let matrix = |which: usize| -> Matrix<Effect> {
        (0..count)
            .map(|t| {
                (0..count)
                    .map(|s| (t != s).then(|| effect(0.024 * noise(t, s, which), 0.012, names[t].2.abs())))
                    .collect()
            })
            .collect()
    };
    let pairs: Vec<PairConflict> = (0..count)
        .flat_map(|a| (a + 1..count).map(move |b| (a, b)))
        .map(|(a, b)| {
            let cosine = 0.16 * noise(a, b, 3);
            PairConflict {
                tasks: [name(a), name(b)],
                cosine: estimate(cosine, 0.05),
                share: (0.5 - 2.2 * cosine).clamp(0.0, 1.0),
                measured: 450,
                over_time: (0..10)
                    .map(|tenth| Some(cosine * (1.4 - 0.06 * tenth as f64) + 0.04 * noise(a, b, tenth)))
                    .collect(),
                layers: layers()
                    .iter()
                    .enumerate()
                    .map(|(l, layer)| (layer.clone(), Some(cosine + 0.09 * noise(a, b, l) - 0.02 * l as f64)))
                    .collect(),
                verdict: if cosine > 0.05 {
                    Verdict::Helped
                } else if cosine < -0.05 {
                    Verdict::Hurt
                } else {
                    Verdict::NoEvidence
                },
            }
        })
        .collect();
    Report {
        format: "mtl-zoo-study-1".into(),
        name: "sentiment, emotion and friends".into(),
        version: "0.1.0".into(),
        backbone: "sentence-transformers/all-MiniLM-L6-v2".into(),
        balance: "uniform".into(),
        seeds: (1..=5).collect(),
        runs: 12 * count + 15,
        failed: vec![],
        tasks: (0..count).map(|index| (name(index), facts(index))).collect(),
        headline: "Joint training helped emotion by 6.6 % and sentiment by 2.5 %, hurt irony, and left the rest where it was, with a quarter of the parameters.".into(),
        generalization: Generalization { single: arm("each alone", None, 0), joint },
        labels: Some(learning(&name(count.min(2) - 1))),
        time: time(&names),
        transfer: (count > 1).then(|| Transfer {
            tasks: names.iter().map(|(name, ..)| name.clone()).collect(),
            pairs: matrix(1),
            after: matrix(2),
            leave_one_out: matrix(3),
            affinity: (0..count).map(|t| (0..count).map(|s| (t != s).then(|| estimate(0.0042 * noise(t, s, 1), 0.0018))).collect()).collect(),
            foretold: vec![
                Foretold { matrix: "pairs".into(), rho: Some(0.62), p: Some(0.031), pairs: count * (count - 1) },
                Foretold { matrix: "after".into(), rho: Some(0.18), p: Some(0.57), pairs: count * (count - 1) },
                Foretold { matrix: "leave one out".into(), rho: None, p: None, pairs: 2 },
            ],
        }),
        conflict: (count > 1).then(|| Conflict {
            pairs,
            layers: layers().iter().enumerate().map(|(l, layer)| {
                let cosine = 0.14 - 0.035 * l as f64;
                LayerConflict { layer: layer.clone(), cosine, share: 0.5 - 1.7 * cosine, conflicting: cosine < -0.05 }
            }).collect(),
            finding: "The tasks agree in the lower layers and part ways in the last two: heads of their own from layer 4 on are worth a try.".into(),
        }),
        advice: vec![
            Advice { what: "Train emotion with the others.".into(), because: vec!["Together it scores 0.548 instead of 0.514 (+6.6 %, p < 0.001).".into(), "With 400 labels it is as good as alone with 1,150.".into()], certainty: Certainty::Sure, change: None },
            Advice { what: "Take irony out of the joint run, or train it afterwards.".into(), because: vec!["It loses 0.031 in Matthews correlation (p = 0.004).".into()], certainty: Certainty::Likely, change: Some("task `irony` is left out".into()) },
            Advice { what: "Keep the plain sum of losses.".into(), because: vec!["No balancing method has a higher Δm beyond chance.".into()], certainty: Certainty::Unsure, change: None },
        ],
        method: "Each arm was trained for 3 epochs of its tasks' rows at batch size 32 with AdamW, with 5 seeds that set heads, order and dropout. The step with the best mean validation score was kept and scored once on test rows. Intervals are hierarchical bootstraps over seeds and test rows (10,000 draws); differences are paired by seed; p comes from paired permutation tests, corrected by Holm over all tasks.".into(),
    }
}

fn layers() -> Vec<String> {
    std::iter::once("embeddings".to_owned()).chain((0..6).map(|layer| format!("layer {layer}"))).collect()
}

fn learning(task: &str) -> Labels {
    let rows = [50, 100, 200, 400, 800, 1600];
    let at = |joint: bool| -> Vec<AtRows> {
        rows.iter()
            .enumerate()
            .map(|(index, &rows)| {
                let score = 0.26 + 0.055 * index as f64 + if joint { 0.085 - 0.012 * index as f64 } else { 0.0 };
                let seeds = (0..5).map(|seed| Some(score + 0.016 * noise(index, seed, usize::from(joint)))).collect();
                AtRows { rows, seeds, score: estimate(score, 0.012) }
            })
            .collect()
    };
    let saved = |rows, needed: f64, at_least| LabelsSaved { rows, needed: estimate(needed, needed * 0.14), at_least };
    Labels {
        task: task.into(),
        most: 1600,
        used: 400,
        single: at(false),
        joint: at(true),
        saved: vec![saved(100, 238.0, false), saved(400, 820.0, false), saved(1600, 1600.0, true)],
        headline: format!(
            "With the other tasks, 400 labels of {task} are worth 820 alone: half of the labelling is saved."
        ),
    }
}

fn time(names: &[(String, Metric, f64)]) -> TimeSpent {
    let count = names.len() as f64;
    let cost = |tokens: f64| Cost { steps: tokens / 1500.0, tokens, seconds: tokens / 900.0 };
    let curve = |task: usize, joint: bool| {
        let (name, metric, base) = &names[task];
        let (sign, whole) =
            (if metric.higher_is_better() { 1.0 } else { -1.0 }, if joint { 420e3 * count } else { 420e3 });
        let points = (1..=8)
            .map(|step| {
                let part = f64::from(step) / 8.0;
                let lack = 0.16 * (-4.0 * part).exp() + if joint { -0.012 } else { 0.0 };
                (cost(whole * part), base - sign * lack + 0.003 * noise(task, step as usize, 5))
            })
            .collect();
        TimeCurve { task: name.clone(), joint, points }
    };
    TimeSpent {
        curves: (0..names.len()).flat_map(|task| [curve(task, false), curve(task, true)]).collect(),
        reached: names
            .iter()
            .enumerate()
            .map(|(task, (name, metric, base))| Reached {
                task: name.clone(),
                goal: base - if metric.higher_is_better() { 0.003 } else { -0.003 },
                single: cost(400e3),
                joint: (task % 3 != 2).then(|| cost(210e3 * count)),
            })
            .collect(),
        joint: cost(420e3 * count * 0.93),
        single: cost(420e3 * count),
        parameters: [22_900_000, (22_700_000.0 * count) as usize],
        memory: [1_350_000_000, 1_120_000_000],
        answering: Some(Answering { texts: 1000, joint: 2.9, single: 2.7 * count }),
    }
}

/// A report with one seed, one task, failed runs, undefined scores, and nothing that needs several tasks.
pub fn bare() -> Report {
    let mut report = full(1);
    report.seeds = vec![7];
    report.failed = vec![["joint-uniform/seed-7".into(), "step 12: the loss of task `sentiment` is NaN".into()]];
    for arm in std::iter::once(&mut report.generalization.single).chain(&mut report.generalization.joint) {
        arm.delta_m = None;
        arm.weights = None;
        for scores in arm.tasks.values_mut() {
            *scores = TaskScores {
                seeds: vec![None],
                test: Estimate { value: f64::NAN, interval: None },
                train: None,
                gap: None,
                effect: None,
            };
        }
    }
    report.generalization.joint.truncate(1);
    report.labels = None;
    report.time = TimeSpent {
        curves: vec![],
        reached: vec![],
        joint: Cost::default(),
        single: Cost::default(),
        parameters: [0, 0],
        memory: [0, 0],
        answering: None,
    };
    report.transfer = None;
    report.conflict = None;
    report.advice = vec![];
    report.headline = "There is too little to tell.".into();
    report
}

/// Names that try to be markup, are very long, or in other scripts; holes in every part.
pub fn awkward() -> Report {
    let names = [
        "<script>alert(1)</script>",
        "a\"b'c & d]]> {x} --><!-- é",
        "a_very_long_task_name_that_nobody_would_type_twice_but_that_some_exporter_wrote_into_the_recipe_anyway",
        "情感分析任务",
    ];
    let mut report = full(4);
    let rename = |name: &str| -> String {
        let at = NAMES.iter().position(|(known, ..)| *known == name);
        at.and_then(|at| names.get(at)).map_or_else(|| name.to_owned(), |name| (*name).to_owned())
    };
    report.name = "</title><img src=x onerror=alert(1)>".into();
    report.tasks = report.tasks.into_iter().map(|(name, facts)| (rename(&name), facts)).collect();
    report.generalization.joint.truncate(2);
    let arms = std::iter::once(&mut report.generalization.single).chain(&mut report.generalization.joint);
    for arm in arms {
        arm.tasks = std::mem::take(&mut arm.tasks).into_iter().map(|(name, scores)| (rename(&name), scores)).collect();
    }
    let holes: IndexMap<&str, ()> = names.iter().map(|name| (*name, ())).collect();
    assert_eq!(holes.len(), report.tasks.len());
    let joint = &mut report.generalization.joint[0].tasks;
    joint[0].seeds[1] = None;
    joint[1].effect.as_mut().unwrap().percent = None;
    joint[2].effect.as_mut().unwrap().difference.interval = None;
    joint[2].effect.as_mut().unwrap().corrected = None;
    joint.shift_remove(names[3]);
    let labels = report.labels.as_mut().unwrap();
    labels.task = names[1].into();
    labels.joint[2].score = Estimate { value: f64::NAN, interval: None };
    labels.single[0].score.interval = None;
    labels.saved[1].at_least = true;
    for curve in &mut report.time.curves {
        curve.task = rename(&curve.task);
        curve.points[3].1 = f64::NAN;
    }
    for reached in &mut report.time.reached {
        reached.task = rename(&reached.task);
    }
    let transfer = report.transfer.as_mut().unwrap();
    transfer.tasks = names.map(str::to_owned).to_vec();
    transfer.pairs[0][1] = None;
    transfer.pairs[1][2].as_mut().unwrap().percent = None;
    transfer.after.clear();
    transfer.affinity[2].truncate(1);
    let conflict = report.conflict.as_mut().unwrap();
    for pair in &mut conflict.pairs {
        pair.tasks = pair.tasks.clone().map(|name| rename(&name));
        pair.over_time[4] = None;
        pair.layers.insert("layer 2".into(), None);
    }
    report.failed = vec![["joint-<b>".into(), "no & nothing <i>".into()]];
    report
}
