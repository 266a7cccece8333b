//! The main figure: what joint training did to each task.

use super::change::in_percent;
use super::verdict_shape;
use crate::report::canvas::{Anchor, Canvas, Shape, Width, fit, two_lines};
use crate::report::figure::{Figure, table};
use crate::report::scale::Scale;
use crate::report::words;
use crate::study::Report;
use crate::study::report::{Effect, Estimate, TaskFacts, TaskScores};

/// One task: alone, together, and the difference.
struct Row<'a> {
    name: &'a str,
    facts: Option<&'a TaskFacts>,
    single: Option<&'a TaskScores>,
    joint: Option<&'a TaskScores>,
}

impl Row<'_> {
    fn effect(&self) -> Option<&Effect> {
        self.joint.and_then(|joint| joint.effect.as_ref())
    }

    fn metric(&self) -> &'static str {
        self.facts.map_or("", |facts| facts.metric.name())
    }

    fn means(&self) -> String {
        let mean = |scores: Option<&TaskScores>| words::score_or_nothing(scores.map(|scores| scores.test.value));
        format!("{} → {}", mean(self.single), mean(self.joint))
    }

    fn difference(&self) -> String {
        self.effect().map_or(String::new(), |effect| words::estimate(&effect.difference, words::signed))
    }

    /// Everything of this row lies on it; what is better lies to the right.
    fn scale(&self, range: [f64; 2]) -> Scale {
        let arms = [self.single, self.joint];
        let values = arms.into_iter().flatten().flat_map(|scores| {
            let ends = scores.test.interval.into_iter().flatten();
            scores.seeds.iter().flatten().copied().chain([scores.test.value]).chain(ends)
        });
        let turned = self.facts.is_some_and(|facts| !facts.metric.higher_is_better());
        Scale::around(values, 0.0, range).turned_if(turned)
    }
}

fn rows(report: &Report) -> Vec<Row<'_>> {
    let found = &report.generalization;
    let joint = found.joint.first();
    let names: Vec<&String> =
        if report.tasks.is_empty() { found.single.tasks.keys().collect() } else { report.tasks.keys().collect() };
    let row = |name: &'_ String| Row {
        name: report.tasks.get_key_value(name).map_or("", |(name, _)| name),
        facts: report.tasks.get(name),
        single: found.single.tasks.get(name),
        joint: joint.and_then(|joint| joint.tasks.get(name)),
    };
    names.into_iter().map(row).collect()
}

/// The main figure. `None` if there is not one task.
pub(in crate::report) fn scores(report: &Report) -> Option<Figure> {
    let rows = rows(report);
    if rows.is_empty() {
        return None;
    }
    let sentence = |row: &Row| {
        let verdict = row.effect().map_or("not compared", |effect| words::verdict(effect.verdict));
        format!("{}: {}, {} {verdict}", row.name, row.means(), row.difference())
    };
    let several = report.generalization.single.tasks.values().any(|scores| scores.seeds.len() > 1);
    Some(Figure {
        name: "scores",
        title: "What joint training did to each task".into(),
        description: rows.iter().map(sentence).collect::<Vec<_>>().join("; "),
        caption: format!(
            "Test scores, one row a task. Each row has its own scale, turned so that better lies to the right; the dashed line is the mean of the task alone. {}{}",
            if several {
                "Small dots are seeds, lines are 95\u{a0}% intervals of the mean. "
            } else {
                "There is one seed only, so the numbers carry no intervals over seeds. "
            },
            "Differences are turned so that above zero is better; p is corrected for the number of tasks (Holm)."
        ),
        wide: wide(&rows),
        half: false,
        narrow: narrow(&rows),
        table: numbers(&rows),
    })
}

/// Both tracks of a row with its ticks, in 70 pixels from `top`: means and intervals, and below each its seeds.
fn tracks(canvas: &mut Canvas, row: &Row, scale: &Scale, top: f64) {
    let arms = [("alone", Shape::Circle, row.single, top + 8.0), ("together", Shape::Diamond, row.joint, top + 34.0)];
    let mean = |scores: Option<&TaskScores>| scores.map(|scores| scores.test.value).filter(|value| value.is_finite());
    if mean(row.single).or(mean(row.joint)).is_none() {
        return canvas.text("note", [scale.start(), top + 26.0], Anchor::Start, "no scores");
    }
    for (place, label) in scale.labelled(3) {
        let x = scale.at(place);
        canvas.line("grid", [x, top], [x, top + 50.0]);
        canvas.text("tick", [x, top + 64.0], Anchor::Middle, &label);
    }
    if let Some(mean) = mean(row.single) {
        canvas.line("guide", [scale.at(mean), top], [scale.at(mean), top + 50.0]);
    }
    for (class, shape, scores, y) in arms {
        let Some(scores) = scores else { continue };
        canvas.interval(class, scale, scores.test.interval, y);
        for seed in scores.seeds.iter().flatten().filter(|seed| seed.is_finite()) {
            canvas.circle(&format!("dot {class}"), [scale.at(*seed), y + 10.0], 2.75);
        }
        if let Some(mean) = mean(Some(scores)) {
            canvas.mark(&format!("mark {class}"), shape, [scale.at(mean), y], 5.5);
        }
    }
}

fn legend(canvas: &mut Canvas, rows: &[Row]) -> f64 {
    let mut entries = vec![("mark alone", Shape::Circle, "alone"), ("mark together", Shape::Diamond, "together")];
    if rows.iter().any(|row| row.single.is_some_and(|scores| scores.seeds.len() > 1)) {
        entries.push(("dot together", Shape::Circle, "a seed"));
    }
    canvas.legend([0.0, 14.0], &entries)
}

/// Verdict with its mark; gives nothing for a task that was not compared.
fn verdict(canvas: &mut Canvas, effect: Option<&Effect>, x: f64, y: f64) {
    let Some(effect) = effect else { return canvas.text("note", [x, y], Anchor::Start, "not compared") };
    let class = words::verdict_class(effect.verdict);
    canvas.mark(&format!("mark {class}"), verdict_shape(effect.verdict), [x + 6.0, y - 5.0], 6.0);
    canvas.text(&format!("verdict {class}"), [x + 18.0, y], Anchor::Start, words::verdict(effect.verdict));
}

fn wide(rows: &[Row]) -> Canvas {
    let mut canvas = Canvas::new(Width::Wide.pixels());
    let changes: Vec<Option<Estimate>> = rows.iter().map(|row| row.effect().and_then(in_percent)).collect();
    let any_change = changes.iter().any(Option::is_some);
    let (scores, forest, text) =
        if any_change { ([160.0, 374.0], [408.0, 556.0], 578.0) } else { ([160.0, 540.0], [0.0; 2], 578.0) };
    let head = legend(&mut canvas, rows) + 24.0;
    canvas.text("note small", [scores[0], head], Anchor::Start, "test score, better →");
    let row_height = 90.0;
    let bottom = head + 14.0 + row_height * rows.len() as f64;
    let ends = changes.iter().flatten().flat_map(|e| e.interval.into_iter().flatten().chain([e.value]));
    let percent = Scale::around(ends.chain([0.0]), 1.0, forest);
    if any_change {
        canvas.text("note small", [(forest[0] + forest[1]) / 2.0, head], Anchor::Middle, "change in %");
        for (place, label) in percent.labelled(3) {
            let x = percent.at(place);
            canvas.line(if place == 0.0 { "zero" } else { "grid" }, [x, head + 14.0], [x, bottom]);
            let signed = if place > 0.0 { format!("+{label}") } else { label };
            canvas.text("tick", [x, bottom + 14.0], Anchor::Middle, &signed);
        }
    }
    for (index, (row, change)) in rows.iter().zip(&changes).enumerate() {
        let top = head + 14.0 + row_height * index as f64;
        canvas.line("grid", [0.0, top], [canvas.width, top]);
        let name = two_lines(row.name, 16.0, 152.0);
        let mut y = if name.len() > 1 { top + 22.0 } else { top + 31.0 };
        for line in &name {
            canvas.text("name", [0.0, y], Anchor::Start, line);
            y += 18.0;
        }
        canvas.text("note", [0.0, y + 1.0], Anchor::Start, row.metric());
        canvas.text("note", [0.0, y + 19.0], Anchor::Start, &row.means());
        tracks(&mut canvas, row, &row.scale(scores), top + 14.0);
        if let (Some(change), Some(effect)) = (change, row.effect()) {
            let (class, y) = (words::verdict_class(effect.verdict), top + 38.0);
            canvas.interval(class, &percent, change.interval, y);
            canvas.mark(&format!("mark {class}"), verdict_shape(effect.verdict), [percent.at(change.value), y], 6.5);
            canvas.text(
                &format!("bold halo {class}"),
                [percent.at(change.value), y + 24.0],
                Anchor::Middle,
                &words::percent(change.value),
            );
        } else if any_change {
            canvas.text(
                "note small halo",
                [(forest[0] + forest[1]) / 2.0, top + 43.0],
                Anchor::Middle,
                "no percentage",
            );
        }
        verdict(&mut canvas, row.effect(), text, top + 31.0);
        canvas.text("small", [text, top + 50.0], Anchor::Start, &row.difference());
        let p = row.effect().map_or(String::new(), words::effect_probability);
        canvas.text("note small", [text, top + 68.0], Anchor::Start, &p);
    }
    canvas.line("grid", [0.0, bottom], [canvas.width, bottom]);
    canvas.height = bottom + 22.0;
    canvas
}

fn narrow(rows: &[Row]) -> Canvas {
    let mut canvas = Canvas::new(Width::Narrow.pixels());
    let head = legend(&mut canvas, rows);
    canvas.text("note small", [canvas.width, 14.0], Anchor::End, "better →");
    let row_height = 156.0;
    for (index, row) in rows.iter().enumerate() {
        let top = head + row_height * index as f64;
        canvas.line("grid", [0.0, top], [canvas.width, top]);
        canvas.text("name", [0.0, top + 24.0], Anchor::Start, &fit(row.name, 15.5, 206.0));
        verdict(&mut canvas, row.effect(), 216.0, top + 24.0);
        canvas.text("note", [0.0, top + 44.0], Anchor::Start, &format!("{} {}", row.metric(), row.means()));
        canvas.text("small", [0.0, top + 63.0], Anchor::Start, &row.difference());
        let p = row.effect().map_or(String::new(), words::effect_probability);
        canvas.text("note small", [canvas.width, top + 63.0], Anchor::End, &p);
        let scale = row.scale([12.0, canvas.width - 12.0]);
        tracks(&mut canvas, row, &scale, top + 76.0);
    }
    canvas.height = head + row_height * rows.len() as f64;
    canvas
}

fn numbers(rows: &[Row]) -> maud::Markup {
    let cells = |row: &Row| {
        let test = |scores: Option<&TaskScores>| {
            scores.map_or(words::NOTHING.into(), |scores| words::estimate(&scores.test, words::score))
        };
        let effect = row.effect();
        vec![
            row.name.to_owned(),
            row.metric().to_owned(),
            test(row.single),
            test(row.joint),
            if effect.is_some() { row.difference() } else { words::NOTHING.into() },
            effect.and_then(|effect| effect.percent).map_or(words::NOTHING.into(), words::percent),
            words::bare_probability(effect.and_then(|effect| effect.p)),
            words::bare_probability(effect.and_then(|effect| effect.corrected)),
            effect.map_or("not compared", |effect| words::verdict(effect.verdict)).to_owned(),
        ]
    };
    table(
        "Test score of each task alone and together, with 95 % intervals",
        &["task", "metric", "alone", "together", "difference", "change", "p", "p corrected", "verdict"],
        &rows.iter().map(cells).collect::<Vec<_>>(),
    )
}
