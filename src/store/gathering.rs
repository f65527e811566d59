//! How a thread that does the work of many at once has them come together.
//!
//! What a transaction, a sync or a look into the database costs is the same for one and for many. While a thread is at
//! work the next ones gather by themselves; but where all of them run on the same few cores, hardly one has come by the time
//! that the thread is back. So it lets pass a moment, the longer the more there were the last time, and those that come
//! meanwhile need not wake a thread.
//!
//! Nobody is waited for where enough have come already, or they would all come together from then on, and the cores have
//! nothing to do while they wait. Nor where few are under way: of sixteen callers, those that wait are missed elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;

/// When it pays to wait for others, and how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// The most that are taken at once.
    pub(super) limit: usize,
    /// When so many are there, nobody is waited for.
    pub(super) enough: usize,
    /// When fewer are there and announced, nobody is waited for.
    pub(super) many: usize,
    /// What each beyond the first of the last time is waited for, and the longest wait.
    pub(super) each: Duration,
    pub(super) longest: Duration,
}

/// How many pieces of work are being made ready for the thread.
#[derive(Clone, Debug, Default)]
pub(super) struct Announced(Arc<AtomicUsize>);

/// A piece of work that may come; counted as long as this lives.
#[derive(Debug)]
pub struct Announcement(Arc<AtomicUsize>);

impl Announced {
    pub(super) fn one_more(&self) -> Announcement {
        self.0.fetch_add(1, Ordering::Relaxed);
        Announcement(Arc::clone(&self.0))
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(super) struct Gathering {
    rule: Rule,
    announced: Announced,
    last: usize,
}

impl Gathering {
    pub(super) fn new(rule: Rule, announced: Announced) -> Self {
        Self { rule, announced, last: 0 }
    }

    /// Waits for work, and takes what has come. False when there will be no more.
    pub(super) fn receive<T>(&mut self, waiting: &mut mpsc::Receiver<T>, batch: &mut Vec<T>) -> bool {
        if waiting.blocking_recv_many(batch, self.rule.limit) == 0 {
            return false;
        }
        let pause = self.pause(batch.len());
        if !pause.is_zero() {
            #[expect(
                clippy::disallowed_methods,
                reason = "a thread of its own rests for microseconds, whatever the clock"
            )]
            thread::sleep(pause);
            while batch.len() < self.rule.limit
                && let Ok(one) = waiting.try_recv()
            {
                batch.push(one);
            }
        }
        self.last = batch.len();
        true
    }

    fn pause(&self, waiting: usize) -> Duration {
        if waiting >= self.rule.enough || waiting + self.announced.count() < self.rule.many {
            return Duration::ZERO;
        }
        let others = u32::try_from(self.last.saturating_sub(1)).unwrap_or(u32::MAX);
        self.rule.each.saturating_mul(others).min(self.rule.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule =
        Rule { limit: 512, enough: 16, many: 0, each: Duration::from_micros(75), longest: Duration::from_millis(1) };

    /// What three receptions take, when so many wait at first and one more comes with each of the others.
    fn received(first: usize, limit: usize) -> Vec<usize> {
        let (queue, mut waiting) = mpsc::channel(64);
        let mut gathering = Gathering::new(Rule { limit, ..RULE }, Announced::default());
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
        let of = |last| Gathering { last, ..Gathering::new(RULE, Announced::default()) };
        assert_eq!([0, 1, 2, 5].map(|last| of(last).pause(1).as_micros()), [0, 0, 75, 300]);
        assert_eq!([15, 512, usize::MAX].map(|last| of(last).pause(1).as_micros()), [1000; 3]);
        assert_eq!([1, 15, 16, 512].map(|waiting| of(512).pause(waiting).as_micros()), [1000, 1000, 0, 0]);
    }

    #[test]
    fn where_few_are_under_way_nobody_is_waited_for() {
        let announced = Announced::default();
        let gathering = Gathering { last: 512, ..Gathering::new(Rule { many: 4, ..RULE }, announced.clone()) };
        assert!(gathering.pause(3).is_zero() && !gathering.pause(4).is_zero());
        let more = [announced.one_more(), announced.one_more()];
        assert!(gathering.pause(1).is_zero() && !gathering.pause(2).is_zero());
        drop(more);
        assert!(gathering.pause(3).is_zero());
    }
}
