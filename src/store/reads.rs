//! Reads: each on a thread that may wait, with a connection of the pool, and with an end.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::connection::{self, Connection, Database, Readers};
use super::error::StoreError;

/// How long a read may wait for a thread and a connection that has shown that it works: longer than for a free one.
const WAIT: Duration = Duration::from_secs(7);
/// How long it may then take on PostgreSQL, which itself ends a statement after 30 s unless it is frozen.
const LONGEST: Duration = Duration::from_secs(45);
/// A file answers as long as there is a disk; to look through all of a large one takes its time.
const LONGEST_OF_FILE: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone)]
pub(super) struct Reads {
    readers: Readers,
    longest: Duration,
    /// Of a file, as many at once as there are connections. A thread that has read a long page keeps some ten megabytes of
    /// memory for the next one, so what waits must not have a thread yet. A server that is lost is told to all at once.
    turns: Option<Arc<Semaphore>>,
    /// Where the threads are: one set for all who ask, for the same reason.
    runtime: Option<Handle>,
}

impl Reads {
    /// For so many connections, of which the barrier keeps one.
    pub(super) fn new(database: &Database, readers: Readers, size: u32) -> Self {
        let turns = usize::try_from(size.saturating_sub(1).max(1)).unwrap_or(1);
        let (longest, turns) = match database {
            Database::Sqlite(_) => (LONGEST_OF_FILE, Some(Arc::new(Semaphore::new(turns)))),
            Database::Postgres(_) => (LONGEST, None),
        };
        Self { readers, longest, turns, runtime: Handle::try_current().ok() }
    }

    pub(super) async fn run<T, F>(&self, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let turn = match &self.turns {
            Some(turns) => timeout(WAIT, Arc::clone(turns).acquire_owned()).await.map_err(|_| silent(WAIT))?.ok(),
            None => None,
        };
        let readers = self.readers.clone();
        let (begin, begun) = oneshot::channel();
        let read = move || {
            let _turn = turn;
            let mut connection = connection::reader(&readers)?;
            // Nobody may be waiting any more.
            if begin.send(()).is_err() {
                return Err(StoreError::Unavailable("the read came to its turn too late".into()));
            }
            query(&mut connection)
        };
        let mut reading = match &self.runtime {
            Some(runtime) => runtime.spawn_blocking(read),
            None => tokio::task::spawn_blocking(read),
        };
        // A server that is frozen keeps its connections, and none of its own limits end what it does not answer.
        let answered = async {
            let _ = timeout(WAIT, begun).await.map_err(|_| WAIT)?;
            timeout(self.longest, &mut reading).await.map_err(|_| self.longest)
        };
        match answered.await {
            Ok(joined) => joined.map_err(|error| StoreError::Unavailable(error.to_string()))?,
            Err(limit) => {
                reading.abort();
                Err(silent(limit))
            }
        }
    }
}

fn silent(limit: Duration) -> StoreError {
    StoreError::Unavailable(format!("it has not answered a read for {} s", limit.as_secs()))
}
