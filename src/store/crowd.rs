//! How long the writer waits for more work before it begins a transaction.
//!
//! A transaction costs as much as some pieces of work whatever it holds: a sync, and the last page of each index. Left alone,
//! a writer that takes what is there falls into a beat of one small and one large batch. Under load it is better for
//! everybody that it takes about half of those who come again and again while the other half is being prepared; and where
//! the disk is slow, all who come before it would have been done. Whoever comes alone never waits.

use std::thread;
use std::time::{Duration, Instant};

use rustix::time::ClockId;
use tokio::sync::mpsc;

use super::writer::BATCH_LENGTH;

/// From so many that were answered last or wait now on, small batches are worth waiting to be larger.
const CROWD: usize = 24;
/// The longest wait for half of them.
const LONGEST: Duration = Duration::from_millis(3);
/// Half of a very large crowd need not be waited for.
const ENOUGH: usize = 32;
/// How long nobody comes until nobody is expected.
const STEP: Duration = Duration::from_micros(300);

/// What is known of those who write.
#[derive(Default)]
pub(super) struct Crowd {
    /// How many pieces the last transaction held.
    answered: usize,
    /// How long it waited for the disk, or for the server.
    waited: Duration,
}

impl Crowd {
    /// Waits for more while more keeps coming and it is worth the wait.
    pub(super) fn gather<T>(&mut self, queue: &mut mpsc::Receiver<T>, batch: &mut Vec<T>) {
        let begun = Instant::now();
        while self.is_worth_waiting(batch.len(), begun.elapsed()) {
            let before = batch.len();
            thread::sleep(STEP);
            while batch.len() < BATCH_LENGTH
                && let Ok(work) = queue.try_recv()
            {
                batch.push(work);
            }
            if batch.len() == before {
                break;
            }
        }
        self.answered = batch.len();
    }

    /// Runs a transaction.
    pub(super) fn measure(&mut self, transaction: impl FnOnce()) {
        let (begun, worked) = (Instant::now(), processor_time());
        transaction();
        self.waited = begun.elapsed().saturating_sub(processor_time().saturating_sub(worked));
    }

    fn is_worth_waiting(&self, gathered: usize, elapsed: Duration) -> bool {
        let crowd = self.answered + gathered;
        let is_small = crowd >= CROWD && gathered < ENOUGH.min(crowd / 2) && elapsed < LONGEST;
        let is_slow = crowd > 2 && elapsed < self.waited.min(LONGEST);
        gathered < BATCH_LENGTH && (is_small || is_slow)
    }
}

/// What this thread has taken of the processors.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
