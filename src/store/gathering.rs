//! How a thread that does the work of many at once has them come together.
//!
//! What a transaction, a sync or a look into the database costs is the same for one and for many. While a thread is at
//! work the next ones gather by themselves; but where all of them run on the same few cores, hardly one has come by the time
//! that the thread is back. So it lets pass a moment, the longer the more there were the last time. Who is alone never
//! waits, and those that come meanwhile need not wake a thread.

use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;

pub(super) struct Gathering {
    /// The most that are taken at once.
    limit: usize,
    /// What each beyond the first of the last time is waited for, and the longest wait.
    each: Duration,
    longest: Duration,
    last: usize,
}

impl Gathering {
    pub(super) fn new(limit: usize, each: Duration, longest: Duration) -> Self {
        Self { limit, each, longest, last: 0 }
    }

    /// Waits for work, and takes what has come. False when there will be no more.
    pub(super) fn receive<T>(&mut self, waiting: &mut mpsc::Receiver<T>, batch: &mut Vec<T>) -> bool {
        if waiting.blocking_recv_many(batch, self.limit) == 0 {
            return false;
        }
        let pause = self.pause();
        if !pause.is_zero() && batch.len() < self.limit {
            #[expect(
                clippy::disallowed_methods,
                reason = "a thread of its own rests for microseconds, whatever the clock"
            )]
            thread::sleep(pause);
            while batch.len() < self.limit
                && let Ok(one) = waiting.try_recv()
            {
                batch.push(one);
            }
        }
        self.last = batch.len();
        true
    }

    fn pause(&self) -> Duration {
        let others = u32::try_from(self.last.saturating_sub(1)).unwrap_or(u32::MAX);
        self.each.saturating_mul(others).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What three receptions take, when so many wait at first and one more comes with each of the others.
    fn received(first: usize, limit: usize) -> Vec<usize> {
        let (queue, mut waiting) = mpsc::channel(64);
        let mut gathering = Gathering::new(limit, Duration::from_micros(1), Duration::from_micros(10));
        (0..first).for_each(|number| queue.try_send(number).unwrap());
        let mut taken = Vec::new();
        for _ in 0..3 {
            let mut batch = Vec::new();
            assert!(gathering.receive(&mut waiting, &mut batch));
            taken.push(batch.len());
            queue.try_send(first).unwrap();
        }
        drop(queue);
        let mut batch = Vec::new();
        assert!(gathering.receive(&mut waiting, &mut batch), "what was sent before the end is taken");
        batch.clear();
        assert!(!gathering.receive(&mut waiting, &mut batch) && batch.is_empty());
        taken
    }

    #[test]
    fn all_that_wait_are_taken_up_to_the_limit() {
        assert_eq!(received(5, 16), [5, 1, 1]);
        assert_eq!(received(5, 3), [3, 3, 1]);
    }

    #[test]
    fn nobody_who_is_alone_waits_and_nobody_waits_long() {
        let of = |last| Gathering { last, ..Gathering::new(512, Duration::from_micros(75), Duration::from_millis(1)) };
        assert_eq!([0, 1, 2, 5].map(|last| of(last).pause().as_micros()), [0, 0, 75, 300]);
        assert_eq!([15, 512, usize::MAX].map(|last| of(last).pause().as_micros()), [1000; 3]);
    }
}
