//! Connections: how the database is opened, and the pool of readers.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::r2d2::{ConnectionManager, CustomizeConnection, Pool};
use diesel::sqlite::SqliteConnection;
use diesel::{Connection as _, r2d2};

use super::error::StoreError;

/// The one connection type. Everything in `store` names this alias, so that a second database stays a change here.
pub(super) type Connection = SqliteConnection;
pub(super) type Readers = Pool<ConnectionManager<Connection>>;

/// How long a reader waits for a free connection before the request is answered 503.
const WAIT_FOR_READER: Duration = Duration::from_secs(5);

/// FULL, not NORMAL: in WAL mode NORMAL loses the last commits when the power goes (sqlite.org, "PRAGMA synchronous").
const WRITER_PRAGMAS: &str = "
    PRAGMA busy_timeout = 2000;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA wal_autocheckpoint = 4000;
    PRAGMA cache_size = -65536;
    PRAGMA temp_store = MEMORY;
";

const READER_PRAGMAS: &str = "
    PRAGMA busy_timeout = 10000;
    PRAGMA query_only = ON;
    PRAGMA cache_size = -8192;
    PRAGMA temp_store = MEMORY;
";

/// Opens the connection that writes; the file is created when it is not there.
pub(super) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    create_private(path)?;
    let mut connection = open(path)?;
    connection.batch_execute(WRITER_PRAGMAS).map_err(|error| unusable(path, &error))?;
    Ok(connection)
}

/// Opens the pool of connections that only read.
pub(super) fn open_readers(path: &Path, size: u32) -> Result<Readers, StoreError> {
    let manager = ConnectionManager::new(name(path)?);
    Pool::builder()
        .max_size(size)
        .connection_timeout(WAIT_FOR_READER)
        .connection_customizer(Box::new(ReaderPragmas))
        .build(manager)
        .map_err(|error| StoreError::Unavailable(error.to_string()))
}

fn open(path: &Path) -> Result<Connection, StoreError> {
    Connection::establish(name(path)?).map_err(|error| unusable(path, &error))
}

/// Only the owner reads the file; SQLite gives its companions (-wal, -shm) the same mode.
fn create_private(path: &Path) -> Result<(), StoreError> {
    let created = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    created.map(drop).map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, error: &dyn Display) -> StoreError {
    StoreError::Unavailable(format!("{} cannot be used as a database: {error}", path.display()))
}

fn name(path: &Path) -> Result<&str, StoreError> {
    path.to_str().ok_or_else(|| StoreError::Unavailable(format!("{} is not a UTF-8 path", path.display())))
}

#[derive(Debug)]
struct ReaderPragmas;

impl CustomizeConnection<Connection, r2d2::Error> for ReaderPragmas {
    fn on_acquire(&self, connection: &mut Connection) -> Result<(), r2d2::Error> {
        connection.batch_execute(READER_PRAGMAS).map_err(r2d2::Error::QueryError)
    }
}
