//! Gradient store, Gramian and AdamW on the device against those on the CPU.

use crate::support::Random;
use crate::{device, difference};
use candle_core::{Device, Shape, Tensor};
use mtl_zoo::gradient::{AdamW, AdamWOptions, Arena, GradientStore, Owner, Parts, Recorder};
use std::sync::Arc;

const ROWS: usize = 5;
const TOKENS: usize = 90;
const WIDTH: usize = 20;
const ENTRIES: usize = 50;

/// Two parameters of the trunk, a table that is looked up by all tokens, one that is not kept by row, and a head.
fn parameters() -> Vec<(String, Shape, Owner, Vec<f32>)> {
    let mut random = Random(3);
    let mut one = |name: &str, shape: &[usize], owner| {
        let values = (0..shape.iter().product()).map(|_| random.number()).collect();
        (name.to_owned(), Shape::from(shape), owner, values)
    };
    vec![
        one("layer.0.weight", &[123, WIDTH], Owner::Shared),
        one("layer.0.bias", &[123], Owner::Shared),
        one("layer.1.weight", &[50, 211], Owner::Shared),
        one("segments", &[2, WIDTH], Owner::Shared),
        one("words", &[ENTRIES, WIDTH], Owner::Table),
        one("head.weight", &[3, WIDTH], Owner::Head),
        one("head.bias", &[3], Owner::Head),
    ]
}

struct Side {
    arena: Arena,
    store: Arc<GradientStore>,
    optimizer: AdamW,
    parts: Parts,
}

impl Side {
    fn new(device: &Device, store: impl Fn(&Arena) -> GradientStore) -> Self {
        let arena = Arena::on(device, parameters()).unwrap();
        let rates = |name: &str| {
            (if name.starts_with("head") { 0.03 } else { 0.01 }, if name.ends_with("bias") { 0.0 } else { 0.1 })
        };
        let optimizer = AdamW::new(&arena, AdamWOptions { betas: [0.9, 0.99], epsilon: 1e-6 }, rates);
        let parts = Parts::new(&arena, |name| if name.starts_with("layer.0") { "0" } else { "rest" });
        Self { store: Arc::new(store(&arena)), optimizer, parts, arena }
    }

    /// Writes gradients that follow from `seed`, with the tokens of rows 0, 1, 3 and 4; twice, so that the second adds.
    fn write(&mut self, seed: u64) {
        let mut random = Random(seed);
        self.store.lock().clear();
        let ids: Vec<u32> = (0..TOKENS).map(|_| (random.below(17) * 2) as u32).collect();
        let segments: Vec<u32> = (0..TOKENS).map(|token| u32::from(token % 7 > 3)).collect();
        self.optimizer.catch_up(&self.arena, &ids).unwrap();
        for _ in 0..2 {
            let dy: Vec<f32> = (0..TOKENS * WIDTH).map(|_| random.number()).collect();
            let dy = Tensor::from_vec(dy, (TOKENS, WIDTH), self.arena.device()).unwrap();
            let recorder = Recorder::split(&self.store, [(0, 0..40), (1, 40..41), (4, 41..TOKENS)]);
            let slot = |name: &str| self.arena.entries()[name].slot;
            recorder.record_rows_of(slot("words"), &ids, &dy).unwrap();
            recorder.record_rows_of(slot("segments"), &segments, &dy).unwrap();
            for name in ["layer.0.weight", "layer.1.weight", "head.weight"] {
                for row in if name.starts_with("head") { vec![0] } else { vec![0, 1, 4] } {
                    let numbers: Vec<f32> = (0..slot(name).len).map(|_| random.number()).collect();
                    let numbers = Tensor::from_vec(numbers, slot(name).len, self.arena.device()).unwrap();
                    recorder.add_tensor(Some(slot(name)), row, &numbers).unwrap();
                }
            }
        }
        self.store.lock().finish().unwrap();
    }

    fn rows(&self) -> Vec<Vec<f32>> {
        let mut rows = self.store.lock();
        rows.fetch().unwrap();
        let all = (0..ROWS).map(|row| rows.whole(row)).collect();
        rows.send().unwrap();
        all
    }
}

type Store = fn(&Arena) -> GradientStore;

fn stores() -> [(&'static str, Store, f64); 3] {
    [
        ("f32", |arena| GradientStore::new(arena, ROWS), 1e-6),
        ("bf16", |arena| GradientStore::in_bf16(arena, ROWS), 1e-6),
        ("both", |arena| GradientStore::in_bf16_but_first(arena, ROWS), 1e-6),
    ]
}

#[test]
fn rows_on_the_device_are_those_on_the_cpu() {
    let Some(device) = device() else { return };
    for (name, store, tolerance) in stores() {
        let (mut cpu, mut card) = (Side::new(&Device::Cpu, store), Side::new(&device, store));
        for seed in [1, 2] {
            cpu.write(seed);
            card.write(seed);
            for (row, (a, b)) in card.rows().iter().zip(&cpu.rows()).enumerate() {
                let error = difference(a, b);
                assert!(error <= tolerance, "{name}: row {row} differs by {error:.1e}");
            }
            assert_eq!(card.store.lock().used(), [0, 1, 4]);
        }
    }
}

#[test]
fn gramians_on_the_device_are_those_on_the_cpu_and_the_same_each_time() {
    let Some(device) = device() else { return };
    for (name, store, _) in stores() {
        let (mut cpu, mut card) = (Side::new(&Device::Cpu, store), Side::new(&device, store));
        for seed in [3, 4] {
            cpu.write(seed);
            card.write(seed);
            let expected = cpu.store.lock().measure(&cpu.parts).unwrap();
            let found = card.store.lock().measure(&card.parts).unwrap();
            let again = card.store.lock().measure(&card.parts).unwrap();
            assert!(found.gramians == again.gramians && found.heads_square == again.heads_square, "{name}");
            let flat =
                |gramians: &[Vec<Vec<f64>>]| gramians.iter().flatten().flatten().map(|&x| x as f32).collect::<Vec<_>>();
            let error = difference(&flat(&found.gramians), &flat(&expected.gramians));
            assert!(error < 1e-5, "{name}: {error:.1e}");
            assert!((found.heads_square / expected.heads_square - 1.0).abs() < 1e-5, "{name}: heads");
            let words = card.parts.names().iter().position(|part| part == "rest").unwrap();
            assert!(found.gramians[words][0][4] != 0.0, "tables count");
        }
    }
}

#[test]
fn steps_on_the_device_are_those_on_the_cpu() {
    let Some(device) = device() else { return };
    for (name, store, _) in stores() {
        let (mut cpu, mut card) = (Side::new(&Device::Cpu, store), Side::new(&device, store));
        for step in 0..12u64 {
            let weights: Vec<Vec<f32>> =
                (0..2).map(|part| (0..ROWS).map(|row| 0.3 + (row + part) as f32 * 0.4).collect()).collect();
            for side in [&mut cpu, &mut card] {
                side.write(5 + step);
                if step == 7 {
                    // From saved numbers, as a run that goes on.
                    side.optimizer.settle(&side.arena).unwrap();
                    let ([first, second], flat) = (side.optimizer.copies().unwrap(), side.arena.snapshot().unwrap());
                    side.arena.restore(&vec![0.5; flat.len()]).unwrap();
                    side.optimizer.restore(vec![0.0; flat.len()], vec![0.0; flat.len()], 0).unwrap();
                    side.arena.restore(&flat).unwrap();
                    side.optimizer.restore(first, second, step).unwrap();
                }
                let head = side.arena.entries()["head.weight"].slot;
                side.store.lock().scale_head(head, 0.25).unwrap();
                side.optimizer.step(&side.arena, &side.store, (&side.parts, &weights), 0.9, 0.5).unwrap();
            }
        }
        cpu.optimizer.settle(&cpu.arena).unwrap();
        let parameters = difference(&card.arena.snapshot().unwrap(), &cpu.arena.snapshot().unwrap());
        assert!(parameters < 1e-5, "{name}: parameters differ by {parameters:.1e}");
        for (found, expected) in card.optimizer.copies().unwrap().iter().zip(&cpu.optimizer.copies().unwrap()) {
            assert!(difference(found, expected) < 1e-5, "{name}: moments");
        }
    }
}

#[test]
fn a_step_that_is_tried_is_taken_back() {
    let Some(device) = device() else { return };
    let (mut cpu, mut card) = (Side::new(&Device::Cpu, stores()[0].1), Side::new(&device, stores()[0].1));
    let mut tried = Vec::new();
    for side in [&mut cpu, &mut card] {
        side.write(30);
        side.optimizer.step(&side.arena, &side.store, (&side.parts, &vec![vec![1.0; ROWS]; 2]), 1.0, 1.0).unwrap();
        side.optimizer.settle(&side.arena).unwrap();
        side.write(31);
        let (rows, arena) = (side.store.lock(), &side.arena);
        let before = arena.snapshot().unwrap();
        let after = side.optimizer.look_ahead(arena, &rows, &[0, 4], 0.7, || arena.snapshot().unwrap()).unwrap();
        assert!(arena.snapshot().unwrap() == before && after != before);
        tried.push(after);
    }
    assert!(difference(&tried[1], &tried[0]) < 1e-5);
}

#[test]
fn numbers_that_are_not_finite_are_seen() {
    let Some(device) = device() else { return };
    let mut card = Side::new(&device, stores()[0].1);
    card.write(40);
    let slot = card.arena.entries()["layer.1.weight"].slot;
    let mut numbers = vec![0.0f32; slot.len];
    numbers[77] = f32::NAN;
    let numbers = Tensor::from_vec(numbers, slot.len, card.arena.device()).unwrap();
    Recorder::joint(&card.store, 1).add_tensor(Some(slot), 4, &numbers).unwrap();
    let mut rows = card.store.lock();
    let measured = rows.measure(&card.parts).unwrap();
    assert!(!measured.gramians.iter().flatten().flatten().sum::<f64>().is_finite());
    rows.fetch().unwrap();
    let (at, value) = rows.first_non_finite().unwrap();
    assert!(at == slot.offset + 77 && value.is_nan());
}
