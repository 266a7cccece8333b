//! Reads safetensors files.

use super::header::{self, Entry, Header, PREFIX, StoredDtype};
use crate::error::{Fault, IoContext, Problem, Result};
use crate::files::sha256_hex;
use crate::model::{Weight, Weights};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use indexmap::IndexMap;
use rayon::prelude::*;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Values that a thread converts at a time.
const CHUNK: usize = 1 << 16;

/// A safetensors file in memory whose header was checked: every tensor lies where it says, every byte belongs to one.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    header: Header,
    /// The whole file.
    bytes: Vec<u8>,
    data_start: usize,
}

/// One tensor of a [`TensorFile`]: little-endian values in C order.
#[derive(Clone, Copy, Debug)]
pub struct StoredTensor<'a> {
    /// Its name.
    pub name: &'a str,
    /// Number format of the stored values.
    pub dtype: StoredDtype,
    /// Size of each dimension.
    pub shape: &'a [usize],
    /// The stored bytes.
    pub data: &'a [u8],
    path: &'a Path,
}

impl TensorFile {
    /// Reads and checks a file. The header is checked against the file's length before the tensors are read.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the file cannot be read, [`Error::Checkpoint`](crate::Error::Checkpoint) with
    /// the file, the tensor, what was found and what was expected if it breaks the format.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        // Asked before opening: to open a pipe can wait for ever.
        if !std::fs::metadata(path).at("open", path)?.is_file() {
            return Err(io::Error::other("not a regular file")).at("read", path);
        }
        let mut file = std::fs::File::open(path).at("open", path)?;
        let file_len = file.metadata().at("read", path)?.len();
        let mut bytes = Vec::new();
        read_to(&mut file, &mut bytes, file_len.min(PREFIX as u64)).at("read", path)?;
        let data_start = PREFIX + header::json_length(path, &bytes, file_len)?;
        read_to(&mut file, &mut bytes, data_start as u64).at("read", path)?;
        let header = header::parse(path, &bytes[PREFIX..], file_len - data_start as u64)?;
        read_to(&mut file, &mut bytes, file_len).at("read", path)?;
        Ok(Self { path: path.to_owned(), header, bytes, data_start })
    }

    /// Checks a whole file that is in memory already; `path` only names it in errors.
    ///
    /// # Errors
    /// [`Error::Checkpoint`](crate::Error::Checkpoint) if it breaks the format.
    pub fn from_bytes(path: impl AsRef<Path>, bytes: Vec<u8>) -> Result<Self> {
        let path = path.as_ref();
        let data_start = PREFIX + header::json_length(path, &bytes, bytes.len() as u64)?;
        let header = header::parse(path, &bytes[PREFIX..data_start], (bytes.len() - data_start) as u64)?;
        Ok(Self { path: path.to_owned(), header, bytes, data_start })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The header's own key-value pairs.
    pub fn metadata(&self) -> &IndexMap<String, String> {
        &self.header.metadata
    }

    /// SHA-256 of the whole file in hexadecimal digits.
    pub fn sha256(&self) -> String {
        sha256_hex(&self.bytes)
    }

    /// Number of tensors; at least one.
    #[expect(clippy::len_without_is_empty, reason = "a file without tensors is refused")]
    pub fn len(&self) -> usize {
        self.header.entries.len()
    }

    /// The tensors, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = StoredTensor<'_>> {
        self.header.entries.iter().map(|entry| self.stored(entry))
    }

    /// The tensor of this name.
    pub fn get(&self, name: &str) -> Option<StoredTensor<'_>> {
        let entries = &self.header.entries;
        let at = entries.binary_search_by(|entry| entry.name.as_str().cmp(name)).ok()?;
        Some(self.stored(&entries[at]))
    }

    /// The tensor of this name, which has to be there.
    ///
    /// # Errors
    /// [`Fault::MissingTensor`].
    pub fn require(&self, name: &str) -> Result<StoredTensor<'_>> {
        self.get(name).ok_or_else(|| {
            let found = format!("{} other tensors", self.len());
            let help = "the file belongs to another model, or its export was incomplete";
            Problem::new(found, "this tensor", help).file(&self.path).key(name).checkpoint(Fault::MissingTensor)
        })
    }

    /// Widens the floating-point tensors whose names are wanted; tensors of other formats are no parameters.
    ///
    /// # Errors
    /// None but those of [`StoredTensor::to_f32`].
    pub fn weights(&self, wanted: impl Fn(&str) -> bool) -> Result<Weights> {
        let tensors = self.iter().filter(|tensor| tensor.is_float() && wanted(tensor.name));
        let weight = |tensor: StoredTensor| {
            Ok((tensor.name.to_owned(), Weight { shape: tensor.shape.to_vec(), values: tensor.to_f32()? }))
        };
        tensors.map(weight).collect()
    }

    fn stored<'a>(&'a self, entry: &'a Entry) -> StoredTensor<'a> {
        let data = &self.bytes[self.data_start..][entry.range.clone()];
        StoredTensor { name: &entry.name, dtype: entry.dtype, shape: &entry.shape, data, path: &self.path }
    }
}

impl StoredTensor<'_> {
    /// Number of values.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the values are floating-point numbers that [`Self::to_f32`] reads.
    pub fn is_float(&self) -> bool {
        !matches!(self.dtype, StoredDtype::Other(_))
    }

    /// Checks the shape.
    ///
    /// # Errors
    /// [`Fault::Shape`].
    pub fn expect_shape(&self, shape: &[usize]) -> Result<()> {
        if self.shape == shape {
            return Ok(());
        }
        let (found, expected) = (format!("shape {:?}", self.shape), format!("{shape:?}"));
        let help = "the tensors and the configuration belong to different models";
        Err(Problem::new(found, expected, help).file(self.path).key(self.name).checkpoint(Fault::Shape))
    }

    /// The values as `f32`, in parallel where there are many.
    ///
    /// # Errors
    /// [`Fault::Dtype`] if they are no floating-point numbers of 16 or 32 bits.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        self.expect_float()?;
        let mut values = vec![0.0; self.elements()];
        self.copy_to(&mut values)?;
        Ok(values)
    }

    /// Copies the values as `f32` to `out`, in parallel where there are many.
    ///
    /// # Errors
    /// [`Fault::Dtype`] as [`Self::to_f32`]; [`Fault::Shape`] if `out` has another length.
    pub fn copy_to(&self, out: &mut [f32]) -> Result<()> {
        self.expect_float()?;
        if out.len() != self.elements() {
            return self.expect_shape(&[out.len()]);
        }
        let width = self.data.len() / out.len().max(1);
        out.par_chunks_mut(CHUNK).zip(self.data.par_chunks(CHUNK * width.max(1))).for_each(|(out, bytes)| {
            match self.dtype {
                StoredDtype::F16 => widen::<f16>(bytes, out, f16::from_bits, |from, to| from.convert_to_f32_slice(to)),
                StoredDtype::Bf16 => {
                    widen::<bf16>(bytes, out, bf16::from_bits, |from, to| from.convert_to_f32_slice(to));
                }
                _ => bytes.as_chunks().0.iter().zip(out).for_each(|(b, v)| *v = f32::from_le_bytes(*b)),
            }
        });
        Ok(())
    }

    /// Checks that the values are floating-point numbers of 16 or 32 bits.
    ///
    /// # Errors
    /// [`Fault::Dtype`].
    pub fn expect_float(&self) -> Result<()> {
        if self.is_float() {
            return Ok(());
        }
        let help = "convert the weights to one of these";
        let problem = Problem::new(format!("dtype {}", self.dtype), "F32, F16 or BF16", help);
        Err(problem.file(self.path).key(self.name).checkpoint(Fault::Dtype))
    }
}

/// Widens 16-bit values block by block; the slice conversion is where the processor's own instructions are used.
fn widen<H: Copy + Default>(bytes: &[u8], out: &mut [f32], from_bits: fn(u16) -> H, convert: fn(&[H], &mut [f32])) {
    let mut block = [H::default(); 256];
    for (bytes, out) in bytes.as_chunks::<2>().0.chunks(block.len()).zip(out.chunks_mut(block.len())) {
        let block = &mut block[..out.len()];
        bytes.iter().zip(&mut *block).for_each(|(b, h)| *h = from_bits(u16::from_le_bytes(*b)));
        convert(block, out);
    }
}

/// Reads until `bytes` holds `len` bytes. Memory that is not there is an error, not an abort.
fn read_to(file: &mut std::fs::File, bytes: &mut Vec<u8>, len: u64) -> io::Result<()> {
    let missing = len.saturating_sub(bytes.len() as u64);
    let space = usize::try_from(missing).map_err(|_| io::ErrorKind::OutOfMemory)?;
    bytes.try_reserve_exact(space).map_err(|_| io::ErrorKind::OutOfMemory)?;
    if file.take(missing).read_to_end(bytes)? as u64 != missing {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}
