//! Several processes of one `finetune`: rank 0 prints, all others only say what goes wrong.

use super::argument;
use super::device::DeviceArg;
use super::output::{self, complain};
use anyhow::Result;
use candle_core::Device;
use mtl_zoo::Error;
use mtl_zoo::collective::{Collective, Ranks, meet};
use mtl_zoo::device::describe;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// The ranks of this process, once it has met the others.
static RANKS: OnceLock<Arc<dyn Collective>> = OnceLock::new();

/// Opens this rank's device and meets the other ranks; `None` for a process that is alone.
pub fn join(device: &DeviceArg) -> Result<Option<(Device, Arc<dyn Collective>)>> {
    let ranks = Ranks::of_environment()?;
    if ranks.ranks == 1 {
        return Ok(None);
    }
    if ranks.rank > 0 {
        output::silence();
    }
    output::name_rank(ranks.rank);
    let device = device.open_for(&ranks)?;
    let collective = meet(&ranks, &device, lost)?;
    let _ = RANKS.set(collective.clone());
    let words = format!("{} ranks, started by {}, rank 0 on {}", ranks.ranks, ranks.launcher, describe(&device));
    output::note(words);
    Ok(Some((device, collective)))
}

/// Refuses several ranks, for commands that one process does.
pub fn refuse(command: &str) -> Result<()> {
    let ranks = Ranks::of_environment()?;
    if ranks.ranks == 1 {
        return Ok(());
    }
    output::name_rank(ranks.rank);
    let found = format!("{} ranks, started by {}", ranks.ranks, ranks.launcher);
    let help = "start it by itself; for a process of its own in each rank, set RANK=0 and WORLD_SIZE=1";
    Err(argument(&found, "one process: only `finetune` trains in several", help, command))
}

/// Ends the process where a rank is gone and this one waits for its device.
fn lost(why: &str) {
    complain(format_args!(
        "{} {why}; this rank cannot go on without it. The run can go on from its last saved state with `--resume`",
        output::red("error:")
    ));
    std::process::exit(1);
}

/// Ends what connects the ranks, at the end of a command that has come to one on all of them.
pub fn finish() -> Result<()> {
    RANKS.get().map_or(Ok(()), |ranks| Ok(ranks.finish()?))
}

/// Whether all ranks end with this error at the same time.
pub fn is_common(error: &anyhow::Error) -> bool {
    RANKS.get().is_some() && matches!(error.downcast_ref(), Some(Error::NotFinite { .. }))
}

/// Whether this process leaves printing to rank 0.
pub fn follows() -> bool {
    RANKS.get().is_some_and(|ranks| !ranks.leads())
}

/// Ends the other ranks: this one has failed.
pub fn abort(code: u8) {
    if let Some(ranks) = RANKS.get() {
        ranks.abort(code);
    }
}

/// The folder that rank 0 has chosen.
pub fn folder_of_rank_0(ranks: &dyn Collective, own: PathBuf) -> Result<PathBuf> {
    let said = ranks.gather(own.as_os_str().as_encoded_bytes())?;
    Ok(if ranks.leads() { own } else { PathBuf::from(String::from_utf8_lossy(&said[0]).into_owned()) })
}

/// How many threads a rank has, where several share the same cores and nothing else says it.
pub fn threads(ranks: &dyn Collective) -> Result<Option<usize>> {
    // mpirun and srun may give each rank cores of its own.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let own = status.lines().find(|line| line.starts_with("Cpus_allowed_list")).unwrap_or_default().as_bytes();
    let sharing = ranks.gather(own)?.iter().filter(|cores| *cores == own).count();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let told = std::env::var_os("RAYON_NUM_THREADS").is_some();
    Ok((sharing > 1 && !told).then(|| (cores / sharing).max(1)))
}
