//! The group-commit writer: one thread, one connection, one transaction for everything that is waiting.
//!
//! Work arrives in a bounded queue. The thread takes all that is there, runs it in one `BEGIN IMMEDIATE … COMMIT`, and
//! answers every waiter only after the commit has returned, which under `synchronous=FULL` is after the sync of the
//! write-ahead log. While one batch syncs, the next one gathers, under load for a moment longer (`gathering`). PostgreSQL's
//! writers take turns, over all processes, as SQLite's do by themselves: see `postgres::begin`.
//!
//! When a piece of work fails, its batch is rolled back and replayed piece by piece, so that no piece fails because of
//! its neighbours. Work may therefore run twice, and must depend on nothing but the database.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use tokio::sync::{mpsc, oneshot};

use super::checkpoints::Checkpoints;
use super::connection::{Admission, Connection, Database};
use super::error::StoreError;
use super::gathering::{Announced, Announcement, Gathering, Rule};
use super::issuance::{Issuance, IssueOutcome, Verdict};
use super::{connection, issuance, postgres};

/// How many pieces of work may wait; the next one is refused with [`StoreError::Busy`].
const QUEUE_LENGTH: usize = 4096;
/// When commits wait for company. With 64 callers on two cores, commits of twelve instead of three take a fifth less of the
/// processor for each certificate, and the slowest answers come twice as soon. A tenth more certificates are made when nobody
/// is waited for where sixteen are there. With 16 callers a fifth fewer would be made if commits waited.
const GATHERING: Rule =
    Rule { limit: 512, enough: 16, many: 24, each: Duration::from_micros(100), longest: Duration::from_micros(1500) };

/// How long a caller waits for a write that is queued or under way before it is told that the outcome is not known. A commit
/// that waits for a standby which is gone has no end of its own.
const PATIENCE: Duration = Duration::from_secs(30);

/// The way into the queue. Dropping the last clone ends the thread after it has finished what is queued.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn Work>>,
    announced: Announced,
    /// Whether the last batch was taken.
    is_healthy: Arc<AtomicBool>,
}

impl Writer {
    /// Starts the thread that owns the connection, and makes a new one to the same database when it is lost.
    pub(super) fn start(database: Database, connection: Connection, admission: Admission) -> Result<Self, StoreError> {
        let (queue, waiting) = mpsc::channel(QUEUE_LENGTH);
        let is_healthy = Arc::new(AtomicBool::new(true));
        let health = Arc::clone(&is_healthy);
        let announced = Announced::default();
        let expected = announced.clone();
        let checkpoints = Checkpoints::start(&database)?;
        let line = Line { database, connection: Some(connection), admission };
        thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || run(line, checkpoints, waiting, expected, &health))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self { queue, announced, is_healthy })
    }

    /// Whether the database took the last batch.
    pub(super) fn is_healthy(&self) -> bool {
        self.is_healthy.load(Ordering::Acquire)
    }

    /// Says that a piece of work may come soon: a commit may wait for it.
    pub(super) fn announce(&self) -> Announcement {
        self.announced.one_more()
    }

    /// Queues a piece of work and waits until the transaction that holds it is durable.
    pub(super) async fn submit<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.enqueue(Box::new(Piece { work, outcome: None, reply }));
        confirmed(answer).await
    }

    /// Queues an issuance: those of a batch are recorded together. `told` hears once what became of it.
    pub(super) fn submit_issuance(&self, issuance: Issuance, told: Told) {
        self.enqueue(Box::new(IssuancePiece { issuance, verdict: None, told }));
    }

    fn enqueue(&self, work: Box<dyn Work>) {
        match self.queue.try_send(work) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(work)) => work.answer(Err(StoreError::Busy)),
            Err(mpsc::error::TrySendError::Closed(work)) => work.answer(Err(stopped())),
        }
    }
}

/// Waits for what the writer says of a write.
pub(super) async fn confirmed<T, E: From<StoreError>>(answer: oneshot::Receiver<Result<T, E>>) -> Result<T, E> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(|_| StoreError::Unavailable("the write ended without an answer".into()))?,
        Err(_) => Err(StoreError::Unavailable(format!(
            "the database has not confirmed a write for {} s; it may have been stored",
            PATIENCE.as_secs()
        )))?,
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the writer has stopped".into())
}

/// What is done with the outcome of an issuance, on the writer's thread.
pub(super) type Told = Box<dyn FnOnce(Result<IssueOutcome, StoreError>) + Send>;

/// A piece of work whose types the queue need not know.
trait Work: Send {
    fn run(&mut self, connection: &mut Connection) -> Result<(), StoreError>;
    /// Itself, if it is an issuance: its running is done by [`record_issuances`].
    fn issuance(&mut self) -> Option<&mut IssuancePiece> {
        None
    }
    /// Tells the waiter; called exactly once, after the transaction ended.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct IssuancePiece {
    issuance: Issuance,
    verdict: Option<Verdict>,
    told: Told,
}

impl Work for IssuancePiece {
    fn run(&mut self, _: &mut Connection) -> Result<(), StoreError> {
        Ok(())
    }

    fn issuance(&mut self) -> Option<&mut IssuancePiece> {
        Some(self)
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let Self { issuance, verdict, told } = *self;
        let lost = || StoreError::Damaged("a committed issuance has no outcome".into());
        told(committed.and_then(|()| Ok(verdict.ok_or_else(lost)?.outcome(issuance))));
    }
}

/// Records all issuances of a batch. Which piece comes first does not matter: nobody was answered yet.
fn record_issuances(connection: &mut Connection, batch: &mut [Box<dyn Work>]) -> Result<(), StoreError> {
    let mut pieces: Vec<&mut IssuancePiece> = batch.iter_mut().filter_map(|work| work.issuance()).collect();
    if pieces.is_empty() {
        return Ok(());
    }
    let issuances: Vec<&Issuance> = pieces.iter().map(|piece| &piece.issuance).collect();
    let verdicts = catch_unwind(AssertUnwindSafe(|| issuance::record_all(connection, &issuances)))
        .unwrap_or_else(|_| Err(StoreError::Damaged("a write panicked".into())))?;
    for (piece, verdict) in pieces.iter_mut().zip(verdicts) {
        piece.verdict = Some(verdict);
    }
    Ok(())
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

/// The writer's connection, which may have to be made anew.
struct Line {
    database: Database,
    connection: Option<Connection>,
    admission: Admission,
}

/// Why a batch was not taken.
enum Failure {
    /// Not even a transaction could be begun: each piece would only wait as long again.
    BeforeWork(StoreError),
    /// It was rolled back.
    RolledBack(StoreError),
    /// The connection was lost: whether the database has committed is not known, and nothing is tried again.
    Lost(StoreError),
}

impl Failure {
    fn error(&self) -> &StoreError {
        match self {
            Self::BeforeWork(error) | Self::RolledBack(error) | Self::Lost(error) => error,
        }
    }
}

fn run(
    mut line: Line,
    mut checkpoints: Option<Checkpoints>,
    mut waiting: mpsc::Receiver<Box<dyn Work>>,
    announced: Announced,
    is_healthy: &AtomicBool,
) {
    let mut batch = Vec::with_capacity(GATHERING.limit);
    let mut gathering = Gathering::new(GATHERING, announced);
    while gathering.receive(&mut waiting, &mut batch) {
        let depth = metrics::gauge!("countersign_write_queue_depth");
        depth.set(waiting.len() as f64);
        let writes = batch.len();
        metrics::histogram!("countersign_write_batch_size").record(writes as f64);
        let begun = Instant::now();
        commit_together(&mut line, &mut batch, is_healthy);
        metrics::histogram!("countersign_write_commit_seconds").record(begun.elapsed().as_secs_f64());
        if let Some(checkpoints) = &mut checkpoints {
            checkpoints.after(writes, line.connection.as_mut());
        }
    }
}

/// Runs the batch in one transaction, or piece by piece. Whether the database took anything is noted before anybody is
/// answered: who was refused and then asks for readiness must not be told of better days.
fn commit_together(line: &mut Line, batch: &mut Vec<Box<dyn Work>>, is_healthy: &AtomicBool) {
    match line.in_transaction(batch) {
        Ok(()) => {
            is_healthy.store(true, Ordering::Release);
            batch.drain(..).for_each(|work| work.answer(Ok(())));
        }
        Err(Failure::RolledBack(error)) if batch.len() > 1 => {
            tracing::warn!(%error, pieces = batch.len(), "a batch of writes failed; replaying it piece by piece");
            replay(line, batch, is_healthy);
        }
        Err(failure) => {
            is_healthy.store(false, Ordering::Release);
            tracing::warn!(error = %failure.error(), pieces = batch.len(), "writes failed");
            batch.drain(..).for_each(|work| work.answer(Err(failure.error().clone())));
        }
    }
}

fn replay(line: &mut Line, batch: &mut Vec<Box<dyn Work>>, is_healthy: &AtomicBool) {
    let mut committed = false;
    let mut stuck: Option<StoreError> = None;
    for mut work in batch.drain(..) {
        if let Some(error) = &stuck {
            work.answer(Err(error.clone()));
            continue;
        }
        let result = line.in_transaction(std::slice::from_mut(&mut work));
        committed |= result.is_ok();
        is_healthy.store(committed, Ordering::Release);
        if let Err(Failure::BeforeWork(error) | Failure::Lost(error)) = &result {
            stuck = Some(error.clone());
        }
        work.answer(result.map_err(|failure| failure.error().clone()));
    }
}

impl Line {
    fn in_transaction(&mut self, batch: &mut [Box<dyn Work>]) -> Result<(), Failure> {
        let connection = self.begin().map_err(Failure::BeforeWork)?;
        let recorded = record_issuances(connection, batch);
        let worked = recorded.and_then(|()| batch.iter_mut().try_for_each(|work| work.run(connection)));
        let Err(error) = worked.and_then(|()| Ok(commit(connection)?)) else { return Ok(()) };
        let rolled_back = connection.batch_execute("ROLLBACK");
        match (&connection, rolled_back) {
            // SQLite has rolled back by itself after some I/O errors, and complains of the second time.
            (Connection::Sqlite(_), _) | (Connection::Postgres(_), Ok(())) => Err(Failure::RolledBack(error)),
            (Connection::Postgres(_), Err(_)) => {
                self.connection = None;
                Err(Failure::Lost(error))
            }
        }
    }

    /// Begins a transaction. A connection that was lost while it was idle (a server that started anew) is made anew at once.
    fn begin(&mut self) -> Result<&mut Connection, StoreError> {
        let was_there = self.connection.is_some();
        match self.try_to_begin() {
            Err(error) if was_there && self.connection.is_none() => {
                tracing::warn!(%error, "the connection to the database was lost; making a new one");
                self.try_to_begin()?;
            }
            begun => begun?,
        }
        self.connection.as_mut().ok_or_else(|| StoreError::Unavailable("there is no connection".into()))
    }

    fn try_to_begin(&mut self) -> Result<(), StoreError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let mut connection = connection::open_writer(&self.database)?;
                (self.admission)(&mut connection)?;
                self.connection.insert(connection)
            }
        };
        let begun = match connection {
            Connection::Sqlite(connection) => connection.batch_execute("BEGIN IMMEDIATE"),
            Connection::Postgres(connection) => postgres::begin(connection),
        };
        let Err(error) = begun else { return Ok(()) };
        if let Connection::Postgres(connection) = connection
            && connection.batch_execute("ROLLBACK").is_err()
        {
            self.connection = None;
        }
        Err(error.into())
    }
}

fn commit(connection: &mut Connection) -> diesel::QueryResult<()> {
    match connection {
        Connection::Sqlite(connection) => connection.batch_execute("COMMIT"),
        Connection::Postgres(connection) => postgres::commit(connection),
    }
}
