//! What every balancing method owes, through the public registry: finite weights for any gradients, no word on the
//! order of tasks, the scaling that it promises, and a state that survives.
#![cfg(feature = "train")]

use mtl_zoo::balance::{Balancer, Entry, Matrix, Measured, Needs, methods};
use mtl_zoo::data::random::Random;
use mtl_zoo::recipe::{Balance, Recipe};
use serde_json::Value;

/// Gradients of a step, a row a task; `None` for tasks that are absent.
#[derive(Clone)]
struct Step {
    gradients: Matrix,
    validation: Matrix,
    losses: Vec<Option<f64>>,
}

impl Step {
    /// A step in which validation gradients are those of training.
    fn new(gradients: Matrix, losses: &[f64]) -> Self {
        Self { validation: gradients.clone(), gradients, losses: losses.iter().map(|&loss| Some(loss)).collect() }
    }

    /// Gradients of normal numbers around a common one, which they share more or less of.
    fn drawn(random: &mut Random, tasks: usize, common: f64) -> Self {
        let mut rows = || {
            let mean: Vec<f64> = (0..SHARED).map(|_| random.normal()).collect();
            Matrix::from_fn(tasks, SHARED, |_, j| random.normal() + common * mean[j])
        };
        let (gradients, validation) = (rows(), rows());
        Self { gradients, validation, losses: (0..tasks).map(|_| Some(0.2 + 2.0 * random.unit())).collect() }
    }

    fn present(&self) -> Vec<usize> {
        (0..self.losses.len()).filter(|&task| self.losses[task].is_some()).collect()
    }

    /// The tasks at these places, in this order.
    fn reordered(&self, places: &[usize]) -> Self {
        Self {
            gradients: self.gradients.select_rows(places),
            validation: self.validation.select_rows(places),
            losses: places.iter().map(|&place| self.losses[place]).collect(),
        }
    }

    /// Loss and gradients of each task times a factor.
    fn scaled(&self, factors: &[f64]) -> Self {
        let times = |rows: &Matrix| Matrix::from_fn(rows.nrows(), rows.ncols(), |i, j| rows[(i, j)] * factors[i]);
        let losses = self.losses.iter().zip(factors).map(|(loss, factor)| loss.map(|loss| loss * factor)).collect();
        Self { gradients: times(&self.gradients), validation: times(&self.validation), losses }
    }
}

/// Number of shared parameters.
const SHARED: usize = 12;

/// A balancer, and what a trainer keeps for it.
struct Run {
    balancer: Balancer,
    traces: Matrix,
    squares: Matrix,
}

/// What came of a step.
#[derive(Debug, PartialEq)]
struct Answer {
    weights: Vec<f64>,
    direction: Vec<f64>,
}

impl Run {
    fn new(entry: &Entry, tasks: usize) -> Self {
        Self {
            balancer: balancer(entry, tasks),
            traces: Matrix::zeros(tasks, SHARED),
            squares: Matrix::zeros(tasks, SHARED),
        }
    }

    fn step(&mut self, step: &Step) -> Answer {
        let present = step.present();
        let rows = step.gradients.select_rows(&present);
        let needs = self.balancer.needs();
        // A trainer stops at a gradient that is not finite.
        for &task in present.iter().filter(|&&task| step.gradients.row(task).iter().all(|g| g.is_finite())) {
            let squares = self.squares.row(task) + step.gradients.row(task).map(|g| g * g);
            self.squares.set_row(task, &squares);
        }
        let risk = |&task: &usize| {
            let terms =
                (0..SHARED).map(|j| step.gradients[(task, j)].powi(2) / (self.squares[(task, j)].sqrt() + 1e-8));
            terms.sum::<f64>()
        };
        let mut measured = Measured::default();
        match needs {
            Needs::Losses | Needs::LossesTwice | Needs::Elements => {}
            Needs::Halves => measured.gramian = &rows * step.validation.select_rows(&present).transpose(),
            _ => measured.gramian = &rows * rows.transpose(),
        }
        if needs == Needs::Squares {
            measured.excess = present.iter().map(risk).collect();
        }
        if needs == Needs::Validation {
            measured.validation = step.validation.select_rows(&present) * rows.transpose();
        }
        let mut followed = step.gradients.clone();
        if needs == Needs::Traces {
            let factors = self.balancer.traces(&step.losses, std::slice::from_ref(&measured)).remove(0);
            for (task, [a, b]) in factors.into_iter().enumerate() {
                let mut trace = self.traces.row(task) * a;
                if b != 0.0 {
                    trace += step.gradients.row(task) * b;
                }
                self.traces.set_row(task, &trace);
            }
            followed = self.traces.clone();
            let rows = followed.select_rows(&present);
            measured.gramian = &rows * rows.transpose();
        }
        let weights = self.balancer.weights(&step.losses, &[measured]).remove(0);
        let weighted = |task: usize, j: usize| weights[task] * followed[(task, j)];
        let direction = match self.balancer.elements(0) {
            Some(element) => {
                let column = |j: usize| -> Vec<f32> { present.iter().map(|&task| weighted(task, j) as f32).collect() };
                (0..SHARED).map(|j| f64::from(element.at(j as u64, &column(j)))).collect()
            }
            None => (0..SHARED).map(|j| present.iter().map(|&task| weighted(task, j)).sum()).collect::<Vec<f64>>(),
        };
        let after: Vec<_> =
            step.losses.iter().enumerate().map(|(i, loss)| loss.map(|l| l * (0.9 - 0.1 * i as f64))).collect();
        self.balancer.after(&after);
        let tasks = step.losses.len() as f64;
        Answer { weights, direction: direction.into_iter().map(|d| d / tasks).collect() }
    }

    fn unsolved(&self) -> u64 {
        self.balancer.unsolved().0
    }
}

fn balancer(entry: &Entry, tasks: usize) -> Balancer {
    let task = serde_json::json!({"type": "classification", "train": "rows.csv"});
    let task = |n: usize| (format!("task {n}"), serde_json::from_value(task.clone()).expect("a task"));
    let recipe =
        Recipe { balance: Balance::new(entry.name), tasks: (0..tasks).map(task).collect(), ..Recipe::default() };
    Balancer::new(&recipe, 1)
}

/// The first step with these gradients; losses are 1.
fn first(entry: &Entry, gradients: &Matrix) -> (Answer, Run) {
    let mut run = Run::new(entry, gradients.nrows());
    let answer = run.step(&Step::new(gradients.clone(), &vec![1.0; gradients.nrows()]));
    (answer, run)
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    norm(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>())
}

fn along(gradients: &Matrix, task: usize, direction: &[f64]) -> f64 {
    direction.iter().enumerate().map(|(j, d)| gradients[(task, j)] * d).sum()
}

/// Gradients of all kinds, by name.
fn stacks() -> Vec<(&'static str, Matrix)> {
    let mut random = Random::new(&[1]);
    let mut drawn = |tasks, common| Step::drawn(&mut random, tasks, common).gradients;
    let rows = |factors: &[[f64; 2]], of: &Matrix| {
        Matrix::from_fn(factors.len(), SHARED, |i, j| factors[i][0] * of[(0, j)] + factors[i][1] * of[(1, j)])
    };
    let two = drawn(2, 0.0);
    let wild = drawn(4, 0.0);
    vec![
        ("one", drawn(1, 0.0)),
        ("two", two.clone()),
        ("three", drawn(3, 0.3)),
        ("eight", drawn(8, 0.5)),
        ("sixteen, dependent", drawn(16, 0.5)),
        ("aligned", drawn(4, 5.0)),
        ("conflicting", rows(&[[1.0, 0.0], [-0.9, 0.3]], &two)),
        ("rank deficient", rows(&[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, -1.0]], &two)),
        ("parallel", rows(&[[1.0, 0.0], [3.0, 0.0], [0.1, 0.0]], &two)),
        ("equal", rows(&[[1.0, 0.0]; 3], &two)),
        ("nearly parallel", rows(&[[1.0, 0.0], [1.0, 1e-6], [1.0, -1e-6]], &two)),
        ("nearly opposite", rows(&[[1.0, 0.0], [-1.0, 1e-5], [-1.0, -1e-6]], &two)),
        ("opposite", rows(&[[1.0, 0.0], [-0.5, 0.0]], &two)),
        ("opposite and one across", rows(&[[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], &two)),
        ("orthogonal", Matrix::from_fn(3, SHARED, |i, j| if i == j { [1.0, 1e-3, 1e3][i] } else { 0.0 })),
        ("wild", Matrix::from_fn(4, SHARED, |i, j| wild[(i, j)] * [1e-6, 1e-2, 1e2, 1e6][i])),
        ("tiny", wild.clone() * 1e-150),
        ("huge", wild.clone() * 1e100),
        ("one zero", rows(&[[1.0, 0.0], [0.0, 0.0], [-0.5, 1.0]], &two)),
        ("one alone not zero", rows(&[[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]], &two)),
        ("all zero", Matrix::zeros(3, SHARED)),
    ]
}

/// Whether the gradients can be mixed to nothing (MGDA's direction is zero).
fn cancel(gradients: &Matrix) -> bool {
    let mgda = methods().iter().find(|entry| entry.name == "mgda").expect("mgda");
    let (answer, _) = first(mgda, gradients);
    let longest = (0..gradients.nrows()).map(|i| gradients.row(i).norm()).fold(0.0, f64::max);
    let has_zero = (0..gradients.nrows()).any(|i| gradients.row(i).norm() == 0.0);
    !has_zero && norm(&answer.direction) < 1e-7 * longest
}

#[test]
fn any_gradients_have_finite_weights() {
    for entry in methods() {
        for (name, gradients) in stacks() {
            let (answer, run) = first(entry, &gradients);
            assert!(answer.weights.iter().all(|w| w.is_finite()), "{} {name}: {answer:?}", entry.name);
            let none = match entry.name {
                "krum" => (2..3).contains(&gradients.nrows()),
                "nash_mtl" | "fairgrad" => cancel(&gradients),
                _ => false,
            };
            let why = run.balancer.unsolved().1;
            assert!(none || run.unsolved() == 0, "{} {name}: {why:?}", entry.name);
        }
    }
}

#[test]
fn what_is_not_a_number_is_refused() {
    let mut random = Random::new(&[2]);
    for entry in methods() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut run = Run::new(entry, 3);
            let good = run.step(&Step::drawn(&mut random, 3, 0.5));
            let mut step = Step::drawn(&mut random, 3, 0.5);
            step.gradients[(1, 4)] = bad;
            step.losses[1] = Some(bad);
            let answer = run.step(&step);
            assert_eq!(answer.weights, good.weights, "{} {bad}", entry.name);
            assert_eq!(run.unsolved(), 1, "{} {bad}", entry.name);
            let after = run.step(&Step::drawn(&mut random, 3, 0.5));
            assert!(after.direction.iter().all(|d| d.is_finite()), "{} {bad}", entry.name);
            assert_eq!(run.unsolved(), 1, "{} {bad}", entry.name);
        }
    }
}

#[test]
fn the_order_of_tasks_does_not_matter() {
    // They draw a number or an order a task, or have a first task.
    let ordered = ["rlw", "pcgrad", "gradvac", "pcd"];
    let order = [3, 0, 4, 2, 1];
    for entry in methods().iter().filter(|entry| !ordered.contains(&entry.name)) {
        let mut random = Random::new(&[3]);
        let (mut run, mut reordered) = (Run::new(entry, 5), Run::new(entry, 5));
        for number in 0..6 {
            let mut step = Step::drawn(&mut random, 5, 0.4);
            // A task may be absent. Losses after the update depend on the place, so that they are the same here.
            step.losses[number % 5] = if number > 2 { None } else { Some(1.0) };
            if entry.needs == Needs::LossesTwice && number > 0 {
                break;
            }
            let (a, b) = (run.step(&step), reordered.step(&step.reordered(&order)));
            let apart = distance(&a.direction, &b.direction);
            assert!(apart <= 1e-6 * norm(&a.direction), "{} step {number}: {apart} {a:?} {b:?}", entry.name);
        }
    }
}

#[test]
fn equal_tasks_are_weighted_as_one() {
    let gradients = Matrix::from_fn(3, SHARED, |_, j| j as f64 - 4.0);
    let mean: Vec<f64> = (0..SHARED).map(|j| gradients[(0, j)]).collect();
    for entry in methods() {
        let (answer, _) = first(entry, &gradients);
        let factor = match entry.name {
            // Twice of what the ball allows, over 1 + c².
            "cagrad" => 1.5 / 1.25,
            // The sum has norm 1; and w = (3 ‖g‖²)^(-2/3).
            "nash_mtl" => 1.0 / 3.0 / norm(&mean),
            "fairgrad" => (3.0 * norm(&mean).powi(2)).powf(-2.0 / 3.0),
            // A trace is a share of the first gradient.
            _ if entry.needs == Needs::Traces => along(&gradients, 0, &answer.direction) / norm(&mean).powi(2),
            _ => 1.0,
        };
        assert!(factor > 0.0, "{}: {answer:?}", entry.name);
        let expected: Vec<_> = mean.iter().map(|g| g * factor).collect();
        assert!(distance(&answer.direction, &expected) < 1e-5 * norm(&expected), "{}: {answer:?}", entry.name);
    }
}

#[test]
fn weights_do_not_change_with_the_scale_of_all_losses() {
    // Weights as the sources have them are powers of the gradients' scale, or steps of a size in it.
    let scaled = ["nash_mtl", "fairgrad", "modo"];
    for entry in methods().iter().filter(|entry| !scaled.contains(&entry.name)) {
        let gradients_only = [Needs::Gramian, Needs::Halves, Needs::Elements].contains(&entry.needs);
        for factor in [1e-3, 1e3] {
            if !gradients_only {
                continue;
            }
            let mut random = Random::new(&[5]);
            let (mut run, mut other) = (Run::new(entry, 4), Run::new(entry, 4));
            for number in 0..4 {
                let step = Step::drawn(&mut random, 4, 0.3);
                let (a, b) = (run.step(&step), other.step(&step.scaled(&[factor; 4])));
                let apart = distance(&a.weights, &b.weights);
                assert!(apart < 1e-5 * norm(&a.weights), "{} step {number}: {a:?} {b:?}", entry.name);
            }
        }
    }
}

#[test]
fn some_directions_do_not_change_with_the_scale_of_one_loss() {
    for entry in methods() {
        // Up to the direction's length, or not even that.
        let length_too = match entry.name {
            "nash_mtl" | "db_mtl" => true,
            "imtl_g" | "config" | "gls" => false,
            _ => continue,
        };
        let mut random = Random::new(&[6]);
        let (mut run, mut other) = (Run::new(entry, 3), Run::new(entry, 3));
        for number in 0..4 {
            let step = Step::drawn(&mut random, 3, 0.8);
            let unit = |direction: &[f64]| {
                let length = if length_too { 1.0 } else { norm(direction) };
                direction.iter().map(|d| d / length).collect::<Vec<_>>()
            };
            let (a, b) = (run.step(&step), other.step(&step.scaled(&[1.0, 1e4, 1e-2])));
            let (a, b) = (unit(&a.direction), unit(&b.direction));
            assert!(distance(&a, &b) < 1e-6 * norm(&a), "{} step {number}: {a:?} {b:?}", entry.name);
        }
    }
}

#[test]
fn no_task_gets_worse_where_a_method_says_so() {
    for entry in methods() {
        let slack = match entry.name {
            "mgda" | "nash_mtl" | "fairgrad" | "config" => 1e-7,
            // Their ridge of 1e-4 moves the direction a little into the conflict.
            "upgrad" | "dualproj" | "cr_mogm" => 1e-2,
            _ => continue,
        };
        let mut random = Random::new(&[7]);
        for _ in 0..30 {
            let gradients = Step::drawn(&mut random, 5, 0.0).gradients;
            let (answer, run) = first(entry, &gradients);
            assert_eq!(run.unsolved(), 0, "{}", entry.name);
            for task in 0..5 {
                let rate = along(&gradients, task, &answer.direction);
                let scale = gradients.row(task).norm() * norm(&answer.direction);
                assert!(rate >= -slack * scale, "{}: {rate} of {scale}", entry.name);
            }
        }
    }
}

#[test]
fn a_step_of_one_task_follows_its_gradient() {
    for entry in methods() {
        let mut random = Random::new(&[8]);
        let mut run = Run::new(entry, 3);
        for task in [0, 2, 1, 0] {
            let mut step = Step::drawn(&mut random, 3, 0.5);
            (0..3).filter(|&other| other != task).for_each(|other| step.losses[other] = None);
            let answer = run.step(&step);
            let length = along(&step.gradients, task, &answer.direction) / step.gradients.row(task).norm();
            // Traces remember other steps of the task.
            assert!(length > 0.0 || entry.needs == Needs::Traces, "{}: {answer:?}", entry.name);
            assert!(answer.weights[task] > 0.0, "{}: {answer:?}", entry.name);
            assert_eq!(run.unsolved(), 0, "{}", entry.name);
        }
    }
}

#[test]
fn a_resumed_run_goes_on_as_if_it_had_never_stopped() {
    for entry in methods() {
        let mut random = Random::new(&[9]);
        let mut steps: Vec<_> = (0..9).map(|_| Step::drawn(&mut random, 4, 0.2)).collect();
        steps[2].losses[1] = None;
        steps[6].losses[0] = None;
        steps[6].losses[3] = None;
        let mut run = Run::new(entry, 4);
        let mut resumed = Run::new(entry, 4);
        for (number, step) in steps.iter().enumerate() {
            if number == 5 {
                let text = run.balancer.state().to_string();
                let state = serde_json::from_str(&text).expect("a state is JSON");
                resumed.balancer.restore(&state).unwrap_or_else(|error| panic!("{}: {error}", entry.name));
                (resumed.traces, resumed.squares) = (run.traces.clone(), run.squares.clone());
            }
            let answer = run.step(step);
            run.balancer.scored(&[Some(0.3), Some(0.5), None, Some(0.1 * number as f64)]);
            if number >= 5 {
                assert_eq!(resumed.step(step), answer, "{} step {number}", entry.name);
                resumed.balancer.scored(&[Some(0.3), Some(0.5), None, Some(0.1 * number as f64)]);
            }
        }
    }
}

#[test]
fn states_of_something_else_are_refused() {
    for entry in methods() {
        let mut run = Run::new(entry, 3);
        run.step(&Step::drawn(&mut Random::new(&[10]), 3, 0.5));
        let state = run.balancer.state();
        if state.is_null() {
            continue;
        }
        let mut other = balancer(entry, 2);
        assert!(other.restore(&state).is_err(), "{}: the state of more tasks", entry.name);
        for wrong in ["null", "\"words\"", "[]", "{}", "{\"steps\": -1}"] {
            let wrong = serde_json::from_str(wrong).expect("JSON");
            assert!(run.balancer.restore(&wrong).is_err(), "{}: {wrong}", entry.name);
        }
        for wrong in spoiled(&state) {
            assert!(run.balancer.restore(&wrong).is_err(), "{}: {wrong}", entry.name);
        }
    }
}

/// The value with one of its numbers replaced by a word, for each number.
fn spoiled(value: &Value) -> Vec<Value> {
    match value {
        Value::Number(_) => vec!["word".into()],
        Value::Array(items) => {
            let with = |(place, wrong): (usize, Value)| {
                let mut items = items.clone();
                items[place] = wrong;
                items.into()
            };
            let all = items.iter().enumerate();
            all.flat_map(|(place, item)| spoiled(item).into_iter().map(move |wrong| (place, wrong))).map(with).collect()
        }
        Value::Object(fields) => {
            let with = |(name, wrong): (&String, Value)| {
                let mut fields = fields.clone();
                fields.insert(name.clone(), wrong);
                fields.into()
            };
            fields
                .iter()
                .flat_map(|(name, field)| spoiled(field).into_iter().map(move |wrong| (name, wrong)))
                .map(with)
                .collect()
        }
        _ => Vec::new(),
    }
}
