//! The group-commit writer: one thread, one connection, one transaction for everything that is waiting.
//!
//! Work arrives in a bounded queue. The thread takes all that is there, runs it in one `BEGIN IMMEDIATE … COMMIT`, and
//! answers every waiter only after the commit has returned, which under `synchronous=FULL` is after the sync of the
//! write-ahead log. There is no artificial delay: while one batch syncs, the next one gathers.
//!
//! When a piece of work fails, its batch is rolled back and replayed piece by piece, so that no piece fails because of
//! its neighbours. Work may therefore run twice, and must depend on nothing but the database.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use diesel::connection::SimpleConnection;
use tokio::sync::{mpsc, oneshot};

use super::connection::Connection;
use super::error::StoreError;

/// How many pieces of work may wait; the next one is refused with [`StoreError::Busy`].
const QUEUE_LENGTH: usize = 4096;
/// The most pieces that share one transaction.
const BATCH_LENGTH: usize = 512;

/// The way into the queue. Dropping the last clone ends the thread after it has finished what is queued.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn Work>>,
    /// Whether the last batch was taken.
    is_healthy: Arc<AtomicBool>,
}

impl Writer {
    /// Starts the thread that owns the connection.
    pub(super) fn start(connection: Connection) -> Result<Self, StoreError> {
        let (queue, waiting) = mpsc::channel(QUEUE_LENGTH);
        let is_healthy = Arc::new(AtomicBool::new(true));
        let health = Arc::clone(&is_healthy);
        thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || run(connection, waiting, &health))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self { queue, is_healthy })
    }

    /// Whether the database took the last batch.
    pub(super) fn is_healthy(&self) -> bool {
        self.is_healthy.load(Ordering::Acquire)
    }

    /// Queues a piece of work and waits until the transaction that holds it is durable.
    pub(super) async fn submit<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let piece = Piece { work, outcome: None, reply };
        self.queue.try_send(Box::new(piece)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreError::Unavailable("the writer has stopped".into()),
        })?;
        metrics::gauge!("countersign_write_queue_depth").set((QUEUE_LENGTH - self.queue.capacity()) as f64);
        answer.await.map_err(|_| StoreError::Unavailable("the writer has stopped".into()))?
    }
}

/// A piece of work whose types the queue need not know.
trait Work: Send {
    fn run(&mut self, connection: &mut Connection) -> Result<(), StoreError>;
    /// Tells the waiter; called exactly once, after the transaction ended.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Piece<T, F> {
    work: F,
    outcome: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Work for Piece<T, F>
where
    T: Send,
    F: FnMut(&mut Connection) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, connection: &mut Connection) -> Result<(), StoreError> {
        // A panic fails one request, never the writer.
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.work)(connection)))
            .unwrap_or_else(|_| Err(StoreError::Damaged("a write panicked".into())))?;
        self.outcome = Some(outcome);
        Ok(())
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let Self { outcome, reply, .. } = *self;
        let lost = || StoreError::Damaged("a committed write has no outcome".into());
        let answer = committed.and_then(|()| outcome.ok_or_else(lost));
        // The waiter may have gone (a closed connection): the write stands all the same.
        let _ = reply.send(answer);
    }
}

fn run(mut connection: Connection, mut waiting: mpsc::Receiver<Box<dyn Work>>, is_healthy: &AtomicBool) {
    let mut batch = Vec::with_capacity(BATCH_LENGTH);
    while waiting.blocking_recv_many(&mut batch, BATCH_LENGTH) > 0 {
        metrics::histogram!("countersign_write_batch_size").record(batch.len() as f64);
        commit_together(&mut connection, &mut batch, is_healthy);
    }
}

/// Runs the batch in one transaction, or piece by piece. Whether the database took anything is noted before anybody is
/// answered: who was refused and then asks for readiness must not be told of better days.
fn commit_together(connection: &mut Connection, batch: &mut Vec<Box<dyn Work>>, is_healthy: &AtomicBool) {
    match in_transaction(connection, batch) {
        Ok(()) => {
            is_healthy.store(true, Ordering::Release);
            batch.drain(..).for_each(|work| work.answer(Ok(())));
        }
        Err(Failure { before_work: false, error }) if batch.len() > 1 => {
            tracing::warn!(%error, pieces = batch.len(), "a batch of writes failed; replaying it piece by piece");
            replay(connection, batch, is_healthy);
        }
        // Where not even a transaction could be begun, each piece would only wait as long again.
        Err(Failure { error, .. }) => {
            is_healthy.store(false, Ordering::Release);
            batch.drain(..).for_each(|work| work.answer(Err(error.clone())));
        }
    }
}

fn replay(connection: &mut Connection, batch: &mut Vec<Box<dyn Work>>, is_healthy: &AtomicBool) {
    let mut committed = false;
    let mut stuck: Option<StoreError> = None;
    for mut work in batch.drain(..) {
        if let Some(error) = &stuck {
            work.answer(Err(error.clone()));
            continue;
        }
        let result = in_transaction(connection, std::slice::from_mut(&mut work));
        committed |= result.is_ok();
        is_healthy.store(committed, Ordering::Release);
        stuck = result.as_ref().err().filter(|failure| failure.before_work).map(|failure| failure.error.clone());
        work.answer(result.map_err(|failure| failure.error));
    }
}

struct Failure {
    /// The transaction could not even be begun.
    before_work: bool,
    error: StoreError,
}

fn in_transaction(connection: &mut Connection, batch: &mut [Box<dyn Work>]) -> Result<(), Failure> {
    let begun = connection.batch_execute("BEGIN IMMEDIATE");
    begun.map_err(|error| Failure { before_work: true, error: error.into() })?;
    let worked = batch.iter_mut().try_for_each(|work| work.run(connection));
    let result = worked.and_then(|()| Ok(connection.batch_execute("COMMIT")?));
    result.map_err(|error| {
        // Fails when SQLite has rolled back by itself, as it does after some I/O errors.
        let _ = connection.batch_execute("ROLLBACK");
        Failure { before_work: false, error }
    })
}
