//! How long a study will take.

use super::Plan;
use crate::error::Result;
use crate::train::{Prepared, Trainer};
use std::time::{Duration, Instant};

/// What scoring a token costs against training on it: no backward pass, no update.
const SCORED: f64 = 0.3;
/// Steps that are timed; one more comes first, in which memory is new.
const STEPS: usize = 3;

impl Plan {
    /// Work of all runs, in tokens trained on; scored tokens count for less.
    pub fn work(&self) -> f64 {
        self.runs.iter().map(super::Planned::work).sum()
    }
}

impl super::Planned {
    /// Work of the run, in tokens trained on; scored tokens count for less.
    pub fn work(&self) -> f64 {
        self.tokens as f64 + SCORED * self.scored as f64
    }
}

/// Time that training takes for a token of the recipe's joint run, with so many threads; measured in a few steps.
///
/// # Errors
/// As a run's first steps.
pub fn time_a_token(prepared: &Prepared, threads: usize) -> Result<Duration> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build();
    match pool {
        Ok(pool) => pool.install(|| measure(prepared)),
        Err(_) => measure(prepared),
    }
}

fn measure(prepared: &Prepared) -> Result<Duration> {
    let mut trainer = Trainer::new(prepared.model()?, &prepared.recipe);
    let mut sampler = prepared.sampler()?;
    let (mut spent, mut tokens) = (Duration::ZERO, 0);
    for step in 0..=STEPS {
        let batches = [prepared.batch(&prepared.draw(&mut sampler, 0.0))];
        let start = Instant::now();
        let report = trainer.step(&batches, 1.0)?;
        if step > 0 {
            spent += start.elapsed();
            tokens += report.tokens;
        }
    }
    Ok(spent / tokens.max(1) as u32)
}

/// Memory that programs can still have, in bytes; `None` where the system does not tell.
pub fn free_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}
