//! Several ranks take the steps of one: the same within rounding, and the same bits on all of them.

use crate::setup::Setup;
use crate::threads::on_ranks;
use mtl_zoo::balance::methods;
use mtl_zoo::collective::Collective;
use mtl_zoo::data::{Batch, Targets};
use mtl_zoo::recipe::{Balance, Freeze, Level, TrainingDtype};
use mtl_zoo::train::{StepReport, Trainer};
use std::sync::Arc;

/// The steps of a trainer, and everything that it then holds.
struct Trained {
    reports: Vec<StepReport>,
    parameters: Vec<f32>,
    bits: Vec<u32>,
    balance: String,
}

/// Trains on batches, so many a step.
fn train(setup: &Setup, batches: &[Batch], a_step: usize, change: impl Fn(&mut Trainer)) -> Trained {
    let mut trainer = setup.trainer();
    let validation = setup.batches[setup.batches.len() - 1].clone();
    trainer.validation = Some(Box::new(move |_| validation.clone()));
    change(&mut trainer);
    let reports = batches.chunks(a_step).map(|batches| trainer.step(batches, 1.0).unwrap()).collect();
    let (parameters, moments) =
        trainer.read(|parameters, moments| (parameters.to_vec(), moments.map(<[f32]>::to_vec))).unwrap();
    let history = trainer.history();
    let numbers = [&parameters, &moments[0], &moments[1], &history];
    let bits = numbers.into_iter().flatten().map(|number| number.to_bits()).collect();
    Trained { reports, bits, balance: trainer.balance.state().to_string(), parameters }
}

/// How far the steps of ranks are from those of one process: losses, weights, gradient norms; and the parameters.
fn distance(found: &Trained, expected: &Trained) -> [f64; 2] {
    let relative = |a: f64, b: f64| (a - b).abs() / b.abs().max(0.1);
    let mut worst = 0.0f64;
    assert_eq!(found.reports.len(), expected.reports.len());
    for (a, b) in found.reports.iter().zip(&expected.reports) {
        for (a, b) in a.losses.iter().zip(&b.losses) {
            assert_eq!(a.is_some(), b.is_some());
            worst = worst.max(relative(a.unwrap_or(1.0).into(), b.unwrap_or(1.0).into()));
        }
        let weights = a.weights.iter().flatten().zip(b.weights.iter().flatten());
        worst = weights.map(|(a, b)| relative(*a, *b)).fold(worst, f64::max);
        worst = worst.max(relative(a.gradient_norm, b.gradient_norm)).max(relative(a.loss, b.loss));
        assert_eq!((a.tokens, a.unsolved.is_some()), (b.tokens, b.unsolved.is_some()));
        let conflicts = |report: &StepReport| -> Vec<f64> {
            let all = report.conflicts.iter().flat_map(|c| c.norms.iter().chain(c.cosines.iter().flatten()));
            all.map(|number| number.unwrap_or(2.0)).collect()
        };
        let (ours, theirs) = (conflicts(a), conflicts(b));
        assert_eq!(ours.len(), theirs.len());
        worst = ours.iter().zip(&theirs).map(|(a, b)| relative(*a, *b)).fold(worst, f64::max);
        let affinity =
            |report: &StepReport| -> Vec<Option<f64>> { report.affinity.iter().flatten().flatten().copied().collect() };
        for (a, b) in affinity(a).into_iter().zip(affinity(b)) {
            worst = worst.max((a.unwrap_or(1.0) - b.unwrap_or(1.0)).abs());
        }
    }
    let apart = found.parameters.iter().zip(&expected.parameters).map(|(a, b)| f64::from((a - b).abs()));
    [worst, apart.fold(0.0, f64::max)]
}

/// Compares ranks with one process and with each other; gives the worst distances.
fn compare(name: &str, setup: &Setup, batches: &[Batch], a_step: usize) -> [f64; 2] {
    compare_with(name, setup, batches, a_step, &|_| {})
}

fn compare_with(
    name: &str,
    setup: &Setup,
    batches: &[Batch],
    a_step: usize,
    change: &(dyn Fn(&mut Trainer) + Sync),
) -> [f64; 2] {
    let expected = train(setup, batches, a_step, |_| {});
    let mut worst = [0.0f64; 2];
    for count in [2, 4] {
        let found = on_ranks(count, |ranks: Arc<dyn Collective>| {
            train(setup, batches, a_step, |trainer| {
                change(trainer);
                trainer.join(ranks.clone());
            })
        });
        for (rank, other) in found.iter().enumerate().skip(1) {
            assert!(other.bits == found[0].bits, "{name}: rank {rank} of {count} has other bits than rank 0");
            assert_eq!(other.reports, found[0].reports, "{name}: rank {rank} of {count}");
            assert_eq!(other.balance, found[0].balance, "{name}: rank {rank} of {count}");
        }
        let [steps, parameters] = distance(&found[0], &expected);
        worst = [worst[0].max(steps), worst[1].max(parameters)];
    }
    println!("{name}: steps within {:.1e}, parameters within {:.1e}", worst[0], worst[1]);
    worst
}

fn setup(method: &str, change: impl FnOnce(&mut Setup)) -> Setup {
    let mut setup = Setup::open("training");
    setup.recipe.balance = Balance::new(method);
    change(&mut setup);
    setup
}

#[track_caller]
fn within(worst: [f64; 2], steps: f64, parameters: f64) {
    assert!(worst[0] <= steps && worst[1] <= parameters, "{:.1e} {:.1e}", worst[0], worst[1]);
}

#[test]
fn plain_training_is_that_of_one_process() {
    let setup = setup("equal", |setup| setup.recipe.training.conflicts_every = 3);
    within(compare("equal", &setup, &setup.batches[..12], 1), 1e-4, 1e-4);
    within(compare("equal, two batches a step", &setup, &setup.batches[..12], 2), 1e-4, 1e-4);
}

#[test]
fn every_method_weighs_as_in_one_process() {
    for method in methods().iter().filter(|method| !["fixed", "search"].contains(&method.name)) {
        let setup = setup(method.name, |_| {});
        within(compare(method.name, &setup, &setup.batches[..4], 1), 1e-3, 1e-3);
    }
}

#[test]
fn levels_accumulation_and_measurements_are_those_of_one_process() {
    let level = |level| move |setup: &mut Setup| setup.recipe.balance.level = level;
    let layers = setup("pcgrad", level(Level::Layers));
    within(compare("layers", &layers, &layers.batches[..4], 1), 1e-3, 1e-3);
    let states = setup("mgda", level(Level::Representation));
    within(compare("representation", &states, &states.batches[..4], 1), 1e-3, 1e-3);
    for method in ["cagrad", "dwa", "sdmgrad", "auto_lambda"] {
        let several = setup(method, |_| {});
        within(compare(method, &several, &several.batches[..6], 2), 1e-3, 1e-3);
    }
    let measured = setup("equal", |setup| {
        let training = &mut setup.recipe.training;
        (training.conflicts_every, training.conflicts_by_layer, training.affinity_every) = (1, true, 2);
    });
    within(compare("measured", &measured, &measured.batches[..4], 1), 1e-3, 1e-3);
}

#[test]
fn bf16_is_that_of_one_process_within_its_rounding() {
    for method in ["equal", "cagrad"] {
        let setup = setup(method, |setup| setup.recipe.training.dtype = TrainingDtype::Bf16);
        within(compare(&format!("{method} in bf16"), &setup, &setup.batches[..4], 1), 0.05, 0.01);
    }
}

/// Two tasks label the same sequences.
fn grouped(batch: &Batch) -> Batch {
    let mut batch = batch.clone();
    let sequences = batch.tasks[0].sequences.start..batch.tasks[1].sequences.end;
    let tokens = batch.tasks[0].tokens.start..batch.tasks[1].tokens.end;
    let count = sequences.len();
    let targets = [
        Targets::Classes((0..count as u32).map(|n| n % 3).collect()),
        Targets::Values((0..count).map(|n| (n as f32).sin()).collect()),
    ];
    for (task, targets) in batch.tasks[..2].iter_mut().zip(targets) {
        (task.sequences, task.tokens, task.first_half) = (sequences.clone(), tokens.clone(), count / 2);
        task.targets = targets;
    }
    batch
}

#[test]
fn tasks_that_label_the_same_inputs_are_shared_together() {
    let all = Setup::open("training").batches;
    let both = all.iter().filter(|batch| batch.tasks.iter().take(2).map(|task| task.task).eq([0, 1]));
    let all: Vec<Batch> = both.take(4).map(grouped).collect();
    assert_eq!(all.len(), 4);
    for (method, level) in [
        ("equal", Level::default()),
        ("cagrad", Level::default()),
        ("sdmgrad", Level::default()),
        ("famo", Level::default()),
        ("mgda", Level::Representation),
    ] {
        let setup = setup(method, |setup| {
            setup.recipe.balance.level = level;
            setup.recipe.training.conflicts_every = 2;
        });
        within(compare(&format!("{method}, same inputs"), &setup, &all, 1), 1e-3, 1e-3);
    }
}

#[test]
fn a_rank_may_have_nothing_of_a_task_or_of_a_batch() {
    let all = Setup::open("training");
    let small: Vec<Batch> = all.batches.iter().flat_map(|batch| batch.divide(40)).collect();
    assert!(small.iter().any(|batch| batch.packed.sequences() == 1), "a batch of one sequence");
    for method in ["equal", "cagrad", "dwa", "famo", "graddrop"] {
        let setup = setup(method, |_| {});
        within(compare(&format!("{method}, small batches"), &setup, &small[..10], 1), 1e-3, 1e-3);
    }
}

#[test]
fn a_part_of_a_batch_may_pass_in_pieces() {
    for method in ["equal", "cagrad", "sdmgrad"] {
        let setup = setup(method, |_| {});
        let divided = |trainer: &mut Trainer| trainer.divide_batches(25);
        let worst = compare_with(&format!("{method}, in pieces"), &setup, &setup.batches[..4], 1, &divided);
        within(worst, 1e-3, 1e-3);
    }
}

#[test]
fn frozen_parts_stay_the_same() {
    let setup = Setup::open("training");
    for freeze in [Freeze::Embeddings, Freeze::Layers(1), Freeze::All] {
        let step = |ranks: Option<Arc<dyn Collective>>| {
            let mut trainer = Trainer::new(setup.model_with(0.0, freeze), &setup.recipe);
            if let Some(ranks) = ranks {
                trainer.join(ranks);
            }
            let reports: Vec<_> = setup.batches[..3]
                .iter()
                .map(|batch| trainer.step(std::slice::from_ref(batch), 1.0).unwrap())
                .collect();
            (reports, trainer.read(|parameters, _| parameters.to_vec()).unwrap())
        };
        let (expected, parameters) = step(None);
        for (reports, own) in on_ranks(2, |ranks| step(Some(ranks))) {
            for (a, b) in reports.iter().zip(&expected) {
                assert!((a.loss / b.loss - 1.0).abs() < 1e-5 && (a.gradient_norm / b.gradient_norm - 1.0).abs() < 1e-4);
            }
            let apart = own.iter().zip(&parameters).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-5, "{freeze:?}: {apart}");
        }
    }
}

#[test]
fn masks_differ_by_rank_and_what_they_give_does_not() {
    let setup = Setup::open("training");
    let one = &setup.batches[0];
    // Both ranks have the same sequence of the same task: the same masks would give the same losses.
    let half = one.divide(1).swap_remove(0);
    let both = Batch {
        packed: mtl_zoo::data::Packed {
            ids: [&half.packed.ids[..], &half.packed.ids].concat(),
            type_ids: [&half.packed.type_ids[..], &half.packed.type_ids].concat(),
            positions: [&half.packed.positions[..], &half.packed.positions].concat(),
            starts: vec![0, half.packed.starts[1], 2 * half.packed.starts[1]],
        },
        tasks: vec![mtl_zoo::data::TaskBatch {
            sequences: 0..2,
            tokens: 0..2 * half.packed.tokens(),
            first_half: 1,
            targets: match &half.tasks[0].targets {
                Targets::Classes(classes) => Targets::Classes([&classes[..], classes].concat()),
                other => panic!("{other:?}"),
            },
            ..half.tasks[0].clone()
        }],
    };
    let step = |ranks: Option<Arc<dyn Collective>>, batch: &Batch| {
        let mut trainer = Trainer::new(setup.model_with(0.3, Freeze::None), &setup.recipe);
        if let Some(ranks) = ranks {
            trainer.join(ranks);
        }
        let report = trainer.step(std::slice::from_ref(batch), 1.0).unwrap();
        (report.losses, trainer.read(|parameters, _| parameters.to_vec()).unwrap())
    };
    let found = on_ranks(2, |ranks| step(Some(ranks), &both));
    assert!(found[0] == found[1]);
    // With the masks of rank 0 on both ranks the mean would be that of one sequence alone.
    let alone = step(None, &half);
    assert_ne!(found[0].0[0], alone.0[0]);
}

#[test]
fn what_is_not_finite_stops_all_ranks_before_anything_changes() {
    // A loss, and a gradient whose norm is beyond f32: rows of one task.
    for (name, value) in [("heads.score.bias", f32::NAN), ("heads.tags.bias", f32::INFINITY)] {
        let setup = Setup::open("training");
        let told = on_ranks(4, |ranks| {
            let mut trainer = setup.trainer();
            trainer.join(ranks);
            trainer.step(&setup.batches[..1], 1.0).unwrap();
            let arena = trainer.model().unwrap().arena();
            let mut flat = arena.snapshot().unwrap();
            flat[arena.entries()[name].slot.offset] = value;
            trainer.set_parameters(&flat).unwrap();
            let bits = |trainer: &mut Trainer| {
                trainer.read(|p, [m, v]| [p, m, v].concat()).unwrap().into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            let before = bits(&mut trainer);
            let error = trainer.step(&setup.batches[1..2], 1.0).unwrap_err().to_string();
            assert!(bits(&mut trainer) == before);
            error
        });
        let task = name.split('.').nth(1).unwrap();
        assert!(told[0].contains("step 2") && told[0].contains(&format!("`{task}`")), "{}", told[0]);
        assert!(told.iter().all(|text| *text == told[0]), "{told:?}");
    }
}

#[test]
fn whose_gradient_is_not_finite_is_said_by_all_ranks() {
    let mut setup = Setup::open("training");
    // Squares of the gradient overflow; losses do not.
    setup.recipe.tasks.get_mut("marks").unwrap().weight = 1e300;
    let told = on_ranks(2, |ranks| {
        let mut trainer = setup.trainer();
        trainer.join(ranks);
        trainer.step(&setup.batches[..1], 1.0).unwrap_err().to_string()
    });
    assert!(told[0].contains("step 1"), "{}", told[0]);
    assert_eq!(told[0], told[1]);
}
