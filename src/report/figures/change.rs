//! Changes in percent on one scale for all tasks.

use crate::study::report::{Effect, Estimate};

/// An effect in percent, with its interval; `None` where the report gives no percentage.
pub(super) fn in_percent(effect: &Effect) -> Option<Estimate> {
    let value = effect.percent.filter(|percent| percent.is_finite())?;
    let factor = value / effect.difference.value;
    let interval = effect.difference.interval.filter(|_| factor.is_finite() && factor > 0.0);
    Some(Estimate { value, interval: interval.map(|ends| ends.map(|end| end * factor)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::report::Verdict;

    #[test]
    fn the_interval_is_scaled_as_the_value() {
        let effect = |value, percent| Effect {
            difference: Estimate { value, interval: Some([0.01, 0.03]) },
            percent,
            p: None,
            corrected: None,
            verdict: Verdict::NoEvidence,
        };
        let found = in_percent(&effect(0.02, Some(4.0))).unwrap();
        assert_eq!(found.interval.unwrap().map(|end| end.round()), [2.0, 6.0]);
        assert_eq!(in_percent(&effect(0.0, Some(0.0))).unwrap().interval, None);
        assert_eq!(in_percent(&effect(0.02, None)), None);
    }
}
