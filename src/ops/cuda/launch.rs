//! Device memory as kernels take it, and launches. Everything is asynchronous on candle's stream; memory goes back to its pool in
//! the order of that stream, so that a buffer may be dropped as soon as its last kernel is launched.

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::driver::sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, CudaView, CudaViewMut, DevicePtr, DeviceRepr, LaunchConfig, PushKernelArg,
};
use candle_core::cuda_backend::{CudaDType, WrapErr};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, Layout, Result, Shape, Storage, Tensor};
use half::{bf16, f16};
use std::ops::Deref;

/// The types of numbers that kernels exist for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    F32,
    Bf16,
    F16,
}

/// A type of numbers that kernels exist for.
pub trait DeviceNumber: DeviceRepr + CudaDType + Copy + Send + Sync + 'static {
    /// Which it is.
    const FORMAT: Format;
    /// Whether it is narrower than sums, which are f32.
    const NARROW: bool = !matches!(Self::FORMAT, Format::F32);

    /// The kernel for this type, of those for f32, bf16 and f16.
    fn pick(names: [&'static str; 3]) -> &'static str {
        names[Self::FORMAT as usize]
    }
}

impl DeviceNumber for f32 {
    const FORMAT: Format = Format::F32;
}

impl DeviceNumber for bf16 {
    const FORMAT: Format = Format::Bf16;
}

impl DeviceNumber for f16 {
    const FORMAT: Format = Format::F16;
}

/// The name of a kernel for numbers of type `$number`.
macro_rules! named {
    ($number:ty, $name:literal) => {
        crate::ops::cuda::launch::named!($number, $name, "")
    };
    ($number:ty, $name:literal, $end:literal) => {
        <$number as crate::ops::cuda::launch::DeviceNumber>::pick([
            concat!($name, "_f32", $end),
            concat!($name, "_bf16", $end),
            concat!($name, "_f16", $end),
        ])
    };
}
pub(super) use crate::gradient::upload;
pub(super) use named;

/// An argument of a kernel in the eight bytes that hold any of them; an absent buffer is a null pointer.
pub trait Word {
    /// The bytes, those of a smaller type first.
    fn word(&self) -> u64;
}

macro_rules! number_words {
    ($($number:ty => $bits:expr),*) => {$(
        impl Word for $number {
            fn word(&self) -> u64 {
                $bits(*self) as u64
            }
        }
    )*};
}

number_words!(u32 => u64::from, u64 => u64::from, f32 => f32::to_bits, f64 => f64::to_bits);

impl Word for i32 {
    fn word(&self) -> u64 {
        u64::from(self.cast_unsigned())
    }
}

impl Word for usize {
    fn word(&self) -> u64 {
        *self as u64
    }
}

impl<T> Word for CudaSlice<T> {
    fn word(&self) -> u64 {
        self.device_ptr(self.stream()).0
    }
}

impl<T> Word for CudaView<'_, T> {
    fn word(&self) -> u64 {
        self.device_ptr(candle_core::cuda_backend::cudarc::driver::DeviceSlice::stream(self)).0
    }
}

impl<T> Word for CudaViewMut<'_, T> {
    fn word(&self) -> u64 {
        self.as_view().word()
    }
}

impl<W: Word + ?Sized> Word for &W {
    fn word(&self) -> u64 {
        (**self).word()
    }
}

impl<W: Word> Word for Option<W> {
    fn word(&self) -> u64 {
        self.as_ref().map_or(0, Word::word)
    }
}

/// Launches kernel `name` of `ops/cuda/<file>.cu`.
///
/// # Errors
/// If the device fails, or refuses the launch.
pub fn launch_kernel(
    device: &CudaDevice,
    file: &'static str,
    name: &'static str,
    config: LaunchConfig,
    arguments: &[u64],
) -> Result<()> {
    let function = crate::cuda::kernel(device, file, name)?;
    if config.shared_mem_bytes > 48 << 10 {
        // What is beyond this must be asked for.
        function.set_attribute(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, config.shared_mem_bytes as i32).w()?;
    }
    let stream = device.cuda_stream();
    let mut launch = stream.launch_builder(&function);
    for argument in arguments {
        launch.arg(argument);
    }
    // SAFETY: only the launchers of this folder call this, with the arguments that the kernel's file names and buffers of the sizes
    // that follow from checked shapes; tests/cuda.rs runs each on an emulator that knows the bounds of every allocation.
    unsafe { launch.launch(config) }.w()?;
    Ok(())
}

/// Arguments as words.
macro_rules! words {
    ($($argument:expr),* $(,)?) => {
        [$(crate::ops::cuda::launch::Word::word(&$argument)),*]
    };
}
pub(super) use words;

/// `launch!(device, "file", name, grid, arguments…)`.
macro_rules! launch {
    ($device:expr, $file:literal, $name:expr, $grid:expr, $($argument:expr),* $(,)?) => {
        crate::ops::cuda::launch::launch_kernel(
            $device,
            concat!("ops/cuda/", $file),
            $name,
            $grid,
            &crate::ops::cuda::launch::words![$($argument),*],
        )?
    };
}
pub(super) use launch;

/// Blocks of 256 threads that stride over `count` numbers, some of them four at a time.
pub fn over(count: usize) -> LaunchConfig {
    crate::cuda::grid(count.div_ceil(1024).clamp(1, 4096), 1, 256)
}

/// A warp a row, 8 rows a block.
pub fn warps(rows: usize) -> LaunchConfig {
    crate::cuda::grid(rows.div_ceil(8), 1, 256)
}

/// `len` numbers, whatever they are.
///
/// # Errors
/// If the device has no memory for them.
pub fn alloc<T: DeviceRepr>(device: &CudaDevice, len: usize) -> Result<CudaSlice<T>> {
    // SAFETY: whoever allocates has all of it written before it is read.
    unsafe { device.alloc(len.max(1)) }
}

/// Where a contiguous f32 tensor lies on the device.
pub struct Numbers<'a> {
    // Held until kernels are launched.
    _storage: Box<dyn Deref<Target = Storage> + 'a>,
    address: u64,
}

impl Word for Numbers<'_> {
    fn word(&self) -> u64 {
        self.address
    }
}

/// A tensor's numbers.
///
/// # Errors
/// If it is not contiguous, not f32 or not on a CUDA device.
pub fn view(tensor: &Tensor) -> Result<Numbers<'_>> {
    let (storage, layout) = tensor.storage_and_layout();
    let address = match &*storage {
        Storage::Cuda(numbers) => slice(numbers, layout)?,
        _ => candle_core::bail!("a kernel got a tensor that is not on its device"),
    };
    Ok(Numbers { _storage: Box::new(storage), address })
}

/// The address of a contiguous f32 storage, in a custom op's forward pass.
///
/// # Errors
/// If it is not contiguous or not f32.
pub fn slice(storage: &CudaStorage, layout: &Layout) -> Result<u64> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("a kernel got a tensor that is not contiguous")
    };
    let numbers = storage.as_cuda_slice::<f32>()?;
    // An empty view may start beyond its storage.
    Ok(if start == end { numbers.word() } else { numbers.slice(start..end).word() })
}

/// A result of a custom op's forward pass.
pub fn stored(numbers: CudaSlice<f32>, device: &CudaDevice, shape: impl Into<Shape>) -> (CudaStorage, Shape) {
    (CudaStorage::wrap_cuda_slice(numbers, device.clone()), shape.into())
}

/// A tensor of new numbers.
pub fn tensor(numbers: CudaSlice<f32>, device: &CudaDevice, shape: impl Into<Shape>) -> Tensor {
    let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(numbers, device.clone()));
    Tensor::from_storage(storage, shape, BackpropOp::none(), false)
}

/// The CUDA device of a tensor.
///
/// # Errors
/// If it is elsewhere.
pub fn device_of(tensor: &Tensor) -> Result<CudaDevice> {
    Ok(tensor.device().as_cuda_device()?.clone())
}

/// The device of a storage.
pub fn device(storage: &CudaStorage) -> CudaDevice {
    storage.device().clone()
}
