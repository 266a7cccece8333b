//! Every way in which data can be wrong has a message with place, finding, expectation and help.

use super::readers::parquet_bytes;
use super::{Folder, task};
use arrow::array::{Date32Array, Float64Array, StringArray};
use mtl_zoo::data::TaskData;
use serde_json::{Value, json};
use std::sync::Arc;

/// Loads a task from the one file and gives the error, in which the folder is cut away.
fn error(name: &str, content: impl AsRef<[u8]>, kind: &str, extra: Value) -> String {
    let folder = Folder::new();
    let path = folder.write(name, content);
    match TaskData::load("t", &task(kind, &path, extra)) {
        Ok(data) => panic!("{name} was accepted: {data:?}"),
        Err(error) => error.to_string().replace(&format!("{}/", folder.0.path().display()), ""),
    }
}

/// Checks that the message starts as given, and holds every further part.
fn check(message: &str, parts: &[&str]) {
    assert!(message.starts_with(parts[0]), "{message}\ndoes not start with\n{}", parts[0]);
    for part in parts {
        assert!(message.contains(part), "{message}\nlacks\n{part}");
    }
    assert!(message.contains("expected ") && message.contains("\n  help: "), "{message}");
}

#[test]
fn files_that_cannot_be_read() {
    let classify = |name: &str, content: &[u8]| error(name, content, "classification", json!({}));
    let cases: [(&str, &[u8], &[&str]); 22] = [
        ("a.xlsx", b"x", &["a.xlsx: found the extension `.xlsx`", ".csv", ".parquet"]),
        ("a", b"x", &["a: found a file name without extension", ".jsonl"]),
        ("a.csv", b"", &["a.csv: found an empty file", "at least one row"]),
        ("a.csv", b"\xef\xbb\xbf", &["a.csv: found only blank lines"]),
        ("a.csv", b"\n\r\n", &["a.csv: found only blank lines"]),
        ("a.tsv", b"text\tlabel\n", &["a.tsv: found a header and nothing below it"]),
        ("a.csv", b"text,label\nx,1\ncaf\xe9,2\n", &["a.csv:3: found byte 0xe9", "UTF-8", "iconv"]),
        ("a.csv", b"\xff\xfet\0", &["a.csv:1: found UTF-16"]),
        ("a.csv", b"txt,label\nx,1\n", &["a.csv:1: `text`: found the columns `txt`, `label`", "did you mean `txt`?"]),
        ("a.csv", b"text,label,text\nx,1,y\n", &["a.csv:1: `text`: found two columns"]),
        ("a.csv", b"text,label\n\"a\nb\",1\nx,1,2\n", &["a.csv:4: found 3 fields, expected 2 fields", "double quotes"]),
        ("a.csv", b"text,label\nx,1\n\ny\n", &["a.csv:4: found 1 field, expected 2 fields"]),
        ("a.csv", b"text,label\nx,1\ny,\"2\n3\n", &["a.csv:3: found a double quote that is never closed"]),
        ("a.tsv", b"text\tlabel\n\"hm\" he said\t1\n", &["a.tsv:2: found text behind the closing quote"]),
        ("a.jsonl", b"\n\n", &["a.jsonl: found only blank lines"]),
        ("a.jsonl", b"{\"text\":\"x\",\"label\":1}\n{\"text\":\n", &["a.jsonl:2: found EOF", "at column 8"]),
        ("a.jsonl", b"{\"text\":\"x\",\"label\":1} 3", &["a.jsonl:1: found trailing characters at column 24"]),
        ("a.json", b"[{\"text\":\"x\"}]", &["a.json:1: found a JSON array", "jq -c"]),
        ("a.json", b"[\n {\"text\":\"x\"}\n]", &["a.json:1: found the start of a JSON array", "jq -c"]),
        ("a.jsonl", b"\n3", &["a.jsonl:2: found a JSON value that is not an object"]),
        ("a.jsonl", b"text,label", &["a.jsonl:1: found text that is not JSON"]),
        ("a.parquet", b"PAR1 or not", &["a.parquet: found ", "expected a Parquet file"]),
    ];
    for (name, content, parts) in cases {
        check(&classify(name, content), parts);
    }
}

#[test]
fn more_json_and_parquet() {
    let classify = |name: &str, content: Vec<u8>| error(name, content, "classification", json!({}));
    let content = "{\"text\":\"x\",\"label\":1}\n{\"text\":\"x\",\"labels\":1}";
    check(
        &classify("a.jsonl", content.into()),
        &["a.jsonl:2: `label`: found the columns `text`, `labels`", "did you mean `labels`?"],
    );
    let content = "{\"text\":\"x\",\"label\":{\"a\":1}}";
    check(&classify("a.jsonl", content.into()), &["a.jsonl:1: found invalid type: map, expected a text"]);

    let texts = |texts: Vec<Option<&'static str>>| Arc::new(StringArray::from(texts)) as _;
    let empty = parquet_bytes(vec![("text", texts(vec![])), ("label", texts(vec![]))]);
    check(&classify("a.parquet", empty), &["a.parquet: found a table without rows"]);
    let columns = parquet_bytes(vec![("text", texts(vec![Some("x")])), ("intent", texts(vec![Some("x")]))]);
    check(&classify("a.parquet", columns), &["a.parquet: `label`: found the columns `text`, `intent`"]);
    let dates = parquet_bytes(vec![("text", texts(vec![Some("x")])), ("label", Arc::new(Date32Array::from(vec![1])))]);
    check(&classify("a.parquet", dates), &["a.parquet: `label`: found values of the type Date32"]);
    let both = vec![Some("x"), Some("y")];
    let null = parquet_bytes(vec![("text", texts(vec![Some("x"), None])), ("label", texts(both.clone()))]);
    check(&classify("a.parquet", null), &["a.parquet: `text`: found no value (null) in row 2, expected a text"]);
    let mut cut = parquet_bytes(vec![("text", texts(both.clone())), ("label", texts(both.clone()))]);
    cut.truncate(cut.len() - 20);
    check(&classify("a.parquet", cut), &["a.parquet: found ", "expected a Parquet file"]);
    let infinite = Arc::new(Float64Array::from(vec![0.5, f64::INFINITY]));
    let infinite = parquet_bytes(vec![("text", texts(both)), ("label", infinite)]);
    let message = error("a.parquet", infinite, "regression", json!({}));
    check(&message, &["a.parquet: `label`: found the number `inf` in row 2, expected a finite number"]);
}

#[test]
fn rows_that_cannot_be_used() {
    let lines = |lines: &[&str]| lines.join("\n");
    let rows: [(&str, Value, &str, &[&str]); 24] = [
        ("classification", json!({}), r#"{"text":null,"label":1}"#, &["a.jsonl:2: `text`: found no value (null)"]),
        (
            "classification",
            json!({}),
            r#"{"text":["a"],"label":1}"#,
            &["a.jsonl:2: `text`: found a list of 1 items", "token_classification"],
        ),
        (
            "classification",
            json!({}),
            r#"{"text":"x","label":null}"#,
            &["a.jsonl:2: `label`: found no value (null), expected one label"],
        ),
        (
            "classification",
            json!({}),
            r#"{"text":"x","label":""}"#,
            &["a.jsonl:2: `label`: found an empty text, expected one label"],
        ),
        (
            "classification",
            json!({}),
            r#"{"text":"x","label":["a"]}"#,
            &["a.jsonl:2: `label`: found a list", "multi_label"],
        ),
        (
            "classification",
            json!({"labels": ["1", "zwei"]}),
            r#"{"text":"x","label":"zwie"}"#,
            &["a.jsonl:2: `label`: found `zwie`, expected one of the labels `1`, `zwei`", "did you mean `zwei`?"],
        ),
        (
            "classification",
            json!({"labels": ["1", "2"]}),
            r#"{"text":"x","label":0}"#,
            &["a.jsonl:2: `label`: found `0`, expected one of"],
        ),
        (
            "classification",
            json!({}),
            r#"{"text":"x","label":1}"#,
            &["a.jsonl: `label`: found only the label `1`, expected at least two labels"],
        ),
        ("classification", json!({"labels": ["1", "1"]}), "", &["`labels`: found `1` twice"]),
        ("classification", json!({"labels": ["1", " "]}), "", &["`labels`: found an empty label"]),
        ("classification", json!({"labels": ["1"]}), "", &["`labels`: found only the label `1`"]),
        (
            "classification",
            json!({"columns": {"pair": "b"}}),
            "",
            &["a.jsonl:1: `b`: found the columns `text`, `label`"],
        ),
        (
            "multi_label",
            json!({}),
            r#"{"text":"x","label":null}"#,
            &["a.jsonl:2: `label`: found no value (null), expected a list of labels"],
        ),
        (
            "multi_label",
            json!({}),
            r#"{"text":"x","label":["a",null]}"#,
            &["a.jsonl:2: `label`: found no value (null) in the list"],
        ),
        (
            "multi_label",
            json!({"columns": {"separator": ""}}),
            r#"{"text":"x","label":"a"}"#,
            &["`label`: found an empty separator"],
        ),
        (
            "regression",
            json!({}),
            r#"{"text":"x","label":"1,5"}"#,
            &["a.jsonl:2: `label`: found `1,5`, expected a finite number", "decimal point"],
        ),
        (
            "regression",
            json!({}),
            r#"{"text":"x","label":"good"}"#,
            &["a.jsonl:2: `label`: found `good`", "classification"],
        ),
        (
            "regression",
            json!({}),
            r#"{"text":"x","label":"nan"}"#,
            &["a.jsonl:2: `label`: found `nan`, expected a finite number"],
        ),
        ("regression", json!({}), r#"{"text":"x","label":1e300}"#, &["a.jsonl:2: `label`: found the number `1e300`"]),
        ("regression", json!({}), r#"{"text":"x","label":true}"#, &["a.jsonl:2: `label`: found `true`"]),
        ("regression", json!({"validation": 1.5}), r#"{"text":"x","label":2}"#, &["`tasks.t.validation`: found 1.5"]),
        ("regression", json!({"validation": 0.9}), "", &["`tasks.t`: found 1 rows of which 1 are taken out"]),
        ("regression", json!({"limit": 0}), "", &["`tasks.t.limit`: found 0"]),
        ("regression", json!({"validation": []}), "", &["found an empty list of files"]),
    ];
    for (kind, extra, row, parts) in rows {
        check(&error("a.jsonl", lines(&[r#"{"text":"first","label":1}"#, row]), kind, extra), parts);
    }
    let tokens: [(&str, &[&str]); 6] = [
        (r#"{"tokens":["a","b"],"tags":["O"]}"#, &["a.jsonl:2: `tags`: found 1 tag, expected 2 tags, one a word"]),
        (r#"{"tokens":[],"tags":[]}"#, &["a.jsonl:2: `tokens`: found no words, expected at least one word"]),
        (r#"{"tokens":["", " "],"tags":["O", "O"]}"#, &["a.jsonl:2: `tokens`: found only empty words"]),
        (r#"{"tokens":["a", null],"tags":["O", "O"]}"#, &["a.jsonl:2: `tokens`: found no value (null) in the list"]),
        (r#"{"tokens":7,"tags":["O"]}"#, &["a.jsonl:2: `tokens`: found the number `7`, expected a list of words"]),
        (
            r#"{"tokens":["a"],"tags":["B-x"]}"#,
            &["a.jsonl:2: `tags`: found `B-x`, expected one of the labels `O`, `B-y`"],
        ),
    ];
    for (row, parts) in tokens {
        let extra = json!({"labels": ["O", "B-y"]});
        let first = r#"{"tokens":["a"],"tags":["O"]}"#;
        check(&error("a.jsonl", lines(&[first, row]), "token_classification", extra), parts);
    }
}

#[test]
fn absent_files_and_unknown_labels_elsewhere() {
    let folder = Folder::new();
    let train = folder.write("train.csv", "text,label\nx,a\ny,b\n");
    let absent = folder.path("absent.csv");
    let message = TaskData::load("t", &task("classification", &absent, json!({}))).unwrap_err().to_string();
    check(&message, &[&format!("{}: found no such file", absent.display())]);
    let message = TaskData::load("t", &task("classification", folder.0.path(), json!({"format": "csv"}))).unwrap_err();
    check(&message.to_string(), &[&format!("{}: found a folder", folder.0.path().display())]);
    let validation = folder.write("validation.csv", "text,label\nx,a\ny,c\n");
    let extra = json!({"validation": validation});
    let message = TaskData::load("t", &task("classification", &train, extra)).unwrap_err().to_string();
    check(&message, &[&format!("{}:3: `label`: found `c`, expected one of the labels `a`, `b`", validation.display())]);
    let many: String = (0..10_001).map(|row| format!("text,{row}\n")).collect();
    let message = error("a.csv", format!("text,label\n{many}"), "classification", json!({}));
    check(&message, &["a.csv: `label`: found 10001 different labels, expected at most 10000", "regression"]);
}
