//! Attention over packed sequences against a naive computation in f64.

use crate::harness::Case;
use crate::support::{Random, device, fetched, relative_error};
use candle_core::{Result, Tensor, Var};
use mtl_zoo::gradient::{Arena, GradientStore, Owner, Parameter, Recorder};
use mtl_zoo::ops::{Attention, Dropout, Noise, RelativePositions, attention};
use std::sync::Arc;

/// Sizes of one case.
struct Setup {
    starts: Vec<u32>,
    heads: usize,
    width: usize,
    /// Distances in the table, and whether keys take part.
    relative: Option<(usize, bool)>,
    dropout: Option<Dropout>,
}

impl Setup {
    fn tokens(&self) -> usize {
        self.starts[self.starts.len() - 1] as usize
    }

    fn table_len(&self) -> usize {
        self.relative.map_or(0, |(distances, _)| distances * self.width / self.heads)
    }

    fn options(&self, table: Option<Parameter>, recorder: Option<Recorder>) -> Attention {
        let relative = table.zip(self.relative).map(|(table, (_, keys))| RelativePositions { table, keys });
        Attention { starts: self.starts.clone(), heads: self.heads, dropout: self.dropout, relative, recorder }
    }

    /// Attention as its formula says, in f64. `mask` has a factor a sequence, head, query and key.
    fn naive(&self, [q, k, v, table]: [&[f64]; 4], mask: &dyn Fn(usize, usize, usize, usize) -> f64) -> Vec<f64> {
        let (width, d) = (self.width, self.width / self.heads);
        let mut out = vec![0.0; q.len()];
        for (sequence, w) in self.starts.windows(2).enumerate() {
            let (first, len) = (w[0] as usize, (w[1] - w[0]) as usize);
            for head in 0..self.heads {
                let at = |x: &[f64], token: usize, i: usize| x[(first + token) * width + head * d + i];
                for i in 0..len {
                    let score = |j: usize| {
                        let mut sum: f64 = (0..d).map(|c| at(q, i, c) * at(k, j, c)).sum();
                        if let Some((distances, keys)) = self.relative {
                            let row = i + distances.div_ceil(2) - 1 - j;
                            let learned = |c: usize| table[row * d + c];
                            sum += (0..d).map(|c| at(q, i, c) * learned(c)).sum::<f64>();
                            if keys {
                                sum += (0..d).map(|c| at(k, j, c) * learned(c)).sum::<f64>();
                            }
                        }
                        (sum / (d as f64).sqrt()).exp()
                    };
                    let powers: Vec<f64> = (0..len).map(score).collect();
                    let total: f64 = powers.iter().sum();
                    for c in 0..d {
                        let weighed = (0..len).map(|j| powers[j] / total * mask(sequence, head, i, j) * at(v, j, c));
                        out[(first + i) * width + head * d + c] = weighed.sum();
                    }
                }
            }
        }
        out
    }
}

fn cases() -> Vec<Setup> {
    let noise = Noise::new(4, 2);
    let starts: [&[u32]; 4] = [&[0, 1], &[0, 4, 5, 11], &[0, 3, 3, 6], &[0, 9]];
    let mut cases = Vec::new();
    for starts in starts {
        for relative in [None, Some((17, false)), Some((21, true))] {
            for dropout in [None, Some(noise.dropout(0.4))] {
                for (heads, width) in [(1, 5), (3, 12)] {
                    cases.push(Setup { starts: starts.to_vec(), heads, width, relative, dropout });
                }
            }
        }
    }
    cases
}

fn tensor(values: &[f32], columns: usize) -> Var {
    Var::from_slice(values, (values.len() / columns, columns), &device()).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The dropout mask that attention uses, found from outside: where the values are the unit matrix, the output is the
/// dropped probabilities, and without scores all probabilities are equal.
fn masks(setup: &Setup) -> Vec<Vec<f64>> {
    let tokens = setup.tokens();
    let heads = setup.heads;
    let mut found = Vec::new();
    let zeros = tensor(&vec![0.0; tokens * heads * 16], heads * 16);
    let mut unit = vec![0.0f32; tokens * heads * 16];
    for w in setup.starts.windows(2) {
        for token in w[0]..w[1] {
            (0..heads).for_each(|head| unit[token as usize * heads * 16 + head * 16 + (token - w[0]) as usize] = 1.0);
        }
    }
    let options =
        Attention { starts: setup.starts.clone(), heads, dropout: setup.dropout, relative: None, recorder: None };
    let out = numbers(&attention(&zeros, &zeros, &tensor(&unit, heads * 16), options).unwrap());
    for w in setup.starts.windows(2) {
        let len = (w[1] - w[0]) as usize;
        let mut mask = Vec::new();
        for head in 0..heads {
            for i in 0..len {
                let row = &out[(w[0] as usize + i) * heads * 16 + head * 16..];
                mask.extend(row[..len].iter().map(|p| (f64::from(*p) * len as f64 * 3.0).round() / 3.0));
            }
        }
        found.push(mask);
    }
    found
}

#[test]
fn equals_a_naive_computation_with_its_gradients() {
    let mut random = Random(8);
    let (mut forward, mut backward) = (0.0f64, 0.0f64);
    for setup in cases() {
        let (tokens, width) = (setup.tokens(), setup.width);
        let masks = masks(&setup);
        let kept = if setup.dropout.is_some() { 5.0 / 3.0 } else { 1.0 };
        assert!(masks.iter().flatten().all(|&factor| factor == 0.0 || (factor - kept).abs() < 1e-9), "{masks:?}");
        let mask = |sequence: usize, head: usize, i: usize, j: usize| {
            let len = (setup.starts[sequence + 1] - setup.starts[sequence]) as usize;
            masks[sequence][(head * len + i) * len + j]
        };
        let values: Vec<Vec<f32>> = (0..3).map(|_| random.numbers(tokens * width)).collect();
        let table = random.numbers(setup.table_len());
        let cotangent = random.numbers(tokens * width);
        let mut wide: Vec<Vec<f64>> =
            values.iter().chain([&table]).map(|x| x.iter().map(|&x| f64::from(x)).collect()).collect();

        let d = width / setup.heads;
        let shape = (setup.table_len() / d, d).into();
        let arena = Arena::on(&device(), vec![("table".into(), shape, Owner::Shared, table.clone())]).unwrap();
        let store = Arc::new(GradientStore::new(&arena, 1));
        let recorder = Recorder::joint(&store, tokens);
        let vars: Vec<Var> = values.iter().map(|x| tensor(x, width)).collect();
        let out = attention(&vars[0], &vars[1], &vars[2], setup.options(arena.get("table"), Some(recorder))).unwrap();
        let weighed = (&out * tensor(&cotangent, width).as_tensor()).unwrap().sum_all().unwrap();
        let gradients = weighed.backward().unwrap();

        let naive = |wide: &[Vec<f64>]| setup.naive([&wide[0], &wide[1], &wide[2], &wide[3]], &mask);
        forward = forward.max(relative_error(&numbers(&out), &naive(&wide)));
        for input in 0..4 {
            let found = match input {
                3 => fetched(&store).whole(0),
                _ => numbers(gradients.get(&vars[input]).unwrap()),
            };
            let mut expected = Vec::new();
            for at in 0..wide[input].len() {
                let mut objective = |step: f64| -> f64 {
                    let before = wide[input][at];
                    wide[input][at] += step;
                    let value = naive(&wide).iter().zip(&cotangent).map(|(x, by)| x * f64::from(*by)).sum();
                    wide[input][at] = before;
                    value
                };
                expected.push((objective(1e-5) - objective(-1e-5)) / 2e-5);
            }
            // Of a sequence of one token, queries and keys have no gradient: those are compared with the others' size.
            let largest = expected.iter().fold(0.1f64, |max, x| max.max(x.abs()));
            let worst = found.iter().zip(&expected).fold(0.0f64, |max, (a, e)| max.max((f64::from(*a) - e).abs()));
            assert_eq!(found.len(), expected.len());
            backward = backward.max(worst / largest);
        }
    }
    println!("attention: values within {forward:.1e}, gradients within {backward:.1e}");
    assert!(forward < 1e-5 && backward < 1e-5);
}

#[test]
fn attention_differences() {
    let mut random = Random(9);
    let mut worst = 0.0f64;
    let noise = Noise::new(11, 0);
    for round in 0..12 {
        let heads = [1, 2, 3, 12][round % 4];
        let width = heads * (1 + random.below(20));
        let mut starts = vec![0u32];
        (0..1 + random.below(5)).for_each(|_| starts.push(starts[starts.len() - 1] + random.below(40) as u32));
        let dropout = (round % 2 == 1).then(|| noise.dropout(0.2));
        let relative = [None, Some((81, false)), Some((99, true))][round % 3];
        let setup = Setup { starts, heads, width, relative, dropout };
        let tokens = setup.tokens();
        let table = vec![setup.table_len() * heads / width, width / heads];
        let case = Case {
            inputs: (0..3).map(|_| ([tokens, width], random.numbers(tokens * width))).collect(),
            parameters: setup
                .relative
                .map(|_| ("table", table, random.numbers(setup.table_len())))
                .into_iter()
                .collect(),
        };
        worst = worst.max(case.check("attention", &mut random, |call| -> Result<Tensor> {
            let table = setup.relative.map(|_| call.parameter("table"));
            let options = setup.options(table, call.recorder.clone());
            attention(&call.inputs[0], &call.inputs[1], &call.inputs[2], options)
        }));
    }
    println!("attention: {worst:.1e}");
}

#[test]
fn large_scores_stay_finite() {
    for size in [1e2f32, 1e4, 1e18] {
        let q = tensor(&[size, -size, size, size, 0.0, size], 2);
        let v = tensor(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2);
        let options = Attention { starts: vec![0, 3], heads: 1, dropout: None, relative: None, recorder: None };
        let out = attention(&q, &q, &v, options).unwrap();
        let gradients = out.sum_all().unwrap().backward().unwrap();
        let finite = |tensor: &Tensor| numbers(tensor).iter().all(|x| x.is_finite());
        assert!(finite(&out) && finite(gradients.get(&q).unwrap()) && finite(gradients.get(&v).unwrap()), "{size}");
    }
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let x = tensor(&[0.0; 24], 4);
    let try_with = |starts: &[u32], heads| {
        let options = Attention { starts: starts.to_vec(), heads, dropout: None, relative: None, recorder: None };
        attention(&x, &x, &x, options)
    };
    assert!(try_with(&[0, 6], 2).is_ok() && try_with(&[0, 0, 6, 6], 2).is_ok());
    for (starts, heads) in [(&[0, 5][..], 2), (&[1, 6], 2), (&[0, 4, 3, 6], 2), (&[], 2), (&[0, 6], 3)] {
        assert!(try_with(starts, heads).is_err(), "{starts:?}, {heads} heads");
    }
    let table = Parameter::constant(Tensor::zeros((9, 2), candle_core::DType::F32, &device()).unwrap());
    let relative = Some(RelativePositions { table, keys: false });
    let options = Attention { starts: vec![0, 6], heads: 2, dropout: None, relative, recorder: None };
    assert!(attention(&x, &x, &x, options).is_err(), "6 tokens reach further than 9 distances");
}
