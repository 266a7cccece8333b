//! The same rows from every format.

use super::Folder;
use arrow::array::*;
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Int8Type, Int64Type};
use mtl_zoo::data::readers::{Cell, Record, format_of, read_bytes, read_file};
use mtl_zoo::recipe::Format;
use parquet::arrow::ArrowWriter;
use std::path::Path;
use std::sync::Arc;

fn text(text: &str) -> Cell {
    Cell::Text(text.into())
}

fn number(value: f64, written: &str) -> Cell {
    Cell::Number(value, written.into())
}

fn read(content: &str, format: Format, columns: &[&str]) -> Vec<Record> {
    read_bytes(content.as_bytes(), format, columns, Path::new("rows")).unwrap()
}

fn numbers(records: &[Record]) -> Vec<usize> {
    records.iter().map(|record| record.number).collect()
}

/// Writes one batch of columns as Parquet and gives its bytes.
pub fn parquet_bytes(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)));
    let batch = batch.unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn extension_gives_the_format() {
    for (name, format) in [
        ("a.csv", Format::Csv),
        ("a.TSV", Format::Tsv),
        ("a.jsonl", Format::Jsonl),
        ("a.ndjson", Format::Jsonl),
        ("a.json", Format::Jsonl),
        ("a.b.parquet", Format::Parquet),
    ] {
        assert_eq!(format_of(Path::new(name)).unwrap(), format);
    }
}

#[test]
fn csv_with_quotes_and_lines() {
    let content =
        "\u{feff}id,label,text\r\n1,a,plain \"stray\" quote\r\n\r\n2,b,\"two\r\nlines, \"\"quoted\"\"\"\r\n3,c,\n";
    let records = read(content, Format::Csv, &["text", "label"]);
    assert_eq!(numbers(&records), [2, 4, 6]);
    assert_eq!(records[0].cells, [text("plain \"stray\" quote"), text("a")]);
    assert_eq!(records[1].cells, [text("two\r\nlines, \"quoted\""), text("b")]);
    assert_eq!(records[2].cells, [text(""), text("c")]);
}

#[test]
fn tsv_without_last_line_break_and_with_old_line_breaks() {
    let records = read("text\tlabel\none, \"two\"\t1\n\"a\tb\"\t2", Format::Tsv, &["label", "text"]);
    assert_eq!(records[0].cells, [text("1"), text("one, \"two\"")]);
    assert_eq!(records[1].cells, [text("2"), text("a\tb")]);
    assert_eq!(numbers(&read("a\tb\r1\t2\r3\t4\r", Format::Tsv, &["a"])), [2, 3]);
}

#[test]
fn jsonl_cells() {
    let content = "\n{\"x\": \"é\\n\", \"skip\": {\"deep\": [1]}, \"y\": [1, \"a\", true, null, 1.50]}\r\n  \n{\"y\":false,\"x\":-3}";
    let records = read(content, Format::Jsonl, &["x", "y"]);
    let list = vec![number(1.0, "1"), text("a"), Cell::Bool(true), Cell::Null, number(1.5, "1.5")];
    assert_eq!(records[0], Record { number: 2, cells: vec![text("é\n"), Cell::List(list)] });
    assert_eq!(records[1], Record { number: 4, cells: vec![number(-3.0, "-3"), Cell::Bool(false)] });
    assert_eq!(read("{\"x\":1,\"x\":2}", Format::Jsonl, &["x", "x"])[0].cells, [number(2.0, "2"), number(2.0, "2")]);
}

#[test]
fn parquet_types() {
    let list = |offsets: Vec<i32>, values: ArrayRef, kind: DataType| {
        let field = Arc::new(Field::new("item", kind, true));
        Arc::new(ListArray::new(field, OffsetBuffer::new(offsets.into()), values, None)) as ArrayRef
    };
    let strings = StringArray::from(vec!["a", "b", "c"]);
    let columns: Vec<(&str, ArrayRef, Vec<Cell>)> = vec![
        ("utf8", Arc::new(StringArray::from(vec![Some("é"), None])), vec![text("é"), Cell::Null]),
        ("large", Arc::new(LargeStringArray::from(vec!["x", ""])), vec![text("x"), text("")]),
        (
            "view",
            Arc::new(StringViewArray::from(vec!["short", "a text that is longer than twelve"])),
            vec![text("short"), text("a text that is longer than twelve")],
        ),
        (
            "dictionary",
            Arc::new(DictionaryArray::<Int8Type>::from_iter(["neg", "pos"])),
            vec![text("neg"), text("pos")],
        ),
        ("int8", Arc::new(Int8Array::from(vec![-1, 1])), vec![number(-1.0, "-1"), number(1.0, "1")]),
        ("int64", Arc::new(Int64Array::from(vec![0, 7])), vec![number(0.0, "0"), number(7.0, "7")]),
        ("uint32", Arc::new(UInt32Array::from(vec![0, 7])), vec![number(0.0, "0"), number(7.0, "7")]),
        (
            "f32",
            Arc::new(Float32Array::from(vec![0.1, 2.0])),
            vec![number(f64::from(0.1f32), "0.1"), number(2.0, "2.0")],
        ),
        ("f64", Arc::new(Float64Array::from(vec![0.1, f64::NAN])), vec![]),
        ("bool", Arc::new(BooleanArray::from(vec![true, false])), vec![Cell::Bool(true), Cell::Bool(false)]),
        (
            "texts",
            list(vec![0, 1, 3], Arc::new(strings), DataType::Utf8),
            vec![Cell::List(vec![text("a")]), Cell::List(vec![text("b"), text("c")])],
        ),
        (
            "tags",
            list(vec![0, 2, 2], Arc::new(Int64Array::from(vec![3, 0])), DataType::Int64),
            vec![Cell::List(vec![number(3.0, "3"), number(0.0, "0")]), Cell::List(vec![])],
        ),
        (
            "large_list",
            Arc::new(LargeListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1), None]), None])),
            vec![Cell::List(vec![number(1.0, "1"), Cell::Null]), Cell::Null],
        ),
    ];
    let bytes = parquet_bytes(columns.iter().map(|(name, array, _)| (*name, array.clone())).collect());
    let folder = Folder::new();
    let path = folder.write("rows.parquet", &bytes);
    for (name, _, expected) in &columns {
        let (format, records) = read_file(&path, None, &[*name]).unwrap();
        assert_eq!((format, numbers(&records)), (Format::Parquet, vec![1, 2]));
        let cells: Vec<_> = records.into_iter().flat_map(|record| record.cells).collect();
        match *name {
            "f64" => assert_eq!((cells.len(), &cells[0]), (2, &number(0.1, "0.1"))),
            _ => assert_eq!(&cells, expected, "{name}"),
        }
    }
    let two = read_bytes(&bytes, Format::Parquet, &["int64", "bool"], &path).unwrap();
    assert_eq!(two[1].cells, [number(7.0, "7"), Cell::Bool(false)]);
}

/// A poor man's fuzzer: the real ones are under `fuzz/`.
#[test]
fn no_bytes_panic() {
    let seeds: [(Format, Vec<u8>); 4] = [
        (Format::Csv, b"a,b\n1,\"x\"\"\ny\"\r\n\n3,4".to_vec()),
        (Format::Tsv, b"a\tb\n\"1\t\"\tx\r\r\n".to_vec()),
        (Format::Jsonl, b"{\"a\": [1, 2.5, null, {}], \"b\": \"\\ud83d\\ude00\"}\n{}\n[".to_vec()),
        (
            Format::Parquet,
            parquet_bytes(vec![
                ("a", Arc::new(StringArray::from(vec!["one", "two"]))),
                ("b", Arc::new(Float32Array::from(vec![1.0, 2.0]))),
            ]),
        ),
    ];
    let mut random = mtl_zoo::data::random::Random::new(&[17]);
    for (format, seed) in &seeds {
        for _ in 0..if *format == Format::Parquet { 300 } else { 3000 } {
            let mut bytes = seed.clone();
            for _ in 0..1 + random.below(4) {
                let place = random.below(bytes.len());
                match random.below(3) {
                    0 => bytes[place] = random.bits() as u8,
                    1 => bytes.insert(place, b"\"\n\r,\t{}[]\\\xff0"[random.below(12)]),
                    _ => bytes.truncate(place.max(1)),
                }
            }
            let _ = read_bytes(&bytes, *format, &["a", "b"], Path::new("fuzz"));
        }
    }
}
