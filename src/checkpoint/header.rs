//! The header of a safetensors file: 8 bytes of length, then JSON that says which tensor lies where.
//!
//! The `safetensors` crate answers most broken headers with one error for all; here each way of being broken names the
//! tensor, what was found and what was expected. What is accepted here, that crate accepts too (tests check it).

use super::unique;
use crate::error::{Fault, Problem, Result};
use indexmap::IndexMap;
use safetensors::Dtype;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::de::{IntoDeserializer, value};
use std::fmt;
use std::ops::Range;
use std::path::Path;

/// Bytes before the JSON.
pub(super) const PREFIX: usize = 8;
/// The longest header that is read: a model with 100,000 tensors fits.
const MAX_HEADER: u64 = 16 << 20;
/// The most dimensions of a tensor.
const MAX_RANK: usize = 16;

const DAMAGED: &str = "the file is damaged or no safetensors file; download or export it again";

/// Number format of a stored tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredDtype {
    /// 32 bits.
    F32,
    /// 16 bits, 11 of precision.
    F16,
    /// 16 bits, 8 of precision.
    Bf16,
    /// Anything else that safetensors knows, such as integers: listed, but never read as numbers.
    Other(Dtype),
}

impl StoredDtype {
    fn bits(self) -> usize {
        match self {
            Self::F32 => 32,
            Self::F16 | Self::Bf16 => 16,
            Self::Other(dtype) => dtype.bitsize(),
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Some(match Dtype::deserialize(<&str as IntoDeserializer<value::Error>>::into_deserializer(name)).ok()? {
            Dtype::F32 => Self::F32,
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::Bf16,
            other => Self::Other(other),
        })
    }
}

/// The name in safetensors headers.
impl fmt::Display for StoredDtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F32 => f.write_str("F32"),
            Self::F16 => f.write_str("F16"),
            Self::Bf16 => f.write_str("BF16"),
            Self::Other(dtype) => write!(f, "{dtype}"),
        }
    }
}

/// One tensor of the header; the range counts from the end of the header.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) dtype: StoredDtype,
    pub(super) shape: Vec<usize>,
    pub(super) range: Range<usize>,
}

/// A header whose tensors cover the rest of the file exactly, each byte once.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) metadata: IndexMap<String, String>,
    /// Sorted by name.
    pub(super) entries: Vec<Entry>,
}

fn fault(path: &Path, fault: Fault, found: impl Into<String>, expected: impl Into<String>) -> crate::Error {
    Problem::new(found, expected, DAMAGED).file(path).checkpoint(fault)
}

/// Length of the JSON, from the first bytes of a file of `file_len` bytes.
pub(super) fn json_length(path: &Path, start: &[u8], file_len: u64) -> Result<usize> {
    let Some(prefix) = start.first_chunk::<PREFIX>() else {
        let found = format!("a file of {file_len} bytes");
        return Err(fault(path, Fault::Length, found, format!("at least {PREFIX} bytes")));
    };
    let length = u64::from_le_bytes(*prefix);
    if length > MAX_HEADER {
        let found = format!("a header of {length} bytes");
        return Err(fault(path, Fault::Header, found, format!("at most {MAX_HEADER} bytes")));
    }
    if length > file_len.saturating_sub(PREFIX as u64) {
        let found = format!("a file of {file_len} bytes");
        return Err(fault(path, Fault::Length, found, format!("at least {} for its header", length + PREFIX as u64)));
    }
    Ok(length as usize)
}

/// Reads the JSON and checks it against the number of bytes that follow it.
pub(super) fn parse(path: &Path, json: &[u8], data_len: u64) -> Result<Header> {
    if json.first() != Some(&b'{') {
        let found = format!("a header that starts with {:?}", String::from_utf8_lossy(&json[..json.len().min(8)]));
        return Err(fault(path, Fault::Header, found, "a JSON object"));
    }
    let raw: RawHeader =
        serde_json::from_slice(json).map_err(|e| fault(path, Fault::Header, e.to_string(), "a safetensors header"))?;
    if raw.tensors.is_empty() {
        return Err(fault(path, Fault::Header, "no tensor", "at least one tensor"));
    }
    let mut entries = Vec::with_capacity(raw.tensors.len());
    for (name, raw) in raw.tensors {
        entries.push(entry(path, name, raw)?);
    }
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].name == pair[1].name) {
        let problem = Problem::new("the name twice", "one tensor a name", DAMAGED).file(path).key(&pair[0].name);
        return Err(problem.checkpoint(Fault::Header));
    }
    cover(path, entries.iter().collect(), data_len)?;
    Ok(Header { metadata: raw.metadata.unwrap_or_default(), entries })
}

/// Checks one tensor on its own.
fn entry(path: &Path, name: String, raw: RawEntry) -> Result<Entry> {
    let problem = |fault, found: String, expected: String| {
        let key: String = name.chars().take(200).flat_map(char::escape_debug).collect();
        Err(Problem::new(found, expected, DAMAGED).file(path).key(key).checkpoint(fault))
    };
    if name.is_empty() || name.len() > 1024 || name.chars().any(char::is_control) {
        let found = format!("a tensor name of {} bytes: {:?}", name.len(), name.chars().take(80).collect::<String>());
        return problem(Fault::Path, found, "1 to 1024 bytes without control characters".into());
    }
    if name.starts_with(['/', '\\']) || name.split(['/', '\\']).any(|part| part == "..") {
        return problem(Fault::Path, "a tensor name that is a path".into(), "a name such as `heads.a.weight`".into());
    }
    let Some(dtype) = StoredDtype::parse(&raw.dtype) else {
        let found = format!("dtype {:?}", raw.dtype.chars().take(40).collect::<String>());
        return problem(Fault::Dtype, found, "a dtype of the safetensors format".into());
    };
    if raw.shape.len() > MAX_RANK {
        return problem(Fault::Value, format!("{} dimensions", raw.shape.len()), format!("at most {MAX_RANK}"));
    }
    let shape: Option<Vec<usize>> = raw.shape.iter().map(|&size| size.try_into().ok()).collect();
    let bits = shape.as_ref().and_then(|shape| shape.iter().try_fold(dtype.bits(), |n, &size| n.checked_mul(size)));
    let (Some(shape), Some(bits)) = (shape, bits) else {
        let found = format!("shape {:?}", raw.shape);
        return problem(Fault::Value, found, "a size that fits into memory".into());
    };
    let [start, end] = raw.data_offsets;
    if end.checked_sub(start).is_none_or(|bytes| bits % 8 != 0 || bytes != bits as u64 / 8) {
        let expected = format!("{} bytes for {shape:?} of {dtype}", bits.div_ceil(8));
        return problem(Fault::Header, format!("offsets {start} to {end}"), expected);
    }
    match (usize::try_from(start), usize::try_from(end)) {
        (Ok(start), Ok(end)) => Ok(Entry { name, dtype, shape, range: start..end }),
        _ => problem(Fault::Value, format!("offsets {start} to {end}"), "a size that fits into memory".into()),
    }
}

/// Checks that the tensors cover the data exactly, each byte once.
fn cover(path: &Path, mut entries: Vec<&Entry>, data_len: u64) -> Result<()> {
    entries.sort_unstable_by_key(|entry| (entry.range.start, entry.range.end));
    let mut end = 0;
    for i in 0..entries.len() {
        let Range { start, end: next } = entries[i].range;
        if start != end {
            let found = if start > end {
                format!("bytes {end} to {start} of the data that belong to no tensor")
            } else {
                format!("bytes {start} to {} that belong to `{}` too", end.min(next), entries[i - 1].name)
            };
            let problem = Problem::new(found, format!("the data to start at byte {end}"), DAMAGED);
            return Err(problem.file(path).key(&entries[i].name).checkpoint(Fault::Overlap));
        }
        end = next;
    }
    if end as u64 != data_len {
        let found = format!("{data_len} bytes of data");
        return Err(fault(path, Fault::Length, found, format!("{end} bytes, as the header says")));
    }
    Ok(())
}

struct RawHeader {
    metadata: Option<IndexMap<String, String>>,
    tensors: Vec<(String, RawEntry)>,
}

#[derive(serde::Deserialize)]
struct RawEntry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = RawHeader;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<RawHeader, A::Error> {
        let mut header = RawHeader { metadata: None, tensors: Vec::new() };
        while let Some(key) = map.next_key::<String>()? {
            let named = |e: A::Error| A::Error::custom(format_args!("{key:?}: {e}"));
            if key != "__metadata__" {
                let entry = map.next_value::<RawEntry>().map_err(named)?;
                header.tensors.push((key, entry));
            } else if header.metadata.is_some() {
                map.next_value::<IgnoredAny>()?;
                return Err(A::Error::custom("`__metadata__` is written twice"));
            } else {
                header.metadata = Some(map.next_value::<unique::Map<String>>().map_err(named)?.0);
            }
        }
        Ok(header)
    }
}
