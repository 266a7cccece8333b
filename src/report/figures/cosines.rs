//! Cosines between gradients over the run, small multiples by pair of tasks.

use crate::report::canvas::{Anchor, Canvas, Width, fit};
use crate::report::figure::{Figure, table};
use crate::report::scale::Scale;
use crate::report::words;
use crate::study::report::{Conflict, PairConflict, Verdict};

/// Panels that a figure has at most.
const MOST: usize = 15;

/// The pairs of a figure: all, or those with the lowest cosines.
pub(super) fn shown(conflict: &Conflict) -> Vec<&PairConflict> {
    let mut pairs: Vec<&PairConflict> = conflict.pairs.iter().collect();
    if pairs.len() > MOST {
        pairs.sort_by(|a, b| a.cosine.value.total_cmp(&b.cosine.value));
        pairs.truncate(MOST);
    }
    pairs
}

/// Says that only some pairs are shown; empty if all are.
pub(super) fn left_out(conflict: &Conflict) -> String {
    match conflict.pairs.len() {
        all if all > MOST => format!(" Shown are the {MOST} of {all} pairs with the lowest cosine; the table has all."),
        _ => String::new(),
    }
}

/// What a pair's verdict is called here.
fn word(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Helped => ("agree", "together"),
        Verdict::Hurt => ("conflict", "hurt"),
        Verdict::NoEvidence => ("neither", "none"),
    }
}

/// The cosine of each pair over the run. `None` without pairs.
pub(in crate::report) fn cosines(conflict: &Conflict) -> Option<Figure> {
    let pairs = shown(conflict);
    if pairs.is_empty() {
        return None;
    }
    let sentence = |pair: &PairConflict| {
        format!(
            "{} and {}: mean cosine {}, {} of steps below zero, {}",
            pair.tasks[0],
            pair.tasks[1],
            words::signed(pair.cosine.value),
            words::share(pair.share),
            word(pair.verdict).0
        )
    };
    Some(Figure {
        name: "cosines",
        title: "Do the tasks pull the same way?".into(),
        description: pairs.iter().map(|pair| sentence(pair)).collect::<Vec<_>>().join("; "),
        caption: format!(
            "Cosine between two tasks' gradients of the shared parameters in each tenth of the run: above zero they agree, below they pull against each other. The words say what holds beyond chance.{}",
            left_out(conflict)
        ),
        wide: draw(&pairs, Width::Wide),
        half: false,
        narrow: draw(&pairs, Width::Narrow),
        table: numbers(conflict),
    })
}

fn draw(pairs: &[&PairConflict], width: Width) -> Canvas {
    let mut canvas = Canvas::new(width.pixels());
    let columns = width.pick(3, if pairs.len() > 3 { 2 } else { 1 }).min(pairs.len());
    let gap = width.pick(24.0, 16.0);
    let wide = ((canvas.width - gap * (columns - 1) as f64) / columns as f64).min(364.0);
    let high = 176.0;
    let values = || pairs.iter().flat_map(|pair| pair.over_time.iter().flatten().copied().chain([pair.cosine.value]));
    for (index, pair) in pairs.iter().enumerate() {
        let [left, top] = [(index % columns) as f64 * (wide + gap), (index / columns) as f64 * high];
        let (plot_left, plot_right) = (left + 38.0, left + wide - 6.0);
        let (plot_top, plot_bottom) = (top + 80.0, top + 154.0);
        let (word, class) = word(pair.verdict);
        for (line, task) in pair.tasks.iter().enumerate() {
            let text = if line == 0 { task.clone() } else { format!("× {task}") };
            canvas.text("bold", [left, top + 16.0 + 17.0 * line as f64], Anchor::Start, &fit(&text, 14.5, wide));
        }
        let text_class = if class == "none" { "note small" } else { &format!("small bold {class}") };
        let facts = format!("{word}: {}", words::signed(pair.cosine.value));
        canvas.text(text_class, [left, top + 51.0], Anchor::Start, &facts);
        let share = format!("{} of steps below 0", words::share(pair.share));
        canvas.text("note small", [left, top + 68.0], Anchor::Start, &share);
        let y = Scale::around(values().chain([0.0]), 0.2, [plot_bottom, plot_top]);
        for (place, label) in y.labelled(2) {
            canvas.line(
                if place == 0.0 { "zero" } else { "grid" },
                [plot_left, y.at(place)],
                [plot_right, y.at(place)],
            );
            canvas.text("tick", [plot_left - 6.0, y.at(place) + 4.0], Anchor::End, &label);
        }
        let step = (plot_right - plot_left - 12.0) / (pair.over_time.len().max(2) - 1) as f64;
        let mut part: Vec<[f64; 2]> = Vec::new();
        for (tenth, cosine) in pair.over_time.iter().copied().chain([None]).enumerate() {
            match cosine.filter(|cosine| cosine.is_finite()) {
                Some(cosine) => part.push([plot_left + 6.0 + step * tenth as f64, y.at(cosine)]),
                // A gap in the line where nothing was measured.
                None => canvas.polyline(&format!("curve {class}"), &std::mem::take(&mut part)),
            }
        }
        for (tenth, cosine) in pair.over_time.iter().enumerate() {
            if let Some(cosine) = cosine.filter(|cosine| cosine.is_finite()) {
                canvas.circle(&format!("mark {class}"), [plot_left + 6.0 + step * tenth as f64, y.at(cosine)], 3.5);
            }
        }
        if index / columns == (pairs.len() - 1) / columns {
            canvas.text("tick", [plot_left, plot_bottom + 18.0], Anchor::Start, "start");
            canvas.text("tick", [plot_right, plot_bottom + 18.0], Anchor::End, "end of run");
        }
    }
    canvas.height = pairs.len().div_ceil(columns) as f64 * high + 6.0;
    canvas
}

fn numbers(conflict: &Conflict) -> maud::Markup {
    let cells = |pair: &PairConflict| {
        vec![
            format!("{} × {}", pair.tasks[0], pair.tasks[1]),
            words::estimate(&pair.cosine, words::signed),
            words::share(pair.share),
            words::thousands(pair.measured),
            word(pair.verdict).0.to_owned(),
            pair.over_time
                .iter()
                .map(|cosine| cosine.map_or(words::NOTHING.into(), |cosine| words::decimals(cosine, 2)))
                .collect::<Vec<_>>()
                .join("  "),
        ]
    };
    table(
        "Cosine between gradients, every two tasks",
        &["tasks", "mean cosine", "steps below 0", "measured", "beyond chance they", "by tenth of the run"],
        &conflict.pairs.iter().map(cells).collect::<Vec<_>>(),
    )
}
