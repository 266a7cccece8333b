//! Cosines between gradients by part of the backbone.

use super::cosines::{left_out, shown};
use super::heat::{Cell, Heat};
use crate::report::canvas::Width;
use crate::report::figure::{Figure, table};
use crate::report::words;
use crate::study::report::Conflict;

/// Parts of the backbone by pairs of tasks. `None` without parts.
pub(in crate::report) fn layers(conflict: &Conflict) -> Option<Figure> {
    if conflict.layers.is_empty() {
        return None;
    }
    let cell = |value: Option<f64>, strong| match value {
        Some(value) => Cell::new(value, cosine(value), strong),
        None => Cell::Missing,
    };
    let pairs = shown(conflict);
    let mut rows = vec!["all pairs".to_owned()];
    rows.extend(pairs.iter().map(|pair| {
        let long = pair.tasks.iter().map(|task| task.chars().count()).sum::<usize>() > 24;
        let [a, b] = pair.tasks.each_ref().map(|task| words::shorten(task, if long { 12 } else { 24 }));
        format!("{a} × {b}")
    }));
    let mut cells: Vec<Vec<Cell>> =
        vec![conflict.layers.iter().map(|layer| cell(Some(layer.cosine), layer.conflicting)).collect()];
    cells.extend(pairs.iter().map(|pair| {
        conflict.layers.iter().map(|layer| cell(pair.layers.get(&layer.layer).copied().flatten(), false)).collect()
    }));
    let columns: Vec<String> = conflict.layers.iter().map(|layer| short(&layer.layer)).collect();
    let heat = Heat { rows_are: "tasks", columns_are: "part of the backbone, from below", rows, columns, cells };
    let conflicting: Vec<&str> =
        conflict.layers.iter().filter(|layer| layer.conflicting).map(|layer| layer.layer.as_str()).collect();
    let every = conflict.layers.iter().map(|layer| {
        vec![
            layer.layer.clone(),
            cosine(layer.cosine),
            words::share(layer.share),
            if layer.conflicting { "conflicts" } else { "–" }.to_owned(),
        ]
    });
    let every = table(
        "Conflict by part of the backbone, all pairs",
        &["part", "mean cosine", "below 0", "beyond chance"],
        &every.collect::<Vec<_>>(),
    );
    let mut all = conflict.clone();
    all.pairs.retain(|pair| !pair.layers.is_empty());
    let header: Vec<&str> =
        std::iter::once("tasks").chain(conflict.layers.iter().map(|layer| layer.layer.as_str())).collect();
    let by_pair: Vec<Vec<String>> = all
        .pairs
        .iter()
        .map(|pair| {
            let name = format!("{} × {}", pair.tasks[0], pair.tasks[1]);
            let value = |layer: &str| pair.layers.get(layer).copied().flatten().map_or(words::NOTHING.into(), cosine);
            std::iter::once(name).chain(conflict.layers.iter().map(|layer| value(&layer.layer))).collect()
        })
        .collect();
    Some(Figure {
        name: "layers",
        title: "Where in the backbone they agree".into(),
        description: if conflicting.is_empty() {
            "No part of the backbone conflicts beyond chance".into()
        } else {
            format!("Conflict beyond chance in {}", conflicting.join(", "))
        },
        caption: format!(
            "Mean cosine between gradients by part of the backbone. Bold cells with an outline conflict beyond chance.{}",
            left_out(conflict)
        ),
        wide: heat.draw(Width::Wide),
        half: false,
        narrow: heat.draw(Width::Narrow),
        table: maud::html! { (every) @if !by_pair.is_empty() { (table("Mean cosine by pair and part of the backbone", &header, &by_pair)) } },
    })
}

fn cosine(value: f64) -> String {
    let text = words::decimals(value, 2);
    if value > 0.0 && text != "0.00" { format!("+{text}") } else { text }
}

/// `layer 0` is short as `L0`, `embeddings` as `embed`.
fn short(layer: &str) -> String {
    layer.strip_prefix("layer ").map_or_else(|| layer.replace("embeddings", "embed"), |number| format!("L{number}"))
}
