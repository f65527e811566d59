//! Whose turn it is at the store.
//!
//! Strangers may ask about anything, and what is unknown is never remembered: so look-ups come by turns, leave readers to
//! others, and wait neither in a long queue nor for long. A client that is told to come again is better off than one that
//! times out. Whoever asks about many certificates at once does not stand in the way of those who ask about one.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// How many look-ups of one certificate may be at the store at once, and of several.
const OF_ONE: usize = 2;
const OF_SEVERAL: usize = 1;
/// How many may wait for their turn.
const WAITING_OF_ONE: usize = 4096;
const WAITING_OF_SEVERAL: usize = 256;
/// How long they may wait: clients give up after some seconds.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) struct Turns {
    of_one: Lane,
    of_several: Lane,
}

/// A turn, as long as it is kept.
pub(super) struct Turn<'a>(#[allow(dead_code, reason = "kept until it is dropped")] SemaphorePermit<'a>);

struct Lane {
    turns: Semaphore,
    places: Semaphore,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { of_one: Lane::new(OF_ONE, WAITING_OF_ONE), of_several: Lane::new(OF_SEVERAL, WAITING_OF_SEVERAL) }
    }

    /// Waits for the turn of a look-up of so many certificates. `None` where too many wait, or it takes too long.
    pub(super) async fn take(&self, certificates: usize) -> Option<Turn<'_>> {
        if certificates > 1 { self.of_several.take().await } else { self.of_one.take().await }
    }
}

impl Lane {
    fn new(turns: usize, places: usize) -> Self {
        Self { turns: Semaphore::new(turns), places: Semaphore::new(places) }
    }

    async fn take(&self) -> Option<Turn<'_>> {
        let _place = self.places.try_acquire().ok()?;
        timeout(PATIENCE, self.turns.acquire()).await.ok()?.ok().map(Turn)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn who_asks_about_one_does_not_wait_for_those_who_ask_about_many() {
        let turns = Turns::new();
        let _of_many = turns.take(20).await.unwrap();
        let queue = join_all((0..100).map(|_| turns.take(2)));
        let of_one = async {
            let asked = Instant::now();
            assert!(turns.take(1).await.is_some());
            asked.elapsed()
        };
        let (queue, waited) = tokio::join!(queue, of_one);
        assert!(waited < PATIENCE / 2, "{waited:?}");
        assert!(queue.iter().all(Option::is_none), "their turn did not come in time");
    }

    #[tokio::test]
    async fn nobody_waits_for_long() {
        let lane = Lane::new(1, 10);
        let turn = lane.take().await.unwrap();
        let asked = Instant::now();
        assert!(lane.take().await.is_none());
        assert!(asked.elapsed() >= PATIENCE && asked.elapsed() < PATIENCE * 3);
        drop(turn);
        assert!(lane.take().await.is_some());
    }

    #[tokio::test]
    async fn the_queue_is_bounded() {
        let lane = Lane::new(1, 10);
        let turn = lane.take().await.unwrap();
        let asked = Instant::now();
        let waiting = join_all((0..10).map(|_| lane.take()));
        let beyond = async {
            let answer = lane.take().await.is_none();
            drop(turn);
            (answer, asked.elapsed())
        };
        let (waiting, (is_refused, after)) = tokio::join!(waiting, beyond);
        assert!(is_refused && after < PATIENCE / 2, "{after:?}");
        assert!(waiting.iter().any(Option::is_some));
    }
}
