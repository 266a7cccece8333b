//! Any bytes are rows of a task or a refusal that says what to do.
//!
//! The first byte gives the format (`c`, `t`, `j`, `p`), the second the type of the task (`c`, `m`, `r`, `k`; `p` is
//! classification of pairs; upper case: with the labels given), then a line break, then the file.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use mtl_zoo::data::columns::{Sample, answer_column, sample, wanted};
use mtl_zoo::data::labels::Labels;
use mtl_zoo::data::readers::{Place, read_bytes};
use mtl_zoo::data::task_data::fingerprint;
use mtl_zoo::data::{Input, Row, Target};
use mtl_zoo::recipe::{Columns, Format, TaskType};
use mtl_zoo::{Error, Result};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

thread_local! {
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

fuzz_target!(
    init: {
        // libFuzzer's hook ends the process at once, but the Parquet reader catches panics of arrow's decoders: note
        // what a panic says, and end the process below if nobody caught it.
        std::panic::set_hook(Box::new(|info| PANIC.with(|panic| *panic.borrow_mut() = info.to_string())));
    },
    |data: &[u8]| -> Corpus {
        let [format, kind, b'\n', bytes @ ..] = data else { return Corpus::Reject };
        let format = match format {
            b'c' => Format::Csv,
            b't' => Format::Tsv,
            b'j' => Format::Jsonl,
            b'p' => Format::Parquet,
            _ => return Corpus::Reject,
        };
        let given = kind.is_ascii_uppercase();
        let (kind, pair) = match kind.to_ascii_lowercase() {
            b'c' => (TaskType::Classification, false),
            b'p' => (TaskType::Classification, true),
            b'm' => (TaskType::MultiLabel, false),
            b'r' => (TaskType::Regression, false),
            b'k' => (TaskType::TokenClassification, false),
            _ => return Corpus::Reject,
        };
        let columns = Columns { pair: pair.then(|| "pair".into()), ..Columns::default() };
        if catch_unwind(AssertUnwindSafe(|| task(bytes, format, kind, &columns, given))).is_err() {
            eprintln!("{}", PANIC.with(|panic| panic.borrow().clone()));
            std::process::abort();
        }
        Corpus::Keep
    }
);

fn task(bytes: &[u8], format: Format, kind: TaskType, columns: &Columns, given: bool) {
    let path = Path::new("rows");
    let wanted = wanted(kind, columns);
    let Some(records) = refused(read_bytes(bytes, format, &wanted, path)) else { return };
    assert!(!records.is_empty());
    assert!(records[0].number > 0 && records.is_sorted_by(|a, b| a.number < b.number), "{records:?}");
    assert!(records.iter().all(|record| record.cells.len() == wanted.len()));
    let mapped = records.into_iter().map(|record| {
        let place = Place { file: path, format, number: record.number };
        sample(kind, columns, record, place)
    });
    let samples: Vec<Sample> = mapped.filter_map(refused).collect();
    let place = Place { file: path, format, number: 0 };
    let column = answer_column(kind, columns);
    let labels = match (kind, given) {
        (TaskType::Regression, _) => Some(Labels::default()),
        (_, true) => refused(Labels::given(&["a", "b", "O", "B-X"].map(String::from), kind)),
        (_, false) => refused(Labels::discover(&samples, kind, place, column)),
    };
    let Some(labels) = labels else { return };
    let rows: Vec<Row> = samples
        .into_iter()
        .filter_map(|sample| {
            let place = Place { number: sample.number, ..place };
            let row = refused(labels.row(sample, place, column));
            assert!(row.is_some() || given, "a label that was just found is unknown");
            row
        })
        .collect();
    let known = |class: &u32| (*class as usize) < labels.names().len();
    for row in &rows {
        match (&row.input, &row.target) {
            (_, Target::Class(class)) => assert!(known(class)),
            (_, Target::Classes(classes)) => {
                assert!(classes.iter().all(known) && classes.is_sorted_by(|a, b| a < b));
            }
            (_, Target::Value(value)) => assert!(value.is_finite()),
            (Input::Words(words), Target::Tags(tags)) => {
                assert!(tags.len() == words.len() && tags.iter().all(known));
            }
            (_, Target::Tags(_)) => panic!("tags without words"),
        }
    }
    assert_eq!(fingerprint(&rows, labels.names()).rows, rows.len());
}

fn refused<T>(result: Result<T>) -> Option<T> {
    result.map_err(|error: Error| assert!(error.to_string().contains("\n  help: "), "{error}")).ok()
}
