//! The two-task problem of CAGrad (Liu et al. 2021), on which mean gradients stop at a cliff, descended with every balancing
//! method from five starts. Prints `{"method": {"start": [[x, y, loss 1, loss 2], ...]}}`, which
//! `scripts/draw_balance_toy.py` draws.
//!
//! ```sh
//! cargo run --release --example balance_toy > toy.json
//! ```

use mtl_zoo::balance::{Elements, Entry, Matrix, Method, Needs, Settings, Step, methods};
use mtl_zoo::recipe::Balance;
use serde_json::{Map, Value, json};

const STARTS: [[f64; 2]; 5] = [[-8.5, 7.5], [-8.5, 5.0], [0.0, 0.0], [9.0, 9.0], [10.0, -8.0]];
const STEPS: u64 = 100_000;
/// Steps between points that are printed.
const EVERY: u64 = 250;
/// Adam's, as in the papers.
const RATE: f64 = 1e-3;
/// Both losses are above this; methods that read losses need them to be positive.
const LEAST: f64 = -21.0;
/// Nothing to follow here: weights of a recipe, scores of an evaluation, and a third task.
const LEFT_OUT: [&str; 3] = ["fixed", "dtp", "krum"];

fn main() {
    let chosen = methods().iter().filter(|entry| !LEFT_OUT.contains(&entry.name));
    let paths = chosen.map(|entry| {
        let of_start = |(k, start)| (format!("{k}"), json!(descend(entry, start)));
        (entry.name.to_owned(), Value::Object(STARTS.into_iter().enumerate().map(of_start).collect::<Map<_, _>>()))
    });
    println!("{}", Value::Object(paths.collect()));
}

/// Points on the way.
fn descend(entry: &Entry, start: [f64; 2]) -> Vec<[f64; 4]> {
    let mut method = entry.make(&Settings::new(&Balance::new(entry.name), ["1", "2"]));
    let (mut point, mut adam, mut memory) = (start, Adam::default(), Memory::default());
    let mut path = Vec::new();
    for number in 0..=STEPS {
        let (losses, gradients) = problem(point);
        if number % EVERY == 0 {
            path.push([point[0], point[1], losses[0], losses[1]].map(|x| (x * 1e4).round() / 1e4));
        }
        let direction = memory.direction(entry.needs, method.as_mut(), number, losses, gradients);
        adam.step(&mut point, direction);
        memory.after(method.as_mut(), number, losses, problem(point).0);
    }
    path
}

/// What a method is told of steps, and its last weights.
struct Memory {
    weights: Vec<f64>,
    traces: [[f64; 2]; 2],
    squares: [[f64; 2]; 2],
}

impl Default for Memory {
    fn default() -> Self {
        Self { weights: vec![1.0; 2], traces: Default::default(), squares: Default::default() }
    }
}

impl Memory {
    fn direction(
        &mut self,
        needs: Needs,
        method: &mut dyn Method,
        number: u64,
        losses: [f64; 2],
        mut rows: [[f64; 2]; 2],
    ) -> [f64; 2] {
        let losses = losses.map(|loss| loss - LEAST);
        let products = |rows: &[[f64; 2]; 2]| Matrix::from_fn(2, 2, |i, j| dot(rows[i], rows[j]));
        let mut excess = [0.0; 2];
        for (task, row) in rows.iter().enumerate() {
            for (g, sum) in row.iter().zip(&mut self.squares[task]) {
                *sum += g * g;
                excess[task] += g * g / (sum.sqrt() + 1e-8);
            }
        }
        // Without noise, halves of a batch and a validation batch have the gradients of the batch.
        let gramian = products(&rows);
        let mut step = Step {
            number,
            seed: 0,
            tasks: &[0, 1],
            losses: &losses,
            validation: gramian.clone(),
            gramian,
            excess: &excess,
        };
        if needs == Needs::Traces {
            for (task, [a, b]) in method.trace(&step).into_iter().enumerate() {
                self.traces[task] = [0, 1].map(|i| a * self.traces[task][i] + b * rows[task][i]);
            }
            rows = self.traces;
            step.gramian = products(&rows);
        }
        // Without an answer the last weights count.
        self.weights = method.weights(&step).unwrap_or_else(|_| self.weights.clone());
        let weighted = |i: usize| [rows[0][i] * self.weights[0], rows[1][i] * self.weights[1]];
        let combine: Option<Box<dyn Elements + '_>> = method.elements(&step);
        [0, 1].map(|i| match &combine {
            Some(combine) => f64::from(combine.at(i as u64, &weighted(i).map(|g| g as f32))) / 2.0,
            None => weighted(i).iter().sum::<f64>() / 2.0,
        })
    }

    fn after(&self, method: &mut dyn Method, number: u64, before: [f64; 2], after: [f64; 2]) {
        let [before, after] = [before, after].map(|losses| losses.map(|loss| loss - LEAST));
        let (gramian, validation) = (Matrix::default(), Matrix::default());
        method.after(
            &Step { number, seed: 0, tasks: &[0, 1], losses: &before, gramian, excess: &[], validation },
            &after,
        );
    }
}

#[derive(Default)]
struct Adam {
    first: [f64; 2],
    second: [f64; 2],
    steps: i32,
}

impl Adam {
    fn step(&mut self, point: &mut [f64; 2], gradient: [f64; 2]) {
        self.steps += 1;
        for i in 0..2 {
            self.first[i] = 0.9 * self.first[i] + 0.1 * gradient[i];
            self.second[i] = 0.999 * self.second[i] + 0.001 * gradient[i] * gradient[i];
            let [first, second] =
                [(self.first[i], 0.9f64), (self.second[i], 0.999)].map(|(m, beta)| m / (1.0 - beta.powi(self.steps)));
            point[i] -= RATE * first / (second.sqrt() + 1e-8);
        }
    }
}

fn dot(a: [f64; 2], b: [f64; 2]) -> f64 {
    a[0] * b[0] + a[1] * b[1]
}

/// Losses and gradients of both tasks: logarithms with a cliff above y = 0, parabolas below, mixed by c₁ and c₂.
fn problem([x, y]: [f64; 2]) -> ([f64; 2], [[f64; 2]; 2]) {
    let slope = |t: f64| 1.0 - t * t;
    let (tanh, half) = (y.tanh(), (y / 2.0).tanh());
    // At y = 0 both have a slope, as in PyTorch.
    let c1 = if y >= 0.0 { (half, slope(half) / 2.0) } else { (0.0, 0.0) };
    let c2 = if y <= 0.0 { (-half, -slope(half) / 2.0) } else { (0.0, 0.0) };
    // The logarithm's argument and its derivative by y; that by x is −½.
    let arguments = [(0.5 * (-x - 7.0) + tanh, slope(tanh)), (0.5 * (-x + 3.0) - tanh + 2.0, -slope(tanh))];
    let task = |(u, by_y): (f64, f64), centre: f64| {
        let least = 5e-6;
        let log = u.abs().max(least).ln() + 6.0;
        let (log_x, log_y) = if u.abs() > least { (-0.5 / u, by_y / u) } else { (0.0, 0.0) };
        let bowl = ((x - centre).powi(2) + 0.1 * (y + 8.0).powi(2)) / 10.0 - 20.0;
        let (bowl_x, bowl_y) = ((x - centre) / 5.0, 0.02 * (y + 8.0));
        (
            log * c1.0 + bowl * c2.0,
            [log_x * c1.0 + bowl_x * c2.0, log_y * c1.0 + log * c1.1 + bowl_y * c2.0 + bowl * c2.1],
        )
    };
    let [(loss1, gradient1), (loss2, gradient2)] = [task(arguments[0], 7.0), task(arguments[1], -7.0)];
    ([loss1, loss2], [gradient1, gradient2])
}
