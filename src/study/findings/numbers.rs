//! Numbers in sentences.

use crate::study::report::Estimate;

/// A score: three decimals, fewer of large numbers.
pub(super) fn score(value: f64) -> String {
    let text = match value.abs() {
        size if size < 9.9995 => format!("{value:.3}"),
        size if size < 999.95 => format!("{value:.1}"),
        _ => return count(value),
    };
    typographic(&text)
}

/// The same with its sign.
pub(super) fn signed(value: f64) -> String {
    let text = score(value);
    if text.starts_with('−') || !text.contains(|c: char| ('1'..='9').contains(&c)) {
        text
    } else {
        format!("+{text}")
    }
}

/// A percentage with its sign.
pub(super) fn percent(value: f64) -> String {
    let text = typographic(&format!("{value:.1}"));
    if text.starts_with('−') || text == "0.0" { format!("{text} %") } else { format!("+{text} %") }
}

/// A whole number with a comma before every third digit.
pub(super) fn count(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 && digits != "0" { format!("−{text}") } else { text }
}

/// `p = 0.012` or `p < 0.001`.
pub(super) fn p(value: f64) -> String {
    if value < 0.0005 { "p < 0.001".into() } else { format!("p = {value:.3}") }
}

/// `95 % interval 0.130 to 0.190`; says so where there is none.
pub(super) fn interval(estimate: &Estimate, number: fn(f64) -> String) -> String {
    match estimate.interval {
        Some([from, to]) => format!("95 % interval {} to {}", number(from), number(to)),
        None => "too few runs for an interval".into(),
    }
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn list<T: AsRef<str>>(names: &[T]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

/// `1 run`, `2 runs`.
pub(super) fn plural(number: usize, one: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{} {one}{end}", count(number as f64))
}

/// A minus sign for the hyphen, and none before zero.
fn typographic(text: &str) -> String {
    match text.strip_prefix('-') {
        Some(size) if size.contains(|c: char| ('1'..='9').contains(&c)) => format!("−{size}"),
        Some(zero) => zero.into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0.1634, -0.5, -0.0001, 12.34, 1234.5].map(score), ["0.163", "−0.500", "0.000", "12.3", "1,234"]);
        assert_eq!([0.16, -0.16, 0.0001].map(signed), ["+0.160", "−0.160", "0.000"]);
        assert_eq!([1.26, -1.26, 0.0].map(percent), ["+1.3 %", "−1.3 %", "0.0 %"]);
        assert_eq!([0.0, 999.0, 1234567.0, -1500.0].map(count), ["0", "999", "1,234,567", "−1,500"]);
        assert_eq!([0.0001, 0.0124].map(p), ["p < 0.001", "p = 0.012"]);
        assert_eq!([list::<&str>(&[]), list(&["a"]), list(&["a", "b", "c"])], ["", "a", "a, b and c"]);
        assert_eq!([plural(1, "run"), plural(2000, "run")], ["1 run", "2,000 runs"]);
    }
}
