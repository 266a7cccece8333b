//! Learning curves: the score of one task with fewer labels, alone and with the others.

use crate::metrics::Metric;
use crate::report::canvas::{Anchor, Canvas, Shape, Width, text_width};
use crate::report::figure::{Figure, table};
use crate::report::scale::Scale;
use crate::report::words;
use crate::study::report::{AtRows, Labels, LabelsSaved};

/// The curves. `None` if neither has a point.
pub(in crate::report) fn curves(labels: &Labels, metric: Option<Metric>) -> Option<Figure> {
    if labels.single.is_empty() && labels.joint.is_empty() {
        return None;
    }
    let turned = metric.is_some_and(|metric| !metric.higher_is_better());
    let mut rows: Vec<usize> = labels.single.iter().chain(&labels.joint).map(|point| point.rows).collect();
    rows.sort_unstable();
    rows.dedup();
    let score = |points: &[AtRows], rows| {
        let point = points.iter().find(|point| point.rows == rows);
        point.map_or(words::NOTHING.into(), |point| words::estimate(&point.score, words::score))
    };
    let cells = rows.iter().map(|&rows| {
        let saved = labels.saved.iter().find(|saved| saved.rows == rows);
        vec![
            words::thousands(rows),
            score(&labels.single, rows),
            score(&labels.joint, rows),
            saved.map_or(words::NOTHING.into(), needed),
        ]
    });
    Some(Figure {
        name: "labels",
        title: format!("{} with fewer labels", labels.task),
        description: labels.headline.clone(),
        caption: format!(
            "Test score ({}{}) by the number of labels, on a logarithmic scale; small dots are seeds, bands are 95 % intervals. The others keep all their labels.{}",
            metric.map_or("", Metric::name),
            if turned { ", axis turned so that up is better" } else { "" },
            if marked(labels).is_some() {
                " The arrow leads from the joint score to the labels that the task needs alone for the same."
            } else {
                ""
            },
        ),
        wide: draw(labels, &rows, metric, turned, Width::Wide),
        half: false,
        narrow: draw(labels, &rows, metric, turned, Width::Narrow),
        table: table(
            &format!("Scores of {} by number of labels", labels.task),
            &["labels", "alone", "together", "labels alone for the joint score"],
            &cells.collect::<Vec<_>>(),
        ),
    })
}

/// How many labels it takes alone, in words.
pub(in crate::report) fn needed(saved: &LabelsSaved) -> String {
    let count = |value: f64| {
        if value.is_finite() && value >= 0.0 { words::thousands(value.round() as usize) } else { words::NOTHING.into() }
    };
    let text = words::estimate(&saved.needed, count);
    if saved.at_least { format!("at least {text}") } else { text }
}

/// The joint point that the arrow starts from: at the labels that the recipe uses, or the nearest below.
fn marked(labels: &Labels) -> Option<(&LabelsSaved, &AtRows)> {
    let known =
        labels.saved.iter().filter(|saved| saved.needed.value.is_finite() && saved.needed.value > saved.rows as f64);
    let point = |saved: &LabelsSaved| {
        labels.joint.iter().find(|point| point.rows == saved.rows && point.score.value.is_finite())
    };
    known
        .filter(|saved| saved.rows <= labels.used)
        .filter_map(|saved| Some((saved, point(saved)?)))
        .max_by_key(|(saved, _)| saved.rows)
}

fn draw(labels: &Labels, rows: &[usize], metric: Option<Metric>, turned: bool, width: Width) -> Canvas {
    let mut canvas = Canvas::new(width.pixels());
    let entries = [("mark alone", Shape::Circle, "alone"), ("mark together", Shape::Diamond, "with the other tasks")];
    let head = canvas.legend([0.0, 14.0], &entries) + 24.0;
    let (left, right) = (46.0, canvas.width - width.pick(24.0, 14.0));
    let (top, bottom) = (head + 8.0, head + width.pick(320.0, 250.0));
    let arrow = marked(labels);
    let points = || labels.single.iter().chain(&labels.joint);
    let needed = arrow.map(|(saved, _)| saved.needed.value);
    let x = Scale::logarithmic(points().map(|point| point.rows as f64).chain(needed), [left + 14.0, right - 10.0]);
    let values = points().flat_map(|point| {
        let ends = point.score.interval.into_iter().flatten();
        point.seeds.iter().flatten().copied().chain([point.score.value]).chain(ends)
    });
    let y = Scale::around(values, 0.0, [bottom - 6.0, top]).turned_if(turned);
    canvas.text(
        "note small",
        [0.0, head - 4.0],
        Anchor::Start,
        &format!("{}, better ↑", metric.map_or("score", Metric::name)),
    );
    for (place, label) in y.labelled(5) {
        canvas.line("grid", [left, y.at(place)], [right, y.at(place)]);
        canvas.text("tick", [left - 8.0, y.at(place) + 4.0], Anchor::End, &label);
    }
    canvas.line("axis", [left, bottom], [right, bottom]);
    let mut free = f64::NEG_INFINITY;
    for &tick in rows {
        let (at, text) = (x.at(tick as f64), words::thousands(tick));
        canvas.line("axis", [at, bottom], [at, bottom + 5.0]);
        let half = text_width(&text, 12.0) / 2.0;
        if at - half > free {
            canvas.text("tick", [at, bottom + 20.0], Anchor::Middle, &text);
            free = at + half + 8.0;
        }
    }
    let unit = format!("labels of {}, log scale", words::shorten(&labels.task, width.pick(60, 24)));
    canvas.text("note small", [right, bottom + 40.0], Anchor::End, &unit);
    // Dashed lines lead from the arrow's ends down to their numbers of labels.
    let drop =
        |canvas: &mut Canvas, rows: f64, from: f64| canvas.line("guide", [x.at(rows), from], [x.at(rows), bottom]);
    match arrow {
        Some((saved, point)) => {
            let level = y.at(point.score.value);
            drop(&mut canvas, saved.rows as f64, level);
            drop(&mut canvas, saved.needed.value, level);
        }
        None if points().any(|point| point.rows >= labels.used) && labels.used > 0 => {
            drop(&mut canvas, labels.used as f64, top);
        }
        None => {}
    }
    for (class, shape, points) in
        [("alone", Shape::Circle, &labels.single), ("together", Shape::Diamond, &labels.joint)]
    {
        curve(&mut canvas, class, shape, points, &x, &y);
    }
    if let Some((saved, point)) = arrow {
        let (from, to, level) = (x.at(saved.rows as f64), x.at(saved.needed.value), y.at(point.score.value));
        if to - from > 24.0 {
            canvas.line("arrow", [from + 9.0, level], [to - 7.0, level]);
            canvas.polygon("arrowhead", &[[to, level], [to - 9.0, level - 5.0], [to - 9.0, level + 5.0]]);
        }
        let together = format!("{} together", words::thousands(saved.rows));
        canvas.text("bold halo together", [from - 6.0, bottom - 10.0], Anchor::End, &together);
        let needed = words::thousands(saved.needed.value.round() as usize);
        let alone = format!("{}{needed} alone", if saved.at_least { "≥ " } else { "" });
        // At the right edge there is no room beside the line, so the words stand between the lines or above the others.
        let beside = to + 6.0 + text_width(&alone, 14.0) < canvas.width;
        let between = to - from > text_width(&alone, 14.0) + 12.0;
        let (place, anchor, up) = match (beside, between) {
            (true, _) => (to + 6.0, Anchor::Start, 10.0),
            (false, true) => (to - 6.0, Anchor::End, 10.0),
            (false, false) => (to - 6.0, Anchor::End, 28.0),
        };
        canvas.text("bold halo alone", [place, bottom - up], anchor, &alone);
    }
    canvas.height = bottom + 46.0;
    canvas
}

fn curve(canvas: &mut Canvas, class: &str, shape: Shape, points: &[AtRows], x: &Scale, y: &Scale) {
    let mut points: Vec<&AtRows> = points.iter().filter(|point| point.score.value.is_finite()).collect();
    points.sort_by_key(|point| point.rows);
    let end = |index: usize| {
        let of = move |point: &&AtRows| Some([x.at(point.rows as f64), y.at(point.score.interval?[index])]);
        points.iter().filter_map(of).collect::<Vec<_>>()
    };
    let band: Vec<[f64; 2]> = end(0).into_iter().chain(end(1).into_iter().rev()).collect();
    if band.len() > 3 {
        canvas.polygon(&format!("band {class}"), &band);
    }
    let at = |point: &AtRows| [x.at(point.rows as f64), y.at(point.score.value)];
    canvas.polyline(&format!("curve {class}"), &points.iter().map(|point| at(point)).collect::<Vec<_>>());
    for point in points {
        for seed in point.seeds.iter().flatten().filter(|seed| seed.is_finite()) {
            canvas.circle(&format!("dot {class}"), [at(point)[0], y.at(*seed)], 2.25);
        }
        canvas.mark(&format!("mark {class}"), shape, at(point), 5.0);
    }
}
