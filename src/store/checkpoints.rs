//! Checkpoints of SQLite's write-ahead log beside the writer.
//!
//! By itself SQLite checkpoints within a commit: everybody waits until thousands of pages are copied and synced. Here a
//! thread of its own copies and syncs them while the writer goes on, a little at a time, for a sync of the log waits for all
//! that the disk has to do already. From time to time the writer then copies what has come meanwhile, after which the log
//! begins anew (sqlite.org, "Write-Ahead Logging", 3.1: it does so only when all of it was copied).

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use diesel::connection::SimpleConnection;

use super::connection::{self, Connection, Database};
use super::error::StoreError;

/// After so many writes the log is copied: some 10 to 20 MB of it. More at once is less work for each, and holds up those
/// who wait meanwhile: twice as many keep the slowest hundredth of 64 callers a quarter longer, and half as many take a
/// fiftieth more of the processor for each certificate.
const COPIED_AFTER: usize = 1000;
/// After so many copies the log begins anew: it is then some 20 to 40 MB long.
const COPIES: usize = 2;
const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";
/// What came while the first time took long is copied the second time, and little is left for the writer.
const TIMES: usize = 2;

const IDLE: u8 = 0;
const COPYING: u8 = 1;
const COPIED: u8 = 2;

/// The writer's side. Dropping it ends the thread.
pub(super) struct Checkpoints {
    /// Writes since the log was last copied.
    uncopied: usize,
    /// Copies since it began.
    copies: usize,
    state: Arc<AtomicU8>,
    wake: SyncSender<()>,
}

impl Checkpoints {
    /// Starts the thread; `None` for a database that sees to it itself.
    pub(super) fn start(database: &Database) -> Result<Option<Self>, StoreError> {
        let Database::Sqlite(path) = database else { return Ok(None) };
        let connection = connection::open_writer(database)?;
        let file = Syncable::open(path).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let state = Arc::new(AtomicU8::new(IDLE));
        let (wake, woken) = mpsc::sync_channel(1);
        let shared = Arc::clone(&state);
        thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || run(connection, &file, &woken, &shared))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Some(Self { uncopied: 0, copies: 0, state, wake }))
    }

    /// Called by the writer between transactions.
    pub(super) fn after(&mut self, writes: usize, connection: Option<&mut Connection>) {
        self.uncopied += writes;
        match self.state.load(Ordering::Acquire) {
            COPIED => {
                self.copies += 1;
                if let Some(connection) = connection
                    && self.copies >= COPIES
                {
                    self.copies = 0;
                    checkpoint(connection);
                }
                self.state.store(IDLE, Ordering::Release);
            }
            IDLE if self.uncopied >= COPIED_AFTER => {
                self.uncopied = 0;
                self.state.store(COPYING, Ordering::Release);
                if self.wake.try_send(()).is_err() {
                    self.state.store(IDLE, Ordering::Release);
                }
            }
            _ => {}
        }
    }
}

fn run(mut connection: Connection, file: &Syncable, woken: &Receiver<()>, state: &AtomicU8) {
    while woken.recv().is_ok() {
        for _ in 0..TIMES {
            checkpoint(&mut connection);
            file.sync();
        }
        state.store(COPIED, Ordering::Release);
    }
}

/// What fails here is tried again with the next one; the log only grows meanwhile.
fn checkpoint(connection: &mut Connection) {
    if let Err(error) = connection.batch_execute(CHECKPOINT) {
        tracing::warn!(%error, "the write-ahead log could not be copied into the database");
    }
}

/// The database's file, to have what was copied on the disk before the writer needs it there. SQLite syncs it only with the
/// last page of the log, which is the writer's, and everybody would wait for all that was copied before.
///
/// It is never closed: that would take from this process every lock that it holds on the file (sqlite.org, "How To Corrupt
/// An SQLite Database File", 2.2).
struct Syncable(ManuallyDrop<File>);

impl Syncable {
    fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(ManuallyDrop::new).map(Self)
    }

    /// A failure is SQLite's to find: it syncs once more before it lets go of the log.
    fn sync(&self) {
        if let Err(error) = self.0.sync_data() {
            tracing::warn!(%error, "the database could not be synced");
        }
    }
}
