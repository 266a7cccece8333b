//! Many downloads with random faults: each ends with the right bytes or a clear error, and never with a bad file.

use super::robust::assert_sound;
use super::server::{Fault, ID, Server};
use super::{FILES, options};
use mtl_zoo::hub::{HubOptions, resolve_backbone};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Rounds at a time: most of one is waiting for the disk.
const THREADS: u64 = 8;

/// A small generator, so that a failing round can be run again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn fault(&mut self) -> Fault {
        match self.below(11) {
            0 => Fault::Status([401, 403, 404, 500, 502, 503][self.below(6) as usize]),
            1 => Fault::Wait(429, 0),
            2..=4 => Fault::Cut(self.below(30) as usize),
            5 => Fault::Slow(self.below(3)),
            6 => Fault::Damaged,
            7 => Fault::Longer,
            8 => Fault::Shorter,
            9 => Fault::Whole,
            _ => Fault::OtherRange,
        }
    }
}

#[test]
fn two_hundred_rounds_of_random_faults() {
    let start = Instant::now();
    let (good, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for first in 0..THREADS {
            let (good, refused) = (&good, &refused);
            scope.spawn(move || (first..200).step_by(THREADS as usize).for_each(|seed| round(seed, good, refused)));
        }
    });
    println!("{good:?} good, {refused:?} refused, {:?}", start.elapsed());
    assert!(good.into_inner() > 100 && refused.into_inner() > 100);
}

/// Three attempts with faults, then one without.
fn round(seed: u64, good: &AtomicUsize, refused: &AtomicUsize) {
    let (server, elsewhere) = (Server::start(&FILES), Server::start(&[]));
    let model = FILES[1].1.to_vec();
    elsewhere.set(|state| drop(state.objects.insert(mtl_zoo::files::sha256_hex(&model), model)));
    if seed.is_multiple_of(3) {
        server.set(|state| state.elsewhere = Some(elsewhere.endpoint.clone()));
    }
    // From hardly any trouble to hardly anything else.
    let share = 5 + seed % 19 * 4;
    for (server, other) in [(&server, 0), (&elsewhere, 1)] {
        let mut random = Random(seed * 2 + other);
        server.faults(move |_| if random.below(100) < share { Some(random.fault()) } else { None });
    }
    let cache = tempfile::tempdir().unwrap();
    let options =
        HubOptions { retries: Some(4), pause: Some(Duration::from_micros(100)), ..options(&server, cache.path()) };
    for attempt in 0..3 {
        match resolve_backbone(ID, None, &options) {
            Ok(files) => {
                good.fetch_add(1, Ordering::Relaxed);
                for (name, bytes) in FILES {
                    assert_eq!(std::fs::read(files.folder.join(name)).unwrap(), bytes, "seed {seed}: {name}");
                }
            }
            Err(error) => {
                refused.fetch_add(1, Ordering::Relaxed);
                let text = error.to_string();
                let whole = ["found ", "expected ", "help: ", "org/tiny"].iter().all(|part| text.contains(part));
                assert!(whole, "seed {seed}, attempt {attempt}: {text}");
            }
        }
        assert_sound(cache.path());
    }
    for server in [&server, &elsewhere] {
        server.set(|state| state.faults = None);
    }
    resolve_backbone(ID, None, &options).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    assert_sound(cache.path());
}
