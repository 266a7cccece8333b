//! JSON Lines: one object a line; blank lines are skipped.

use super::{Cell, Place, Record, missing_column, no_rows};
use crate::error::Result;
use crate::recipe::Format;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::path::Path;

/// Reads the records of the text.
pub(super) fn read(text: &str, columns: &[&str], path: &Path) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for (index, line) in text.split('\n').enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let place = Place { file: path, format: Format::Jsonl, number: index + 1 };
        records.push(Record { number: index + 1, cells: cells(line, columns, place)? });
    }
    if records.is_empty() { Err(no_rows("only blank lines", path)) } else { Ok(records) }
}

fn cells(line: &str, columns: &[&str], place: Place) -> Result<Vec<Cell>> {
    if !line.trim_start().starts_with('{') {
        let found = match serde_json::from_str::<IgnoredAny>(line) {
            Ok(_) if line.trim_start().starts_with('[') => "a JSON array",
            _ if line.trim() == "[" => "the start of a JSON array",
            Ok(_) => "a JSON value that is not an object",
            Err(_) => "text that is not JSON",
        };
        let help = "write one object a line; `jq -c '.[]' ARRAY.json > LINES.jsonl` turns an array into lines";
        return Err(place.problem(found, "a JSON object such as {\"text\": …, \"label\": …}", help).data());
    }
    let mut parser = serde_json::Deserializer::from_str(line);
    let fields = Fields(columns).deserialize(&mut parser).and_then(|fields| parser.end().map(|()| fields));
    let fields = fields.map_err(|error| {
        let help = "every line is one complete JSON object; look at quotes, commas and braces at that column";
        place.problem(describe(&error), "a valid JSON object", help).data()
    })?;
    let cell = |(cell, column): (Option<Cell>, &&str)| {
        cell.ok_or_else(|| {
            let names = serde_json::from_str::<serde_json::Map<_, _>>(line).unwrap_or_default();
            let names: Vec<_> = names.keys().map(String::as_str).collect();
            let mut problem = missing_column(column, &names).file(place.file);
            problem = problem.line(place.number);
            problem.data()
        })
    };
    fields.into_iter().zip(columns).map(cell).collect()
}

/// serde_json's message without its line number, which is always 1 here.
fn describe(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    match error.column() {
        0 => message.into(),
        column => format!("{message} at column {column}"),
    }
}

/// The wanted fields of an object; of a key that is there twice, the last.
struct Fields<'a>(&'a [&'a str]);

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = Vec<Option<Cell>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = Vec<Option<Cell>>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = vec![None; self.0.len()];
        while let Some(key) = map.next_key::<String>()? {
            if !self.0.contains(&key.as_str()) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let cell: Cell = map.next_value()?;
            for (field, _) in fields.iter_mut().zip(self.0).filter(|(_, column)| **column == key) {
                *field = Some(cell.clone());
            }
        }
        Ok(fields)
    }
}

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CellVisitor)
    }
}

struct CellVisitor;

impl<'de> Visitor<'de> for CellVisitor {
    type Value = Cell;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a text, a number, true, false, null or a list of those")
    }

    fn visit_unit<E: Error>(self) -> Result<Cell, E> {
        Ok(Cell::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Cell, E> {
        Ok(Cell::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Cell, E> {
        Ok(Cell::Number(value as f64, value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Cell, E> {
        Ok(Cell::Number(value as f64, value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Cell, E> {
        Ok(Cell::Number(value, format!("{value:?}")))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Cell, E> {
        Ok(Cell::Text(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Cell, E> {
        Ok(Cell::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Cell, A::Error> {
        let mut cells = Vec::new();
        while let Some(cell) = list.next_element()? {
            cells.push(cell);
        }
        Ok(Cell::List(cells))
    }
}
