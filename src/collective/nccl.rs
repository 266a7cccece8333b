//! Ranks over NCCL, a CUDA device each: numbers on the devices go from card to card, few numbers of the host through
//! sockets.

use super::sockets::Sockets;
use super::{Collective, Ranks};
use crate::error::{Problem, Result};
use candle_core::Device;
use candle_core::cuda_backend::cudarc::driver::{CudaViewMut, DevicePtrMut};
use candle_core::cuda_backend::cudarc::nccl::result::NcclError;
use candle_core::cuda_backend::cudarc::nccl::{Comm, Id, NcclType, ReduceOp};
use half::bf16;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Bytes of the name that NCCL gives to a meeting.
const ID: usize = 128;

thread_local! {
    /// It stays on the thread that has met the others: training's.
    static COMM: RefCell<Option<Comm>> = const { RefCell::new(None) };
}

/// The ranks of a machine, each with a card of its own.
pub(super) struct Nccl {
    sockets: Sockets,
}

impl Nccl {
    /// Meets the other ranks: first over sockets, where rank 0 tells the name of the meeting, then over NCCL.
    ///
    /// # Errors
    /// If a rank does not come, or NCCL refuses.
    pub fn meet(ranks: &Ranks, device: &Device, lost: fn(&str)) -> Result<Self> {
        let stream = device.as_cuda_device()?.cuda_stream();
        let sockets = Sockets::meet(ranks, lost)?;
        let id = match sockets.leads() {
            true => caught(Id::new)?.internal().map(|byte| byte as u8).to_vec(),
            false => Vec::new(),
        };
        let id = sockets.gather(&id)?.swap_remove(0);
        let id: [u8; ID] = id.try_into().map_err(|_| refused("a name of another length"))?;
        let id = Id::uninit(id.map(|byte| byte as _));
        stream.context().bind_to_thread().map_err(candle_core::Error::wrap)?;
        let comm = caught(|| Comm::from_rank(stream.clone(), ranks.rank, ranks.ranks, id))?;
        COMM.set(Some(comm));
        Ok(Self { sockets })
    }

    fn sum_in_place<T: NcclType>(&self, numbers: &mut impl DevicePtrMut<T>) -> Result<()> {
        COMM.with_borrow(|comm| {
            let Some(comm) = comm else { return Err(refused("a thread that has not met the other ranks")) };
            comm.all_reduce_in_place(numbers, &ReduceOp::Sum).map_err(|error| refused(&name(&error)))?;
            Ok(())
        })
    }
}

impl Collective for Nccl {
    fn rank(&self) -> usize {
        self.sockets.rank()
    }

    fn ranks(&self) -> usize {
        self.sockets.ranks()
    }

    fn gather(&self, message: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.sockets.gather(message)
    }

    fn sum_f32_on_device(&self, numbers: &mut CudaViewMut<'_, f32>) -> Result<()> {
        self.sum_in_place(numbers)
    }

    fn sum_bf16_on_device(&self, numbers: &mut CudaViewMut<'_, bf16>) -> Result<()> {
        self.sum_in_place(numbers)
    }

    fn finish(&self) -> Result<()> {
        self.sockets.finish()?;
        // All of them are here and nothing is under way.
        drop(COMM.take());
        Ok(())
    }

    fn abort(&self, code: u8) {
        self.sockets.abort(code);
    }
}

/// What a call of NCCL gives. Where the library is absent it is an error, or a panic, by how the program was built.
fn caught<R>(call: impl FnOnce() -> std::result::Result<R, NcclError>) -> Result<R> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = catch_unwind(AssertUnwindSafe(call));
    std::panic::set_hook(hook);
    match result {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(error)) => Err(refused(&name(&error))),
        Err(_) => Err(refused("no library libnccl.so.2")),
    }
}

fn name(error: &NcclError) -> String {
    format!("{:?}", error.0)
}

fn refused(why: &str) -> crate::Error {
    let help = "see that libnccl.so.2 is installed (or in a folder that CUDA_LIB_PATH or LD_LIBRARY_PATH names) and that each \
                rank has a card of its own; NCCL_DEBUG=WARN makes NCCL say more";
    Problem::new(format!("NCCL, which says: {why}"), "ranks that meet over NCCL", help).parallel()
}
