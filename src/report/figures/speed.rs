//! Validation scores against tokens, small multiples by task.

use crate::report::canvas::{Anchor, Canvas, Shape, Width, fit};
use crate::report::figure::{Figure, table};
use crate::report::scale::Scale;
use crate::report::words;
use crate::study::Report;
use crate::study::report::TimeCurve;

/// One task's curves.
struct Panel<'a> {
    task: &'a str,
    turned: bool,
    curves: [Option<&'a TimeCurve>; 2],
    goal: Option<f64>,
    /// Tokens at which the joint run reaches the goal.
    reached: Option<f64>,
}

/// All tasks that have a curve; `None` if none has.
pub(in crate::report) fn speed(report: &Report) -> Option<Figure> {
    let panels: Vec<Panel> = report
        .tasks
        .iter()
        .filter_map(|(task, facts)| {
            let curve =
                |joint| report.time.curves.iter().find(|c| c.task == *task && c.joint == joint && !c.points.is_empty());
            let reached = report.time.reached.iter().find(|reached| reached.task == *task);
            let curves = [curve(false), curve(true)];
            curves.iter().any(Option::is_some).then(|| Panel {
                task,
                turned: !facts.metric.higher_is_better(),
                curves,
                goal: reached.map(|reached| reached.goal).filter(|goal| goal.is_finite()),
                reached: reached.and_then(|reached| reached.joint).map(|cost| cost.tokens),
            })
        })
        .collect();
    if panels.is_empty() {
        return None;
    }
    let sentence = |panel: &Panel| match (panel.reached, panel.goal) {
        (Some(tokens), _) => format!(
            "{}: joint training reaches the score of the task alone after {} tokens",
            panel.task,
            words::short_count(tokens)
        ),
        (None, Some(_)) => format!("{}: joint training does not reach the score of the task alone", panel.task),
        (None, None) => format!("{}: there is no score to compare with", panel.task),
    };
    Some(Figure {
        name: "speed",
        title: "Score by tokens trained on".into(),
        description: panels.iter().map(sentence).collect::<Vec<_>>().join("; "),
        caption: "Mean validation score over seeds; each panel has its own scale, turned so that up is better. The dashed level is the best of the task alone, and the ring marks where joint training reaches it. Joint training's tokens are those of all tasks.".into(),
        wide: draw(&panels, Width::Wide),
        half: false,
        narrow: draw(&panels, Width::Narrow),
        table: numbers(&panels),
    })
}

fn draw(panels: &[Panel], width: Width) -> Canvas {
    let mut canvas = Canvas::new(width.pixels());
    let entries = [("mark alone", Shape::Circle, "alone (dashed)"), ("mark together", Shape::Diamond, "together")];
    let head = canvas.legend([0.0, 14.0], &entries) + 4.0;
    let columns =
        width.pick(if panels.len() == 4 { 2 } else { 3 }, if panels.len() > 6 { 2 } else { 1 }).min(panels.len());
    let gap = 22.0;
    let wide = (canvas.width - gap * (columns - 1) as f64) / columns as f64;
    let high = if wide > 300.0 { 196.0 } else { 164.0 };
    for (index, panel) in panels.iter().enumerate() {
        let corner = [(index % columns) as f64 * (wide + gap), head + (index / columns) as f64 * high];
        draw_panel(&mut canvas, panel, corner, [wide, high]);
    }
    canvas.height = head + panels.len().div_ceil(columns) as f64 * high;
    canvas
}

fn draw_panel(canvas: &mut Canvas, panel: &Panel, [left, top]: [f64; 2], [wide, high]: [f64; 2]) {
    let (plot_left, plot_right) = (left + 42.0, left + wide - 6.0);
    let (plot_top, plot_bottom) = (top + 30.0, top + high - 40.0);
    canvas.text("bold", [left, top + 16.0], Anchor::Start, &fit(panel.task, 14.5, wide));
    let points = || panel.curves.iter().flatten().flat_map(|curve| &curve.points);
    let x = Scale::around(points().map(|(cost, _)| cost.tokens).chain([0.0]), 0.0, [plot_left, plot_right]);
    let y = Scale::around(points().map(|(_, score)| *score).chain(panel.goal), 0.0, [plot_bottom, plot_top])
        .turned_if(panel.turned);
    for (place, label) in y.labelled(3) {
        canvas.line("grid", [plot_left, y.at(place)], [plot_right, y.at(place)]);
        canvas.text("tick", [plot_left - 6.0, y.at(place) + 4.0], Anchor::End, &label);
    }
    canvas.line("axis", [plot_left, plot_bottom], [plot_right, plot_bottom]);
    for tick in x.ticks(if wide > 300.0 { 4 } else { 2 }).into_iter().filter(|tick| *tick >= 0.0) {
        canvas.line("axis", [x.at(tick), plot_bottom], [x.at(tick), plot_bottom + 4.0]);
        canvas.text("tick", [x.at(tick), plot_bottom + 18.0], Anchor::Middle, &words::short_count(tick));
    }
    if let Some(goal) = panel.goal {
        canvas.line("guide", [plot_left, y.at(goal)], [plot_right, y.at(goal)]);
    }
    for (class, shape, curve) in
        [("alone", Shape::Circle, panel.curves[0]), ("together", Shape::Diamond, panel.curves[1])]
    {
        let points: Vec<[f64; 2]> = curve
            .into_iter()
            .flat_map(|curve| &curve.points)
            .filter(|(cost, score)| cost.tokens.is_finite() && score.is_finite())
            .map(|(cost, score)| [x.at(cost.tokens), y.at(*score)])
            .collect();
        canvas.polyline(&format!("curve {class}"), &points);
        if let Some(last) = points.last() {
            canvas.mark(&format!("mark {class}"), shape, *last, 4.5);
        }
    }
    if let (Some(goal), Some(tokens)) = (panel.goal, panel.reached) {
        canvas.circle("arrow", [x.at(tokens), y.at(goal)], 8.0);
    }
}

fn numbers(panels: &[Panel]) -> maud::Markup {
    let mut rows = Vec::new();
    for panel in panels {
        for (arm, curve) in ["alone", "together"].into_iter().zip(panel.curves) {
            for (cost, score) in curve.into_iter().flat_map(|curve| &curve.points) {
                rows.push(vec![
                    panel.task.to_owned(),
                    arm.to_owned(),
                    words::short_count(cost.steps),
                    words::short_count(cost.tokens),
                    words::duration(cost.seconds),
                    words::score(*score),
                ]);
            }
        }
    }
    table("Mean validation score during training", &["task", "arm", "steps", "tokens", "thread time", "score"], &rows)
}
