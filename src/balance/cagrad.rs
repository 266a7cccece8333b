//! CAGrad: near the mean, for the task worst off.

use super::solve::{Units, Vector, gramian, nonnegative, of_mean, part};
use super::{Matrix, Method, Settings, Step, Unsolved};

/// Conflict-averse gradient descent (Liu et al. 2021, equation 3): of the directions within `c ‖g₀‖` of the mean
/// gradient g₀, the one along which the task that gains least gains most.
///
/// `w = T α / (1 + c²)` for the direction `Σ αᵢ gᵢ`, rescaled as the paper's code does by default; one task alone has
/// `(1 + c) / (1 + c²)`. Where several directions are as good (the gradients can be mixed to nothing) it is the one
/// nearest to the mean, so that with c below 1 only minima of the mean loss stop it (theorem 3.2). Tasks with a zero
/// gradient gain nothing anywhere, and only count in the mean.
///
/// Found exactly: the direction nearest to g₀ along which every task gains ν is a quadratic program, its distance to g₀
/// grows with ν, and while the same tasks are at ν its square is quadratic in ν.
pub(super) struct CaGrad {
    c: f64,
}

impl CaGrad {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { c: settings.number("c") }
    }

    /// With the c of LibMTL.
    pub(super) fn usual() -> Self {
        Self { c: 0.5 }
    }
}

impl Method for CaGrad {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        let gramian = gramian(step)?;
        let tasks = step.tasks.len() as f64;
        let gains = gramian.column_sum() / tasks;
        let radius = self.c * (gains.sum() / tasks).max(0.0).sqrt();
        let mut shares = Vector::repeat(step.tasks.len(), 1.0 / tasks);
        let all = Units::new(gramian);
        let moving = all.moving();
        if radius > 0.0 && !moving.is_empty() {
            let more = towards_the_worst(&all.select(&moving), &gains.select_rows(&moving), radius)?;
            moving.iter().zip(&more).for_each(|(&task, more)| shares[task] += more);
        }
        Ok(of_mean(&(shares / (1.0 + self.c * self.c))))
    }
}

/// Coefficients of what is added to the mean gradient, of norm `radius`, from the tasks' gains along the mean.
fn towards_the_worst(units: &Units, gains: &Vector, radius: f64) -> Result<Vector, Unsolved> {
    let Units { norms, cosines } = units;
    // In units of each gradient's norm.
    let per_level = norms.map(|norm| 1.0 / norm);
    let of_mean = gains.component_div(norms);
    let mut reached = Vector::zeros(norms.len());
    let mut low = gains.min();
    let mut high = (gains + norms * radius).min();
    let mut level = high;
    for _ in 0..200 {
        let guess = match nonnegative(cosines, &(&per_level * level - &of_mean))? {
            None => {
                high = level;
                None
            }
            Some(more) => {
                let distance = more.dot(&(cosines * &more)).max(0.0).sqrt();
                if (distance - radius).abs() <= 1e-11 * radius {
                    return Ok(more.component_div(norms));
                }
                let guess = level_at(cosines, &per_level, &of_mean, &more, radius);
                if distance < radius {
                    (low, reached) = (level, more);
                } else {
                    high = level;
                }
                guess
            }
        };
        if high - low <= 4.0 * f64::EPSILON * low.abs().max(high.abs()) {
            break;
        }
        level = guess.filter(|level| (low..high).contains(level) && *level != low).unwrap_or(low.midpoint(high));
    }
    Ok(reached.component_div(norms))
}

/// The level at distance `radius`, if the tasks that are at it now stay those.
fn level_at(cosines: &Matrix, per_level: &Vector, of_mean: &Vector, more: &Vector, radius: f64) -> Option<f64> {
    let bound: Vec<_> = (0..more.len()).filter(|&i| more[i] > 0.0).collect();
    let (e, f) = (per_level.select_rows(&bound), of_mean.select_rows(&bound));
    let factors = part(cosines, &bound).cholesky()?;
    let (by_level, fixed) = (factors.solve(&e), factors.solve(&f));
    // distance² = a ν² − 2 b ν + c
    let (a, b, c) = (e.dot(&by_level), e.dot(&fixed), f.dot(&fixed));
    let root = (b * b - a * (c - radius * radius)).sqrt();
    Some((b + root) / a).filter(|level| level.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::testing;

    /// Norm of the direction's distance to the mean gradient, and that of the mean gradient, before rescaling.
    fn distance(gramian: &Matrix, weights: &[f64], c: f64) -> (f64, f64) {
        let tasks = weights.len() as f64;
        let mean = Vector::repeat(weights.len(), 1.0 / tasks);
        let off = Vector::from_column_slice(weights) * ((1.0 + c * c) / tasks) - &mean;
        (off.dot(&(gramian * &off)).sqrt(), mean.dot(&(gramian * &mean)).sqrt())
    }

    #[test]
    fn the_direction_is_on_the_ball_and_better_for_the_worst() {
        let gramian = Matrix::from_row_slice(3, 3, &[1.0, -1.8, 0.1, -1.8, 9.0, 0.2, 0.1, 0.2, 4.0]);
        let mean = testing::rates(&gramian, &[1.0; 3]);
        for c in [0.1, 0.5, 0.9] {
            let weights = testing::weights_of(&mut CaGrad { c }, &gramian);
            let (distance, norm) = distance(&gramian, &weights, c);
            assert!((distance / norm - c).abs() < 1e-9, "{distance} {norm}");
            let worst = testing::rates(&gramian, &weights).into_iter().fold(f64::INFINITY, f64::min) * (1.0 + c * c);
            assert!(worst > mean.iter().copied().fold(f64::INFINITY, f64::min), "{worst} {mean:?}");
        }
    }

    #[test]
    fn without_a_ball_it_is_the_mean() {
        let gramian = Matrix::from_row_slice(2, 2, &[1.0, -0.5, -0.5, 1.0]);
        assert_eq!(testing::weights_of(&mut CaGrad { c: 0.0 }, &gramian), [1.0, 1.0]);
    }

    #[test]
    fn the_mean_is_followed_where_no_task_can_gain() {
        // Two opposite gradients and one across: all gain nothing at best.
        let gramian = Matrix::from_row_slice(3, 3, &[1.0, -1.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
        let weights = testing::weights_of(&mut CaGrad { c: 0.5 }, &gramian);
        let rates = testing::rates(&gramian, &weights);
        assert!(rates[0].abs() < 1e-9 && (rates[2] - 1.0 / 1.25).abs() < 1e-9, "{rates:?}");
    }
}
