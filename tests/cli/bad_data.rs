//! Data files and rows that cannot be used, and inputs of `predict`.

use super::Change::{self, *};
use super::{Case, Fixture};

const fn data(file: &'static str, change: Change, says: &'static [&'static str]) -> Case {
    Case { file, change, args: "finetune base.toml --dry-run", code: 1, says }
}

const fn input(file: &'static str, bytes: &'static [u8], args: &'static str, says: &'static [&'static str]) -> Case {
    Case { file, change: Bytes(bytes), args, code: 1, says }
}

#[rustfmt::skip]
pub(crate) const CASES: &[Case] = &[
    // Files
    data("mood.csv", Gone, &["mood.csv: found no such file", "a relative path in a recipe starts at the recipe's folder"]),
    data("mood.csv", Bytes(b""), &["mood.csv: found an empty file", "at least one row"]),
    data("mood.csv", Bytes(b"text,label\n"), &["mood.csv", "at least one row"]),
    data("mood.csv", Bytes(b"text,label\ngut,good\nsch\xf6n,good\n"), &["mood.csv:3:", "byte 0xf6", "iconv"]),
    data("base.toml", Swap("mood.csv", "mood.xls"), &["mood.xls", "the extension `.xls`", "rename or convert"]),
    data("base.toml", Swap("mood.csv", "tiny"), &["tiny: found", "`.csv`, `.tsv`"]),
    data("base.toml", Swap("validation = 0.25", "validation = \"gone.csv\""), &["gone.csv: found no such file"]),
    // Columns
    data("mood.csv", Swap("text,label", "texts,label"), &["mood.csv:1: `text`", "the columns `texts`, `label`", "did you mean `texts`?"]),
    data("mood.csv", Swap("text,label", "text,text"), &["mood.csv:1: `text`", "two columns of this name", "rename one"]),
    data("stars.tsv", Swap("score", "stars"), &["stars.tsv:1: `score`", "under `columns` of the task"]),
    data("names.jsonl", Swap("\"tags\"", "\"tag\""), &["names.jsonl:1: `tags`"]),
    // Rows
    data("mood.csv", Swap("bad day,bad", "bad day"), &["mood.csv:3:"]),
    data("mood.csv", Swap("bad day,bad", "bad day,"), &["mood.csv:3: `label`", "an empty text", "one label"]),
    data("mood.csv", Swap("bad day,bad", "\"bad day,bad"), &["mood.csv:3:"]),
    data("stars.tsv", Swap("1.5", "dull"), &["stars.tsv:3: `score`", "found `dull`", "a finite number", "type = \"classification\""]),
    data("stars.tsv", Swap("1.5", "1,5"), &["stars.tsv:3: `score`", "found `1,5`", "a decimal point"]),
    data("stars.tsv", Swap("1.5", "NaN"), &["stars.tsv:3: `score`", "found `NaN`", "a finite number"]),
    data("stars.tsv", Swap("1.5", "1e999"), &["stars.tsv:3: `score`", "a finite number"]),
    data("more.tsv", Swap("\t3", ""), &["more.tsv:2:"]),
    data("names.jsonl", Swap("\"O\"]", "\"O\", \"O\"]"), &["names.jsonl:1: `tags`", "3 tags", "2 tags, one a word"]),
    data("names.jsonl", Swap("[\"Ada\", \"ran\"]", "[]"), &["names.jsonl:1: `tokens`", "no words"]),
    data("names.jsonl", Swap("[\"Ada\", \"ran\"]", "[\"Ada\", null]"), &["names.jsonl:1: `tokens`", "every word is a text"]),
    data("names.jsonl", Bytes(b"{\"tokens\": [\"a\"], \"tags\": [\"O\"]}\n{\"tokens\": [\"a\"\n"), &["names.jsonl:2:"]),
    data("names.jsonl", Bytes(b"[1, 2]\n"), &["names.jsonl:1:"]),
    // Labels
    data("mood.csv", Bytes(b"text,label\na,good\nb,good\nc,good\nd,good\n"), &["mood.csv: `label`", "only the label `good`", "at least two labels"]),
    data("base.toml", Swap("validation = 0.25", "validation = 0.25\nlabels = [\"good\", \"worse\"]"), &["mood.csv:3: `label`", "found `bad`", "`good`, `worse`"]),
    // Inputs of predict
    input("in.jsonl", b"{\"text\": \"a\"}\n{\"txt\": \"a\"}\n", "predict run/checkpoint --input in.jsonl", &["in.jsonl:2:", "neither `text` nor `tokens`", "write `{"]),
    input("in.jsonl", b"{\"text\": \"a\"\n", "predict run/checkpoint --input in.jsonl", &["in.jsonl:1:", "at column"]),
    input("in.jsonl", b"{\"text\": 1}\n", "predict run/checkpoint --input in.jsonl", &["in.jsonl:1:", "a string"]),
    input("in.jsonl", b"{\"text\": \"a\", \"tokens\": [\"a\"]}\n", "predict run/checkpoint --input in.jsonl", &["in.jsonl:1:", "both `text` and `tokens`"]),
    input("in.jsonl", b"{\"pair\": \"a\"}\n", "predict run/checkpoint --input in.jsonl", &["in.jsonl:1:", "`pair` without `text`"]),
    input("in.jsonl", b"{\"tokens\": []}\n", "predict run/checkpoint --input in.jsonl", &["in.jsonl:1:", "no words in `tokens`"]),
    input("in.csv", b"id,txt\n1,a\n", "predict run/checkpoint --input in.csv", &["in.csv:1: `text`", "the columns `id`, `txt`"]),
    input("in.csv", b"id,text\n1,a\n2\n", "predict run/checkpoint --input in.csv", &["in.csv:3: `text`", "a row of 1 cells"]),
    input("in.csv", b"id,text\n1,sch\xf6n\n", "predict run/checkpoint --input in.csv", &["in.csv:2:", "not UTF-8", "iconv"]),
    input("in.txt", b"gut\nsch\xf6n\n", "predict run/checkpoint --input in.txt", &["in.txt:2:", "not UTF-8", "iconv"]),
    input("in.txt", b"\n  \n", "predict run/checkpoint --input in.txt", &["in.txt: found no text", "at least one"]),
    input("unused", b"", "predict run/checkpoint", &["stdin: found no text", "at least one"]),
    // Rows of one's own
    input("own.tsv", b"text\tlabel\na\tgood\n", "eval run/checkpoint --data own.tsv", &["own.tsv:1: `score`", "name those it is for with `--head`"]),
    input("own.csv", b"text,label\na,god\n", "eval run/checkpoint --data own.csv --head mood", &["own.csv:2: `label`", "found `god`", "did you mean `good`?"]),
];

#[test]
fn bad_data() {
    let fixture = Fixture::new();
    fixture.checkpoint();
    fixture.check(CASES);
}
