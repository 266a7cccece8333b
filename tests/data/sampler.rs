//! Shares, order, budget and resumption of the sampler.

use mtl_zoo::data::{Sampler, SamplerState};
use mtl_zoo::recipe::Sampling;
use serde_json::json;

const NAMES: [&str; 3] = ["large", "middle", "small"];
const SIZES: [usize; 3] = [8000, 800, 50];

fn sampling(method: serde_json::Value) -> Sampling {
    serde_json::from_value(method).unwrap()
}

fn sampler(method: serde_json::Value) -> Sampler {
    Sampler::new(&sampling(method), &SIZES, &NAMES, 3).unwrap()
}

/// Lengths from 3 to 42, another for each row.
fn length(task: usize, row: usize) -> usize {
    3 + (row * 7 + task) % 40
}

/// Share of the rows of each task in `batches` batches.
fn drawn(sampler: &mut Sampler, batches: usize, progress: f64) -> Vec<f64> {
    let mut counts = [0; 3];
    for _ in 0..batches {
        let batch = sampler.next(progress, 256, length);
        counts.iter_mut().zip(batch).for_each(|(count, rows)| *count += rows.len());
    }
    let total: usize = counts.iter().sum();
    counts.iter().map(|&count| count as f64 / total as f64).collect()
}

#[test]
fn shares_are_those_of_the_method() {
    let power = |sizes: [f64; 3], power: f64| {
        let weights = sizes.map(|size| size.powf(power));
        weights.map(|weight| weight / weights.iter().sum::<f64>())
    };
    let sizes = SIZES.map(|size| size as f64);
    for (method, progress, expected) in [
        (json!({"method": "proportional"}), 0.0, power(sizes, 1.0)),
        (json!({"method": "uniform"}), 0.5, [1.0 / 3.0; 3]),
        (json!({"method": "temperature", "temperature": 4.0}), 0.0, power(sizes, 0.25)),
        (json!({"method": "power", "power": 0.5}), 1.0, power(sizes, 0.5)),
        (json!({"method": "power", "power": 1.0, "cap": 400}), 1.0, power([400.0, 400.0, 50.0], 1.0)),
        (json!({"method": "annealed"}), 0.0, power(sizes, 1.0)),
        (json!({"method": "annealed"}), 0.5, power(sizes, 0.6)),
        (json!({"method": "annealed"}), 1.0, power(sizes, 0.2)),
        (json!({"method": "fixed", "weights": {"small": 3, "large": 1, "middle": 0}}), 0.0, [0.25, 0.0, 0.75]),
    ] {
        let mut sampler = sampler(method.clone());
        let shares = sampler.shares(progress);
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        let found = drawn(&mut sampler, 400, progress);
        for task in 0..3 {
            assert!((shares[task] - expected[task]).abs() < 1e-9, "{method}: {shares:?}, not {expected:?}");
            assert!((found[task] - expected[task]).abs() < 2e-3, "{method}: drew {found:?}, not {expected:?}");
        }
    }
}

#[test]
fn small_tasks_are_not_left_out_by_chance() {
    let mut sampler = sampler(json!({"method": "fixed", "weights": {"large": 5, "middle": 1, "small": 1}}));
    let mut order = Vec::new();
    // A budget of one token gives one row a batch.
    for _ in 0..14 {
        order.push(sampler.next(0.0, 1, length).iter().position(|rows| !rows.is_empty()).unwrap());
    }
    assert_eq!(order[..7], order[7..]);
    assert_eq!(order[..7].iter().filter(|&&task| task == 0).count(), 5);
}

#[test]
fn every_row_once_a_pass_and_in_a_new_order_each() {
    let mut sampler = Sampler::new(&Sampling::default(), &[20], &["only"], 1).unwrap();
    let pass = |sampler: &mut Sampler| -> Vec<usize> {
        (0..20).flat_map(|_| sampler.next(0.0, 1, |_, _| 100).swap_remove(0)).collect()
    };
    let (first, second) = (pass(&mut sampler), pass(&mut sampler));
    assert_ne!(first, second);
    for mut rows in [first, second] {
        rows.sort_unstable();
        assert_eq!(rows, (0..20).collect::<Vec<_>>());
    }
}

#[test]
fn batches_fill_the_budget_and_skip_nothing() {
    let mut sampler = Sampler::new(&Sampling::Uniform {}, &[30, 30], &["a", "b"], 9).unwrap();
    let mut all = [Vec::new(), Vec::new()];
    let mut left: Option<usize> = None;
    while all[0].len() < 60 {
        let batch = sampler.next(0.0, 64, length);
        let lengths = |task: usize| batch[task].iter().map(move |&row| length(task, row));
        let tokens: usize = (0..2).flat_map(lengths).sum();
        assert!(tokens <= 64);
        if let Some(task) = left {
            assert!(!batch[task].is_empty(), "the row that did not fit comes first");
        }
        left = sampler.state().pending;
        assert!(left.is_some());
        all.iter_mut().zip(batch).for_each(|(all, rows)| all.extend(rows));
    }
    for rows in &mut all {
        rows[..30].sort_unstable();
        assert_eq!(rows[..30], (0..30).collect::<Vec<_>>());
    }
    // Rows longer than the budget, and rows without length, still come one at a time at least.
    assert_eq!(sampler.next(0.0, 8, |_, _| 100).concat().len(), 1);
    assert!(sampler.next(0.0, 8, |_, _| 0).concat().len() <= 8);
}

#[test]
fn goes_on_from_its_state() {
    for method in [json!({"method": "proportional"}), json!({"method": "annealed"})] {
        let mut sampler = sampler(method.clone());
        (0..137).for_each(|step| drop(sampler.next(f64::from(step) / 300.0, 300, length)));
        let stored = serde_json::to_string(sampler.state()).unwrap();
        let state: SamplerState = serde_json::from_str(&stored).unwrap();
        let mut resumed = Sampler::new(&sampling(method), &SIZES, &NAMES, 99).unwrap();
        resumed.restore(state).unwrap();
        for step in 137..300 {
            let progress = f64::from(step) / 300.0;
            assert_eq!(sampler.next(progress, 300, length), resumed.next(progress, 300, length));
        }
        assert_eq!(sampler.state(), resumed.state());
    }
}

#[test]
fn states_of_other_runs_are_refused() {
    let other = Sampler::new(&Sampling::default(), &[8000, 801, 50], &NAMES, 3).unwrap();
    let error = sampler(json!({"method": "uniform"})).restore(other.state().clone()).unwrap_err().to_string();
    assert!(error.contains("801") && error.contains("800"), "{error}");
    let mut state = sampler(json!({"method": "uniform"})).state().clone();
    state.pending = Some(3);
    assert!(sampler(json!({"method": "uniform"})).restore(state.clone()).is_err());
    (state.pending, state.credits) = (None, vec![i64::MIN, 1, 0]);
    assert!(sampler(json!({"method": "uniform"})).restore(state).is_err());
}

#[test]
fn seeds_differ_and_repeat() {
    let batches = |seed| {
        let mut sampler = Sampler::new(&Sampling::default(), &SIZES, &NAMES, seed).unwrap();
        (0..20).map(|_| sampler.next(0.0, 200, length)).collect::<Vec<_>>()
    };
    assert_eq!(batches(1), batches(1));
    assert_ne!(batches(1), batches(2));
}

#[test]
fn settings_out_of_range_are_refused() {
    for (method, parts) in [
        (json!({"method": "temperature", "temperature": 0.0}), ["`sampling.temperature`: found 0", "above 0"]),
        (json!({"method": "power", "power": -1.0}), ["`sampling.power`: found -1", "from 0 to 1"]),
        (json!({"method": "power", "cap": 0}), ["`sampling.cap`: found 0", "at least 1"]),
        (json!({"method": "annealed", "to": 2.0}), ["`sampling.to`: found 2", "from 0 to 1"]),
        (
            json!({"method": "fixed", "weights": {"large": 1, "middle": 1}}),
            ["`sampling.weights.small`: found no weight", ""],
        ),
        (
            json!({"method": "fixed", "weights": {"larg": 1}}),
            ["`sampling.weights.larg`: found a weight", "did you mean `large`?"],
        ),
        (
            json!({"method": "fixed", "weights": {"large": -1, "middle": 1, "small": 1}}),
            ["`sampling.weights.large`: found -1", "at least 0"],
        ),
        (
            json!({"method": "fixed", "weights": {"large": 0, "middle": 0, "small": 0}}),
            ["`sampling.weights`: found no", "one"],
        ),
    ] {
        let error = Sampler::new(&sampling(method), &SIZES, &NAMES, 0).unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
    assert!(
        Sampler::new(&Sampling::default(), &[1, 0, 1], &NAMES, 0).unwrap_err().to_string().contains("tasks.middle")
    );
    assert!(Sampler::new::<&str>(&Sampling::default(), &[], &[], 0).is_err());
}
