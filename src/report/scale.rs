//! From numbers to places in a figure, and where the ticks are.

/// A straight or logarithmic scale: numbers of a domain, places of a range.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    domain: [f64; 2],
    range: [f64; 2],
    logarithmic: bool,
}

impl Scale {
    /// A straight scale over all finite values, with some space on both sides, at least `least` wide. `[0, 1]` if there is none.
    pub fn around(values: impl IntoIterator<Item = f64>, least: f64, range: [f64; 2]) -> Self {
        let [low, high] = bounds(values).unwrap_or([0.0, 1.0]);
        let middle = low / 2.0 + high / 2.0;
        let wide = ((high - low) * 1.12).max(least).max(middle.abs() * 1e-9).max(1e-12);
        let wide = if wide.is_finite() { wide } else { 1.0 };
        Self { domain: [middle - wide / 2.0, middle + wide / 2.0], range, logarithmic: false }
    }

    /// A logarithmic scale over all values above 0. `[1, 10]` if there is none.
    pub fn logarithmic(values: impl IntoIterator<Item = f64>, range: [f64; 2]) -> Self {
        let [low, high] = bounds(values.into_iter().filter(|v| *v > 0.0)).unwrap_or([1.0, 10.0]);
        let [low, high] = if high / low < 1.5 { [low / 1.5, high * 1.5] } else { [low, high] };
        Self { domain: [low, high], range, logarithmic: true }
    }

    /// The other way round: larger numbers lie before smaller ones.
    pub fn turned_if(self, turned: bool) -> Self {
        if turned { Self { domain: [self.domain[1], self.domain[0]], ..self } } else { self }
    }

    /// Where the range begins.
    pub fn start(&self) -> f64 {
        self.range[0]
    }

    /// Where a number lies. What is outside, or is no number, lies at an end.
    pub fn at(&self, value: f64) -> f64 {
        let [low, high] = self.domain;
        let part = if self.logarithmic {
            (value.max(f64::MIN_POSITIVE).ln() - low.ln()) / (high.ln() - low.ln())
        } else {
            (value - low) / (high - low)
        };
        let part = if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 };
        self.range[0] + part * (self.range[1] - self.range[0])
    }

    /// About so many round numbers of the domain, from the smallest.
    pub fn ticks(&self, about: usize) -> Vec<f64> {
        let low = self.domain[0].min(self.domain[1]);
        let high = self.domain[0].max(self.domain[1]);
        if self.logarithmic { logarithmic_ticks(low, high, about) } else { ticks(low, high, about) }
    }

    /// Ticks with labels that have just the digits they need.
    pub fn labelled(&self, about: usize) -> Vec<(f64, String)> {
        let ticks = self.ticks(about);
        let step = ticks.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
        let digits = if step.is_finite() { (-step.log10() - 1e-9).ceil().clamp(0.0, 9.0) as usize } else { 3 };
        // Steps of 0.25 need a digit more than their size says.
        let exact = (0..3).map(|more| digits + more).find(|&digits| {
            let factor = 10f64.powi(digits as i32);
            ticks
                .iter()
                .all(|tick| ((tick * factor).round() - tick * factor).abs() < 1e-6 * (tick * factor).abs().max(1.0))
        });
        ticks.into_iter().map(|tick| (tick, super::words::decimals(tick, exact.unwrap_or(digits)))).collect()
    }
}

fn bounds(values: impl IntoIterator<Item = f64>) -> Option<[f64; 2]> {
    values.into_iter().filter(|value| value.is_finite() && value.abs() < 1e300).fold(None, |found, value| match found {
        None => Some([value, value]),
        Some([low, high]) => Some([value.min(low), value.max(high)]),
    })
}

/// Multiples of 1, 2 or 5 times a power of ten (Heckbert 1990).
fn ticks(low: f64, high: f64, about: usize) -> Vec<f64> {
    let rough = (high - low) / about.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = match rough / power {
        part if part < 1.5 => power,
        part if part < 3.5 => 2.0 * power,
        part if part < 7.5 => 5.0 * power,
        _ => 10.0 * power,
    };
    let first = (low / step - 1e-9).ceil();
    let count = ((high / step + 1e-9).floor() - first).clamp(0.0, 50.0) as usize;
    (0..=count).map(|index| (first + index as f64) * step).filter(|tick| tick.is_finite()).collect()
}

/// 1, 2 and 5 times powers of ten, thinned out to about as many as asked.
fn logarithmic_ticks(low: f64, high: f64, about: usize) -> Vec<f64> {
    let powers = || (low.log10().floor() as i32)..=(high.log10().ceil() as i32);
    let of = |factors: &[f64]| -> Vec<f64> {
        powers()
            .flat_map(|power| factors.iter().map(move |factor| factor * 10f64.powi(power)))
            .filter(|tick| (low * 0.999..=high * 1.001).contains(tick))
            .collect()
    };
    [&[1.0, 2.0, 5.0][..], &[1.0, 3.0], &[1.0]]
        .into_iter()
        .map(of)
        .find(|ticks| ticks.len() <= about + 1)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let scale = Scale::around([0.81, 0.87], 0.0, [0.0, 100.0]);
        let labels: Vec<String> = scale.labelled(4).into_iter().map(|(_, label)| label).collect();
        assert_eq!(labels, ["0.82", "0.84", "0.86"]);
        assert_eq!(Scale::logarithmic([50.0, 5000.0], [0.0, 1.0]).ticks(7).len(), 7);
        let labels: Vec<String> =
            Scale::around([-1.0, 1.0], 0.0, [0.0, 1.0]).labelled(4).into_iter().map(|t| t.1).collect();
        assert_eq!(labels, ["−1.0", "−0.5", "0.0", "0.5", "1.0"]);
    }

    #[test]
    fn places_are_in_range_whatever_the_numbers() {
        for values in [vec![], vec![f64::NAN], vec![3.0], vec![0.0, 0.0], vec![-1e299, 1e299], vec![1e-300, 2e-300]] {
            for scale in [
                Scale::around(values.clone(), 0.0, [10.0, 20.0]),
                Scale::around(values.clone(), 0.1, [10.0, 20.0]).turned_if(true),
                Scale::logarithmic(values.clone(), [10.0, 20.0]),
            ] {
                for value in values.iter().copied().chain([f64::NAN, f64::INFINITY, 0.0, -5.0]) {
                    assert!((10.0..=20.0).contains(&scale.at(value)), "{values:?} {value}");
                }
                assert!(scale.labelled(4).len() < 60, "{values:?}");
            }
        }
    }

    #[test]
    fn a_turned_scale_puts_small_numbers_last() {
        let scale = Scale::around([0.0, 1.0], 0.0, [0.0, 100.0]).turned_if(true);
        assert!(scale.at(0.0) > scale.at(1.0));
    }
}
