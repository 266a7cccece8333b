//! Matrices of numbers with signs: blue above zero, orange below, the number in each cell.

use crate::report::canvas::{Anchor, Canvas, Width, fit, text_width};

/// A cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    /// There is nothing to show: a task and itself.
    Own,
    /// There should be a number.
    Missing,
    /// A number.
    Value {
        /// Decides the colour.
        value: f64,
        /// What is written.
        text: String,
        /// Beyond chance: bold, with an outline.
        strong: bool,
    },
}

impl Cell {
    /// A number's cell, or a missing one if it is none.
    pub fn new(value: f64, text: String, strong: bool) -> Self {
        if value.is_finite() { Self::Value { value, text, strong } } else { Self::Missing }
    }
}

/// A matrix.
pub(super) struct Heat {
    /// What the rows are.
    pub rows_are: &'static str,
    /// What the columns are.
    pub columns_are: &'static str,
    pub rows: Vec<String>,
    pub columns: Vec<String>,
    /// `[row][column]`
    pub cells: Vec<Vec<Cell>>,
}

impl Heat {
    /// As a drawing, wider than usual if there are many columns.
    pub fn draw(&self, width: Width) -> Canvas {
        let size = 13.0;
        let longest = |labels: &[String], most: f64| {
            labels.iter().map(|label| text_width(label, size)).fold(0.0, f64::max).min(most)
        };
        let label = longest(&self.rows, width.pick(190.0, 104.0)).max(text_width(self.rows_are, 12.0)) + 12.0;
        let texts =
            self.cells.iter().flatten().filter_map(|cell| {
                if let Cell::Value { text, .. } = cell { Some(text_width(text, size)) } else { None }
            });
        let least = texts.fold(30.0, f64::max) + 12.0;
        let room = |beyond: f64| {
            let room = (width.pixels() - label - beyond) / self.columns.len().max(1) as f64;
            room.min(width.pick(104.0, 78.0)).max(least)
        };
        let column_label = longest(&self.columns, 150.0);
        let rising = column_label > room(0.0) - 6.0;
        // A rising text reaches up and to the right.
        let slope = std::f64::consts::FRAC_1_SQRT_2;
        let head = 22.0 + if rising { column_label * slope + 12.0 } else { 18.0 };
        let last = self.columns.last().map_or(0.0, |label| text_width(label, size).min(150.0));
        let beyond = if rising { (last * slope - least / 2.0).max(0.0) + 8.0 } else { 0.0 };
        let cell = room(beyond);
        let high = if self.rows.len() > 12 { 30.0 } else { 40.0 };
        let grid = cell * self.columns.len() as f64;
        let mut canvas = Canvas::new(width.pixels().max(label + grid + beyond));
        canvas.text("note small", [label, 12.0], Anchor::Start, &format!("{} →", self.columns_are));
        canvas.text("note small", [0.0, head - 4.0], Anchor::Start, &format!("{} ↓", self.rows_are));
        for (index, name) in self.columns.iter().enumerate() {
            let x = label + cell * index as f64 + cell / 2.0;
            if rising {
                canvas.rising_text("small", [x - 2.0, head - 6.0], &fit(name, 12.0, 150.0));
            } else {
                canvas.text("small", [x, head - 8.0], Anchor::Middle, &fit(name, 12.0, cell));
            }
        }
        let most = self.most();
        for (row, name) in self.rows.iter().enumerate() {
            let y = head + high * row as f64;
            canvas.text("", [label - 10.0, y + high / 2.0 + 4.5], Anchor::End, &fit(name, size, label - 10.0));
            for (column, value) in self.cells.get(row).into_iter().flatten().enumerate() {
                draw_cell(&mut canvas, value, [label + cell * column as f64, y], [cell, high], most);
            }
        }
        // Outlines come last, so that no neighbour covers them.
        for (row, cells) in self.cells.iter().enumerate() {
            for (column, value) in cells.iter().enumerate() {
                if let Cell::Value { strong: true, value, .. } = value {
                    let corner = [label + cell * column as f64 + 1.0, head + high * row as f64 + 1.0];
                    canvas.rect(&format!("cell strong {}", tint(*value, most)), corner, [cell - 2.0, high - 2.0], 3.0);
                }
            }
        }
        for (row, cells) in self.cells.iter().enumerate() {
            for (column, value) in cells.iter().enumerate() {
                let at = [label + cell * (column as f64 + 0.5), head + high * (row as f64 + 0.5) + 4.5];
                match value {
                    Cell::Value { text, strong, .. } => {
                        canvas.text(if *strong { "bold" } else { "" }, at, Anchor::Middle, text)
                    }
                    Cell::Missing => canvas.text("note", at, Anchor::Middle, "n/a"),
                    Cell::Own => {}
                }
            }
        }
        canvas.height = head + high * self.rows.len() as f64 + 4.0;
        canvas
    }

    /// What has the deepest tint: a size that nine tenths of the numbers stay below, so that a few outliers do not bleach the rest.
    fn most(&self) -> f64 {
        let size = |cell: &Cell| if let Cell::Value { value, .. } = cell { Some(value.abs()) } else { None };
        let mut sizes: Vec<f64> = self.cells.iter().flatten().filter_map(size).collect();
        sizes.sort_by(f64::total_cmp);
        let usual = sizes.get(sizes.len() * 9 / 10).copied().unwrap_or(0.0);
        if usual > 0.0 { usual } else { sizes.last().copied().unwrap_or(0.0) }
    }

    /// A table's rows: name, then a text a cell; bold ones with a star.
    pub fn table_rows(&self) -> Vec<Vec<String>> {
        let text = |cell: &Cell| match cell {
            Cell::Own => String::new(),
            Cell::Missing => crate::report::words::NOTHING.into(),
            Cell::Value { text, strong, .. } => {
                if *strong {
                    format!("{text} *")
                } else {
                    text.clone()
                }
            }
        };
        self.rows
            .iter()
            .zip(&self.cells)
            .map(|(name, cells)| std::iter::once(name.clone()).chain(cells.iter().map(text)).collect())
            .collect()
    }
}

fn draw_cell(canvas: &mut Canvas, cell: &Cell, corner: [f64; 2], size: [f64; 2], most: f64) {
    match cell {
        Cell::Own => canvas.line(
            "grid",
            [corner[0] + 4.0, corner[1] + size[1] - 4.0],
            [corner[0] + size[0] - 4.0, corner[1] + 4.0],
        ),
        Cell::Missing => canvas.rect("cell missing", corner.map(|c| c + 2.0), size.map(|s| s - 4.0), 3.0),
        Cell::Value { value, .. } => canvas.rect(&format!("cell {}", tint(*value, most)), corner, size, 4.0),
    }
}

/// The class of a number's tint: four steps on either side of zero, by its share of the largest.
fn tint(value: f64, most: f64) -> String {
    let part = if most > 0.0 { value.abs() / most } else { 0.0 };
    if part < 0.02 {
        return "zero-fill".into();
    }
    let step = (part * 4.0).ceil().clamp(1.0, 4.0);
    format!("{}-{step}", if value > 0.0 { "plus" } else { "minus" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tints_follow_sign_and_size() {
        assert_eq!([0.0, 0.2, 1.0, -0.6].map(|value| tint(value, 1.0)), ["zero-fill", "plus-1", "plus-4", "minus-3"]);
        assert_eq!(tint(0.0, 0.0), "zero-fill");
    }
}
