//! Ranks of one machine over Unix sockets, all of them connected with rank 0: for few numbers, and to know at once when a
//! process ends.
//!
//! Each connection has a thread that reads; when one breaks, whatever waits for a message gets an error, and a process that waits
//! for its device instead is ended.

use super::meeting::{folder, invite, join, place};
use super::{Collective, Ranks};
use crate::error::{IoContext, Problem, Result};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long ranks wait for each other at the start.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);
/// Time for a process to end by itself when another is gone.
const GRACE: Duration = Duration::from_secs(5);
/// The longest message, in bytes: what is longer was not sent by a rank.
const LONGEST: u64 = 1 << 32;
/// What a message begins with.
pub(super) const MESSAGE: u8 = 1;
/// The sender has failed and ends.
const FAILED: u8 = 2;

/// The ranks of a machine.
pub(super) struct Sockets {
    rank: usize,
    ranks: usize,
    /// At rank 0 all others, in order; at another rank 0 alone.
    peers: Vec<Mutex<Peer>>,
    /// Whether connections may break from now on.
    over: Arc<AtomicBool>,
}

struct Peer {
    name: String,
    stream: UnixStream,
    messages: Receiver<std::result::Result<Vec<u8>, String>>,
}

impl Sockets {
    /// Meets the other ranks. `lost` is called when one of them is gone and this process has not ended by itself.
    ///
    /// # Errors
    /// If they do not come within five minutes, or are of another program.
    pub fn meet(ranks: &Ranks, lost: fn(&str)) -> Result<Self> {
        Self::meet_in(&folder()?, ranks, PATIENCE, lost)
    }

    fn meet_in(folder: &Path, ranks: &Ranks, patience: Duration, lost: fn(&str)) -> Result<Self> {
        let path = place(folder, ranks);
        let until = Instant::now() + patience;
        let streams =
            if ranks.rank == 0 { invite(&path, ranks, until)? } else { vec![(0, join(&path, ranks, until)?)] };
        let over = Arc::new(AtomicBool::new(false));
        let peer = |(rank, stream): (usize, UnixStream)| {
            let name = format!("rank {rank}");
            let (sender, messages) = channel();
            let (reader, over) = (stream.try_clone().at("read", &path)?, over.clone());
            let named = name.clone();
            std::thread::spawn(move || listen(reader, &named, &sender, &over, lost));
            Ok(Mutex::new(Peer { name, stream, messages }))
        };
        let peers = streams.into_iter().map(peer).collect::<Result<_>>()?;
        Ok(Self { rank: ranks.rank, ranks: ranks.ranks, peers, over })
    }

    fn send(&self, peer: &Mutex<Peer>, message: &[u8]) -> Result<()> {
        let Peer { name, stream, messages } = &mut *peer.lock().expect("never poisoned: nothing panics");
        write(stream, MESSAGE, message).map_err(|error| {
            // What the reader has found says more than that nobody reads.
            let told = messages.try_iter().find_map(std::result::Result::err);
            gone(&told.unwrap_or_else(|| format!("{name} has ended ({error})")))
        })
    }

    fn receive(&self, peer: &Mutex<Peer>) -> Result<Vec<u8>> {
        let peer = peer.lock().expect("never poisoned: nothing panics");
        match peer.messages.recv() {
            Ok(Ok(message)) => Ok(message),
            Ok(Err(why)) => Err(gone(&why)),
            Err(_) => Err(gone(&format!("{} has ended", peer.name))),
        }
    }
}

impl Collective for Sockets {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.ranks
    }

    fn gather(&self, message: &[u8]) -> Result<Vec<Vec<u8>>> {
        if self.rank > 0 {
            self.send(&self.peers[0], message)?;
            return unpack(&self.receive(&self.peers[0])?).ok_or_else(|| gone("rank 0 speaks another language"));
        }
        let mut all = vec![message.to_vec()];
        for peer in &self.peers {
            all.push(self.receive(peer)?);
        }
        let packed = pack(&all);
        self.peers.iter().try_for_each(|peer| self.send(peer, &packed))?;
        Ok(all)
    }

    fn finish(&self) -> Result<()> {
        self.wait()?;
        // Once more: by now all have heard from all, and the first may end before the last knows.
        self.over.store(true, Ordering::SeqCst);
        self.wait()
    }

    fn abort(&self, _: u8) {
        self.over.store(true, Ordering::SeqCst);
        for peer in &self.peers {
            if let Ok(mut peer) = peer.lock() {
                let _ = write(&mut peer.stream, FAILED, &[]);
            }
        }
    }
}

/// The threads that read hold the connections too.
impl Drop for Sockets {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        for peer in &self.peers {
            if let Ok(peer) = peer.lock() {
                let _ = peer.stream.shutdown(Shutdown::Both);
            }
        }
    }
}

/// Reads what a peer sends, to the end of the connection.
fn listen(
    mut stream: UnixStream,
    name: &str,
    sender: &Sender<std::result::Result<Vec<u8>, String>>,
    over: &AtomicBool,
    lost: fn(&str),
) {
    let why = loop {
        match read(&mut stream) {
            Ok((MESSAGE, message)) => {
                if sender.send(Ok(message)).is_err() {
                    return;
                }
            }
            Ok(_) => break format!("{name} has failed"),
            Err(_) => break format!("{name} has ended"),
        }
    };
    let _ = sender.send(Err(why.clone()));
    if !over.load(Ordering::SeqCst) {
        std::thread::sleep(GRACE);
        if !over.load(Ordering::SeqCst) {
            lost(&why);
        }
    }
}

pub(super) fn write(stream: &mut UnixStream, kind: u8, message: &[u8]) -> io::Result<()> {
    let mut bytes = vec![kind];
    bytes.extend((message.len() as u64).to_le_bytes());
    bytes.extend(message);
    stream.write_all(&bytes)
}

pub(super) fn read(stream: &mut UnixStream) -> io::Result<(u8, Vec<u8>)> {
    let (mut kind, mut length) = ([0], [0; 8]);
    stream.read_exact(&mut kind)?;
    stream.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    let mut message = Vec::new();
    if length > LONGEST || stream.take(length).read_to_end(&mut message)? as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((kind[0], message))
}

/// Messages as one, each after its length.
fn pack(messages: &[Vec<u8>]) -> Vec<u8> {
    let with_length = |message: &Vec<u8>| [&(message.len() as u64).to_le_bytes()[..], message].concat();
    messages.iter().flat_map(with_length).collect()
}

fn unpack(mut packed: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut messages = Vec::new();
    while let Some((length, rest)) = packed.split_first_chunk() {
        let (message, later) = rest.split_at_checked(u64::from_le_bytes(*length) as usize)?;
        messages.push(message.to_vec());
        packed = later;
    }
    packed.is_empty().then_some(messages)
}

fn gone(why: &str) -> crate::Error {
    let help = "see what it has said; the run can go on from its last saved state with `--resume`";
    Problem::new(why, "all ranks to the end", help).parallel()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranks(rank: usize, ranks: usize) -> Ranks {
        Ranks { rank, ranks, local: rank, launcher: "a test", job: "a job".into() }
    }

    /// What each of so many ranks gives.
    fn run<R: Send>(count: usize, f: impl Fn(Sockets) -> R + Sync) -> Vec<R> {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            let start = |rank| {
                let (f, folder) = (&f, folder.path());
                let meet = move || Sockets::meet_in(folder, &ranks(rank, count), PATIENCE, |_| {});
                scope.spawn(move || f(meet().unwrap()))
            };
            let threads: Vec<_> = (0..count).map(start).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    #[test]
    fn all_ranks_hear_the_same() {
        for count in [2, 4] {
            let heard = run(count, |sockets| {
                let rank = sockets.rank();
                let messages = sockets.gather(&vec![rank as u8; 3 * rank]).unwrap();
                let mut sums = [0.1 * rank as f32, -1.0];
                sockets.sum(&mut sums).unwrap();
                let mut totals = [f64::from(rank as u32), f64::NAN];
                sockets.total(&mut totals).unwrap();
                let any = [sockets.any(rank == 1).unwrap(), sockets.any(false).unwrap()];
                sockets.finish().unwrap();
                (messages, sums.map(f32::to_bits), totals[0], totals[1].is_nan(), any)
            });
            let expected: Vec<Vec<u8>> = (0..count).map(|rank| vec![rank as u8; 3 * rank]).collect();
            assert_eq!(heard[0].0, expected);
            assert_eq!((heard[0].2, heard[0].3, heard[0].4), ((0..count).sum::<usize>() as f64, true, [true, false]));
            assert_eq!(f32::from_bits(heard[0].1[1]), -(count as f32));
            assert!(heard.iter().all(|heard| *heard == (heard.0.clone(), heard.1, heard.2, heard.3, heard.4)));
            assert!(heard[1..].iter().all(|other| *other == heard[0]));
        }
    }

    #[test]
    fn who_waits_for_a_rank_that_is_gone_hears_of_it() {
        for (gone, failed) in [(0, false), (1, false), (2, true)] {
            let told = run(3, |sockets| {
                sockets.wait().unwrap();
                if sockets.rank() == gone {
                    if failed {
                        sockets.abort(1);
                    }
                    return None;
                }
                Some(sockets.wait().unwrap_err().to_string())
            });
            let words = if failed { "has failed" } else { "has ended" };
            // Rank 0 is the one that all others hear of.
            let named = |rank: usize| format!("rank {} {}", if rank == 0 { gone } else { 0 }, "has");
            for (rank, text) in told.iter().enumerate() {
                let Some(text) = text else { continue };
                assert!(text.contains(&named(rank)) && text.contains("--resume"), "{rank}: {text}");
                assert!(rank > 0 || text.contains(words), "{text}");
            }
            assert_eq!(told.iter().flatten().count(), 2);
        }
    }

    #[test]
    fn who_does_not_come_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let short = Duration::from_millis(100);
        for (rank, words) in [(0, "nothing of rank 1, 2"), (1, "nothing of rank 0")] {
            let Err(error) = Sockets::meet_in(folder.path(), &ranks(rank, 3), short, |_| {}) else { panic!() };
            let text = error.to_string();
            assert!(text.contains(words) && text.contains("MASTER_PORT"), "{text}");
        }
    }

    #[test]
    fn strangers_are_refused() {
        for (other, words) in [((1, 4), "a process that says `1 4"), ((1, 3), "two processes that are rank 1")] {
            let folder = tempfile::tempdir().unwrap();
            let text = std::thread::scope(|scope| {
                let host = scope.spawn(|| Sockets::meet_in(folder.path(), &ranks(0, 3), PATIENCE, |_| {}).map(|_| ()));
                for (rank, count) in [(1, 3), other] {
                    Sockets::meet_in(folder.path(), &ranks(rank, count), PATIENCE, |_| {}).unwrap();
                }
                host.join().unwrap().unwrap_err().to_string()
            });
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn packed_messages_are_unpacked() {
        let messages = vec![vec![1, 2, 3], Vec::new(), vec![0; 300]];
        let packed = pack(&messages);
        assert_eq!(unpack(&packed), Some(messages));
        assert_eq!(unpack(&packed[..packed.len() - 1]), None);
        assert_eq!(unpack(&[0; 7]), None);
    }
}
