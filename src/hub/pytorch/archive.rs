//! Where a file of PyTorch keeps its numbers: an uncompressed zip archive, or before PyTorch 1.6 a row of pickles with
//! the numbers behind.

use super::pickle::{self, Machine, Read, Refusal, Storage, Tensor, Value};
use std::collections::{HashMap, HashSet};
use std::io::Cursor;
use std::ops::Range;
use std::rc::Rc;
use zip::{CompressionMethod, ZipArchive};

/// The longest pickle. That of a model with 10,000 tensors has one megabyte.
const MAX_PICKLE: usize = 64 << 20;
/// How an older file begins: a pickle of the number 0x1950a86a20f9469cfc6c.
const MAGIC: [u8; 15] = [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];

/// The tensors of a file by name, and where each storage lies in it.
pub(super) struct Archive {
    pub(super) tensors: Vec<(String, Rc<Tensor>)>,
    pub(super) storages: HashMap<String, Range<usize>>,
}

pub(super) fn read(bytes: &[u8]) -> Read<Archive> {
    match bytes {
        [b'P', b'K', 3, 4, ..] => zipped(bytes),
        _ if bytes.starts_with(&MAGIC) => legacy(bytes),
        _ => {
            let found = match std::str::from_utf8(&bytes[..bytes.len().min(40)]) {
                Ok(text) if text.starts_with("version https://git-lfs") => {
                    "a Git LFS pointer, not the file itself".into()
                }
                _ => format!("a file of {} bytes that begins otherwise", bytes.len()),
            };
            Err(Refusal::new(found, "a file that torch.save wrote"))
        }
    }
}

fn zipped(bytes: &[u8]) -> Read<Archive> {
    let broken =
        |error: zip::result::ZipError| Refusal::new(format!("a broken archive ({error})"), "a whole zip archive");
    let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    if zip.has_duplicate_names() {
        return Err(Refusal::new("an archive with a name twice", "each name once"));
    }
    let mut entries = HashMap::new();
    for index in 0..zip.len() {
        let entry = zip.by_index_raw(index).map_err(broken)?;
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        let shown: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
        if entry.compression() != CompressionMethod::Stored
            || entry.encrypted()
            || entry.size() != entry.compressed_size()
        {
            return Err(Refusal::new(
                format!("`{shown}` compressed"),
                "bytes as they are, which is how torch.save stores",
            ));
        }
        let range = entry.data_start().and_then(|start| {
            let start = usize::try_from(start).ok()?;
            let end = start.checked_add(usize::try_from(entry.size()).ok()?)?;
            (end <= bytes.len()).then_some(start..end)
        });
        let Some(range) = range else {
            return Err(Refusal::new(format!("`{shown}` beyond the end of the file"), "a whole zip archive"));
        };
        entries.insert(name, range);
    }
    let folder = |root: &&str| root.is_empty() || root.ends_with('/');
    let mut pickles =
        entries.iter().filter_map(|(name, range)| Some((name.strip_suffix("data.pkl").filter(folder)?, range)));
    let (Some((root, range)), None) = (pickles.next(), pickles.next()) else {
        return Err(Refusal::new("a zip archive without one data.pkl", "a file that torch.save wrote"));
    };
    if entries.get(&format!("{root}byteorder")).is_some_and(|range| &bytes[range.clone()] != b"little") {
        return Err(Refusal::new("numbers in big-endian order", "little-endian ones"));
    }
    let (machine, value, _) = read_pickle(&bytes[range.clone()])?;
    let tensors = tensors(&machine, &value)?;
    let place = |storage: &Storage| entries.get(&format!("{root}data/{}", storage.key)).cloned();
    let storages =
        tensors.iter().filter_map(|(_, tensor)| Some((tensor.storage.key.clone(), place(&tensor.storage)?))).collect();
    Ok(Archive { tensors, storages })
}

/// Magic number, version, properties of the machine that wrote it, the dictionary, the storages' keys; then for each
/// key how many numbers there are, and the numbers.
fn legacy(bytes: &[u8]) -> Read<Archive> {
    let mut at = 0;
    let mut next = || {
        let (machine, value, length) = read_pickle(&bytes[at..])?;
        at += length;
        Ok::<_, Refusal>((machine, value))
    };
    for _ in 0..3 {
        next()?;
    }
    let (machine, value) = next()?;
    let tensors = tensors(&machine, &value)?;
    let (machine, keys) = next()?;
    let keys = machine.items(&keys).unwrap_or_default();
    let sizes: HashMap<&str, &Storage> =
        tensors.iter().map(|(_, tensor)| (tensor.storage.key.as_str(), &*tensor.storage)).collect();
    let mut storages = HashMap::new();
    for key in keys {
        let Value::Text(key) = key else { return Err(Refusal::new("a storage without a name", "a name")) };
        let Some(storage) = sizes.get(&**key) else {
            return Err(Refusal::new("a storage that no tensor uses", "a dictionary of tensors"));
        };
        let cut = || Refusal::new(format!("a file of {} bytes", bytes.len()), "the numbers of every tensor");
        let count = bytes[at..].first_chunk::<8>().ok_or_else(cut)?;
        if u64::from_le_bytes(*count) != storage.len as u64 {
            return Err(Refusal::new("two sizes for one storage", "one size"));
        }
        let start = at + 8;
        let end = start.checked_add(storage.len * storage.number.bytes()).filter(|&end| end <= bytes.len());
        at = end.ok_or_else(cut)?;
        storages.insert(key.to_string(), start..at);
    }
    Ok(Archive { tensors, storages })
}

fn read_pickle(bytes: &[u8]) -> Read<(Machine, Value, usize)> {
    pickle::read(&bytes[..bytes.len().min(MAX_PICKLE)])
}

/// The tensors of a dictionary; of two with one name the later, as in Python. Other entries are no weights.
fn tensors(machine: &Machine, value: &Value) -> Read<Vec<(String, Rc<Tensor>)>> {
    let entries =
        machine.dict(value).ok_or_else(|| Refusal::new("no dictionary", "a dictionary of tensors by name"))?;
    let mut seen = HashSet::new();
    let mut tensors = Vec::new();
    for (name, value) in entries.iter().rev() {
        if let (Value::Text(name), Value::Tensor(tensor)) = (name, value)
            && seen.insert(name.clone())
        {
            tensors.push((name.to_string(), tensor.clone()));
        }
    }
    tensors.reverse();
    Ok(tensors)
}
