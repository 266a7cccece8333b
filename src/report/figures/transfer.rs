//! Which task helps which: a matrix for each way of asking.

use super::heat::{Cell, Heat};
use crate::report::canvas::Width;
use crate::report::figure::{Figure, table};
use crate::report::words;
use crate::study::report::{Effect, Estimate, Matrix, Transfer, Verdict};

/// The ways of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::report) enum Kind {
    /// Two tasks together.
    Pairs,
    /// One after the other.
    After,
    /// All but one.
    LeaveOneOut,
    /// TAG's affinity.
    Affinity,
}

impl Kind {
    /// All, in the order of the page.
    pub const ALL: [Self; 4] = [Self::Pairs, Self::After, Self::LeaveOneOut, Self::Affinity];

    fn name(self) -> &'static str {
        match self {
            Self::Pairs => "pairs",
            Self::After => "after",
            Self::LeaveOneOut => "leave-one-out",
            Self::Affinity => "affinity",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Pairs => "Two tasks together",
            Self::After => "One task after another",
            Self::LeaveOneOut => "What each task adds to the whole",
            Self::Affinity => "Affinity, measured during one joint run",
        }
    }

    fn caption(self) -> &'static str {
        match self {
            Self::Pairs => "What training with the column's task does to the row's task, against the row's task alone.",
            Self::After => {
                "What starting from a backbone trained on the column's task does to the row's task, against the row's task alone."
            }
            Self::LeaveOneOut => {
                "What the column's task adds to the row's task in joint training, against joint training without it."
            }
            Self::Affinity => {
                "By how much a step on the column's task alone lowers the loss of the row's task, in thousandths, median over the run (after TAG)."
            }
        }
    }
}

/// A matrix of the transfer. `None` if it holds no number.
pub(in crate::report) fn transfer(transfer: &Transfer, kind: Kind) -> Option<Figure> {
    let (cells, unit) = match kind {
        Kind::Pairs => effects(&transfer.pairs, &transfer.tasks),
        Kind::After => effects(&transfer.after, &transfer.tasks),
        Kind::LeaveOneOut => effects(&transfer.leave_one_out, &transfer.tasks),
        Kind::Affinity => (matrix(&transfer.affinity, &transfer.tasks, affinity), ""),
    };
    let known = cells.iter().flatten().filter(|cell| matches!(cell, Cell::Value { .. })).count();
    if known == 0 {
        return None;
    }
    let heat = Heat {
        rows_are: "target",
        columns_are: "source",
        rows: transfer.tasks.clone(),
        columns: transfer.tasks.clone(),
        cells,
    };
    let strong = strong_cells(&heat);
    let narrow = heat.draw(Width::Narrow);
    let header: Vec<&str> = std::iter::once("target").chain(transfer.tasks.iter().map(String::as_str)).collect();
    let certain =
        if kind == Kind::Affinity { "whose interval is clear of zero" } else { "beyond chance after correction" };
    Some(Figure {
        name: kind.name(),
        title: kind.title().into(),
        description: if strong.is_empty() { format!("No cell is {certain}") } else { strong.join("; ") },
        caption: format!("{}{unit} Outlined: {certain}.", kind.caption()),
        wide: heat.draw(Width::Wide),
        half: Width::Narrow.holds(&narrow),
        narrow,
        table: table(&format!("{}; columns are sources; * {certain}", kind.title()), &header, &heat.table_rows()),
    })
}

/// Percentages if every effect has one, differences else: one unit a matrix.
fn effects(effects: &Matrix<Effect>, tasks: &[String]) -> (Vec<Vec<Cell>>, &'static str) {
    let all = effects.iter().flatten().flatten().all(|effect| effect.percent.is_some_and(f64::is_finite));
    let cell = |effect: &Effect| {
        let strong = effect.verdict != Verdict::NoEvidence;
        match effect.percent.filter(|_| all) {
            Some(percent) => Cell::new(percent, words::percent(percent).replace("\u{a0}%", ""), strong),
            None => Cell::new(effect.difference.value, words::signed(effect.difference.value), strong),
        }
    };
    (matrix(effects, tasks, cell), if all { " Changes in percent." } else { " Differences of the score." })
}

fn affinity(estimate: &Estimate) -> Cell {
    let strong = estimate.interval.is_some_and(|[low, high]| low > 0.0 || high < 0.0);
    let thousandths = estimate.value * 1000.0;
    let text = words::decimals(thousandths, 1);
    Cell::new(thousandths, if thousandths > 0.0 { format!("+{text}") } else { text }, strong)
}

/// A cell for every two tasks, also where a row of the matrix is short.
fn matrix<T>(values: &Matrix<T>, tasks: &[String], cell: impl Fn(&T) -> Cell) -> Vec<Vec<Cell>> {
    let one = |target: usize, source: usize| match values.get(target).and_then(|row| row.get(source)) {
        Some(Some(value)) => cell(value),
        _ if target == source => Cell::Own,
        _ => Cell::Missing,
    };
    (0..tasks.len()).map(|target| (0..tasks.len()).map(|source| one(target, source)).collect()).collect()
}

fn strong_cells(heat: &Heat) -> Vec<String> {
    let mut found = Vec::new();
    for (target, row) in heat.rows.iter().zip(&heat.cells) {
        for (source, cell) in heat.columns.iter().zip(row) {
            if let Cell::Value { value, text, strong: true } = cell {
                found.push(format!("{source} {} {target} ({text})", if *value > 0.0 { "helps" } else { "hurts" }));
            }
        }
    }
    found
}
