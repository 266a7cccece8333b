//! Matrix products by cuBLASLt. Matrices are row by row, as everywhere here; cuBLASLt, which takes them column by column, is told of
//! the transposed product.

use super::launch::{DeviceNumber, Format, alloc, launch, named, over};
use candle_core::cuda_backend::cudarc::cublaslt::{result, sys};
use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use candle_core::cuda_backend::{CudaError, WrapErr, gemm_reduced_precision_f32};
use candle_core::{CudaDevice, Result};
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Mutex;

/// A matrix, rows `stride` numbers apart; as a factor, perhaps transposed.
#[derive(Clone, Copy)]
pub struct Matrix {
    address: u64,
    format: Format,
    stride: usize,
    transposed: bool,
}

impl Matrix {
    /// Rows of numbers of type `S`.
    pub fn new<S: DeviceNumber>(address: u64, stride: usize) -> Self {
        Self { address, format: S::FORMAT, stride, transposed: false }
    }

    /// The same, from column `column` on.
    pub fn column(self, column: usize) -> Self {
        Self { address: self.address + (column * self.bytes()) as u64, ..self }
    }

    /// The same, from row `row` on.
    pub fn row(self, row: usize) -> Self {
        Self { address: self.address + (row * self.stride * self.bytes()) as u64, ..self }
    }

    /// Its transpose.
    pub fn t(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    fn bytes(self) -> usize {
        if self.format == Format::F32 { 4 } else { 2 }
    }

    fn kind(self) -> sys::cudaDataType {
        match self.format {
            Format::F32 => sys::cudaDataType::CUDA_R_32F,
            Format::Bf16 => sys::cudaDataType::CUDA_R_16BF,
            Format::F16 => sys::cudaDataType::CUDA_R_16F,
        }
    }

    /// Bytes that its address is a multiple of.
    fn alignment(self) -> u32 {
        1 << self.address.trailing_zeros().min(8)
    }
}

/// `out[rows, columns] = left[rows, depth] · right[depth, columns]`, plus what is there if `keep`, or else plus a bias a column of
/// the result's type. Factors are of one type; the result is f32 or of that type.
pub struct Product {
    /// Rows, columns, depth.
    pub shape: [usize; 3],
    /// The left factor.
    pub left: Matrix,
    /// The right factor.
    pub right: Matrix,
    /// The result.
    pub out: Matrix,
    /// Whether to add to the result.
    pub keep: bool,
    /// Address of a bias.
    pub bias: Option<u64>,
}

/// What the choice of an algorithm depends on.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    shape: [usize; 3],
    strides: [usize; 3],
    transposed: [bool; 2],
    formats: [Format; 2],
    alignments: [u32; 3],
    bias: bool,
    tf32: bool,
}

/// A described product with its algorithm.
struct Plan {
    descriptor: sys::cublasLtMatmulDesc_t,
    layouts: [sys::cublasLtMatrixLayout_t; 3],
    algorithm: sys::cublasLtMatmulAlgo_t,
}

/// The products of one stream.
struct Products {
    handle: sys::cublasLtHandle_t,
    workspace: CudaSlice<u8>,
    plans: HashMap<Key, Plan>,
}

// SAFETY: the handles are cuBLASLt's own; it lets any thread use them, and the lock around this lets one at a time.
unsafe impl Send for Products {}

/// Memory that algorithms may use.
const WORKSPACE: usize = 32 << 20;
/// Plans that are kept: batches differ in their numbers of tokens.
const PLANS: usize = 4096;

impl Product {
    /// Computes it, on the device's stream.
    ///
    /// # Errors
    /// If cuBLASLt refuses it.
    pub fn run(&self, device: &CudaDevice) -> Result<()> {
        static PRODUCTS: Mutex<Option<HashMap<(usize, usize), Products>>> = Mutex::new(None);
        if self.shape.contains(&0) {
            return Ok(());
        }
        let stream = device.cuda_stream();
        stream.context().bind_to_thread().w()?;
        let key = (stream.context().ordinal(), stream.cu_stream() as usize);
        let mut all = PRODUCTS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let products = match all.get_or_insert_default().entry(key) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => entry.insert(Products {
                handle: result::create_handle().map_err(failed)?,
                workspace: alloc(device, WORKSPACE)?,
                plans: HashMap::new(),
            }),
        };
        products.run(self, stream.cu_stream().cast())
    }
}

fn failed(error: result::CublasError) -> candle_core::Error {
    CudaError::InternalError(match error.0 {
        sys::cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED => "cuBLASLt has no algorithm for a product",
        sys::cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED => "cuBLASLt has no memory",
        _ => "cuBLASLt failed",
    })
    .into()
}

impl Products {
    fn run(&mut self, product: &Product, stream: sys::cudaStream_t) -> Result<()> {
        let Product { left, right, out, .. } = *product;
        let key = Key {
            shape: product.shape,
            strides: [left.stride, right.stride, out.stride],
            transposed: [left.transposed, right.transposed],
            formats: [left.format, out.format],
            alignments: [left.alignment(), right.alignment(), out.alignment()],
            bias: product.bias.is_some(),
            tf32: left.format == Format::F32 && gemm_reduced_precision_f32(),
        };
        if self.plans.len() >= PLANS && !self.plans.contains_key(&key) {
            self.plans.clear();
        }
        let plan = match self.plans.entry(key) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(Plan::new(self.handle, product, key.tf32).map_err(failed)?)
            }
        };
        if let Some(bias) = product.bias {
            let attribute = sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_BIAS_POINTER;
            set(plan.descriptor, attribute, &bias).map_err(failed)?;
        }
        let (one, beta) = (1.0f32, f32::from(u8::from(product.keep)));
        let pointer = |matrix: Matrix| matrix.address as *mut c_void;
        let [left_layout, right_layout, out_layout] = plan.layouts;
        // SAFETY: addresses and shapes are those of buffers that the caller holds until the product is on the stream; the plan was made
        // for these strides and alignments.
        unsafe {
            result::matmul(
                self.handle,
                plan.descriptor,
                (&raw const one).cast(),
                (&raw const beta).cast(),
                pointer(right),
                right_layout,
                pointer(left),
                left_layout,
                pointer(out),
                out_layout,
                pointer(out),
                out_layout,
                &plan.algorithm,
                super::launch::Word::word(&self.workspace) as *mut c_void,
                WORKSPACE,
                stream,
            )
        }
        .map_err(failed)
    }
}

fn set<T>(
    descriptor: sys::cublasLtMatmulDesc_t,
    attribute: sys::cublasLtMatmulDescAttributes_t,
    value: &T,
) -> std::result::Result<(), result::CublasError> {
    // SAFETY: the descriptor is alive, and the value of the attribute's size.
    unsafe { result::set_matmul_desc_attribute(descriptor, attribute, (&raw const *value).cast(), size_of::<T>()) }
}

impl Plan {
    fn new(
        handle: sys::cublasLtHandle_t,
        product: &Product,
        tf32: bool,
    ) -> std::result::Result<Self, result::CublasError> {
        use sys::cublasLtMatmulDescAttributes_t as Attribute;
        use sys::cublasLtMatmulPreferenceAttributes_t as Preference;
        let Product { shape: [rows, columns, depth], left, right, out, .. } = *product;
        let compute = match tf32 {
            true => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
            false => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
        };
        // As it lies, column by column, a matrix has its row's numbers for rows.
        let layout = |matrix: Matrix, rows: usize, columns: usize| {
            let (rows, columns) = if matrix.transposed { (columns, rows) } else { (rows, columns) };
            result::create_matrix_layout(matrix.kind(), columns as u64, rows as u64, matrix.stride as i64)
        };
        let layouts = [layout(left, rows, depth)?, layout(right, depth, columns)?, layout(out, rows, columns)?];
        let descriptor = result::create_matmul_desc(compute, sys::cudaDataType::CUDA_R_32F)?;
        set(descriptor, Attribute::CUBLASLT_MATMUL_DESC_TRANSA, &i32::from(right.transposed))?;
        set(descriptor, Attribute::CUBLASLT_MATMUL_DESC_TRANSB, &i32::from(left.transposed))?;
        if let Some(bias) = product.bias {
            set(
                descriptor,
                Attribute::CUBLASLT_MATMUL_DESC_EPILOGUE,
                &sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS,
            )?;
            set(descriptor, Attribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias)?;
        }
        let preference = result::create_matmul_pref()?;
        let alignments = [
            (Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, right.alignment()),
            (Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, left.alignment()),
            (Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, out.alignment()),
            (Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, out.alignment()),
        ];
        let workspace = Preference::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
        let room = WORKSPACE;
        // SAFETY: all handles were just made; the values are of the attributes' sizes.
        let found = unsafe {
            result::set_matmul_pref_attribute(preference, workspace, (&raw const room).cast(), size_of::<usize>())?;
            for (attribute, bytes) in alignments {
                result::set_matmul_pref_attribute(preference, attribute, (&raw const bytes).cast(), size_of::<u32>())?;
            }
            let [left, right, out] = layouts;
            let found = result::get_matmul_algo_heuristic(handle, descriptor, right, left, out, out, preference);
            result::destroy_matmul_pref(preference)?;
            found?
        };
        Ok(Self { descriptor, layouts, algorithm: found.algo })
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        // SAFETY: made in `new`, and used nowhere else. What an error says here helps nobody.
        unsafe {
            let _ = result::destroy_matmul_desc(self.descriptor);
            for layout in self.layouts {
                let _ = result::destroy_matrix_layout(layout);
            }
        }
    }
}

/// `count` numbers rounded to `S`; those of f32 are copied.
pub fn round<S: DeviceNumber>(device: &CudaDevice, from: u64, count: usize) -> Result<CudaSlice<S>> {
    let rounded = alloc::<S>(device, count)?;
    if count > 0 {
        launch!(device, "elementwise", named!(S, "round"), over(count), from, rounded, count);
    }
    Ok(rounded)
}
