//! Who uses a database of a server. Each of our connections holds a lock that it shares with all others; whoever must be
//! alone, to move the installation away or to restore one, takes it for itself. PostgreSQL takes a lock back when its
//! connection ends, however that ends.
//!
//! What a connection is called (`application_name`) would not do: the address may call it otherwise.

use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::{QueryResult, QueryableByName, RunQueryDsl, sql_query, sql_types};

use super::error::StoreError;

/// Beside the locks of `postgres`.
const LOCK: i64 = 0x6373_6967_6e00_0005;

/// How often others are looked for before they are believed to be there: the connections of a process that was just killed
/// are gone within a moment.
const LOOKS: usize = 10;

/// What is said to whoever comes while somebody is alone with the database.
pub(super) const SHUT_OUT: &str = "its installation is being moved away, or one is being restored into it, at this moment: \
                                   nobody else can use it before that has ended";

/// Says that this connection is there, for as long as it lasts; not while somebody else is alone with the database.
pub(super) fn enter(connection: &mut PgConnection) -> QueryResult<bool> {
    let entering = sql_query("SELECT pg_try_advisory_lock_shared($1) AS is_held").bind::<sql_types::BigInt, _>(LOCK);
    entering.get_result(connection).map(|answer: Answer| answer.is_held)
}

/// Keeps everybody else out for as long as this connection lasts. Gives those that are there, if somebody is.
pub(super) fn be_alone(connection: &mut PgConnection) -> Result<Option<Others>, StoreError> {
    let mut is_alone = try_to_be_alone(connection)?;
    for _ in 1..LOOKS {
        if is_alone {
            break;
        }
        connection.batch_execute("SELECT pg_sleep(0.2)")?;
        is_alone = try_to_be_alone(connection)?;
    }
    if is_alone { Ok(None) } else { others(connection).map(Some) }
}

/// Other connections of this program.
#[derive(QueryableByName)]
pub(super) struct Others {
    #[diesel(sql_type = sql_types::BigInt)]
    pub(super) number: i64,
    /// What they are called, one after the other.
    #[diesel(sql_type = sql_types::Text)]
    pub(super) names: String,
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = sql_types::Bool)]
    is_held: bool,
}

fn try_to_be_alone(connection: &mut PgConnection) -> QueryResult<bool> {
    let taking = sql_query("SELECT pg_try_advisory_lock($1) AS is_held").bind::<sql_types::BigInt, _>(LOCK);
    taking.get_result(connection).map(|answer: Answer| answer.is_held)
}

/// The number of an advisory lock stands in two columns (PostgreSQL manual, "pg_locks").
fn others(connection: &mut PgConnection) -> Result<Others, StoreError> {
    let query = sql_query(
        "SELECT COUNT(*) AS number, COALESCE(string_agg(DISTINCT activity.application_name, ', '), '') AS names \
         FROM pg_locks AS locks LEFT JOIN pg_stat_activity AS activity USING (pid) \
         WHERE locks.locktype = 'advisory' AND locks.objsubid = 1 AND locks.pid <> pg_backend_pid() \
         AND locks.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
         AND (locks.classid::bigint << 32 | locks.objid::bigint) = $1",
    );
    Ok(query.bind::<sql_types::BigInt, _>(LOCK).get_result(connection)?)
}
