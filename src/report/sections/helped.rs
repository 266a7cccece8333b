//! Did it help?

use super::Section;
use crate::report::figure::table;
use crate::report::{figures, words};
use crate::study::Report;
use crate::study::report::{ArmScores, Effect, TaskScores, Verdict};
use maud::{Markup, html};

pub(super) fn section(report: &Report) -> Option<Section> {
    let scores = figures::scores(report)?;
    let methods = figures::methods(report);
    let body = html! {
        (tally(report))
        (scores.html())
        @if let Some(methods) = &methods {
            h3 { @if report.generalization.joint.len() > 1 { "Which balancing method" } @else { "In one number" } }
            (methods.html())
            (weights(report))
        }
        details.more {
            summary { "Every score: arms, seeds, training and test" }
            (everything(report))
        }
    };
    Some(Section {
        id: "helped",
        short: "Did it help?",
        title: "Did it help?".into(),
        body,
        figures: std::iter::once(scores).chain(methods).collect(),
    })
}

/// How many tasks were helped and hurt, and Δm, as tiles.
fn tally(report: &Report) -> Markup {
    let joint = report.generalization.joint.first();
    let effects: Vec<&Effect> =
        joint.into_iter().flat_map(|arm| arm.tasks.values()).filter_map(|task| task.effect.as_ref()).collect();
    let tile = |verdict| (effects.iter().filter(|effect| effect.verdict == verdict).count(), verdict);
    html! {
        @if !effects.is_empty() {
            ul.tally {
                @for (count, verdict) in [Verdict::Helped, Verdict::Hurt, Verdict::NoEvidence].map(tile) {
                    li class=(if count > 0 { words::verdict_class(verdict) } else { "none" }) {
                        b { (sign(verdict)) (count) } " "
                        span { (match verdict {
                            Verdict::Helped => "helped",
                            Verdict::Hurt => "hurt",
                            Verdict::NoEvidence => "no evidence either way",
                        }) }
                    }
                }
                @if let Some(delta) = joint.and_then(|arm| arm.delta_m) {
                    li.delta {
                        b { (words::percent(delta.value)) } " "
                        span { "Δm" @if let Some(text) = words::interval(&delta, words::percent) { ", " (text) } }
                    }
                }
            }
        }
    }
}

fn sign(verdict: Verdict) -> Markup {
    let sign = match verdict {
        Verdict::Helped => "▲",
        Verdict::Hurt => "▼",
        Verdict::NoEvidence => "■",
    };
    html! { i aria-hidden="true" { (sign) } " " }
}

/// What a search for weights has found.
fn weights(report: &Report) -> Markup {
    let found: Vec<_> =
        report.generalization.joint.iter().filter_map(|arm| Some((arm, arm.weights.as_ref()?))).collect();
    html! {
        @for (arm, weights) in found {
            p.note {
                "Weights that " (arm.method.as_deref().unwrap_or(&arm.title)) " found: "
                @for (index, (task, weight)) in weights.iter().enumerate() {
                    @if index > 0 { ", " }
                    (task) " " b { (words::decimals(*weight, 2)) }
                }
                "."
            }
        }
    }
}

fn everything(report: &Report) -> Markup {
    let found = &report.generalization;
    let row = |task: &str, arm: &ArmScores, scores: &TaskScores| {
        let effect = scores.effect.as_ref();
        let none = || words::NOTHING.to_owned();
        vec![
            task.to_owned(),
            arm.method.clone().unwrap_or_else(|| "alone".into()),
            words::estimate(&scores.test, words::score),
            scores.seeds.iter().map(|seed| words::score_or_nothing(*seed)).collect::<Vec<_>>().join("  "),
            words::score_or_nothing(scores.train),
            scores.gap.map_or_else(none, words::signed),
            effect.map_or_else(none, |effect| words::estimate(&effect.difference, words::signed)),
            effect.and_then(|effect| effect.percent).map_or_else(none, words::percent),
            words::bare_probability(effect.and_then(|effect| effect.p)),
            words::bare_probability(effect.and_then(|effect| effect.corrected)),
            effect.map_or_else(none, |effect| words::verdict(effect.verdict).to_owned()),
        ]
    };
    let arms = || std::iter::once(&found.single).chain(&found.joint);
    let mut names: Vec<&String> = report.tasks.keys().collect();
    for name in arms().flat_map(|arm| arm.tasks.keys()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let rows: Vec<_> = names
        .into_iter()
        .flat_map(|task| arms().filter_map(move |arm| Some((task, arm, arm.tasks.get(task)?))))
        .map(|(task, arm, scores)| row(task, arm, scores))
        .collect();
    html! {
        (table(
            "Scores of every arm; effects are against the task alone",
            &["task", "arm", "test", "seeds", "training rows", "gap", "difference", "change", "p", "p corrected", "verdict"],
            &rows,
        ))
        p.note { "The gap is how much better the score is on training rows than on test rows: large gaps are overfitting." }
    }
}
