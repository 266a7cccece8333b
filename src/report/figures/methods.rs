//! Balancing methods compared by Δm.

use crate::report::canvas::{Anchor, Canvas, Shape, Width, fit};
use crate::report::figure::{Figure, table};
use crate::report::scale::Scale;
use crate::report::words;
use crate::study::Report;
use crate::study::report::{ArmScores, Estimate};

/// Δm a joint arm. `None` if no arm has one.
pub(in crate::report) fn methods(report: &Report) -> Option<Figure> {
    let arms: Vec<(&ArmScores, Estimate)> =
        report.generalization.joint.iter().filter_map(|arm| Some((arm, arm.delta_m?))).collect();
    if arms.is_empty() {
        return None;
    }
    let name = |arm: &ArmScores| arm.method.clone().unwrap_or_else(|| arm.title.clone());
    let cells = |(arm, delta): &(&ArmScores, Estimate)| {
        let interval = words::interval(delta, words::percent).unwrap_or(words::NOTHING.into());
        vec![name(arm), words::percent(delta.value), interval]
    };
    let rows: Vec<_> = arms.iter().map(cells).collect();
    Some(Figure {
        name: "methods",
        title: if arms.len() > 1 { "Balancing methods compared" } else { "All tasks in one number" }.into(),
        description: rows.iter().map(|row| format!("{}: Δm {}", row[0], row[1])).collect::<Vec<_>>().join("; "),
        caption: "Δm is the mean over tasks of the change in percent against each task alone; right of zero is better. Lines are 95 % intervals. The recipe's own method comes first.".into(),
        wide: draw(&arms, Width::Wide, name),
        half: false,
        narrow: draw(&arms, Width::Narrow, name),
        table: table("Δm of each balancing method", &["method", "Δm", "95 % interval"], &rows),
    })
}

fn draw(arms: &[(&ArmScores, Estimate)], width: Width, name: impl Fn(&ArmScores) -> String) -> Canvas {
    let mut canvas = Canvas::new(width.pixels());
    let (row_height, label, head) = width.pick((40.0, 170.0, 18.0), (62.0, 0.0, 18.0));
    let range = width.pick([190.0, 540.0], [12.0, canvas.width - 12.0]);
    let ends = arms.iter().flat_map(|(_, delta)| delta.interval.into_iter().flatten().chain([delta.value]));
    let scale = Scale::around(ends.chain([0.0]), 1.0, range);
    let bottom = head + row_height * arms.len() as f64;
    canvas.text("note small", [width.pick(range[0], 0.0), 12.0], Anchor::Start, "Δm in %, better →");
    for (place, text) in scale.labelled(width.pick(6, 4)) {
        let x = scale.at(place);
        canvas.line(if place == 0.0 { "zero" } else { "grid" }, [x, head + 4.0], [x, bottom + 4.0]);
        canvas.text("tick", [x, bottom + 20.0], Anchor::Middle, &if place > 0.0 { format!("+{text}") } else { text });
    }
    for (index, (arm, delta)) in arms.iter().enumerate() {
        let top = head + row_height * index as f64;
        let y = top + width.pick(22.0, 46.0);
        let text = words::estimate(delta, words::percent);
        let style = if index == 0 { "bold" } else { "" };
        if label > 0.0 {
            canvas.text(style, [0.0, y + 4.5], Anchor::Start, &fit(&name(arm), 13.5, label));
            canvas.text("small", [560.0, y + 4.5], Anchor::Start, &text);
        } else {
            // Paper behind the words, so that no grid line runs through them.
            canvas.rect("background", [0.0, top + 8.0], [canvas.width, 24.0], 0.0);
            canvas.text(style, [0.0, top + 25.0], Anchor::Start, &fit(&name(arm), 13.5, 150.0));
            canvas.text("small", [canvas.width, top + 25.0], Anchor::End, &text);
        }
        canvas.interval("together", &scale, delta.interval, y);
        canvas.mark("mark together", Shape::Diamond, [scale.at(delta.value), y], 5.5);
    }
    canvas.height = bottom + 28.0;
    canvas
}
