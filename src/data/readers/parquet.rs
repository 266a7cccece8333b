//! Apache Parquet, read with arrow-rs.

use super::{Cell, Place, Record, no_rows, positions};
use crate::error::{Problem, Result};
use crate::recipe::Format;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type, UInt64Type};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Reads the records of the file.
pub(super) fn read(file: File, path: &Path, columns: &[&str]) -> Result<Vec<Record>> {
    // The decoders of damaged pages are another crate's and may panic; a bad file is not worth a crash.
    catch_unwind(AssertUnwindSafe(|| records(file, path, columns)))
        .unwrap_or_else(|_| Err(damaged("a page that cannot be decoded", path)))
}

fn damaged(found: impl Into<String>, path: &Path) -> crate::Error {
    let help = "the file is damaged or not Parquet: fetch or write it again";
    Problem::new(found, "a Parquet file", help).file(path).data()
}

fn records(file: File, path: &Path, columns: &[&str]) -> Result<Vec<Record>> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| damaged(error.to_string(), path))?;
    let schema = builder.schema().clone();
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let wanted = positions(columns, &names, path, None)?;
    for (&place, column) in wanted.iter().zip(columns) {
        let kind = schema.field(place).data_type();
        if !readable(kind) {
            let expected = "texts, whole numbers, floats, booleans or lists of those";
            let help = "cast the column when you write the file, or name another under `columns`";
            let problem = Problem::new(format!("values of the type {kind}"), expected, help);
            return Err(problem.file(path).key(*column).data());
        }
    }
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted.iter().copied());
    let reader = builder.with_projection(mask).build().map_err(|error| damaged(error.to_string(), path))?;
    let mut records = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|error| damaged(error.to_string(), path))?;
        append(&batch, columns, path, &mut records)?;
    }
    if records.is_empty() { Err(no_rows("a table without rows", path)) } else { Ok(records) }
}

fn append(batch: &RecordBatch, columns: &[&str], path: &Path, records: &mut Vec<Record>) -> Result<()> {
    let first = records.len() + 1;
    let mut table = Vec::with_capacity(columns.len());
    for column in columns {
        let array = batch.column_by_name(column).ok_or_else(|| damaged("a schema that does not fit the data", path))?;
        table.push(cells(array).map_err(|error| {
            let place = Place { file: path, format: Format::Parquet, number: first };
            place.problem(format!("{error} at or after"), "readable values", "fetch or write the file again").data()
        })?);
    }
    let mut columns: Vec<_> = table.into_iter().map(Vec::into_iter).collect();
    for row in 0..batch.num_rows() {
        let cells = columns.iter_mut().map(|column| column.next().unwrap_or(Cell::Null)).collect();
        records.push(Record { number: first + row, cells });
    }
    Ok(())
}

fn readable(kind: &DataType) -> bool {
    match kind {
        DataType::Null | DataType::Boolean => true,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            readable(item.data_type())
        }
        DataType::Dictionary(_, values) => readable(values),
        kind => kind.is_integer() || kind.is_floating(),
    }
}

/// The values of an array whose type is [`readable`].
fn cells(array: &ArrayRef) -> Result<Vec<Cell>, arrow::error::ArrowError> {
    let each = |cell: &dyn Fn(usize) -> Cell| {
        (0..array.len()).map(|row| if array.is_null(row) { Cell::Null } else { cell(row) }).collect()
    };
    Ok(match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean();
            each(&|row| Cell::Bool(values.value(row)))
        }
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            each(&|row| Cell::Text(values.value(row).to_owned()))
        }
        DataType::LargeUtf8 => {
            let values = array.as_string::<i64>();
            each(&|row| Cell::Text(values.value(row).to_owned()))
        }
        DataType::Int64 => {
            let values = array.as_primitive::<Int64Type>();
            each(&|row| Cell::Number(values.value(row) as f64, values.value(row).to_string()))
        }
        DataType::UInt64 => {
            let values = array.as_primitive::<UInt64Type>();
            each(&|row| Cell::Number(values.value(row) as f64, values.value(row).to_string()))
        }
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>();
            each(&|row| Cell::Number(values.value(row).into(), format!("{:?}", values.value(row))))
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>();
            each(&|row| Cell::Number(values.value(row), format!("{:?}", values.value(row))))
        }
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            split(&cells(lists.values())?, array, |row| {
                lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize
            })
        }
        DataType::LargeList(_) => {
            let lists = array.as_list::<i64>();
            split(&cells(lists.values())?, array, |row| {
                lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize
            })
        }
        DataType::FixedSizeList(item, _) => return cells(&cast(array, &DataType::LargeList(item.clone()))?),
        DataType::Utf8View => return cells(&cast(array, &DataType::LargeUtf8)?),
        DataType::Dictionary(_, values) => return cells(&cast(array, values)?),
        DataType::Float16 => return cells(&cast(array, &DataType::Float32)?),
        kind if kind.is_signed_integer() => return cells(&cast(array, &DataType::Int64)?),
        kind if kind.is_unsigned_integer() => return cells(&cast(array, &DataType::UInt64)?),
        _ => each(&|_| Cell::Null),
    })
}

fn split(values: &[Cell], array: &ArrayRef, range: impl Fn(usize) -> std::ops::Range<usize>) -> Vec<Cell> {
    let list = |row| match array.is_null(row) {
        true => Cell::Null,
        false => Cell::List(values.get(range(row)).unwrap_or_default().to_vec()),
    };
    (0..array.len()).map(list).collect()
}
