//! Every method against the numbers of `tests/golden/balance.json`, which `scripts/make_balance_goldens.py` gets from
//! TorchJD or computes from the papers' definitions.

use super::gradvac::GradVac;
use super::{Matrix, Needs, Settings, Step, graddrop, pcgrad, registry, rlw};
use crate::recipe::{Balance, ParameterValue};
use serde::Deserialize;
use std::collections::HashMap;

/// How far numbers may be apart, as a share of the largest one, which counts as 1 at least.
const CLOSE: f64 = 1e-6;

#[derive(Deserialize)]
struct Golden {
    stacks: HashMap<String, Stack>,
    values: Vec<Case>,
}

/// Gradients, a row a task, and losses.
#[derive(Deserialize)]
struct Stack {
    gradients: Vec<Vec<f64>>,
    losses: Vec<f64>,
}

#[derive(Deserialize)]
struct Case {
    method: String,
    parameters: HashMap<String, ParameterValue>,
    steps: Vec<Names>,
    weights: Option<Vec<Option<Vec<f64>>>>,
    direction: Option<Vec<Option<Vec<f64>>>>,
    #[serde(default)]
    draws: Vec<Draws>,
    #[serde(default)]
    scores: Vec<Option<Vec<Option<f64>>>>,
}

/// The stack of a step, or two: of two halves of the batch, of before and after the update, of training and validation.
#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    One(String),
    Two([String; 2]),
}

/// Random numbers of a step, in place of those that the method draws.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Draws {
    /// For each task the order in which it meets the others.
    Orders(Vec<Vec<usize>>),
    /// A number a task or a place.
    Numbers(Vec<f64>),
}

impl Stack {
    fn matrix(&self) -> Matrix {
        Matrix::from_fn(self.gradients.len(), self.gradients[0].len(), |i, j| self.gradients[i][j])
    }
}

impl Case {
    fn settings(&self, tasks: usize) -> Settings {
        let mut balance = Balance::new(&self.method);
        for (name, value) in &self.parameters {
            let parameter = balance.known().and_then(|known| known.parameter(name));
            assert!(parameter.is_some_and(|parameter| parameter.accepts(value)), "{}: {name} = {value}", self.method);
            balance.parameters.insert(name.clone(), value.clone());
        }
        Settings::new(&balance, (0..tasks).map(|task| format!("task {task}")))
    }

    /// What the method makes of the steps, as the trainer asks it; `check` sees weights and direction of each.
    fn run(
        &self,
        stacks: &HashMap<String, Stack>,
        check: &mut dyn FnMut(usize, Vec<f64>, Vec<f64>),
    ) -> Result<(), String> {
        let stacks_of = |names: &Names| match names {
            Names::One(one) => [&stacks[one]; 2],
            Names::Two(names) => names.each_ref().map(|name| &stacks[name]),
        };
        let count = stacks_of(&self.steps[0])[0].losses.len();
        let settings = self.settings(count);
        let entry = registry::method(&self.method).ok_or("there is no such method")?;
        let mut method = entry.make(&settings);
        let mut vaccine =
            GradVac::with(settings.tasks(), if self.method == "gradvac" { settings.number("beta") } else { 0.0 });
        let tasks: Vec<_> = (0..count).collect();
        let mut traces = Matrix::zeros(count, stacks_of(&self.steps[0])[0].gradients[0].len());
        let mut squares = traces.clone();
        for (k, names) in self.steps.iter().enumerate() {
            let [first, second] = stacks_of(names);
            let (mut rows, others) = (first.matrix(), second.matrix());
            squares += rows.component_mul(&rows);
            let excess: Vec<f64> =
                rows.map(|g| g * g).zip_map(&squares, |g, h| g / (h.sqrt() + 1e-8)).column_sum().as_slice().to_vec();
            let mut step = Step {
                number: k as u64,
                seed: 0,
                tasks: &tasks,
                losses: &first.losses,
                gramian: match entry.needs {
                    Needs::Losses | Needs::LossesTwice => Matrix::default(),
                    Needs::Halves => &rows * others.transpose(),
                    _ => &rows * rows.transpose(),
                },
                excess: if entry.needs == Needs::Squares { &excess } else { &[] },
                validation: if entry.needs == Needs::Validation {
                    others * rows.transpose()
                } else {
                    Matrix::default()
                },
            };
            if let Some(Some(scores)) = self.scores.get(k) {
                method.scored(scores);
            }
            if entry.needs == Needs::Traces {
                for (task, [a, b]) in method.trace(&step).into_iter().enumerate() {
                    let trace = traces.row(task) * a + rows.row(task) * b;
                    traces.set_row(task, &trace);
                }
                rows = traces.clone();
                step.gramian = &rows * rows.transpose();
            }
            let weights = match (self.method.as_str(), self.draws.get(k)) {
                ("rlw", Some(Draws::Numbers(draws))) => rlw::weights(draws),
                ("pcgrad", Some(Draws::Orders(orders))) => pcgrad::projected(&step.gramian, orders),
                ("gradvac", Some(Draws::Orders(orders))) => vaccine.vaccinated(&tasks, &step.gramian, orders),
                _ => method.weights(&step).map_err(|unsolved| unsolved.0)?,
            };
            let column =
                |j: usize| -> Vec<f32> { rows.column(j).iter().zip(&weights).map(|(g, w)| (g * w) as f32).collect() };
            let direction: Vec<f64> = match (self.draws.get(k), method.elements(&step)) {
                (Some(Draws::Numbers(draws)), Some(_)) => {
                    let leak = settings.number("leak") as f32;
                    (0..rows.ncols()).map(|j| graddrop::drop(&column(j), leak, draws[j] as f32).into()).collect()
                }
                (_, Some(element)) => (0..rows.ncols()).map(|j| element.at(j as u64, &column(j)).into()).collect(),
                _ => (0..rows.ncols()).map(|j| rows.column(j).iter().zip(&weights).map(|(g, w)| g * w).sum()).collect(),
            };
            method.after(&step, &second.losses);
            check(k, weights, direction.into_iter().map(|d| d / count as f64).collect());
        }
        Ok(())
    }
}

/// Where numbers are too far apart, or not as many.
fn apart(what: &str, expected: Option<&Vec<Option<Vec<f64>>>>, k: usize, found: &[f64]) -> Option<String> {
    let expected = expected?.get(k)?.as_ref()?;
    let largest = expected.iter().fold(1.0, |largest: f64, x| largest.max(x.abs()));
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= CLOSE * largest;
    let same = expected.len() == found.len() && expected.iter().zip(found).all(near);
    (!same).then(|| format!("step {k}: {what} {found:?}, not {expected:?}"))
}

#[test]
fn methods_give_the_numbers_of_an_independent_computation() {
    let golden: Golden =
        serde_json::from_str(include_str!("../../tests/golden/balance.json")).expect("the golden file");
    let mut wrong = Vec::new();
    for case in &golden.values {
        let mut here = Vec::new();
        let unsolved = case.run(&golden.stacks, &mut |k, weights, direction| {
            here.extend(apart("weights", case.weights.as_ref(), k, &weights));
            here.extend(apart("direction", case.direction.as_ref(), k, &direction));
            if !weights.iter().all(|w| w.is_finite()) {
                here.push(format!("step {k}: weights {weights:?}"));
            }
        });
        here.extend(unsolved.err());
        let steps = case.steps.iter().map(|names| match names {
            Names::One(one) => one.clone(),
            Names::Two(two) => two.join("+"),
        });
        let name = format!("{} {:?} on {}", case.method, case.parameters, steps.collect::<Vec<_>>().join(", "));
        wrong.extend(here.into_iter().next().map(|what| format!("{name}: {what}")));
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), golden.values.len(), wrong.join("\n"));
}

#[test]
fn every_method_that_computes_something_has_golden_numbers() {
    let golden: Golden =
        serde_json::from_str(include_str!("../../tests/golden/balance.json")).expect("the golden file");
    for entry in registry::methods().iter().filter(|entry| !entry.is_constant()) {
        assert!(golden.values.iter().any(|case| case.method == entry.name), "{}", entry.name);
    }
}
