//! The group-commit writer: one thread, one connection, one transaction for everything that is waiting.
//!
//! Work arrives in a bounded queue. The thread takes all that is there, runs it in one `BEGIN IMMEDIATE … COMMIT`, and
//! answers every waiter only after the commit has returned, which under `synchronous=FULL` is after the sync of the
//! write-ahead log. There is no artificial delay: while one batch syncs, the next one gathers.
//!
//! When a piece of work fails, its batch is rolled back and replayed piece by piece, so that no piece fails because of
//! its neighbours. Work may therefore run twice, and must depend on nothing but the database.

use std::panic::{AssertUnwindSafe, catch_unwind};
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
}

impl Writer {
    /// Starts the thread that owns the connection.
    pub(super) fn start(connection: Connection) -> Result<Self, StoreError> {
        let (queue, waiting) = mpsc::channel(QUEUE_LENGTH);
        thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || run(connection, waiting))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self { queue })
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

fn run(mut connection: Connection, mut waiting: mpsc::Receiver<Box<dyn Work>>) {
    let mut batch = Vec::with_capacity(BATCH_LENGTH);
    while waiting.blocking_recv_many(&mut batch, BATCH_LENGTH) > 0 {
        metrics::histogram!("countersign_write_batch_size").record(batch.len() as f64);
        commit_together(&mut connection, &mut batch);
    }
}

fn commit_together(connection: &mut Connection, batch: &mut Vec<Box<dyn Work>>) {
    match in_transaction(connection, batch) {
        Ok(()) => batch.drain(..).for_each(|work| work.answer(Ok(()))),
        Err(error) if batch.len() == 1 => batch.drain(..).for_each(|work| work.answer(Err(error.clone()))),
        Err(error) => {
            tracing::warn!(%error, pieces = batch.len(), "a batch of writes failed; replaying it piece by piece");
            for mut work in batch.drain(..) {
                let result = in_transaction(connection, std::slice::from_mut(&mut work));
                work.answer(result);
            }
        }
    }
}

fn in_transaction(connection: &mut Connection, batch: &mut [Box<dyn Work>]) -> Result<(), StoreError> {
    connection.batch_execute("BEGIN IMMEDIATE")?;
    let result = batch.iter_mut().try_for_each(|work| work.run(connection));
    let result = result.and_then(|()| Ok(connection.batch_execute("COMMIT")?));
    if let Err(error) = &result {
        tracing::debug!(%error, "rolling back");
        // Fails when SQLite has rolled back by itself, as it does after some I/O errors.
        let _ = connection.batch_execute("ROLLBACK");
    }
    result
}
