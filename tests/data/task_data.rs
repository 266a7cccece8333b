//! Column mapping, labels, splits, fingerprints and overlap of whole tasks.

use super::readers::parquet_bytes;
use super::{Folder, task};
use arrow::array::{Int64Array, StringArray};
use mtl_zoo::data::{Input, Row, Target, TaskData, labelled_rows};
use serde_json::{Value, json};
use std::sync::Arc;

fn load(name: &str, content: impl AsRef<[u8]>, kind: &str, extra: Value) -> TaskData {
    let folder = Folder::new();
    let path = folder.write(name, content);
    TaskData::load("t", &task(kind, &path, extra)).unwrap_or_else(|error| panic!("{error}"))
}

fn targets(data: &TaskData) -> Vec<Target> {
    data.train.iter().map(|row| row.target.clone()).collect()
}

#[test]
fn one_task_in_every_format() {
    let csv = load("a.csv", "label,text\n10,x\n9,\"y,\nz\"\n", "classification", json!({}));
    let tsv = load("a.tsv", "text\tlabel\nx\t10\n\"y,\nz\"\t9\n", "classification", json!({}));
    let jsonl = "{\"text\":\"x\",\"label\":10}\n{\"label\":\"9\",\"text\":\"y,\\nz\"}";
    let jsonl = load("a.ndjson", jsonl, "classification", json!({}));
    let texts = Arc::new(StringArray::from(vec!["x", "y,\nz"]));
    let parquet = parquet_bytes(vec![("label", Arc::new(Int64Array::from(vec![10, 9]))), ("text", texts)]);
    let parquet = load("a.bin", parquet, "classification", json!({"format": "parquet"}));
    assert_eq!(csv.labels, ["9", "10"]);
    assert_eq!(csv.train[1], Row { input: Input::Text("y,\nz".into()), target: Target::Class(0) });
    assert!([tsv, jsonl, parquet].iter().all(|other| *other == csv));
}

#[test]
fn labels_are_texts_whatever_their_type() {
    let rows = "{\"text\":\"x\",\"label\":true}\n{\"text\":\"y\",\"label\":\"maybe\"}\n{\"text\":\"z\",\"label\":3}";
    let data = load("a.jsonl", rows, "classification", json!({}));
    assert_eq!(data.labels, ["3", "maybe", "true"]);
    assert_eq!(targets(&data), [Target::Class(2), Target::Class(1), Target::Class(0)]);
}

#[test]
fn given_labels_keep_their_order_and_may_be_named_by_place() {
    let labels = json!({"labels": ["positive", "negative", "unseen"]});
    let data = load("a.csv", "text,label\nx,1\ny,positive\nz,negative\n", "classification", labels);
    assert_eq!(data.labels, ["positive", "negative", "unseen"]);
    assert_eq!(targets(&data), [Target::Class(1), Target::Class(0), Target::Class(1)]);
}

#[test]
fn empty_texts_are_kept_and_counted() {
    let data = load(
        "a.jsonl",
        "{\"text\":\"\",\"label\":1}\n{\"text\":\" \\t\",\"label\":0}\n{\"text\":\"x\",\"label\":0}",
        "classification",
        json!({}),
    );
    // Two rows, which are read for training and for validation.
    assert_eq!((data.empty, data.train[0].input.clone()), (4, Input::Text(String::new())));
}

#[test]
fn pairs_and_numbers() {
    let extra = json!({"columns": {"text": "a", "pair": "b", "label": "score"}});
    let rows =
        "{\"a\":\"one\",\"b\":2,\"score\":4.5,\"label\":\"ignored\"}\n{\"a\":\"x\",\"b\":\"y\",\"score\":\" -1e-1 \"}";
    let data = load("a.jsonl", rows, "regression", extra);
    assert!(data.labels.is_empty());
    assert_eq!(data.train[0].input, Input::Pair("one".into(), "2".into()));
    assert_eq!(targets(&data), [Target::Value(4.5), Target::Value(-0.1)]);
}

#[test]
fn several_labels() {
    let rows = "{\"text\":\"x\",\"label\":[\"b\",\"a\",\"b\"]}\n{\"text\":\"y\",\"label\":[]}\n{\"text\":\"z\",\"label\":\"c\"}";
    let data = load("a.jsonl", rows, "multi_label", json!({}));
    assert_eq!(data.labels, ["a", "b", "c"]);
    assert_eq!(targets(&data), [Target::Classes(vec![0, 1]), Target::Classes(vec![]), Target::Classes(vec![2])]);
    let separated = json!({"columns": {"separator": "|"}});
    let data = load("a.csv", "text,label\nx,b | a|b\ny,\nz,c\n", "multi_label", separated);
    assert_eq!(targets(&data), [Target::Classes(vec![0, 1]), Target::Classes(vec![]), Target::Classes(vec![2])]);
}

#[test]
fn words_and_tags() {
    let rows = "{\"tokens\":[\"New York\",\"in\",1992],\"tags\":[\"B-loc\",\"O\",\"O\"]}";
    let data = load("a.jsonl", rows, "token_classification", json!({}));
    assert_eq!(data.labels, ["B-loc", "O"]);
    assert_eq!(data.train[0].input, Input::Words(vec!["New York".into(), "in".into(), "1992".into()]));
    assert_eq!(targets(&data), [Target::Tags(vec![0, 1, 1])]);
    let data = load("a.tsv", "tokens\ttags\nYork  is\tB-loc O\n", "token_classification", json!({}));
    assert_eq!(data.train[0].input, Input::Words(vec!["York".into(), "is".into()]));
    let places = "{\"tokens\":[\"a\",\"b\"],\"tags\":[1,0]}";
    let data = load("a.jsonl", places, "token_classification", json!({"labels": ["O", "B-loc"]}));
    assert_eq!(targets(&data), [Target::Tags(vec![1, 0])]);
}

#[test]
fn splits_from_files_and_fractions() {
    let folder = Folder::new();
    let rows =
        |from: usize, to: usize| -> String { (from..to).map(|row| format!("row {row}\t{}\n", row % 3)).collect() };
    let one = folder.write("one.tsv", format!("text\tlabel\n{}", rows(0, 60)));
    let two = folder.write("two.tsv", format!("text\tlabel\n{}", rows(60, 100)));
    let test = folder.write("test.tsv", "text\tlabel\nrow 3\t0\nrow 3\t1\nnew\t2\n");
    let extra = json!({"train": [one, two], "validation": 0.2, "test": test, "split_seed": 4, "limit": 30});
    let data = TaskData::load("t", &task("classification", &one, extra.clone())).unwrap();
    assert_eq!((data.train.len(), data.validation.len(), data.test.as_ref().unwrap().len()), (30, 20, 3));
    let row = |row: &Row| match &row.input {
        Input::Text(text) => text[4..].parse::<usize>().unwrap(),
        _ => unreachable!(),
    };
    let train: Vec<_> = data.train.iter().map(row).collect();
    assert!(train.is_sorted() && data.validation.iter().map(row).is_sorted());
    assert!(data.validation.iter().all(|other| !train.contains(&row(other))));
    assert_eq!(data.overlap.validation, 0);
    assert_eq!(data.overlap.test, if train.contains(&3) { 2 } else { 0 });
    assert_eq!(TaskData::load("t", &task("classification", &one, extra.clone())).unwrap(), data);

    let mut other = extra;
    other["split_seed"] = json!(5);
    let other = TaskData::load("t", &task("classification", &one, other)).unwrap();
    assert_ne!(other.fingerprints["train"].sha256, data.fingerprints["train"].sha256);
    assert_eq!(other.fingerprints["test"], data.fingerprints["test"]);
    assert_eq!(data.fingerprints.keys().collect::<Vec<_>>(), ["train", "validation", "test"]);
    assert_eq!(data.fingerprints["train"].rows, 30);
}

#[test]
fn default_validation_is_a_tenth_and_every_row_without_limit() {
    let folder = Folder::new();
    let rows: String = (0..50).map(|row| format!("same,{}\n", row % 2)).collect();
    let path = folder.write("a.csv", format!("text,label\n{rows}"));
    let task = serde_json::from_value(json!({"type": "classification", "train": path, "limit": 1000})).unwrap();
    let data = TaskData::load("t", &task).unwrap();
    assert_eq!((data.train.len(), data.validation.len(), data.test), (45, 5, None));
    assert_eq!(data.overlap.validation, 5);
}

#[test]
fn fingerprints_see_content_not_format_or_label_order() {
    let sha256 = |data: TaskData| data.fingerprints["train"].sha256.clone();
    let plain = load("a.csv", "text,label\nx,a\ny,b\n", "classification", json!({}));
    let turned = load("a.tsv", "label\ttext\na\tx\nb\ty\n", "classification", json!({"labels": ["b", "a"]}));
    let changed = load("a.csv", "text,label\nx,a\ny.,b\n", "classification", json!({}));
    let (plain, turned, changed) = (sha256(plain), sha256(turned), sha256(changed));
    assert_eq!(plain, turned);
    assert_ne!(plain, changed);
    // Stored with checkpoints, so it must not change: SHA-256 of x, a, y, b, each behind its length.
    assert_eq!(plain, "35c47967a763147d981785ddc94a55bfd620bccfe0ddc4217b7f983e402d1671");
}

#[test]
fn rows_to_evaluate_on() {
    let folder = Folder::new();
    let train = folder.write("train.csv", "text,label\nx,neg\ny,pos\n");
    let data = folder.write("new.jsonl", "{\"text\":\"new\",\"label\":\"pos\"}\n{\"text\":\"x\",\"label\":0}");
    let task = task("classification", &train, json!({"format": "csv"}));
    let rows = labelled_rows(&task, &["neg".into(), "pos".into()], &data).unwrap();
    assert_eq!(rows.iter().map(|row| row.target.clone()).collect::<Vec<_>>(), [Target::Class(1), Target::Class(0)]);
    let error = labelled_rows(&task, &["no".into(), "yes".into()], &data).unwrap_err().to_string();
    assert!(error.contains("new.jsonl:1: `label`: found `pos`, expected one of the labels `no`, `yes`"), "{error}");
}
