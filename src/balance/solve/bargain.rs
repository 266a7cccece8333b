//! The weights w > 0 with `G w = w^(−p)`.

use super::units::Units;
use super::{Matrix, Vector};
use crate::balance::Unsolved;

/// The Newton step, as a share of each entry, after which there is nothing to mend: it estimates what was wrong before
/// it.
const CLOSE: f64 = 1e-10;
/// The same where rounding keeps it from becoming less.
const CLOSE_ENOUGH: f64 = 1e-6;
/// Rounding of a sum, as a share of its terms.
const ROUNDING: f64 = 32.0 * f64::EPSILON;
/// A pivot of the curvature, whose diagonal is above 1, that rounding of the cosines hides.
const HIDDEN: f64 = 1e-13;
/// The logarithm of the smallest factor by which an entry falls in one step.
const FALL: f64 = -10.0;

/// The w > 0 with `(G w)ᵢ = wᵢ^(−p)`, p > 0; 1 for gradients that are zero.
///
/// This is where `½ wᵀGw − Σ ∫wᵢ^(−p)` is smallest, which is strictly convex: so there is one w at most, and Newton's
/// method with shorter steps far from it finds it from anywhere. There is none if gradients can be mixed to nothing.
///
/// With `wᵢ = aᵢ xᵢ`, `aᵢ = ‖gᵢ‖^(−2/(1+p))`, x would be 1 for orthogonal gradients, and x changes little with the
/// scale of the gradients.
pub(in crate::balance) fn bargain(gramian: &Matrix, p: f64) -> Result<Vec<f64>, Unsolved> {
    let units = Units::new(gramian);
    let moving = units.moving();
    if moving.is_empty() {
        return Ok(vec![1.0; units.norms.len()]);
    }
    let Units { norms, cosines } = units.select(&moving);
    let scale = norms.map(|norm| norm.powf(-2.0 / (1.0 + p)));
    let x = newton(&cosines, &scale.map(|a| a.powf((1.0 - p) / 2.0)), p)?;
    let mut weights = vec![1.0; units.norms.len()];
    moving.iter().enumerate().for_each(|(place, &i)| weights[i] = scale[place] * x[place]);
    Ok(weights)
}

/// The x > 0 with `R(r∘x) = r∘x^(−p)`.
fn newton(cosines: &Matrix, r: &Vector, p: f64) -> Result<Vector, Unsolved> {
    let primitive = |x: f64| if p == 1.0 { x.ln() } else { x.powf(1.0 - p) / (1.0 - p) };
    let magnitudes = cosines.abs();
    // Value, and how much of it may be rounding.
    let value = |x: &Vector| {
        let u = r.component_mul(x);
        let barriers = x.zip_map(r, |x, r| r * r * primitive(x));
        let magnitude = u.dot(&(&magnitudes * &u)) + barriers.abs().sum();
        (u.dot(&(cosines * &u)) / 2.0 - barriers.sum(), ROUNDING * magnitude)
    };
    let mut x = Vector::repeat(r.len(), 1.0);
    let mut last = f64::INFINITY;
    for _ in 0..100 {
        let downhill = r.zip_map(&x, |r, x| r * x.powf(-p)) - cosines * r.component_mul(&x);
        let curvature = cosines + Matrix::from_diagonal(&x.map(|x| p * x.powf(-1.0 - p)));
        let factors = curvature.cholesky().filter(|factors| factors.l_dirty().diagonal().min().powi(2) > HIDDEN);
        let Some(factors) = factors else {
            return Err(Unsolved("the task gradients cancel: no step makes every task better".into()));
        };
        let of_u = factors.solve(&downhill);
        let fall = downhill.dot(&of_u);
        let dx = of_u.component_div(r);
        let error = dx.component_div(&x).amax();
        if error <= CLOSE || error <= CLOSE_ENOUGH && error > last / 2.0 {
            return Ok(x + dx);
        }
        last = error;
        // Falling entries fall by a factor, so that they stay above 0 and do not hold up the others at its edge.
        let moved = |step: f64| {
            x.zip_map(&dx, |x, dx| if dx < 0.0 { x * (step * dx / x).max(FALL).exp() } else { x + step * dx })
        };
        let (here, rounding) = value(&x);
        let mut step = 1.0;
        let is_low = |step: f64| value(&moved(step)).0 <= here - 0.1 * step * fall + rounding;
        while !is_low(step) && step > f64::EPSILON {
            step /= 2.0;
        }
        x = moved(step);
    }
    Err(Unsolved(format!("the bargain was not solved: it is off by {last:.1e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(gramian: &Matrix, p: f64) -> f64 {
        let weights = Vector::from_vec(bargain(gramian, p).unwrap());
        let gains = gramian * &weights;
        // What the gains are the difference of is rounded.
        let rounding = gramian.abs() * &weights * ROUNDING;
        let off = gains.zip_map(&weights, |gain, w| (gain - w.powf(-p)).abs()) - rounding;
        off.component_mul(&weights.map(|w| w.powf(p))).max()
    }

    #[test]
    fn equations_hold_for_any_power_and_scale() {
        let cosines = Matrix::from_row_slice(3, 3, &[1.0, -0.7, 0.2, -0.7, 1.0, 0.1, 0.2, 0.1, 1.0]);
        for p in [0.1, 0.5, 1.0, 2.0, 5.0] {
            for scale in [1.0, 1e-3, 1e4] {
                let norms = Vector::from_vec(vec![scale, 1.0, scale * scale]);
                let gramian = cosines.component_mul(&(&norms * norms.transpose()));
                assert!(error(&gramian, p) < 1e-8, "{p} {scale}: {}", error(&gramian, p));
            }
        }
    }

    #[test]
    fn nearly_opposite_gradients_have_large_weights() {
        let gramian = |close: f64| Matrix::from_row_slice(2, 2, &[1.0, close - 1.0, close - 1.0, 1.0]);
        // w = (1 + cos)^(-1/2) for two gradients of norm 1 and p = 1.
        let weights = bargain(&gramian(1e-8), 1.0).unwrap();
        assert!((weights[0] * 1e-4 - 1.0).abs() < 1e-6, "{weights:?}");
        assert!(bargain(&gramian(0.0), 1.0).unwrap_err().0.contains("cancel"));
    }
}
