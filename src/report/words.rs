//! Numbers and findings as people read them.

use crate::study::report::{Certainty, Effect, Estimate, Verdict};

/// What stands for a number that is not there.
pub const NOTHING: &str = "–";

/// A number with so many digits after the point and a true minus; a dash for what is not a number.
pub fn decimals(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return NOTHING.into();
    }
    let text = format!("{value:.digits$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().any(|c| matches!(c, '1'..='9')) => format!("−{rest}"),
        Some(rest) => rest.into(),
        None => text,
    }
}

/// Digits after the point for a score of this size.
fn digits(value: f64) -> usize {
    match value.abs() {
        size if size < 10.0 => 3,
        size if size < 100.0 => 2,
        size if size < 1000.0 => 1,
        _ => 0,
    }
}

/// A score: `0.842`, `12.40`.
pub fn score(value: f64) -> String {
    decimals(value, digits(value))
}

/// A score that may be missing.
pub fn score_or_nothing(value: Option<f64>) -> String {
    value.map_or(NOTHING.into(), score)
}

/// A difference, always with its sign: `+0.021`.
pub fn signed(value: f64) -> String {
    with_sign(score(value))
}

fn with_sign(text: String) -> String {
    let zero = !text.chars().any(|c| matches!(c, '1'..='9'));
    if zero || text.starts_with('−') { text } else { format!("+{text}") }
}

/// A change in percent with its sign: `+2.3 %`.
pub fn percent(value: f64) -> String {
    if !value.is_finite() {
        return NOTHING.into();
    }
    format!("{}\u{a0}%", with_sign(decimals(value, if value.abs() < 100.0 { 1 } else { 0 })))
}

/// A share in whole percent: `23 %`.
pub fn share(value: f64) -> String {
    if value.is_finite() { format!("{}\u{a0}%", decimals(value * 100.0, 0)) } else { NOTHING.into() }
}

/// `0.84 to 0.86` by a formatter; `None` without an interval.
pub fn interval(estimate: &Estimate, format: impl Fn(f64) -> String) -> Option<String> {
    estimate.interval.map(|[low, high]| format!("{} to {}", format(low), format(high)))
}

/// A number and, in brackets, its interval.
pub fn estimate(estimate: &Estimate, format: impl Fn(f64) -> String) -> String {
    match interval(estimate, &format) {
        Some(interval) => format!("{} [{interval}]", format(estimate.value)),
        None => format(estimate.value),
    }
}

/// A probability: `p = 0.012`, `p < 0.001`.
pub fn probability(p: f64) -> String {
    match p {
        p if !p.is_finite() => "p not known".into(),
        p => match bare_probability(Some(p)) {
            small if small.starts_with('<') => format!("p {small}"),
            other => format!("p = {other}"),
        },
    }
}

/// The same without `p`, for a column of them.
pub fn bare_probability(p: Option<f64>) -> String {
    match p {
        Some(p) if p < 0.001 => "< 0.001".into(),
        // Which side of the 5 % level it is on must be seen.
        Some(p) if (0.0495..0.0505).contains(&p) => decimals(p, if (p - 0.05).abs() < 5e-5 { 5 } else { 4 }),
        Some(p) => decimals(p, 3),
        None => NOTHING.into(),
    }
}

/// The probability that a verdict rests on.
pub fn effect_probability(effect: &Effect) -> String {
    match (effect.corrected, effect.p) {
        (Some(p), _) => probability(p),
        (None, Some(p)) => format!("{}, not corrected", probability(p)),
        (None, None) => "not tested".into(),
    }
}

/// A verdict in words.
pub fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Helped => "helped",
        Verdict::Hurt => "hurt",
        Verdict::NoEvidence => "no evidence",
    }
}

/// The CSS class of a verdict.
pub(super) fn verdict_class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Helped => "helped",
        Verdict::Hurt => "hurt",
        Verdict::NoEvidence => "none",
    }
}

/// How sure an advice is, in a word.
pub fn certainty(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Sure => "sure",
        Certainty::Likely => "likely",
        Certainty::Unsure => "unsure",
    }
}

/// A count with a comma before every third digit.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A large count in short: `850`, `12 k`, `3.4 M`.
pub fn short_count(value: f64) -> String {
    if !value.is_finite() || value < 0.0 {
        return NOTHING.into();
    }
    let (size, unit) = match value {
        v if v < 999.5 => return decimals(v, 0),
        v if v < 999_500.0 => (v / 1e3, "k"),
        v if v < 999_500_000.0 => (v / 1e6, "M"),
        v => (v / 1e9, "G"),
    };
    let digits = usize::from(size < 9.95);
    let text = format!("{size:.digits$}");
    format!("{}\u{a0}{unit}", text.strip_suffix(".0").unwrap_or(&text))
}

/// Bytes in decimal units: `640 MB`, `1.2 GB`.
pub fn bytes(value: usize) -> String {
    match value as f64 {
        v if v < 1e6 => format!("{} kB", decimals(v / 1e3, 0)),
        v if v < 1e9 => format!("{} MB", decimals(v / 1e6, 0)),
        v => format!("{} GB", decimals(v / 1e9, 1)),
    }
}

/// Seconds as `1 h 04 min`, `3 min 20 s`, `12 s` or `0.35 s`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return NOTHING.into();
    }
    if seconds < 9.95 {
        return format!("{} s", decimals(seconds, if seconds < 1.0 { 2 } else { 1 }));
    }
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s:02} s"),
        (h, m, _) => format!("{h} h {m:02} min"),
    }
}

/// `1 task`, `3 tasks`.
pub fn count(number: usize, one: &str, many: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { many })
}

/// A name in at most so many characters, in one line.
pub fn shorten(text: &str, most: usize) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match text.char_indices().nth(most) {
        Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0.8421, -0.5, 12.345, 123.45, 1234.5].map(score), ["0.842", "−0.500", "12.35", "123.5", "1234"]);
        assert_eq!([0.0211, -0.0211, 0.0, -0.0001].map(signed), ["+0.021", "−0.021", "0.000", "0.000"]);
        assert_eq!([2.34, -0.04, 250.0].map(percent), ["+2.3\u{a0}%", "0.0\u{a0}%", "+250\u{a0}%"]);
        assert_eq!(
            [0.0004, 0.0123, 0.0499, 1.0].map(probability),
            ["p < 0.001", "p = 0.012", "p = 0.0499", "p = 1.000"]
        );
        assert_eq!(
            [850.0, 1_000.0, 12_400.0, 3_420_000.0].map(short_count),
            ["850", "1\u{a0}k", "12\u{a0}k", "3.4\u{a0}M"]
        );
        assert_eq!([0.351, 5.0, 61.0, 3700.0].map(duration), ["0.35 s", "5.0 s", "1 min 01 s", "1 h 01 min"]);
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([640_000_000, 1_250_000_000].map(bytes), ["640 MB", "1.2 GB"]);
    }

    #[test]
    fn what_is_no_number_is_a_dash() {
        for text in [score(f64::NAN), signed(f64::INFINITY), percent(f64::NAN), share(f64::NAN), duration(f64::NAN)] {
            assert_eq!(text, NOTHING);
        }
        assert_eq!(short_count(f64::NEG_INFINITY), NOTHING);
        assert_eq!(estimate(&Estimate { value: 0.5, interval: None }, score), "0.500");
    }

    #[test]
    fn names_are_cut_at_characters() {
        assert_eq!(shorten("größer\tals", 8), "größer …");
        assert_eq!(shorten("größer", 6), "größer");
    }
}
