//! Numbers of the host on their way to the device, without the host waiting.
//!
//! The driver copies from ordinary memory by way of its own, for which it may wait for all that is on the stream. Here numbers go
//! through two page-locked buffers in turn. One is written again after the event behind its last copy: the host waits
//! only if the device is a whole buffer behind, which is more than a step.

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{
    CudaEvent, CudaSlice, CudaStream, DevicePtrMut, DeviceRepr, PinnedHostSlice, result,
};
use candle_core::{CudaDevice, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a buffer. A step of 8,192 tokens sends less.
const ROOM: usize = 1 << 20;
/// What numbers are aligned to in a buffer.
const ALIGNMENT: usize = 64;

/// The two buffers of a stream.
struct Staging {
    halves: [Half; 2],
    /// The one that is filled, and up to where.
    now: usize,
    filled: usize,
}

struct Half {
    memory: PinnedHostSlice<u8>,
    /// Behind the last copy from it.
    copied: CudaEvent,
}

/// A copy of some numbers on the device, ordered like a kernel. An empty one has room for one, so that it has an address.
///
/// # Errors
/// If there is no memory for it.
pub fn upload<T: DeviceRepr + 'static>(device: &CudaDevice, numbers: &[T]) -> Result<CudaSlice<T>> {
    static STREAMS: Mutex<Option<HashMap<(usize, usize), Staging>>> = Mutex::new(None);
    let stream = device.cuda_stream();
    if numbers.is_empty() || size_of_val(numbers) > ROOM {
        // SAFETY: what is read of it is written by the copy.
        let mut copy = unsafe { device.alloc::<T>(numbers.len().max(1)) }?;
        if !numbers.is_empty() {
            stream.memcpy_htod(numbers, &mut copy).w()?;
        }
        return Ok(copy);
    }
    let mut streams = STREAMS.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (stream.context().ordinal(), stream.cu_stream() as usize);
    let staging = match streams.get_or_insert_default().entry(key) {
        std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
        std::collections::hash_map::Entry::Vacant(entry) => entry.insert(Staging::new(&stream)?),
    };
    staging.upload(device, &stream, numbers)
}

impl Staging {
    fn new(stream: &Arc<CudaStream>) -> Result<Self> {
        let half = || -> Result<Half> {
            let context = stream.context();
            // SAFETY: bytes are written before they are copied.
            let memory = unsafe { context.alloc_pinned::<u8>(ROOM) }.w()?;
            Ok(Half { memory, copied: context.new_event(None).w()? })
        };
        Ok(Self { halves: [half()?, half()?], now: 0, filled: 0 })
    }

    fn upload<T: DeviceRepr>(
        &mut self,
        device: &CudaDevice,
        stream: &Arc<CudaStream>,
        numbers: &[T],
    ) -> Result<CudaSlice<T>> {
        let bytes = size_of_val(numbers);
        if self.filled + bytes > ROOM {
            self.halves[self.now].copied.record(stream).w()?;
            (self.now, self.filled) = (1 - self.now, 0);
            self.halves[self.now].copied.synchronize().w()?;
        }
        let staged = &mut self.halves[self.now].memory.as_mut_slice().w()?[self.filled..self.filled + bytes];
        self.filled = (self.filled + bytes).next_multiple_of(ALIGNMENT).min(ROOM);
        // SAFETY: what goes to kernels is plain numbers without padding, and bytes have no alignment.
        staged.copy_from_slice(unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast::<u8>(), bytes) });
        // SAFETY: what is read of it is written by the copy.
        let mut copy = unsafe { device.alloc::<T>(numbers.len()) }?;
        let (to, ordered) = copy.device_ptr_mut(stream);
        // SAFETY: the device's memory holds as many bytes, and is freed in the order of the stream; the staged bytes stay what they are until
        // the event behind this copy has passed.
        unsafe { result::memcpy_htod_async(to, staged, stream.cu_stream()) }.w()?;
        drop(ordered);
        Ok(copy)
    }
}
