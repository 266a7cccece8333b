//! Seeded fractions and limits: which rows go where.

use super::random::Random;
use crate::error::{Problem, Result};

/// The rows of a training file by split; each list ascending, so that rows keep the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Rows to train on.
    pub train: Vec<usize>,
    /// Rows taken out for validation.
    pub validation: Vec<usize>,
    /// Rows taken out for the test.
    pub test: Vec<usize>,
}

/// Takes the fractions out of `rows` rows, then draws `limit` of what is left.
///
/// The draw depends on the seed and the number of rows only. The test rows do not depend on the validation fraction,
/// neither depends on the limit, and the rows of a smaller limit are among those of a larger one: learning curves over
/// the amount of data compare like with like.
///
/// # Errors
/// If a fraction is not between 0 and 1, or if a split would be empty. `task` is named in the error.
pub fn divide(
    task: &str,
    rows: usize,
    validation: Option<f64>,
    test: Option<f64>,
    limit: Option<usize>,
    seed: u64,
) -> Result<Parts> {
    let test_rows = count(task, "test", test, rows)?;
    let validation_rows = count(task, "validation", validation, rows)?;
    if test_rows + validation_rows >= rows {
        let found = format!("{rows} rows of which {} are taken out", test_rows + validation_rows);
        let help = "lower the fractions, add rows, or give the splits files of their own";
        return Err(Problem::new(found, "at least one row to train on", help).key(format!("tasks.{task}")).recipe());
    }
    if limit == Some(0) {
        let problem = Problem::new("0", "at least 1", "remove `limit` to use every row");
        return Err(problem.key(format!("tasks.{task}.limit")).recipe());
    }
    let mut order: Vec<usize> = (0..rows).collect();
    Random::new(&[seed, 0]).draw(&mut order, test_rows + validation_rows);
    let mut train = order.split_off(test_rows + validation_rows);
    train.sort_unstable();
    if let Some(limit) = limit.filter(|&limit| limit < train.len()) {
        Random::new(&[seed, 1]).draw(&mut train, limit);
        train.truncate(limit);
        train.sort_unstable();
    }
    let mut validation = order.split_off(test_rows);
    validation.sort_unstable();
    order.sort_unstable();
    Ok(Parts { train, validation, test: order })
}

fn count(task: &str, split: &str, fraction: Option<f64>, rows: usize) -> Result<usize> {
    let Some(fraction) = fraction else { return Ok(0) };
    if !(fraction > 0.0 && fraction < 1.0) {
        let help = "write the share of the training rows to take, for example 0.1, or the path of a file";
        let problem = Problem::new(format!("{fraction}"), "a number above 0 and below 1", help);
        return Err(problem.key(format!("tasks.{task}.{split}")).recipe());
    }
    Ok(((rows as f64 * fraction).round() as usize).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_are_disjoint_complete_and_in_file_order() {
        let parts = divide("t", 100, Some(0.1), Some(0.2), None, 5).unwrap();
        assert_eq!((parts.train.len(), parts.validation.len(), parts.test.len()), (70, 10, 20));
        let mut all = [parts.train.clone(), parts.validation.clone(), parts.test.clone()].concat();
        assert!([&parts.train, &parts.validation, &parts.test].iter().all(|part| part.is_sorted()));
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert_eq!(divide("t", 100, Some(0.1), Some(0.2), None, 5).unwrap(), parts);
        assert_ne!(divide("t", 100, Some(0.1), Some(0.2), None, 6).unwrap(), parts);
    }

    #[test]
    fn parts_do_not_depend_on_what_comes_later() {
        let full = divide("t", 200, Some(0.1), Some(0.2), None, 1).unwrap();
        let other = divide("t", 200, Some(0.3), Some(0.2), Some(50), 1).unwrap();
        assert_eq!(full.test, other.test);
        let (small, large) = (Some(20), Some(60));
        let small = divide("t", 200, Some(0.1), Some(0.2), small, 1).unwrap();
        let large = divide("t", 200, Some(0.1), Some(0.2), large, 1).unwrap();
        assert_eq!((&small.validation, &small.test), (&full.validation, &full.test));
        assert_eq!((small.train.len(), large.train.len()), (20, 60));
        assert!(small.train.iter().all(|row| large.train.contains(row)));
        assert!(large.train.iter().all(|row| full.train.contains(row)));
        assert_eq!(divide("t", 200, Some(0.1), Some(0.2), Some(140), 1).unwrap(), full);
    }

    #[test]
    fn impossible_splits_are_refused() {
        for (rows, validation, test, limit) in [
            (1, Some(0.1), None, None),
            (2, Some(0.1), Some(0.1), None),
            (10, Some(0.0), None, None),
            (10, Some(1.0), None, None),
            (10, Some(f64::NAN), None, None),
            (10, Some(0.5), Some(0.5), None),
            (10, None, None, Some(0)),
        ] {
            let error = divide("t", rows, validation, test, limit, 0).unwrap_err().to_string();
            assert!(error.contains("tasks.t"), "{error}");
        }
    }
}
