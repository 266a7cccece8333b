//! Learning curves made monotone, and read backwards.

/// Isotonic regression with equal weights: the non-decreasing values nearest in squares, by pooling adjacent violators
/// (Ayer et al. 1955).
pub fn isotonic(values: &[f64]) -> Vec<f64> {
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for &value in values {
        let mut block = (value, 1);
        while let Some(&(mean, count)) = blocks.last().filter(|(mean, _)| *mean > block.0) {
            let all = count + block.1;
            block = ((mean * count as f64 + block.0 * block.1 as f64) / all as f64, all);
            blocks.pop();
        }
        blocks.push(block);
    }
    blocks.iter().flat_map(|&(mean, count)| std::iter::repeat_n(mean, count)).collect()
}

/// How many rows a curve takes to reach a score, and whether it ends below it.
///
/// `curve` holds rows, ascending, and scores that do not decrease; between two points it is linear in the logarithm of the
/// rows. Nothing is extrapolated: the answer is the first point's rows where that is good enough, and the last point's,
/// with `true`, where none is. `None` without points.
pub fn rows_for(curve: &[(usize, f64)], score: f64) -> Option<(f64, bool)> {
    let (first, last) = (curve.first()?, curve.last()?);
    if score <= first.1 {
        return Some((first.0 as f64, false));
    }
    let Some(above) = curve.iter().position(|point| point.1 >= score) else { return Some((last.0 as f64, true)) };
    let ([below, above], share) = {
        let (a, b) = (curve[above - 1], curve[above]);
        ([a.0, b.0].map(|rows| rows.max(1) as f64), (score - a.1) / (b.1 - a.1))
    };
    Some((if share >= 1.0 { above } else { (below.ln() + share * (above / below).ln()).exp() }, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regression_is_that_of_scipy() {
        // scipy.optimize.isotonic_regression(values).x of SciPy 1.17.1
        let found = isotonic(&[1.0, 3.0, 2.0, 4.0, 3.5, 5.0, 4.9, 5.2]);
        assert_eq!(found, [1.0, 2.5, 2.5, 3.75, 3.75, 4.95, 4.95, 5.2]);
        assert_eq!(isotonic(&[3.0, 2.0, 1.0]), [2.0; 3]);
        assert!(isotonic(&[]).is_empty());
    }

    #[test]
    fn curves_are_read_on_the_logarithm_and_never_beyond_their_ends() {
        let curve = [(100, 0.4), (400, 0.6), (1600, 0.6), (3200, 0.8)];
        let (rows, censored) = rows_for(&curve, 0.5).unwrap();
        assert!((rows - 200.0).abs() < 1e-9 && !censored);
        assert_eq!(rows_for(&curve, 0.6), Some((400.0, false)));
        assert_eq!(rows_for(&curve, 0.3), Some((100.0, false)));
        assert_eq!(rows_for(&curve, 0.9), Some((3200.0, true)));
        assert_eq!(rows_for(&[], 0.9), None);
    }
}
