//! The barrier before every OCSP answer: how far an authority had published at some moment after the request came in.
//!
//! Whoever was shown a revocation was shown it after the transaction that moved the authority's CRL number on. So a
//! process that learns the number by a read that begins after a request arrived, and brings what it remembers up to that
//! number, never contradicts what any other process has shown before.
//!
//! All who wait share the next read: one thread asks once for everybody, so a thousand requests a millisecond cost the
//! database no more than one.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use diesel::Connection as _;
use diesel::prelude::*;
use diesel::r2d2::PooledConnection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::domain::id::AuthorityId;

use super::Store;
use super::connection::{Connection, Readers, Reading, reader};
use super::error::StoreError;
use super::schema::publications;

/// How many may wait; the next one is refused with [`StoreError::Busy`].
const QUEUE_LENGTH: usize = 16_384;
/// The most that share one read.
const BATCH_LENGTH: usize = 1024;

/// How long one waits, and how long a read may last until nobody waits for it any more: a server that is frozen keeps its
/// connections, and its own limits do not end what it does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

type Answer = Result<Option<i64>, StoreError>;

struct Waiting {
    authority: AuthorityId,
    reply: oneshot::Sender<Answer>,
}

/// The way to the thread. Dropping the last clone ends it.
#[derive(Clone)]
pub(super) struct Barrier {
    queue: mpsc::Sender<Waiting>,
    read: Arc<UnderWay>,
}

/// Since when a read is under way.
struct UnderWay {
    start: Instant,
    /// In milliseconds after the start, and one more; 0 while none is.
    since: AtomicU64,
}

impl UnderWay {
    fn begins(&self) {
        self.since.store(self.elapsed() + 1, Ordering::Relaxed);
    }

    fn ends(&self) {
        self.since.store(0, Ordering::Relaxed);
    }

    fn is_stuck(&self) -> bool {
        let since = self.since.load(Ordering::Relaxed);
        since > 0 && u128::from(self.elapsed().saturating_sub(since)) >= PATIENCE.as_millis()
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }
}

impl Barrier {
    /// Starts the thread. It takes a connection out of the pool at its first work, and keeps it until it fails.
    pub(super) fn start(readers: Readers) -> Result<Self, StoreError> {
        let (queue, waiting) = mpsc::channel(QUEUE_LENGTH);
        let read = Arc::new(UnderWay { start: Instant::now(), since: AtomicU64::new(0) });
        let under_way = Arc::clone(&read);
        thread::Builder::new()
            .name("store-barrier".into())
            .spawn(move || run(&readers, waiting, &under_way))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self { queue, read })
    }
}

impl Store {
    /// The number of the authority's last CRL, by a read that begins after this call; `None` for an authority that is not
    /// there.
    pub async fn published_number(&self, authority: AuthorityId) -> Result<Option<i64>, StoreError> {
        let silent = || StoreError::Unavailable(format!("it has not answered a read for {} s", PATIENCE.as_secs()));
        if self.barrier.read.is_stuck() {
            return Err(silent());
        }
        let (reply, answer) = oneshot::channel();
        self.barrier.queue.try_send(Waiting { authority, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreError::Unavailable("the barrier has stopped".into()),
        })?;
        let answer = timeout(PATIENCE, answer).await.map_err(|_| silent())?;
        answer.map_err(|_| StoreError::Unavailable("the barrier has stopped".into()))?
    }
}

type Kept = Option<PooledConnection<Reading>>;

fn run(readers: &Readers, mut waiting: mpsc::Receiver<Waiting>, under_way: &UnderWay) {
    let mut batch = Vec::with_capacity(BATCH_LENGTH);
    let mut connection: Kept = None;
    while waiting.blocking_recv_many(&mut batch, BATCH_LENGTH) > 0 {
        under_way.begins();
        let was_kept = connection.is_some();
        let mut read = guarded_read(readers, &mut connection, &batch);
        if read.is_err() && was_kept {
            // It may have failed long ago, with a server that is back by now.
            read = guarded_read(readers, &mut connection, &batch);
        }
        under_way.ends();
        for Waiting { authority, reply } in batch.drain(..) {
            let answer = match &read {
                Ok(numbers) => Ok(numbers.get(&authority).copied().flatten()),
                Err(error) => Err(error.clone()),
            };
            // The waiter may have gone.
            let _ = reply.send(answer);
        }
    }
}

/// A connection that failed is given back: the pool tells good ones from broken ones.
fn guarded_read(readers: &Readers, kept: &mut Kept, batch: &[Waiting]) -> Result<Numbers, StoreError> {
    let read = catch_unwind(AssertUnwindSafe(|| read(readers, kept, batch)));
    let read = read.unwrap_or_else(|_| Err(StoreError::Damaged("a read of the barrier panicked".into())));
    if read.is_err() {
        *kept = None;
    }
    read
}

type Numbers = HashMap<AuthorityId, Option<i64>>;

fn read(readers: &Readers, kept: &mut Kept, batch: &[Waiting]) -> Result<Numbers, StoreError> {
    let connection = match kept {
        Some(connection) => connection,
        None => kept.insert(reader(readers)?),
    };
    let mut numbers: Numbers = batch.iter().map(|waiting| (waiting.authority, None)).collect();
    if numbers.len() == 1 {
        numbers.iter_mut().try_for_each(|(authority, number)| look_up(connection, *authority, number))?;
        return Ok(numbers);
    }
    connection.transaction(|connection| {
        numbers.iter_mut().try_for_each(|(authority, number)| look_up(connection, *authority, number))
    })?;
    Ok(numbers)
}

fn look_up(connection: &mut Connection, authority: AuthorityId, number: &mut Option<i64>) -> Result<(), StoreError> {
    let publication = publications::table.find(authority.as_bytes().as_slice());
    *number = publication.select(publications::number).first(connection).optional()?;
    Ok(())
}
