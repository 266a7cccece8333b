//! Intervals and tests by Student's t distribution.

use crate::study::report::Estimate;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Below this, how small a p is makes no difference.
const LEAST: f64 = 1e-15;
/// Steps that find a p to all its digits.
const HALVINGS: usize = 60;

/// One source of an estimate's variance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// Variance of the estimate that comes from it.
    pub variance: f64,
    /// Degrees of freedom with which that variance is known.
    pub df: f64,
}

/// A 95 % interval, and the two-sided p of the estimate against 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Inference {
    /// `None` where the variance is not known.
    pub interval: Option<[f64; 2]>,
    /// `None` where the variance is not known.
    pub p: Option<f64>,
}

/// What an estimate says whose variance is the sum of independent parts.
///
/// Each part by itself would give an interval by Student's t; half the interval of the sum is the root of the sum of the
/// squares of their halves (Zou & Donner 2008: method of variance estimates recovery). p is that of the narrowest such
/// interval, of any level, that has 0 in it. With one part that is the usual t test. With a part that is known by one or
/// two degrees of freedom, as of two or three seeds, a single t with the degrees of freedom of Welch and Satterthwaite
/// covers the truth in 88 to 93 of 100 cases; this, in 95 to 99.
///
/// An estimate of 0 without any variance, as of two equal arms, has the interval [0, 0] and a p of 1.
pub fn infer(value: f64, parts: &[Part]) -> Inference {
    let total: f64 = parts.iter().map(|part| part.variance).sum();
    let known = parts.iter().all(|part| part.df > 0.0 && part.variance >= 0.0);
    if parts.is_empty() || !known || !total.is_finite() || !value.is_finite() {
        return Inference::default();
    }
    if total == 0.0 {
        return Inference { interval: Some([value; 2]), p: Some(if value == 0.0 { 1.0 } else { 0.0 }) };
    }
    let student = |part: &Part| Some((StudentsT::new(0.0, 1.0, part.df).ok()?, part.variance));
    let Some(parts) = parts.iter().map(student).collect::<Option<Vec<_>>>() else { return Inference::default() };
    let half = |p: f64| parts.iter().map(|(t, variance)| variance * t.inverse_cdf(p / 2.0).powi(2)).sum::<f64>().sqrt();
    let tails = parts.iter().map(|(t, _)| (2.0 * t.sf(value.abs() / total.sqrt())).clamp(0.0, 1.0));
    // The p of the whole lies between what each part's distribution would make of it.
    let (mut low, mut high) = (tails.clone().fold(1.0, f64::min).max(LEAST), tails.fold(0.0, f64::max));
    let mut halvings = if parts.len() > 1 { HALVINGS } else { 0 };
    while low < high && halvings > 0 {
        // In steps of the logarithm, as p may be small.
        let middle = (low * high).sqrt();
        *if half(middle) > value.abs() { &mut low } else { &mut high } = middle;
        halvings -= 1;
    }
    let reach = half(0.05);
    let interval = [value - reach, value + reach];
    Inference { interval: interval.iter().all(|end| end.is_finite()).then_some(interval), p: Some(high) }
}

/// The mean; `None` of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    mean.is_finite().then_some(mean)
}

/// The middle value, or the mean of the two in the middle; `None` without values.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some((values[low] + values[high]) / 2.0)
}

/// The variance around the mean with n − 1 in the denominator; `None` with fewer than two values.
pub fn variance(values: &[f64]) -> Option<f64> {
    let mean = mean(values)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (values.len() > 1).then(|| squares / (values.len() - 1) as f64)
}

/// The mean of independent values with its t interval; without an interval with fewer than two. `None` of nothing.
pub fn mean_interval(values: &[f64]) -> Option<Estimate> {
    let value = mean(values)?;
    let n = values.len() as f64;
    let part = variance(values).map(|variance| Part { variance: variance / n, df: n - 1.0 });
    Some(Estimate { value, interval: infer(value, part.as_slice()).interval })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.t.ppf(0.975, df)`, `2 * t.sf(2.5, df)` and `2 * t.sf(12, df)` of SciPy 1.17.1.
    const SCIPY: [(f64, f64, f64, f64); 7] = [
        (1.0, 12.706204736174694, 0.24223788318168682, 0.052929352119179755),
        (2.0, 4.302652729749462, 0.12961172022151082, 0.00687293367715846),
        (4.0, 2.7764451051977934, 0.06676654481198814, 0.000276428548502973),
        (4.7, 2.62072607535317, 0.05759215934686732, 0.00010527673696674255),
        (9.0, 2.262157162798205, 0.033861827682985735, 7.699886222985653e-07),
        (37.3, 2.0256425230779604, 0.01694126979854143, 2.2574816185825923e-14),
        (799.0, 1.9629374611056076, 0.012618747705736531, 1.2754526152754109e-30),
    ];

    #[test]
    fn intervals_and_p_are_those_of_scipy() {
        let near = |a: f64, b: f64| assert!((a / b - 1.0).abs() < 1e-7, "{a} {b}");
        for (df, quantile, p, small) in SCIPY {
            let found = infer(2.5, &[Part { variance: 1.0, df }]);
            near(found.interval.unwrap()[1] - 2.5, quantile);
            near(found.p.unwrap(), p);
            near(infer(-12.0, &[Part { variance: 1.0, df }]).p.unwrap(), small);
        }
        // scipy.stats.t.interval(0.95, 4, mean, scipy.stats.sem(values))
        let found = mean_interval(&[0.12, 0.3, 0.18, 0.41, 0.02]).unwrap();
        near(found.interval.unwrap()[0], 0.016549577995573994);
        near(found.interval.unwrap()[1], 0.39545042200442604);
    }

    /// Halves from `scipy.stats.t.isf`, p from `scipy.optimize.brentq` on them, of SciPy 1.17.1.
    #[test]
    fn parts_add_up() {
        let near = |a: f64, b: f64| assert!((a / b - 1.0).abs() < 1e-7, "{a} {b}");
        let part = |(variance, df)| Part { variance, df };
        let cases = [
            (2.0, [(0.5, 4.0), (0.5, 9.0)], 2.532390417310887, 0.09846093248338636),
            (-0.3, [(0.004, 2.0), (0.006, 59.0)], 0.31316956600229484, 0.05485490355236452),
        ];
        for (value, parts, half, p) in cases {
            let found = infer(value, &parts.map(part));
            near(found.interval.unwrap()[1] - value, half);
            near(found.p.unwrap(), p);
        }
        // A part without variance changes nothing; neither does a very small p harm.
        let one = infer(0.5, &[part((0.04, 3.0))]);
        near(infer(0.5, &[(0.04, 3.0), (0.0, 50.0)].map(part)).p.unwrap(), one.p.unwrap());
        assert!(infer(100.0, &[(0.001, 40.0), (0.001, 900.0)].map(part)).p.unwrap() < 1e-12);
    }

    #[test]
    fn too_little_gives_no_interval() {
        assert_eq!(mean_interval(&[]), None);
        assert_eq!(mean_interval(&[0.5]), Some(Estimate { value: 0.5, interval: None }));
        assert_eq!(mean_interval(&[f64::NAN, 1.0]), None);
        assert_eq!(infer(1.0, &[]), Inference::default());
        assert_eq!(infer(0.0, &[Part { variance: 0.0, df: 3.0 }]).p, Some(1.0));
    }
}
