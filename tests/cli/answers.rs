//! `predict`: the same answers in every format, from arguments, files and pipes.

use super::support::{command, mtl, mtl_reads, write};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;

const CHECKPOINT: &str = "runs/five/checkpoint";

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON object")).collect()
}

pub fn agree(folder: &Path, done: &Value) {
    let texts = ["a fine film number 0", "cold soup, slow waiter number 3"];
    let given = mtl(folder, &["predict", CHECKPOINT, texts[0], texts[1], "--format", "jsonl"]).ok();
    let answers = lines(&given);
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[1]["text"], texts[1]);
    shapes(&answers[0]["heads"]);

    // The same from stdin, with and without `-`, and from files.
    let piped = format!("{}\n\n{}\r\n", texts[0], texts[1]);
    for args in [
        &["predict", CHECKPOINT, "--format", "jsonl"][..],
        &["predict", CHECKPOINT, "--input", "-", "--format", "jsonl"],
    ] {
        assert_eq!(mtl_reads(folder, args, piped.as_bytes()).ok(), given);
    }
    write(folder, "in.txt", &piped);
    write(folder, "in.jsonl", texts.map(|text| json!({"text": text, "id": 7}).to_string()).join("\n"));
    write(folder, "in.csv", format!("id,text\n1,\"{}\"\n2,\"{}\"\n", texts[0], texts[1]));
    write(folder, "in.tsv", format!("text\tid\n{}\t1\n{}\t2\n", texts[0], texts[1]));
    for file in ["in.txt", "in.jsonl", "in.csv", "in.tsv"] {
        assert_eq!(mtl(folder, &["predict", CHECKPOINT, "--input", file, "--format", "jsonl"]).ok(), given, "{file}");
    }

    csv_agrees(folder, &texts, &answers);
    let table = mtl(folder, &["predict", CHECKPOINT, texts[0], "--head", "stars", "--head", "topic"]).ok();
    let score = answers[0]["heads"]["stars"]["score"].as_f64().unwrap();
    assert!(table.starts_with("text                   stars   topic"), "{table}");
    assert!(table.contains(&format!("{score:.3}")), "{table}");

    pairs_and_words(folder);
    predictions_give_the_scores(folder, done);
    chunks_and_broken_pipes(folder);
}

/// Texts are answered by every head but the one that reads pairs.
fn shapes(heads: &Value) {
    assert_eq!(super::keys(heads), ["topic", "stars", "flags", "names"]);
    assert_eq!(super::keys(&heads["topic"]), ["label", "probabilities"]);
    assert_eq!(super::keys(&heads["topic"]["probabilities"]), ["film", "food", "music"]);
    let sum: f64 = heads["topic"]["probabilities"].as_object().unwrap().values().map(|p| p.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    assert_eq!(super::keys(&heads["flags"]), ["labels", "probabilities"]);
    assert_eq!(super::keys(&heads["stars"]), ["score"]);
    assert_eq!(heads["names"]["tokens"], json!(["a", "fine", "film", "number", "0"]));
    assert_eq!(heads["names"]["tags"].as_array().unwrap().len(), 5);
}

fn csv_agrees(folder: &Path, texts: &[&str], answers: &[Value]) {
    let text = mtl(folder, &["predict", CHECKPOINT, "--input", "in.txt", "--format", "csv"]).ok();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let expected = "text,pair,topic,topic.film,topic.food,topic.music,stars,flags,flags.short,flags.warm,names";
    assert_eq!(header.iter().collect::<Vec<_>>().join(","), expected);
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), texts.len());
    for ((row, answer), text) in rows.iter().zip(answers).zip(texts) {
        let heads = &answer["heads"];
        assert_eq!((&row[0], &row[2]), (*text, heads["topic"]["label"].as_str().unwrap()));
        for (column, value) in [(3, &heads["topic"]["probabilities"]["film"]), (6, &heads["stars"]["score"])] {
            assert!((row[column].parse::<f64>().unwrap() - value.as_f64().unwrap()).abs() < 1e-6);
        }
    }
}

fn pairs_and_words(folder: &Path) {
    let pair = mtl(folder, &["predict", CHECKPOINT, "a fine film", "--pair", "it is 1", "--format", "jsonl"]).ok();
    let pair = &lines(&pair)[0];
    assert_eq!((&pair["text"], &pair["pair"]), (&json!("a fine film"), &json!("it is 1")));
    assert_eq!(super::keys(&pair["heads"]), ["entails"]);
    write(folder, "words.jsonl", r#"{"tokens": ["Ada", "met", "Bob1"]}"#);
    let args = ["predict", CHECKPOINT, "--input", "words.jsonl", "--head", "names", "--format", "jsonl"];
    let words = mtl(folder, &args).ok();
    let spaced = mtl(folder, &["predict", CHECKPOINT, "Ada met Bob1", "--head", "names", "--format", "jsonl"]).ok();
    let [words, spaced] = [words, spaced].map(|text| lines(&text).remove(0));
    assert_eq!(words["tokens"], json!(["Ada", "met", "Bob1"]));
    assert_eq!(words["heads"], spaced["heads"]);
}

/// The mean squared error of the printed answers is the one that training, `eval` and the manifest tell.
fn predictions_give_the_scores(folder: &Path, done: &Value) {
    let args = ["predict", CHECKPOINT, "--input", "stars.tsv", "--head", "stars", "--format", "jsonl"];
    let answers = lines(&mtl(folder, &args).ok());
    let rows = std::fs::read_to_string(folder.join("stars.tsv")).unwrap();
    let expected = rows.lines().skip(1).map(|row| row.split('\t').nth(1).unwrap().parse::<f64>().unwrap());
    let squares: Vec<f64> = expected
        .zip(&answers)
        .map(|(expected, answer)| (answer["heads"]["stars"]["score"].as_f64().unwrap() - expected).powi(2))
        .collect();
    let mse = squares.iter().sum::<f64>() / squares.len() as f64;
    let told = done["tasks"]["stars"]["test"]["mse"].as_f64().unwrap();
    assert!(squares.len() == 20 && (mse - told).abs() < 1e-4, "{mse} {told}");
}

/// A file of several chunks keeps its order, and nobody is told when the reader goes away.
fn chunks_and_broken_pipes(folder: &Path) {
    let many: String = (0..600).map(|n| format!("line {n}\n")).collect();
    let args = ["predict", CHECKPOINT, "--head", "stars", "--format", "jsonl"];
    let answers = lines(&mtl_reads(folder, &args, many.as_bytes()).ok());
    assert!(answers.iter().enumerate().all(|(n, answer)| answer["text"] == format!("line {n}")));
    assert_eq!(answers.len(), 600);

    write(folder, "many.txt", many.repeat(10));
    let args = ["predict", CHECKPOINT, "--input", "many.txt", "--head", "stars", "--format", "jsonl"];
    let mut child = command(folder, &args).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(first.contains("line 0"));
    assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(0), ""));
}
