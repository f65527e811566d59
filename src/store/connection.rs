//! Connections: which databases there are, how they are opened, and the pool of readers.

use std::fmt::{self, Display};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::r2d2::{ManageConnection, Pool, PooledConnection, R2D2Connection};
use diesel::sqlite::SqliteConnection;
use diesel::{Connection as _, r2d2};
use secrecy::{ExposeSecret, SecretString};

pub(super) use super::any_connection::{AnyConnection as Connection, MultiBackend};
use super::error::StoreError;
use super::postgres;

/// Compiles one expression once for each database. For what Diesel's enum of connections does not offer (`ON CONFLICT`).
macro_rules! on_either {
    ($connection:expr, |$inner:ident| $statement:expr) => {
        match $connection {
            $crate::store::any_connection::AnyConnection::Sqlite($inner) => $statement,
            $crate::store::any_connection::AnyConnection::Postgres($inner) => $statement,
        }
    };
}
pub(super) use on_either;

/// Where the data is.
#[derive(Clone)]
pub enum Database {
    /// A file of this machine, used by one process.
    Sqlite(PathBuf),
    /// A connection URI as libpq reads it; it may hold a password. Any number of processes share it.
    Postgres(SecretString),
}

/// Never the password.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

/// For people: the file, or the server without user and password.
impl Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres(url) => f.write_str(&postgres::shown(url.expose_secret())),
        }
    }
}

/// The connections that only read. Clones share them.
#[derive(Clone)]
pub(super) struct Readers {
    pool: Pool<Reading>,
    loss: Loss,
}

/// Why the last connection could not be made, if it could not.
type Loss = Arc<Mutex<Option<String>>>;

/// What is asked of a new connection before it is used.
pub(super) type Admission = fn(&mut Connection) -> Result<(), StoreError>;

/// How long a reader waits for a free connection before the request is answered 503.
const WAIT_FOR_READER: Duration = Duration::from_secs(5);
/// How soon one that waits asks whether the database was lost meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// The pause between two attempts to find a lost database grows to half of this (r2d2), so that it is not noticed late.
const RETRY_WITHIN: Duration = Duration::from_millis(500);

/// Checkpoints are made beside the writer (`checkpoints`); the number here is for when they do not keep up.
///
/// The cache is small on purpose: after each commit that split a page SQLite looks through all of it (a balance parks pages
/// at the number of the locking page, and the commit drops everything up to there), and the system keeps the file's pages
/// anyway.
///
/// FULL, not NORMAL: in WAL mode NORMAL loses the last commits when the power goes (sqlite.org, "PRAGMA synchronous").
const WRITER_PRAGMAS: &str = "
    PRAGMA busy_timeout = 2000;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA wal_autocheckpoint = 20000;
    PRAGMA cache_size = -16384;
    PRAGMA temp_store = MEMORY;
";

/// Of each reader's own cache, what a page of a thousand certificates takes: the kernel has the rest.
const READER_PRAGMAS: &str = "
    PRAGMA busy_timeout = 10000;
    PRAGMA query_only = ON;
    PRAGMA cache_size = -3072;
    PRAGMA temp_store = MEMORY;
";

/// Opens a connection that writes; SQLite's file is created when it is not there.
pub(super) fn open_writer(database: &Database) -> Result<Connection, StoreError> {
    match database {
        Database::Sqlite(path) => {
            create_private(path)?;
            let mut connection = open_file(path)?;
            connection.batch_execute(WRITER_PRAGMAS).map_err(|error| unusable(database, &error))?;
            Ok(Connection::Sqlite(connection))
        }
        Database::Postgres(url) => postgres::open_writer(url.expose_secret()).map(Connection::Postgres),
    }
}

/// Opens a connection that only reads.
pub(super) fn open_reader(database: &Database) -> Result<Connection, StoreError> {
    match database {
        Database::Sqlite(path) => {
            let mut connection = open_file(path)?;
            connection.batch_execute(READER_PRAGMAS)?;
            Ok(Connection::Sqlite(connection))
        }
        Database::Postgres(url) => postgres::open_reader(url.expose_secret()).map(Connection::Postgres),
    }
}

/// Opens the pool of connections that only read.
pub(super) fn open_readers(database: &Database, admission: Admission, size: u32) -> Result<Readers, StoreError> {
    let loss = Loss::default();
    let pool = Pool::builder()
        .max_size(size)
        .connection_timeout(RETRY_WITHIN)
        .error_handler(Box::new(Quiet))
        .build_unchecked(Reading { database: database.clone(), admission, loss: Arc::clone(&loss) });
    let first = pool.get_timeout(WAIT_FOR_READER);
    first.map_err(|error| StoreError::Unavailable(error.to_string()))?;
    Ok(Readers { pool, loss })
}

/// A connection of the pool. Nobody waits for one while the database is away.
pub(super) fn reader(readers: &Readers) -> Result<PooledConnection<Reading>, StoreError> {
    let begun = Instant::now();
    loop {
        let error = match readers.pool.get_timeout(LOOK_EVERY) {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        // While there are connections, one that could not be made says little: the server may have no room for more.
        let is_away = readers.pool.state().connections == 0;
        match readers.loss.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            Some(why) if is_away => return Err(StoreError::Unavailable(why)),
            _ if begun.elapsed() >= WAIT_FOR_READER => return Err(StoreError::Unavailable(error.to_string())),
            _ => {}
        }
    }
}

/// Opens a file of SQLite as it is.
pub(super) fn open_plain(path: &Path) -> Result<SqliteConnection, StoreError> {
    let mut connection = open_file(path)?;
    connection.batch_execute("PRAGMA busy_timeout = 10000")?;
    Ok(connection)
}

fn open_file(path: &Path) -> Result<SqliteConnection, StoreError> {
    let database = Database::Sqlite(path.to_owned());
    let name = path.to_str().ok_or_else(|| StoreError::Unavailable(format!("{database} is not a UTF-8 path")))?;
    SqliteConnection::establish(name).map_err(|error| unusable(&database, &error))
}

/// Only the owner reads the file; SQLite gives its companions (-wal, -shm) the same mode.
///
/// A file that is there is left alone. To open it past SQLite and close it again would take from this process every lock
/// that it holds on it (sqlite.org, "How To Corrupt An SQLite Database File", 2.2): the next program that reads the
/// database and goes would take itself for the last one, and remove the write-ahead log under us.
fn create_private(path: &Path) -> Result<(), StoreError> {
    if path.exists() {
        return Ok(());
    }
    let created = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    created.map(drop).map_err(|error| unusable(&Database::Sqlite(path.to_owned()), &error))
}

fn unusable(database: &Database, error: &dyn Display) -> StoreError {
    StoreError::Unavailable(format!("{database} cannot be used as a database: {error}"))
}

/// Makes the connections of the pool.
pub(super) struct Reading {
    database: Database,
    admission: Admission,
    loss: Loss,
}

impl ManageConnection for Reading {
    type Connection = Connection;
    type Error = r2d2::Error;

    fn connect(&self) -> Result<Connection, r2d2::Error> {
        let opened = open_reader(&self.database).and_then(|mut connection| {
            (self.admission)(&mut connection)?;
            Ok(connection)
        });
        let mut loss = self.loss.lock().unwrap_or_else(PoisonError::into_inner);
        *loss = opened.as_ref().err().map(ToString::to_string);
        opened.map_err(|error: StoreError| {
            r2d2::Error::ConnectionError(diesel::ConnectionError::BadConnection(error.to_string()))
        })
    }

    /// A file does not go away; a server does.
    fn is_valid(&self, connection: &mut Connection) -> Result<(), r2d2::Error> {
        match connection {
            Connection::Sqlite(_) => Ok(()),
            Connection::Postgres(connection) => connection.ping().map_err(r2d2::Error::QueryError),
        }
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        std::thread::panicking() || on_either!(connection, |connection| connection.is_broken())
    }
}

/// The pool tells whoever waits for a connection; its own log would repeat it for each attempt.
#[derive(Debug)]
struct Quiet;

impl r2d2::HandleError<r2d2::Error> for Quiet {
    fn handle_error(&self, error: r2d2::Error) {
        tracing::debug!(%error, "a connection to the database could not be made");
    }
}
