//! Ranks that are threads of the test.

use mtl_zoo::collective::Collective;
use mtl_zoo::{Problem, Result};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// How long a rank waits for the others: one of them has failed then.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Meeting {
    /// Of the ranks that have spoken in this round.
    said: Vec<Option<Vec<u8>>>,
    /// What all said in the last round, and how many rounds there were.
    heard: Arc<Vec<Vec<u8>>>,
    rounds: u64,
}

#[derive(Clone)]
pub struct Thread {
    rank: usize,
    ranks: usize,
    meeting: Arc<(Mutex<Meeting>, Condvar)>,
}

impl Collective for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.ranks
    }

    fn gather(&self, message: &[u8]) -> Result<Vec<Vec<u8>>> {
        let (meeting, changed) = &*self.meeting;
        let mut meeting = meeting.lock().unwrap();
        let round = meeting.rounds;
        assert!(meeting.said[self.rank].replace(message.to_vec()).is_none(), "one message a round");
        if meeting.said.iter().all(Option::is_some) {
            meeting.heard = Arc::new(meeting.said.iter_mut().map(|said| said.take().unwrap()).collect());
            meeting.rounds += 1;
            changed.notify_all();
        }
        let (meeting, late) = changed.wait_timeout_while(meeting, PATIENCE, |meeting| meeting.rounds == round).unwrap();
        match late.timed_out() {
            true => Err(Problem::new("silence", "a message of every rank", "see the other threads").parallel()),
            false => Ok(meeting.heard.to_vec()),
        }
    }

    fn abort(&self, _: u8) {}
}

/// What `f` gives on each of so many ranks, each on a thread of its own.
pub fn on_ranks<R: Send>(ranks: usize, f: impl Fn(Arc<dyn Collective>) -> R + Sync) -> Vec<R> {
    let meeting = Meeting { said: vec![None; ranks], ..Meeting::default() };
    let meeting = Arc::new((Mutex::new(meeting), Condvar::new()));
    std::thread::scope(|scope| {
        let (f, meeting) = (&f, &meeting);
        let start = |rank| scope.spawn(move || f(Arc::new(Thread { rank, ranks, meeting: meeting.clone() })));
        let threads: Vec<_> = (0..ranks).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}
