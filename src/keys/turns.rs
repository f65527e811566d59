//! Slow signatures by turns, off the asynchronous threads: as many at once as there are cores, so that they do not take
//! the processor from each other and from everything else, and no more waiting than can be made in about a second.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use metrics::Histogram;
use tokio::sync::Semaphore;

use super::error::KeyError;

/// For each core: RSA-2048 signs some thousands a second, RSA-4096 some hundreds.
const MAX_WAITING_OF_CORE: usize = 512;

static TURNS: LazyLock<Turns> =
    LazyLock::new(|| Turns::new(std::thread::available_parallelism().map_or(1, usize::from)));

/// Whether there may be too many before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// A caller waits, and is better told to come again.
    Bounded,
    /// A CRL is awaited by everybody.
    Endless,
}

/// Does slow work on a thread of its own, when its turn has come.
pub(super) async fn take<T, F>(patience: Patience, work: F) -> Result<T, KeyError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, KeyError> + Send + 'static,
{
    TURNS.take(patience, work).await
}

struct Turns {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    max_waiting: usize,
    waited: Histogram,
}

impl Turns {
    fn new(cores: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(cores)),
            waiting: AtomicUsize::new(0),
            max_waiting: cores * MAX_WAITING_OF_CORE,
            waited: metrics::histogram!("countersign_signing_wait_seconds"),
        }
    }

    async fn take<T, F>(&self, patience: Patience, work: F) -> Result<T, KeyError>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, KeyError> + Send + 'static,
    {
        const FAILED: KeyError = KeyError::Library("sign");
        let queued = Queued::behind(&self.waiting);
        if patience == Patience::Bounded && queued.before >= self.max_waiting {
            return Err(KeyError::Busy);
        }
        let asked_at = Instant::now();
        let turn = Arc::clone(&self.free).acquire_owned().await.map_err(|_| FAILED)?;
        drop(queued);
        self.waited.record(asked_at.elapsed());
        let done = tokio::task::spawn_blocking(move || {
            // As long as the work, also when its caller has gone.
            let _turn = turn;
            work()
        });
        done.await.map_err(|_| FAILED)?
    }
}

/// A place in the queue; given up with the value, also by callers that hang up.
struct Queued<'a> {
    waiting: &'a AtomicUsize,
    before: usize,
}

impl<'a> Queued<'a> {
    fn behind(waiting: &'a AtomicUsize) -> Self {
        Self { waiting, before: waiting.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt;
    use futures_util::future::{join_all, ready};

    use super::*;

    #[tokio::test]
    async fn beyond_the_queue_callers_are_sent_away_and_crls_are_not() {
        let turns = Turns { max_waiting: 2, ..Turns::new(1) };
        let (go_on, held) = mpsc::channel::<()>();
        let first = turns.take(Patience::Bounded, move || Ok(held.recv().is_ok()));
        let mut first = first.boxed_local();
        assert!((&mut first).now_or_never().is_none());
        let mut waiting: Vec<_> = (0..2).map(|_| turns.take(Patience::Bounded, || Ok(true)).boxed_local()).collect();
        for turn in &mut waiting {
            assert!(turn.now_or_never().is_none());
        }
        assert!(matches!(turns.take(Patience::Bounded, || Ok(true)).await, Err(KeyError::Busy)));
        let mut crl = turns.take(Patience::Endless, || Ok(true)).boxed_local();
        assert!((&mut crl).now_or_never().is_none());
        drop(waiting.pop());
        go_on.send(()).unwrap();
        let all = [first, crl].into_iter().chain(waiting).map(|turn| turn.then(|done| ready(done.unwrap())));
        assert!(join_all(all).await.into_iter().all(|done| done));
        assert_eq!(turns.waiting.load(Ordering::Relaxed), 0);
    }
}
