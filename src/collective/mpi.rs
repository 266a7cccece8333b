//! Ranks over MPI: several processes of the CPU.

use super::{Collective, Ranks};
use crate::error::{Problem, Result};
use mpi::Threading;
use mpi::collective::SystemOperation;
use mpi::datatype::PartitionMut;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives};
use std::sync::Mutex;

/// Numbers that are summed at a time: what is copied beside them stays small.
const CHUNK: usize = 1 << 20;

/// The ranks of a start of mpirun. Only the thread that has met the others may speak to them.
pub(super) struct Mpi {
    rank: usize,
    ranks: usize,
    /// Ends MPI when it goes.
    universe: Mutex<Option<Universe>>,
}

impl Mpi {
    /// Meets the other ranks.
    ///
    /// # Errors
    /// If MPI counts the ranks otherwise than the environment.
    pub fn meet(ranks: &Ranks) -> Result<Self> {
        let help = "start with `mpirun -n RANKS`, or with `srun` where Slurm was built with the PMI of the MPI library";
        let expected = format!("{} ranks, as {} says", ranks.ranks, ranks.launcher);
        let Some((universe, threading)) = mpi::initialize_with_threading(Threading::Funneled) else {
            return Err(Problem::new("MPI begun before", "a process that has not met others", help).parallel());
        };
        if threading < Threading::Funneled {
            let found = "an MPI library for programs of one thread";
            return Err(Problem::new(found, "one for several (MPI_THREAD_FUNNELED)", "use another one").parallel());
        }
        let world = universe.world();
        let (rank, found) = (world.rank() as usize, world.size() as usize);
        if (rank, found) != (ranks.rank, ranks.ranks) {
            let found = format!("rank {rank} of {found} in MPI");
            return Err(Problem::new(found, expected, help).parallel());
        }
        Ok(Self { rank, ranks: ranks.ranks, universe: Mutex::new(Some(universe)) })
    }
}

fn world() -> SimpleCommunicator {
    SimpleCommunicator::world()
}

// An error in MPI itself ends all ranks: that is how the library treats errors unless told otherwise.
impl Collective for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.ranks
    }

    fn gather(&self, message: &[u8]) -> Result<Vec<Vec<u8>>> {
        // One byte before each: the address of an empty slice may be the one that MPI takes for MPI_IN_PLACE.
        let message = [&[0], message].concat();
        let mut lengths = vec![0i32; self.ranks];
        world().all_gather_into(&(message.len() as i32), &mut lengths[..]);
        let starts: Vec<i32> =
            lengths.iter().scan(0, |end, length| Some(std::mem::replace(end, *end + length))).collect();
        let mut all = vec![0u8; lengths.iter().sum::<i32>() as usize];
        world().all_gather_varcount_into(&message[..], &mut PartitionMut::new(&mut all[..], &lengths[..], &starts[..]));
        let cut = |(start, length): (&i32, &i32)| all[*start as usize..][1..*length as usize].to_vec();
        Ok(starts.iter().zip(&lengths).map(cut).collect())
    }

    fn sum(&self, numbers: &mut [f32]) -> Result<()> {
        let mut sums = vec![0.0f32; numbers.len().min(CHUNK)];
        for numbers in numbers.chunks_mut(CHUNK) {
            let sums = &mut sums[..numbers.len()];
            world().all_reduce_into(&*numbers, sums, SystemOperation::sum());
            numbers.copy_from_slice(sums);
        }
        Ok(())
    }

    fn finish(&self) -> Result<()> {
        self.wait()?;
        drop(self.universe.lock().map(|mut universe| universe.take()));
        Ok(())
    }

    fn abort(&self, code: u8) {
        world().abort(code.into())
    }
}
