//! Quadratic programs over x ≥ 0, which projections onto cones and least-norm points come down to.

use super::units::part;
use super::{Matrix, Vector};
use crate::balance::Unsolved;

/// A column counts as a combination of others when less than this of its square is left.
const DEPENDENT: f64 = 1e-12;
/// What is below this share of the numbers it is the difference of is rounding.
const ROUNDING: f64 = 1e-13;

/// The x ≥ 0 with the smallest `½ xᵀGx − bᵀx`, G positive semi-definite; `None` if there is no smallest value.
///
/// A dual active-set method (Goldfarb & Idnani 1983, here for the bounds x ≥ 0 alone): the positive entries are where
/// the slope is zero. In each turn the entry of steepest descent grows until its slope is zero too; entries that reach
/// zero on the way leave. G may be singular: the chosen columns are always independent.
///
/// # Errors
/// If rounding keeps it going round in circles.
pub(in crate::balance) fn nonnegative(g: &Matrix, b: &Vector) -> Result<Option<Vector>, Unsolved> {
    let mut x = Vector::zeros(b.len());
    let mut positive: Vec<usize> = Vec::new();
    let mut turns = 0;
    while let Some(entering) = steepest(g, b, &x, &positive) {
        loop {
            turns += 1;
            if turns > 20 * b.len() + 20 {
                return Err(Unsolved("the quadratic program went round in circles".into()));
            }
            let slope = slope(g, b, &x, entering);
            let column = Vector::from_iterator(positive.len(), positive.iter().map(|&i| g[(i, entering)]));
            let fall = solved(g, &positive, &column)?;
            let curvature = g[(entering, entering)] - column.dot(&fall);
            let is_independent = curvature > DEPENDENT * g[(entering, entering)];
            if slope <= 0.0 {
                // It took another's place, and by rounding nothing is left to gain.
                positive.extend(Some(entering).filter(|_| is_independent));
                break;
            }
            let whole = if is_independent { slope / curvature } else { f64::INFINITY };
            let room = |place: usize| if fall[place] > 0.0 { x[positive[place]] / fall[place] } else { f64::INFINITY };
            let leaving = (0..positive.len()).min_by(|&i, &j| room(i).total_cmp(&room(j)));
            let step = leaving.map_or(whole, |place| whole.min(room(place)));
            if step == f64::INFINITY {
                return Ok(None);
            }
            let full = step == whole;
            for (place, &i) in positive.iter().enumerate() {
                x[i] = (x[i] - step * fall[place]).max(0.0);
            }
            x[entering] += step;
            match leaving {
                Some(place) if !full => x[positive.remove(place)] = 0.0,
                _ => {
                    positive.push(entering);
                    break;
                }
            }
        }
    }
    // One solve from scratch is free of what the turns left behind.
    let exact = solved(g, &positive, &b.select_rows(&positive))?;
    let all_are_there = x.iter().filter(|&&value| value > 0.0).count() <= positive.len();
    if all_are_there && exact.iter().all(|&value| value >= 0.0) {
        positive.iter().zip(&exact).for_each(|(&i, &value)| x[i] = value);
    }
    Ok(Some(x))
}

/// How fast the value falls as entry `i` grows.
fn slope(g: &Matrix, b: &Vector, x: &Vector, i: usize) -> f64 {
    b[i] - g.column(i).dot(x)
}

/// The entry along which the value falls fastest, if it falls at all.
fn steepest(g: &Matrix, b: &Vector, x: &Vector, positive: &[usize]) -> Option<usize> {
    let rounding =
        |i: usize| ROUNDING * (b[i].abs() + g.column(i).iter().zip(x).map(|(a, x)| (a * x).abs()).sum::<f64>());
    (0..b.len())
        .filter(|i| !positive.contains(i))
        .map(|i| (i, slope(g, b, x, i)))
        .filter(|&(i, slope)| slope > rounding(i))
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(i, _)| i)
}

/// `G⁻¹ b` among the entries at these places.
fn solved(g: &Matrix, places: &[usize], b: &Vector) -> Result<Vector, Unsolved> {
    if places.is_empty() {
        return Ok(Vector::zeros(0));
    }
    let factors = part(g, places).cholesky();
    Ok(factors.ok_or_else(|| Unsolved("the quadratic program is singular".into()))?.solve(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(rows: &[&[f64]]) -> Matrix {
        Matrix::from_fn(rows.len(), rows.len(), |i, j| rows[i][j])
    }

    #[test]
    fn an_entry_stays_at_zero_where_it_would_not_help() {
        let x = nonnegative(&matrix(&[&[2.0, 1.0], &[1.0, 2.0]]), &Vector::from_vec(vec![2.0, 0.5])).unwrap().unwrap();
        assert!((x[0] - 1.0).abs() < 1e-15 && x[1] == 0.0, "{x}");
    }

    #[test]
    fn an_entry_leaves_again() {
        // The second is steepest, and then the first and third do its work together.
        let g = matrix(&[&[1.0, 0.8, 0.0], &[0.8, 1.3, 0.8], &[0.0, 0.8, 1.0]]);
        let x = nonnegative(&g, &Vector::from_vec(vec![1.0, 1.1, 1.0])).unwrap().unwrap();
        assert_eq!(x.as_slice(), [1.0, 0.0, 1.0]);
    }

    #[test]
    fn falling_for_ever_is_said() {
        let g = matrix(&[&[1.0, -1.0], &[-1.0, 1.0]]);
        assert!(nonnegative(&g, &Vector::from_vec(vec![1.0, 1.0])).unwrap().is_none());
        assert!(nonnegative(&g, &Vector::from_vec(vec![1.0, -1.0])).unwrap().is_some());
    }

    #[test]
    fn conditions_of_the_minimum_hold() {
        // Gramians of rank 3 among 6, from a fixed sequence of numbers.
        for seed in 1..50 {
            let entry = |i: usize, j: usize| ((seed * 7919 + i * 104_729 + j * 1_299_709) % 997) as f64 / 500.0 - 1.0;
            let rows = Matrix::from_fn(6, 3, entry);
            let g = &rows * rows.transpose();
            // In the range of the Gramian, so that a minimum exists.
            let b = &g * Vector::from_fn(6, |i, _| entry(i, 7));
            let x = nonnegative(&g, &b).unwrap().unwrap();
            let slope = &b - &g * &x;
            for i in 0..6 {
                assert!(x[i] >= 0.0 && slope[i] < 1e-9 && (x[i] * slope[i]).abs() < 1e-9, "{seed}: {x} {slope}");
            }
        }
    }
}
