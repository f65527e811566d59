//! What is PostgreSQL's alone: how sessions are set up, and the locks that make its writers take turns.

use std::borrow::Cow;
use std::fmt::Write as _;

use diesel::Connection as _;
use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;

use super::error::StoreError;
use super::presence;

/// Advisory locks are numbers that everybody in a database shares: ours begin with "csign".
const WRITER_LOCK: i64 = 0x6373_6967_6e00_0001;
const MIGRATION_LOCK: i64 = 0x6373_6967_6e00_0002;
const START_LOCK: i64 = 0x6373_6967_6e00_0003;
const TRANSFER_LOCK: i64 = 0x6373_6967_6e00_0004;

/// What a session that writes is set to.
///
/// `synchronous_commit` is set in any case: what a session has set stands when the server reads its configuration anew.
///
/// No `statement_timeout`: it would also end a COMMIT that waits for a synchronous standby, and PostgreSQL then reports
/// success for what the standby may not have ("canceling wait for synchronous replication"). A replica that stands still
/// in the middle of a transaction must not hold up the others, so the server ends it.
const WRITER_SETTINGS: &str = "
    SELECT set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') THEN 'on'
        ELSE current_setting('synchronous_commit') END, false);
    SET default_transaction_isolation = 'read committed';
    SET statement_timeout = 0;
    SET lock_timeout = '10s';
    SET idle_in_transaction_session_timeout = '15s';
    SET client_min_messages = warning;
";

/// One transaction sees one state, as with SQLite; nothing can be written by mistake.
const READER_SETTINGS: &str = "
    SET default_transaction_isolation = 'repeatable read';
    SET default_transaction_read_only = on;
    SET statement_timeout = '30s';
    SET idle_in_transaction_session_timeout = '60s';
    SET client_min_messages = warning;
";

/// Added to the address where it does not say otherwise: a server that is gone is noticed within seconds, and of several
/// hosts the one that takes writes is found (libpq, "Connection Parameters").
const DEFAULTS: [(&str, &str); 7] = [
    ("application_name", "countersign"),
    ("connect_timeout", "5"),
    ("keepalives_idle", "5"),
    ("keepalives_interval", "2"),
    ("keepalives_count", "3"),
    ("tcp_user_timeout", "10000"),
    ("target_session_attrs", "read-write"),
];

/// How libpq says that TLS is asked for and it was built without.
const WITHOUT_TLS: &str = "SSL support is not compiled in";
const WITH_TLS: &str =
    ". This build has no TLS to PostgreSQL; one with the feature `postgres-tls`, as in releases, does.";

pub(super) fn open_writer(url: &str) -> Result<PgConnection, StoreError> {
    open(url, WRITER_SETTINGS)
}

pub(super) fn open_reader(url: &str) -> Result<PgConnection, StoreError> {
    open(url, READER_SETTINGS)
}

fn open(url: &str, settings: &str) -> Result<PgConnection, StoreError> {
    let unusable = |error: &dyn std::fmt::Display| {
        let why = error.to_string();
        let way_out = if why.contains(WITHOUT_TLS) { WITH_TLS } else { "" };
        StoreError::Unavailable(format!("{} cannot be used as a database: {why}{way_out}", shown(url)))
    };
    let mut connection = PgConnection::establish(&with_defaults(url)).map_err(|error| unusable(&error))?;
    connection.batch_execute(settings).map_err(|error| unusable(&error))?;
    match presence::enter(&mut connection) {
        Ok(true) => Ok(connection),
        Ok(false) => Err(unusable(&presence::SHUT_OUT)),
        Err(error) => Err(unusable(&error)),
    }
}

/// Begins a transaction that writes, alone among all processes: whatever is read in it stays true until its commit, and
/// what is numbered in it is numbered in the order of the commits. One round trip.
pub(super) fn begin(connection: &mut PgConnection) -> diesel::QueryResult<()> {
    connection.batch_execute(&format!("BEGIN; SELECT pg_advisory_xact_lock({WRITER_LOCK})"))
}

/// Commits. In a transaction in which a statement has failed PostgreSQL answers COMMIT with success and rolls back: the
/// statement before it fails in such a one.
pub(super) fn commit(connection: &mut PgConnection) -> diesel::QueryResult<()> {
    connection.batch_execute("SELECT 1; COMMIT")
}

/// Runs something that no other process runs at the same time.
pub(super) fn migrating<T>(
    connection: &mut PgConnection,
    work: impl FnOnce(&mut PgConnection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    connection.batch_execute(&format!("SET lock_timeout = 0; SELECT pg_advisory_lock({MIGRATION_LOCK})"))?;
    let outcome = work(connection);
    connection.batch_execute(&format!("SELECT pg_advisory_unlock({MIGRATION_LOCK}); SET lock_timeout = '10s'"))?;
    outcome
}

/// Waits until no other process is starting; the lock goes with the connection.
pub(super) fn lock_start(connection: &mut PgConnection) -> Result<(), StoreError> {
    Ok(connection.batch_execute(&format!("SET lock_timeout = '60s'; SELECT pg_advisory_lock({START_LOCK})"))?)
}

pub(super) fn unlock_start(connection: &mut PgConnection) -> Result<(), StoreError> {
    Ok(connection.batch_execute(&format!("SELECT pg_advisory_unlock({START_LOCK}); SET lock_timeout = '10s'"))?)
}

/// Nobody else moves an installation into this database; the lock goes with the connection.
pub(super) fn lock_transfer(connection: &mut PgConnection) -> Result<(), StoreError> {
    connection.batch_execute(&format!("SELECT pg_advisory_lock({TRANSFER_LOCK})")).map_err(|error| {
        StoreError::Migration(format!("another `countersign migrate --from` is moving into this database ({error})"))
    })
}

/// Whether a table is there.
pub(super) fn has_table(connection: &mut PgConnection, name: &str) -> Result<bool, StoreError> {
    let query = format!("SELECT (to_regclass('{name}') IS NOT NULL)::int::bigint AS number");
    Ok(number(connection, &query)? == 1)
}

fn number(connection: &mut PgConnection, query: &str) -> Result<i64, StoreError> {
    #[derive(diesel::QueryableByName)]
    struct Number {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        number: i64,
    }
    let found: Number = diesel::RunQueryDsl::get_result(diesel::sql_query(query), connection)?;
    Ok(found.number)
}

/// The address without the user and the password, for people and logs.
pub(super) fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "the PostgreSQL server".into() };
    let rest = rest.split_once('?').map_or(rest, |(place, _)| place);
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    format!("{scheme}://{place}")
}

fn with_defaults(url: &str) -> Cow<'_, str> {
    let given: Vec<&str> = match url.split_once('?') {
        Some((_, query)) => query.split('&').filter_map(|pair| pair.split('=').next()).collect(),
        None => Vec::new(),
    };
    let mut full = Cow::Borrowed(url);
    for (key, value) in DEFAULTS.iter().filter(|(key, _)| !given.contains(key)) {
        let separator = if full.contains('?') { '&' } else { '?' };
        // Writing to a string does not fail.
        let _ = write!(full.to_mut(), "{separator}{key}={value}");
    }
    full
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_user_and_password() {
        assert_eq!(shown("postgres://me:p@ss@db:5432/ca?sslmode=require"), "postgres://db:5432/ca");
        assert_eq!(shown("postgresql://a,b/ca"), "postgresql://a,b/ca");
        assert_eq!(shown("postgres:///ca?password=x"), "postgres:///ca");
    }

    #[test]
    fn what_the_address_says_stands() {
        let full = with_defaults("postgres://a:1,b:2/ca?connect_timeout=1&target_session_attrs=any");
        assert!(full.starts_with("postgres://a:1,b:2/ca?connect_timeout=1&target_session_attrs=any&"), "{full}");
        assert!(full.contains("tcp_user_timeout=10000") && !full.contains("read-write"), "{full}");
        assert!(with_defaults("postgres://a/ca").starts_with("postgres://a/ca?application_name=countersign&"));
    }
}
