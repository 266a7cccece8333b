//! How well one matrix of transfer foretells another.

use crate::data::random::Random;
use crate::metrics::correlation::spearman;

/// Random orders of the tasks.
const PERMUTATIONS: usize = 5000;
/// Tells these orders from others.
const ORDERS: u64 = 0x6f72_6465_7273_0000;
/// Fewer pairs than this say nothing.
const LEAST: usize = 4;

/// Spearman's ρ over the pairs that both matrices have, its two-sided p, and the number of pairs.
///
/// Entries of one row or column have a task in common and so are not independent. The p is therefore that of Mantel (1967):
/// the tasks of one matrix are put in random order, rows and columns alike, and ρ is counted that is at least as far from
/// 0. With four tasks there are 24 orders, so p cannot be much below 0.04. ρ and p are `None` with fewer than four pairs, or
/// where one side is constant.
pub fn rank_correlation(a: &[Vec<Option<f64>>], b: &[Vec<Option<f64>>]) -> (Option<f64>, Option<f64>, usize) {
    let tasks: Vec<usize> = (0..a.len().min(b.len())).collect();
    let (rho, pairs) = over_pairs(a, b, &tasks);
    let Some(found) = rho.filter(|_| pairs >= LEAST) else { return (None, None, pairs) };
    let mut random = Random::new(&[ORDERS]);
    let mut as_far = 0;
    for _ in 0..PERMUTATIONS {
        let mut order = tasks.clone();
        random.shuffle(&mut order);
        // An order that leaves too few pairs, or equal ones, is no evidence against chance.
        let other = over_pairs(a, b, &order).0;
        as_far += usize::from(other.is_none_or(|other| other.abs() >= found.abs() - 1e-12));
    }
    (Some(found), Some((1 + as_far) as f64 / (1 + PERMUTATIONS) as f64), pairs)
}

fn over_pairs(a: &[Vec<Option<f64>>], b: &[Vec<Option<f64>>], order: &[usize]) -> (Option<f64>, usize) {
    let at = |matrix: &[Vec<Option<f64>>], row: usize, column: usize| *matrix.get(row)?.get(column)?;
    let cells = (0..order.len()).flat_map(|row| (0..order.len()).map(move |column| (row, column)));
    let (x, y): (Vec<f32>, Vec<f32>) = cells
        .filter(|(row, column)| row != column)
        .filter_map(|(row, column)| Some((at(a, row, column)?, at(b, order[row], order[column])?)))
        .map(|(x, y)| (x as f32, y as f32))
        .unzip();
    (spearman(&x, &y), x.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(values: [[f64; 4]; 4]) -> Vec<Vec<Option<f64>>> {
        let cell = |row: usize, column: usize| (row != column).then_some(values[row][column]);
        (0..4).map(|row| (0..4).map(|column| cell(row, column)).collect()).collect()
    }

    /// ρ by `scipy.stats.spearmanr` (SciPy 1.17.1) of the twelve pairs, p by all 24 orders of the tasks in NumPy.
    #[test]
    fn rho_is_that_of_scipy_and_p_that_of_all_orders() {
        let a = matrix([[0.0, 0.3, -0.2, 0.1], [0.5, 0.0, 0.4, -0.1], [0.2, 0.7, 0.0, 0.6], [-0.3, 0.05, 0.15, 0.0]]);
        let b = matrix([[0.0, 2.0, -1.0, 1.5], [3.0, 0.0, 1.0, -2.0], [2.5, 4.0, 0.0, 0.5], [-1.5, 0.2, 1.2, 0.0]]);
        let (rho, p, pairs) = rank_correlation(&a, &b);
        assert_eq!(pairs, 12);
        assert!((rho.unwrap() - RHO).abs() < 1e-12, "{rho:?}");
        assert!((p.unwrap() - P).abs() < 0.012, "{p:?}");
    }

    const RHO: f64 = 0.7482517482517484;
    const P: f64 = 0.041666666666666664;

    #[test]
    fn little_says_nothing() {
        let few = vec![vec![None, Some(1.0)], vec![Some(2.0), None]];
        assert_eq!(rank_correlation(&few, &few), (None, None, 2));
        assert_eq!(rank_correlation(&[], &[]), (None, None, 0));
        let constant = matrix([[1.0; 4]; 4]);
        assert_eq!(rank_correlation(&constant, &constant), (None, None, 12));
    }
}
