//! What several test files share.
#![allow(dead_code, reason = "each test file uses its part")]

#[cfg(feature = "cuda")]
pub mod cuda;

use mtl_zoo::data::Packed;
use mtl_zoo::model::{Weight, Weights};
use safetensors::SafeTensors;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Arrays and metadata of a safetensors file.
pub struct Golden {
    pub arrays: HashMap<String, (Vec<usize>, Vec<f64>)>,
    pub metadata: HashMap<String, String>,
}

impl Golden {
    pub fn open(name: &str) -> Self {
        Self::read(&root().join("tests/golden").join(format!("{name}.safetensors")))
    }

    pub fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let arrays = SafeTensors::deserialize(&bytes)
            .unwrap()
            .tensors()
            .into_iter()
            .map(|(name, tensor)| (name, (tensor.shape().to_vec(), numbers(tensor.dtype(), tensor.data()))))
            .collect();
        Self { arrays, metadata: metadata.metadata().clone().unwrap_or_default() }
    }

    pub fn get(&self, name: &str) -> &[f64] {
        &self.arrays.get(name).unwrap_or_else(|| panic!("no array {name}")).1
    }

    pub fn ints(&self, name: &str) -> Vec<u32> {
        self.get(name).iter().map(|&x| x as u32).collect()
    }

    pub fn floats(&self, name: &str) -> Vec<f32> {
        self.get(name).iter().map(|&x| x as f32).collect()
    }

    /// The arrays whose names begin with `prefix`, without it.
    pub fn weights(&self, prefix: &str) -> Weights {
        let named = self.arrays.iter().filter_map(|(name, array)| Some((name.strip_prefix(prefix)?, array)));
        named
            .map(|(name, (shape, values))| {
                (name.to_owned(), Weight { shape: shape.clone(), values: values.iter().map(|&x| x as f32).collect() })
            })
            .collect()
    }

    pub fn packed(&self, prefix: &str) -> Packed {
        let starts = self.ints(&format!("{prefix}starts"));
        let positions = starts.windows(2).flat_map(|w| 0..w[1] - w[0]).collect();
        let (ids, type_ids) = (self.ints(&format!("{prefix}ids")), self.ints(&format!("{prefix}type_ids")));
        Packed { ids, type_ids, positions, starts }
    }
}

fn numbers(dtype: safetensors::Dtype, data: &[u8]) -> Vec<f64> {
    use safetensors::Dtype;
    match dtype {
        Dtype::F32 => data.as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
        Dtype::F64 => data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
        Dtype::F16 => data.as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f64()).collect(),
        Dtype::U32 => data.as_chunks().0.iter().map(|b| f64::from(u32::from_le_bytes(*b))).collect(),
        Dtype::I64 => data.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as f64).collect(),
        other => panic!("golden files hold no {other:?}"),
    }
}

/// What computes: the CPU, or a CUDA device where MTL_ZOO_TEST_DEVICE is `cuda`.
pub fn device() -> candle_core::Device {
    #[cfg(feature = "cuda")]
    if std::env::var("MTL_ZOO_TEST_DEVICE").is_ok_and(|name| name == "cuda") {
        return cuda::device().expect("a CUDA device");
    }
    candle_core::Device::Cpu
}

/// The gradients of a store, where tests can look at them.
pub fn fetched(store: &mtl_zoo::gradient::GradientStore) -> std::sync::MutexGuard<'_, mtl_zoo::gradient::Rows> {
    let mut rows = store.lock();
    rows.fetch().unwrap();
    rows
}

/// The project's folder, or what stands for it where a test program runs without the sources.
pub fn root() -> PathBuf {
    std::env::var_os("MTL_ZOO_TEST_ROOT").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// The bundled backbone: its configuration and weights.
pub fn bundled() -> (String, Weights) {
    let folder = root().join("zoo/bundled/backbone");
    let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
    (config, Golden::read(&folder.join("model.safetensors")).weights(""))
}

/// A small generator for test numbers.
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in -1..1.
    pub fn number(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub fn numbers(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.number()).collect()
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.bits() % limit as u64) as usize
    }
}

/// Largest difference over the largest magnitude expected.
pub fn relative_error(actual: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let largest = expected.iter().fold(0.0f64, |max, x| max.max(x.abs()));
    let difference = actual.iter().zip(expected).fold(0.0f64, |max, (a, e)| {
        let difference = (f64::from(*a) - e).abs();
        if difference.is_nan() { f64::INFINITY } else { max.max(difference) }
    });
    difference / largest.max(1e-12)
}
