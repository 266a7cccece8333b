//! Where the ranks of a machine find each other: at a socket that is named after their job, in a folder of the user.

use super::Ranks;
use super::sockets::{MESSAGE, PATIENCE, read, write};
use crate::error::{IoContext, Problem, Result};
use crate::files::sha256_hex;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// The socket of a job. Names of sockets are short.
pub(super) fn place(folder: &Path, ranks: &Ranks) -> PathBuf {
    folder.join(&sha256_hex(ranks.job.as_bytes())[..16])
}

/// What a rank says first: who it is, of how many, of which program.
fn hello(ranks: &Ranks) -> String {
    format!("{} {} {}", ranks.rank, ranks.ranks, env!("CARGO_PKG_VERSION"))
}

/// Rank 0's side: takes the connections of all others.
pub(super) fn invite(path: &Path, ranks: &Ranks, until: Instant) -> Result<Vec<(usize, UnixStream)>> {
    // Of a job of the same name that was killed.
    let _ = fs::remove_file(path);
    let listener = UnixListener::bind(path).at("create", path)?;
    listener.set_nonblocking(true).at("create", path)?;
    let mut streams: Vec<Option<UnixStream>> = (0..ranks.ranks).map(|_| None).collect();
    while streams[1..].iter().any(Option::is_none) {
        match listener.accept() {
            Ok((mut stream, _)) => {
                stream.set_nonblocking(false).at("read", path)?;
                stream.set_read_timeout(Some(PATIENCE)).at("read", path)?;
                // What ends before it has said who it is, is no rank.
                let Ok((MESSAGE, said)) = read(&mut stream) else { continue };
                stream.set_read_timeout(None).at("read", path)?;
                let said = String::from_utf8_lossy(&said).into_owned();
                let rank = said.split(' ').next().and_then(|rank| rank.parse::<usize>().ok());
                let expected = |rank: usize| hello(&Ranks { rank, ..ranks.clone() });
                match rank.filter(|&rank| rank > 0 && rank < ranks.ranks && said == expected(rank)) {
                    Some(rank) if streams[rank].is_none() => streams[rank] = Some(stream),
                    Some(rank) => return Err(meeting(ranks, &format!("two processes that are rank {rank}"))),
                    None => return Err(meeting(ranks, &format!("a process that says `{said}`"))),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if Instant::now() > until {
                    let absent = (1..ranks.ranks).filter(|&rank| streams[rank].is_none());
                    let absent = absent.map(|rank| rank.to_string()).collect::<Vec<_>>().join(", ");
                    return Err(meeting(ranks, &format!("nothing of rank {absent}")));
                }
                std::thread::sleep(PAUSE);
            }
            Err(error) => return Err(error).at("read", path),
        }
    }
    let _ = fs::remove_file(path);
    Ok(streams.into_iter().enumerate().filter_map(|(rank, stream)| Some((rank, stream?))).collect())
}

/// Another rank's side.
pub(super) fn join(path: &Path, ranks: &Ranks, until: Instant) -> Result<UnixStream> {
    loop {
        // Until rank 0 is there, nobody answers, or what a killed job has left.
        match UnixStream::connect(path) {
            Ok(mut stream) => {
                write(&mut stream, MESSAGE, hello(ranks).as_bytes()).at("write", path)?;
                return Ok(stream);
            }
            Err(_) if Instant::now() < until => std::thread::sleep(PAUSE),
            Err(error) => return Err(meeting(ranks, &format!("nothing of rank 0 ({error})"))),
        }
    }
}

/// A folder that only this user can write to.
pub(super) fn folder() -> Result<PathBuf> {
    let user = fs::metadata("/proc/self").at("read", "/proc/self")?.uid();
    let folder = std::env::temp_dir().join(format!("mtl-zoo-{user}"));
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error).at("create", &folder),
        _ => {}
    }
    let found = fs::symlink_metadata(&folder).at("read", &folder)?;
    if !found.is_dir() || found.uid() != user || found.mode() & 0o022 != 0 {
        let help = "remove it, or name another folder in TMPDIR";
        return Err(Problem::new("what others can write to", "a folder of your own", help).file(folder).parallel());
    }
    Ok(folder)
}

fn meeting(ranks: &Ranks, found: &str) -> crate::Error {
    let help = "see whether the other processes have ended with an error; processes that were not started by one torchrun, mpirun \
                or srun need a MASTER_PORT of their own, the same for all of them";
    let expected = format!("{} ranks, each once, of one program ({})", ranks.ranks, ranks.launcher);
    Problem::new(found, expected, help).parallel()
}
