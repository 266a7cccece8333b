//! Checks of one task.

use super::suggest::{did_you_mean, list};
use super::validate::{Check, Invalid, dropout, path, require};
use super::{ClassWeights, Files, Split, Task, TaskType};
use crate::metrics::Metric;
use indexmap::IndexSet;

pub(crate) fn check(name: &str, task: &Task) -> Check {
    task_name(name)?;
    data(name, task)?;
    columns(name, task)?;
    labels(name, task)?;
    let key = |key| ["tasks", name, key];
    dropout(&key("dropout"), task.dropout)?;
    let ok = task.weight > 0.0 && task.weight.is_finite();
    let help = "1 is neutral; to leave a task out, remove it";
    require(ok, &key("weight"), task.weight, "a number above 0", help)?;
    loss(name, task)?;
    metrics(name, task)
}

fn task_name(name: &str) -> Check {
    let ok = (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if ok {
        return Ok(());
    }
    let expected = "a name of 1 to 64 letters, digits, `_` or `-`";
    let help = "rename the task; its tensors will be called `heads.NAME.…` in the checkpoint";
    Err(Invalid::fact(path(&["tasks", name]), "a task name that cannot be part of a tensor's name", expected, help))
}

fn data(name: &str, task: &Task) -> Check {
    files(name, "train", &task.train)?;
    let mut fractions = 0.0;
    for (key, split) in [("validation", Some(&task.validation)), ("test", task.test.as_ref())] {
        match split {
            Some(Split::Files(given)) => files(name, key, given)?,
            Some(Split::Fraction(fraction)) => {
                let ok = *fraction > 0.0 && *fraction < 1.0;
                let expected = "a fraction above 0 and below 1, or files";
                let help = format!("0.1 takes a tenth of the training rows; `{key} = \"FILE\"` reads a file");
                require(ok, &["tasks", name, key], fraction, expected, &help)?;
                fractions += fraction;
            }
            None => {}
        }
    }
    if fractions >= 1.0 {
        let found = format!("{fractions} as the sum of the validation and test fractions");
        let (expected, help) = ("a sum below 1", "leave rows for training: 0.1 and 0.1 are usual");
        let invalid = Invalid::fact(path(&["tasks", name, "validation"]), found, expected, help);
        return Err(invalid.also(path(&["tasks", name, "test"])));
    }
    let fits = |n: u64| i64::try_from(n).is_ok();
    let limit = task.limit.unwrap_or(1);
    let ok = limit >= 1 && fits(limit as u64);
    require(ok, &["tasks", name, "limit"], limit, "a whole number of rows, 1 or more", "leave it out to use all rows")?;
    let seed = task.split_seed;
    require(fits(seed), &["tasks", name, "split_seed"], seed, "a number below 2^63", "take a smaller seed")
}

fn files(name: &str, key: &str, files: &Files) -> Check {
    let paths = files.paths();
    let help = format!("write `{key} = \"FILE\"` or `{key} = [\"FILE\", \"FILE\"]`");
    require(!paths.is_empty(), &["tasks", name, key], paths, "at least one file", &help)?;
    let ok = paths.iter().all(|path| !path.as_os_str().is_empty());
    require(ok, &["tasks", name, key], paths, "file names", &help)
}

fn columns(name: &str, task: &Task) -> Check {
    let columns = &task.columns;
    let named = [
        ("text", columns.text.as_str()),
        ("pair", columns.pair.as_deref().unwrap_or("-")),
        ("label", &columns.label),
        ("tokens", &columns.tokens),
        ("tags", &columns.tags),
    ];
    for (key, column) in named {
        let help = "write the name as it stands in the file's header";
        require(!column.is_empty(), &["tasks", name, "columns", key], column, "the name of a column", help)?;
    }
    let key = ["tasks", name, "columns", "separator"];
    let separator = &columns.separator;
    require(
        !separator.is_empty(),
        &key,
        separator,
        "at least one character",
        "a space is the default, \",\" is usual",
    )?;
    if columns.pair.is_some() && task.kind == TaskType::TokenClassification {
        let expected = "no second text: a token classification task reads `columns.tokens`";
        let key = ["tasks", name, "columns", "pair"];
        return require(false, &key, &columns.pair, expected, "remove `pair`, or change the task's `type`");
    }
    Ok(())
}

fn labels(name: &str, task: &Task) -> Check {
    let Some(labels) = &task.labels else { return Ok(()) };
    let key = ["tasks", name, "labels"];
    if task.kind == TaskType::Regression {
        return require(false, &key, labels, "no labels: a regression task predicts a number", "remove `labels`");
    }
    let (least, expected) = match task.kind {
        TaskType::Classification => (2, "at least 2 labels"),
        _ => (1, "at least 1 label"),
    };
    let help = "name every label, or leave the key out to find them in the training rows";
    require(labels.len() >= least, &key, labels, expected, help)?;
    let mut seen = IndexSet::new();
    for (index, label) in labels.iter().enumerate() {
        let key = ["tasks", name, "labels", &format!("[{index}]")];
        if label.is_empty() {
            return Err(Invalid::fact(
                path(&key),
                "an empty label",
                "labels with a text",
                "remove it or write its text",
            ));
        }
        if !seen.insert(label) {
            let found = format!("label `{label}` twice");
            return Err(Invalid::fact(path(&key), found, "each label once", "remove one of the two"));
        }
    }
    Ok(())
}

fn loss(name: &str, task: &Task) -> Check {
    let smoothing = task.label_smoothing;
    let key = ["tasks", name, "label_smoothing"];
    let help = "0.1 is usual, 0 turns it off";
    require((0.0..1.0).contains(&smoothing), &key, smoothing, "a number from 0 to below 1", help)?;
    let one_class = matches!(task.kind, TaskType::Classification | TaskType::TokenClassification);
    let expected = "0: only classification and token_classification have smoothed labels";
    require(smoothing == 0.0 || one_class, &key, smoothing, expected, "remove `label_smoothing`")?;

    let Some(weights) = &task.class_weights else { return Ok(()) };
    if task.kind == TaskType::Regression {
        let found = "class weights in a regression task";
        let (expected, help) = ("no classes: it predicts a number", "remove `class_weights`");
        return Err(Invalid::fact(path(&["tasks", name, "class_weights"]), found, expected, help));
    }
    let ClassWeights::Given(weights) = weights else { return Ok(()) };
    for (label, weight) in weights {
        let key = ["tasks", name, "class_weights", label];
        let ok = *weight > 0.0 && weight.is_finite();
        require(ok, &key, weight, "a number above 0", "1 is neutral; labels that are not named weigh 1")?;
        let Some(labels) = &task.labels else { continue };
        if !labels.contains(label) {
            let known = || labels.iter().map(String::as_str);
            let help = did_you_mean(label, known(), "remove it, or add it to `labels`");
            let expected = format!("one of `labels`: {}", list(known()));
            return Err(Invalid::fact(path(&key), "no such label", expected, help));
        }
    }
    Ok(())
}

fn metrics(name: &str, task: &Task) -> Check {
    let Some(metrics) = &task.metrics else { return Ok(()) };
    let fitting = Metric::ALL.into_iter().filter(|metric| metric.applies_to(task.kind.predictions()));
    let fitting = list(fitting.map(Metric::name));
    let key = ["tasks", name, "metrics"];
    let help = format!("name some of {fitting}, or leave the key out");
    require(!metrics.is_empty(), &key, metrics, "at least one metric", &help)?;
    for (index, metric) in metrics.iter().enumerate() {
        let key = ["tasks", name, "metrics", &format!("[{index}]")];
        if !metric.applies_to(task.kind.predictions()) {
            let expected = format!("a metric of {}: {fitting}", task.kind.name());
            return require(false, &key, metric.name(), &expected, "replace it, or change the task's `type`");
        }
        if metrics[..index].contains(metric) {
            let found = format!("metric `{metric}` twice");
            return Err(Invalid::fact(path(&key), found, "each metric once", "remove one of the two"));
        }
    }
    Ok(())
}
