//! Processes that train together, a rank each: which of them this is, and how they exchange numbers.
//!
//! Every rank makes the same calls in the same order. What comes out has the same bits on all of them, so that what they
//! decide from it is the same.

mod alone;
#[cfg(all(unix, any(feature = "nccl", test)))]
#[cfg_attr(not(feature = "nccl"), allow(dead_code, reason = "the meeting place of a real run"))]
mod meeting;
#[cfg(feature = "mpi")]
mod mpi;
#[cfg(feature = "nccl")]
mod nccl;
mod ranks;
#[cfg(all(unix, any(feature = "nccl", test)))]
#[cfg_attr(not(feature = "nccl"), allow(dead_code, reason = "the meeting place of a real run"))]
mod sockets;

pub use alone::Alone;
pub use ranks::Ranks;

use crate::error::{Problem, Result};
use candle_core::Device;
#[cfg(feature = "cuda")]
use candle_core::cuda_backend::cudarc::driver::CudaViewMut;
use std::sync::Arc;

/// The ranks of a run, as one of them sees them.
pub trait Collective: Send + Sync {
    /// This one's number, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn ranks(&self) -> usize;

    /// The messages of all ranks, by rank. Waits for them.
    ///
    /// # Errors
    /// If a rank is gone.
    fn gather(&self, message: &[u8]) -> Result<Vec<Vec<u8>>>;

    /// Replaces numbers by their sums over the ranks, which have as many each.
    ///
    /// # Errors
    /// If a rank is gone.
    fn sum(&self, numbers: &mut [f32]) -> Result<()> {
        let messages = self.gather(&numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>())?;
        numbers.fill(0.0);
        for message in messages {
            let theirs = message.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
            numbers.iter_mut().zip(theirs).for_each(|(sum, number)| *sum += number);
        }
        Ok(())
    }

    /// As [`Collective::sum`], of numbers on a CUDA device.
    ///
    /// # Errors
    /// As [`Collective::sum`], and if these ranks cannot reach devices.
    #[cfg(feature = "cuda")]
    fn sum_f32_on_device(&self, numbers: &mut CudaViewMut<'_, f32>) -> Result<()> {
        let _ = numbers;
        Err(no_devices())
    }

    /// As [`Collective::sum_f32_on_device`], in bf16.
    ///
    /// # Errors
    /// As there.
    #[cfg(feature = "cuda")]
    fn sum_bf16_on_device(&self, numbers: &mut CudaViewMut<'_, half::bf16>) -> Result<()> {
        let _ = numbers;
        Err(no_devices())
    }

    /// Waits for all ranks at the end of a run, and ends what connects them. Nothing can be exchanged after it.
    ///
    /// # Errors
    /// If a rank is gone.
    fn finish(&self) -> Result<()> {
        self.wait()
    }

    /// Ends the other ranks, which may wait for this one: it has failed.
    fn abort(&self, code: u8);

    /// Whether this is rank 0, which alone prints and writes.
    fn leads(&self) -> bool {
        self.rank() == 0
    }

    /// Waits until all ranks are here.
    ///
    /// # Errors
    /// If a rank is gone.
    fn wait(&self) -> Result<()> {
        self.gather(&[]).map(|_| ())
    }

    /// Whether it is so on any rank.
    ///
    /// # Errors
    /// If a rank is gone.
    fn any(&self, so: bool) -> Result<bool> {
        if self.ranks() == 1 {
            return Ok(so);
        }
        Ok(self.gather(&[u8::from(so)])?.contains(&vec![1]))
    }

    /// Replaces numbers by their sums over the ranks, in f64: for few of them.
    ///
    /// # Errors
    /// If a rank is gone.
    fn total(&self, numbers: &mut [f64]) -> Result<()> {
        if self.ranks() == 1 {
            return Ok(());
        }
        let messages = self.gather(&numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>())?;
        numbers.fill(0.0);
        for message in messages {
            let theirs = message.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes));
            numbers.iter_mut().zip(theirs).for_each(|(sum, number)| *sum += number);
        }
        Ok(())
    }
}

/// Connects this process with the other ranks: over NCCL where it computes on a CUDA device, over MPI on the CPU. Where one
/// of them is lost while this one waits for a device, `lost` is called with what happened, and should end the program.
///
/// # Errors
/// If the program was built without what that takes, or the others do not come.
pub fn meet(ranks: &Ranks, device: &Device, lost: fn(&str)) -> Result<Arc<dyn Collective>> {
    if ranks.ranks == 1 {
        return Ok(Arc::new(Alone));
    }
    match device {
        Device::Cpu => on_cpu(ranks),
        Device::Cuda(_) => on_cuda(ranks, device, lost),
        Device::Metal(_) => Err(not_compiled(ranks, "Metal devices", "none yet", "run it in one process")),
    }
}

#[cfg(feature = "mpi")]
fn on_cpu(ranks: &Ranks) -> Result<Arc<dyn Collective>> {
    Ok(Arc::new(mpi::Mpi::meet(ranks)?))
}

#[cfg(not(feature = "mpi"))]
fn on_cpu(ranks: &Ranks) -> Result<Arc<dyn Collective>> {
    Err(not_compiled(ranks, "the CPU", "a program with MPI", "build with `--features mpi`"))
}

#[cfg(feature = "nccl")]
fn on_cuda(ranks: &Ranks, device: &Device, lost: fn(&str)) -> Result<Arc<dyn Collective>> {
    Ok(Arc::new(nccl::Nccl::meet(ranks, device, lost)?))
}

#[cfg(not(feature = "nccl"))]
fn on_cuda(ranks: &Ranks, _: &Device, _: fn(&str)) -> Result<Arc<dyn Collective>> {
    Err(not_compiled(ranks, "CUDA devices", "a program with NCCL", "build with `--features nccl`"))
}

fn not_compiled(ranks: &Ranks, place: &str, expected: &str, help: &str) -> crate::Error {
    let found = format!("{} ranks on {place}, started by {}", ranks.ranks, ranks.launcher);
    Problem::new(found, expected, format!("{help}; {}", ranks::RUN_ALONE)).key("--device").argument()
}

#[cfg(feature = "cuda")]
fn no_devices() -> crate::Error {
    let help = "build with `--features nccl`, or train on the CPU with `--device cpu`";
    Problem::new("ranks that exchange numbers of the CPU only", "ranks over NCCL", help).parallel()
}
