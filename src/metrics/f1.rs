//! F1 from counts, and its averages over classes.

/// How often one class was expected, predicted, and both at once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub expected: u64,
    pub predicted: u64,
    pub hits: u64,
}

impl Counts {
    /// 2 · hits / (expected + predicted), which is the harmonic mean of precision and recall. 0 where the class was
    /// neither expected nor predicted (scikit-learn's `zero_division=0`).
    pub fn f1(self) -> f64 {
        match self.expected + self.predicted {
            0 => 0.0,
            total => 2.0 * self.hits as f64 / total as f64,
        }
    }
}

/// The mean of the classes' F1. `None` without classes.
pub(super) fn macro_average(counts: &[Counts]) -> Option<f64> {
    (!counts.is_empty()).then(|| counts.iter().map(|class| class.f1()).sum::<f64>() / counts.len() as f64)
}

/// The F1 of the summed counts. `None` without classes.
pub(super) fn micro_average(counts: &[Counts]) -> Option<f64> {
    let sum = counts.iter().fold(Counts::default(), |sum, class| Counts {
        expected: sum.expected + class.expected,
        predicted: sum.predicted + class.predicted,
        hits: sum.hits + class.hits,
    });
    (!counts.is_empty()).then(|| sum.f1())
}

/// The mean of the classes' F1, each weighted by how often it was expected; 0 where nothing was expected, as every F1
/// is 0 then. `None` without classes.
pub(super) fn weighted_average(counts: &[Counts]) -> Option<f64> {
    let expected: u64 = counts.iter().map(|class| class.expected).sum();
    let sum: f64 = counts.iter().map(|class| class.f1() * class.expected as f64).sum();
    (!counts.is_empty()).then(|| sum / expected.max(1) as f64)
}
