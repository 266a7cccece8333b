//! A figure of the page: two drawings, a caption, and the same numbers as a table. And as a file of its own.

use super::canvas::{Anchor, Canvas, Width, fit};
use super::colours;
use maud::{Markup, PreEscaped, html};

/// How figures look; colours are CSS variables.
pub(super) const STYLE: &str = include_str!("figure.css");

/// A figure.
pub(super) struct Figure {
    /// Name of its files, and in links; unique on the page.
    pub name: &'static str,
    /// What it shows, in a few words.
    pub title: String,
    /// What there is to see, for those who do not see it.
    pub description: String,
    /// How to read it.
    pub caption: String,
    /// For a desktop, and for files.
    pub wide: Canvas,
    /// For a phone.
    pub narrow: Canvas,
    /// Small enough that two stand side by side: the page then shows the narrow drawing only.
    pub half: bool,
    /// The same numbers.
    pub table: Markup,
}

impl Figure {
    /// The figure in the page.
    pub fn html(&self) -> Markup {
        let scrolls = !Width::Narrow.holds(&self.narrow);
        let spills = !Width::Wide.holds(&self.wide);
        html! {
            figure.half[self.half].spill[spills] id=(format!("figure-{}", self.name))
                style=[spills.then(|| format!("--drawn:{}px", self.wide.width.ceil()))] {
                // What is wider than the screen scrolls, also by keyboard.
                div.drawing tabindex=[scrolls.then_some("0")] role=[scrolls.then_some("region")]
                    aria-label=[scrolls.then_some(self.title.as_str())] {
                    (self.svg(&self.wide, Width::Wide))
                    (self.svg(&self.narrow, Width::Narrow))
                }
                figcaption { strong { (self.title) @if !self.title.ends_with('?') { "." } } " " (self.caption) }
                details {
                    summary { "The numbers of this figure" }
                    (self.table)
                }
            }
        }
    }

    fn svg(&self, canvas: &Canvas, width: Width) -> Markup {
        let size = width.pick("wide", "narrow");
        let id = |part: &str| format!("{}-{size}-{part}", self.name);
        html! {
            svg.plot.(size).overflows[!width.holds(canvas)] xmlns="http://www.w3.org/2000/svg" role="img"
                aria-labelledby=(format!("{} {}", id("title"), id("description")))
                width=(canvas.width.ceil()) height=(canvas.height.ceil())
                viewBox=(format!("0 0 {} {}", canvas.width.ceil(), canvas.height.ceil())) {
                title id=(id("title")) { (self.title) }
                desc id=(id("description")) { (self.description) }
                (canvas.body())
            }
        }
    }

    /// The figure as an SVG file: with its title, on light paper.
    pub fn standalone(&self) -> String {
        let (margin, head) = (24.0, 58.0);
        let mut heading = Canvas::new(self.wide.width);
        heading.text("heading", [0.0, 0.0], Anchor::Start, &fit(&self.title, 19.0, self.wide.width));
        let (width, height) = (self.wide.width.ceil() + 2.0 * margin, self.wide.height.ceil() + head + margin);
        let style = colours::resolved(STYLE);
        html! {
            svg.plot xmlns="http://www.w3.org/2000/svg" width=(width) height=(height)
                viewBox=(format!("0 0 {width} {height}")) font-family="Inter, system-ui, 'Segoe UI', Roboto, sans-serif" {
                title { (self.title) }
                desc { (self.description) }
                style { (PreEscaped(style)) }
                rect.background x="0" y="0" width=(width) height=(height) {}
                g transform=(format!("translate({margin} 36)")) { (heading.body()) }
                g transform=(format!("translate({margin} {head})")) { (self.wide.body()) }
            }
        }
        .into_string()
    }
}

/// A table that scrolls where it is too wide. The first column names the rows.
pub(super) fn table(caption: &str, header: &[&str], rows: &[Vec<String>]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(caption) {
            table {
                caption { (caption) }
                thead { tr { @for title in header { th scope="col" { (title) } } } }
                tbody {
                    @for row in rows {
                        tr {
                            @for (index, cell) in row.iter().enumerate() {
                                @if index == 0 { th scope="row" { (cell) } }
                                @else { td { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}
