//! Weights that a repository has only as `pytorch_model.bin`, converted once to safetensors in the user's cache.
//!
//! Such a file is a Python pickle, which can carry code. It is read here without Python and without running anything:
//! names that rebuild tensors stand for data, and any other name is refused.

mod archive;
mod pickle;

use super::{FileList, MODEL_FILE};
use crate::error::{Error, IoContext, Problem, Result};
use crate::files::{cache_folder, create_file, hash_file, sha256_hex, sync_folder};
use archive::Archive;
use half::{bf16, f16};
use pickle::{Number, Refusal, Tensor};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use std::borrow::Cow;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Name of PyTorch's own file of weights.
pub const PYTORCH_FILE: &str = "pytorch_model.bin";

const HELP: &str = "choose another repository or revision, or save the model from Python with `save_pretrained`";

/// A folder with converted weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// It has the files that were asked for, `model.safetensors` among them.
    pub folder: PathBuf,
    /// What was done, for people, in one line.
    pub note: String,
}

/// A folder with the required files, in which `model.safetensors` holds the tensors of `pytorch_model.bin` in `folder`.
///
/// It lies in [`cache_folder`]`/converted/<hash of the files>` and is made once. Nothing in the file is run: anything but
/// tensors is refused by name.
///
/// # Errors
/// [`Error::Backbone`] if the file is no dictionary of tensors, is damaged, or asks for code to be run;
/// [`Error::Io`] if a file cannot be read or written.
pub fn convert(folder: &Path, files: &FileList) -> Result<Converted> {
    let Some(cache) = cache_folder() else {
        let help = "set MTL_ZOO_CACHE to a folder with space, or save the model from Python with `save_pretrained`";
        let problem = Problem::new("weights to convert, and no cache folder", "a place for model.safetensors", help);
        return Err(problem.file(folder.join(PYTORCH_FILE)).backbone());
    };
    convert_in(folder, files, &cache.join("converted"))
}

/// As [`convert`], with another folder for what is converted.
///
/// # Errors
/// As [`convert`].
pub fn convert_in(folder: &Path, files: &FileList, cache: &Path) -> Result<Converted> {
    let source = folder.join(PYTORCH_FILE);
    let mut small = Vec::new();
    for name in files.required.iter().chain(files.optional).filter(|name| **name != MODEL_FILE) {
        let path = folder.join(name);
        if path.is_file() || files.required.contains(name) {
            small.push((*name, fs::read(&path).at("read", &path)?));
        }
    }
    let mut identity = format!("1 {PYTORCH_FILE} {}\n", hash_file(&source)?);
    small.iter().for_each(|(name, bytes)| identity.push_str(&format!("{name} {}\n", sha256_hex(bytes))));
    let target = cache.join(sha256_hex(identity.as_bytes()));
    if target.join(MODEL_FILE).is_file() {
        let note = format!("{}: using the safetensors that were made of it, {}", source.display(), target.display());
        return Ok(Converted { folder: target, note });
    }

    let bytes = read_file(&source)?;
    let tensors = tensors(&bytes).map_err(|refusal| refused(&source, &refusal))?;
    fs::create_dir_all(cache).at("create", cache)?;
    let partial = tempfile::Builder::new().prefix(".partial-").tempdir_in(cache).at("create", cache)?;
    for (name, bytes) in &small {
        create_file(&partial.path().join(name), |out| out.write_all(bytes).at("write", target.join(name)))?;
    }
    write_tensors(&partial.path().join(MODEL_FILE), &target.join(MODEL_FILE), tensors)?;
    sync_folder(partial.path())?;
    match fs::rename(partial.path(), &target) {
        Ok(()) => drop(partial.keep()),
        // Another run has made the same in the meantime.
        Err(_) if target.join(MODEL_FILE).is_file() => {}
        Err(error) => return Err(error).at("rename", &target),
    }
    sync_folder(cache)?;
    let note = format!(
        "{}: a pickle, which can carry code; its tensors were read and nothing was run; now safetensors in {}",
        source.display(),
        target.display()
    );
    Ok(Converted { folder: target, note })
}

/// A tensor in C order.
struct Values<'a> {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Cow<'a, [u8]>,
}

/// The floating-point tensors; integers such as position ids are no weights.
fn tensors(bytes: &[u8]) -> Result<Vec<Values<'_>>, Refusal> {
    let Archive { tensors, storages } = archive::read(bytes)?;
    // Two names for one storage are usual, as for tied embeddings; a thousand are an attack on the disk.
    let mut room = bytes.len().saturating_mul(3);
    let mut all = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let storage = &tensor.storage;
        let shown = || name.chars().filter(|c| !c.is_control()).take(200).collect::<String>();
        let dtype = match storage.number {
            Number::F64 | Number::F32 => Dtype::F32,
            Number::F16 => Dtype::F16,
            Number::Bf16 => Dtype::BF16,
            Number::Integer(_) => continue,
        };
        let place = storages.get(&storage.key).map(|range| &bytes[range.clone()]);
        let length = storage.len * storage.number.bytes();
        // Nothing needs no place.
        let Some(stored) = place.or((length == 0).then_some(&[][..])).filter(|stored| stored.len() == length) else {
            let found = format!("{} bytes for `{}`", place.map_or(0, <[u8]>::len), shown());
            return Err(Refusal::new(found, format!("{length} bytes for its storage of {} numbers", storage.len)));
        };
        let values = gather(stored, &tensor);
        room = room.checked_sub(values.len()).ok_or_else(|| {
            Refusal::new("tensors that are larger than the file several times over", "each number once or twice")
        })?;
        let bytes = if storage.number == Number::F64 { Cow::Owned(narrowed(&values)) } else { values };
        if let Some(at) = not_finite(dtype, &bytes) {
            let found = format!("a number at position {at} of `{}` that is infinite or none", shown());
            return Err(Refusal::new(found, "finite weights"));
        }
        all.push(Values { name, dtype, shape: tensor.shape.clone(), bytes });
    }
    if all.is_empty() {
        return Err(Refusal::new("no tensor of floating-point numbers", "the weights of a model"));
    }
    Ok(all)
}

/// The numbers of a view in C order: as they lie, or one by one where strides say otherwise.
fn gather<'a>(stored: &'a [u8], tensor: &Tensor) -> Cow<'a, [u8]> {
    let width = tensor.storage.number.bytes();
    let count: usize = tensor.shape.iter().product();
    let mut expected = count;
    let in_order = tensor.shape.iter().zip(&tensor.strides).all(|(&size, &stride)| {
        expected = expected.checked_div(size).unwrap_or(0);
        size <= 1 || stride == expected
    });
    if count == 0 {
        return Cow::Borrowed(&[]);
    }
    if in_order {
        return Cow::Borrowed(&stored[tensor.offset * width..][..count * width]);
    }
    let mut out = Vec::with_capacity(count * width);
    let mut index = vec![0; tensor.shape.len()];
    for _ in 0..count {
        let at = tensor.offset + index.iter().zip(&tensor.strides).map(|(i, stride)| i * stride).sum::<usize>();
        out.extend_from_slice(&stored[at * width..][..width]);
        for (place, &size) in index.iter_mut().zip(&tensor.shape).rev() {
            *place += 1;
            if *place < size {
                break;
            }
            *place = 0;
        }
    }
    Cow::Owned(out)
}

/// 64 bits to 32.
fn narrowed(bytes: &[u8]) -> Vec<u8> {
    bytes.as_chunks::<8>().0.iter().flat_map(|b| (f64::from_le_bytes(*b) as f32).to_le_bytes()).collect()
}

fn not_finite(dtype: Dtype, bytes: &[u8]) -> Option<usize> {
    let halves = || bytes.as_chunks::<2>().0.iter();
    match dtype {
        Dtype::F16 => halves().position(|b| !f16::from_le_bytes(*b).is_finite()),
        Dtype::BF16 => halves().position(|b| !bf16::from_le_bytes(*b).is_finite()),
        _ => bytes.as_chunks::<4>().0.iter().position(|b| !f32::from_le_bytes(*b).is_finite()),
    }
}

/// `path` is where the file will be.
fn write_tensors(temporary: &Path, path: &Path, tensors: Vec<Values<'_>>) -> Result<()> {
    let views = tensors.iter().map(|tensor| {
        let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes);
        (&tensor.name, view.expect("as many bytes as the shape says"))
    });
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    safetensors::serialize_to_file(views, Some(metadata), temporary).map_err(io::Error::other).at("write", path)?;
    fs::File::open(temporary).and_then(|file| file.sync_all()).at("write", path)
}

/// Memory that is not there is an error, not an abort.
fn read_file(path: &Path) -> Result<Vec<u8>> {
    // Asked before opening: to open a pipe can wait for ever.
    if !fs::metadata(path).at("open", path)?.is_file() {
        return Err(io::Error::other("not a regular file")).at("read", path);
    }
    let mut file = fs::File::open(path).at("open", path)?;
    let length = usize::try_from(file.metadata().at("read", path)?.len()).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| io::ErrorKind::OutOfMemory.into()).at("read", path)?;
    file.read_to_end(&mut bytes).at("read", path)?;
    Ok(bytes)
}

fn refused(path: &Path, refusal: &Refusal) -> Error {
    let help = match refusal.code {
        true => {
            "a pickle can run what it names; nothing was run here. Choose another repository, and do not open this file in \
                 Python unless you trust it"
        }
        false => HELP,
    };
    Problem::new(&refusal.found, &refusal.expected, help).file(path).backbone()
}
