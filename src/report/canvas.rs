//! Shapes and text of a figure, as SVG elements. Colours come from CSS classes, so that a figure follows the page's theme.

use super::scale::Scale;
use super::words::shorten;
use maud::{PreEscaped, html};

/// How much space a figure has. The page shows one of the two, whichever fits the screen, so text stays as large as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// A desktop's column, and the files beside the page.
    Wide,
    /// A phone.
    Narrow,
}

impl Width {
    /// In CSS pixels.
    pub fn pixels(self) -> f64 {
        match self {
            Self::Wide => 760.0,
            Self::Narrow => 340.0,
        }
    }

    /// Whether a drawing needs no more.
    pub fn holds(self, canvas: &Canvas) -> bool {
        canvas.width < self.pixels() + 0.5
    }

    /// One value for wide figures, another for narrow ones.
    pub fn pick<T>(self, wide: T, narrow: T) -> T {
        match self {
            Self::Wide => wide,
            Self::Narrow => narrow,
        }
    }
}

/// Which end of a text is at its place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// What marks a mean. Shapes differ, so nobody needs the colours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shape {
    /// A task alone.
    Circle,
    /// Together.
    Diamond,
    /// Helped.
    Up,
    /// Hurt.
    Down,
    /// No evidence.
    Square,
}

/// A drawing in the making. Grows downwards: its height is set when it is known.
pub(super) struct Canvas {
    /// In pixels.
    pub width: f64,
    /// In pixels.
    pub height: f64,
    body: String,
}

impl Canvas {
    /// An empty one.
    pub fn new(width: f64) -> Self {
        Self { width, height: 0.0, body: String::new() }
    }

    /// The elements.
    pub fn body(&self) -> PreEscaped<&str> {
        PreEscaped(&self.body)
    }

    fn push(&mut self, markup: maud::Markup) {
        self.body.push_str(&markup.0);
        self.body.push('\n');
    }

    pub fn line(&mut self, class: &str, from: [f64; 2], to: [f64; 2]) {
        self.push(html! { line class=(class) x1=(n(from[0])) y1=(n(from[1])) x2=(n(to[0])) y2=(n(to[1])) {} });
    }

    /// A rectangle from its upper left corner.
    pub fn rect(&mut self, class: &str, corner: [f64; 2], size: [f64; 2], radius: f64) {
        let [width, height] = size.map(|side| n(side.max(0.0)));
        self.push(html! {
            rect class=(class) x=(n(corner[0])) y=(n(corner[1])) width=(width) height=(height) rx=(n(radius)) {}
        });
    }

    pub fn circle(&mut self, class: &str, at: [f64; 2], radius: f64) {
        self.push(html! { circle class=(class) cx=(n(at[0])) cy=(n(at[1])) r=(n(radius)) {} });
    }

    /// Points joined by lines.
    pub fn polyline(&mut self, class: &str, points: &[[f64; 2]]) {
        if points.len() > 1 {
            self.push(html! { polyline class=(class) points=(list(points)) {} });
        }
    }

    pub fn polygon(&mut self, class: &str, points: &[[f64; 2]]) {
        self.push(html! { polygon class=(class) points=(list(points)) {} });
    }

    /// A mark of a mean or a verdict.
    pub fn mark(&mut self, class: &str, shape: Shape, at: [f64; 2], radius: f64) {
        let ([x, y], r) = (at, radius);
        match shape {
            Shape::Circle => self.circle(class, at, r),
            Shape::Diamond => {
                let r = r * 1.25;
                self.polygon(class, &[[x, y - r], [x + r, y], [x, y + r], [x - r, y]]);
            }
            Shape::Up => self.polygon(class, &[[x, y - r], [x + r, y + 0.8 * r], [x - r, y + 0.8 * r]]),
            Shape::Down => self.polygon(class, &[[x, y + r], [x + r, y - 0.8 * r], [x - r, y - 0.8 * r]]),
            Shape::Square => self.rect(class, [x - 0.75 * r, y - 0.75 * r], [1.5 * r, 1.5 * r], 1.0),
        }
    }

    /// A line of text; `at` is on its base line.
    pub fn text(&mut self, class: &str, at: [f64; 2], anchor: Anchor, text: &str) {
        let text = shorten(text, 400);
        self.push(html! {
            text class=(class) x=(n(at[0])) y=(n(at[1])) text-anchor=(anchor.name()) { (text) }
        });
    }

    /// A line of text that rises to the right, from its lower left end.
    pub fn rising_text(&mut self, class: &str, at: [f64; 2], text: &str) {
        let place = format!("translate({} {}) rotate(-45)", n(at[0]), n(at[1]));
        self.push(html! { text class=(class) transform=(place) { (shorten(text, 400)) } });
    }

    /// Entries of a legend in a line from `at`, broken where the width ends. Gives the height that it takes.
    pub fn legend(&mut self, at: [f64; 2], entries: &[(&str, Shape, &str)]) -> f64 {
        let [mut x, mut y] = at;
        for (class, shape, text) in entries {
            let wide = 20.0 + text_width(text, 13.0) + 18.0;
            if x > at[0] && x + wide - 18.0 > self.width {
                (x, y) = (at[0], y + 20.0);
            }
            self.mark(class, *shape, [x + 7.0, y - 4.0], 5.0);
            self.text("note", [x + 19.0, y], Anchor::Start, text);
            x += wide;
        }
        y - at[1] + 20.0
    }

    /// A mean with its interval on a horizontal track.
    pub fn interval(&mut self, class: &str, scale: &Scale, interval: Option<[f64; 2]>, y: f64) {
        if let Some([low, high]) = interval {
            let [from, to] = [scale.at(low), scale.at(high)];
            self.line(&format!("range {class}"), [from, y], [to, y]);
            for x in [from, to] {
                self.line(&format!("range {class}"), [x, y - 4.0], [x, y + 4.0]);
            }
        }
    }
}

/// A coordinate with at most two digits after the point.
fn n(value: f64) -> String {
    let value = if value.is_finite() { value } else { 0.0 };
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.to_owned() }
}

fn list(points: &[[f64; 2]]) -> String {
    points.iter().map(|[x, y]| format!("{},{}", n(*x), n(*y))).collect::<Vec<_>>().join(" ")
}

/// About how wide a text is in pixels, in a sans serif of this size: never less than most fonts need.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    let em = |c: char| match c {
        'i' | 'j' | 'l' | 't' | 'f' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | '(' | ')' | '[' | ']' | ' ' => {
            0.34
        }
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 0.92,
        'A'..='Z' | '+' | '−' | '=' | '<' | '>' => 0.70,
        c if (c as u32) < 0x2E80 => 0.61,
        _ => 1.05,
    };
    text.chars().map(em).sum::<f64>() * size
}

/// The beginning of a text that fits into a width.
pub(super) fn fit(text: &str, size: f64, width: f64) -> String {
    if text_width(text, size) <= width {
        return text.to_owned();
    }
    let most = (1..text.chars().count()).rev().find(|&most| text_width(&shorten(text, most), size) <= width);
    shorten(text, most.unwrap_or(1))
}

/// A name in one or two lines of a width, broken behind `_`, `-`, `/` or a space if it can be.
pub(super) fn two_lines(text: &str, size: f64, width: f64) -> Vec<String> {
    if text_width(text, size) <= width {
        return vec![text.to_owned()];
    }
    let fits = |end: &usize| text_width(&text[..*end], size) <= width;
    let gaps = text.char_indices().filter(|(_, c)| matches!(c, '_' | '-' | '/' | ' ')).map(|(at, c)| at + c.len_utf8());
    let gap = gaps.rev().find(fits);
    // Not right at the beginning: that would waste the line.
    let gap = gap.filter(|&end| text_width(&text[..end], size) > width / 3.0);
    match gap.or_else(|| text.char_indices().map(|(at, _)| at).rfind(fits)).filter(|&end| end > 0) {
        Some(end) => vec![text[..end].to_owned(), fit(&text[end..], size, width)],
        None => vec![fit(text, size, width)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short_and_always_numbers() {
        assert_eq!([1.0, 0.333, -0.001, 12.5, f64::NAN].map(n), ["1", "0.33", "0", "12.5", "0"]);
    }

    #[test]
    fn names_fit() {
        let name = "a_rather_long_name_of_a_task_that_goes_on";
        let short = fit(name, 13.0, 120.0);
        assert!(short.ends_with('…') && text_width(&short, 13.0) <= 120.0, "{short}");
        assert_eq!(fit("short", 13.0, 120.0), "short");
        assert_eq!(fit("任务", 13.0, 1.0), "…");
        assert_eq!(two_lines("hate_speech_in_three", 15.0, 110.0), ["hate_speech_", "in_three"]);
        assert_eq!(two_lines("任务任务", 10.0, 25.0), ["任务", "任务"]);
        assert_eq!(two_lines("任务任务", 10.0, 1.0), ["…"]);
    }

    #[test]
    fn text_is_escaped() {
        let mut canvas = Canvas::new(100.0);
        canvas.text("note", [0.0, 0.0], Anchor::Start, "<script>&\u{1}\"");
        assert!(canvas.body().0.contains("&lt;script&gt;&amp; &quot;"));
    }
}
