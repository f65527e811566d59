//! The one sequence there is: the numbers of events.

use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use diesel::{RunQueryDsl, sql_query};

use super::super::connection::Connection;
use super::super::error::StoreError;

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// The last number that was given to an event, which may have been forgotten since; none where there was no event.
pub(in super::super) fn last_event(connection: &mut Connection) -> Result<Option<i64>, StoreError> {
    let found: Option<Number> = match connection {
        Connection::Sqlite(connection) => {
            let query = sql_query("SELECT seq AS number FROM sqlite_sequence WHERE name = 'events'");
            RunQueryDsl::<SqliteConnection>::get_result(query, connection).optional()?
        }
        Connection::Postgres(connection) => {
            // A sequence that gave no number yet has none, only a first one to give.
            let query = sql_query(
                "SELECT last_value AS number FROM pg_sequences WHERE schemaname = current_schema() AND last_value IS NOT NULL \
                 AND format('%I.%I', schemaname, sequencename)::regclass = pg_get_serial_sequence('events', 'number')::regclass",
            );
            RunQueryDsl::<PgConnection>::get_result(query, connection).optional()?
        }
    };
    Ok(found.map(|found| found.number))
}

/// The next event gets a number after this one. Not undone by a rollback on PostgreSQL.
pub(in super::super) fn set_last_event(connection: &mut Connection, last: i64) -> Result<(), StoreError> {
    match connection {
        Connection::Sqlite(connection) => {
            let update = sql_query("UPDATE sqlite_sequence SET seq = ? WHERE name = 'events'").bind::<BigInt, _>(last);
            if RunQueryDsl::<SqliteConnection>::execute(update, connection)? == 0 {
                let insert = sql_query("INSERT INTO sqlite_sequence (name, seq) VALUES ('events', ?)");
                RunQueryDsl::<SqliteConnection>::execute(insert.bind::<BigInt, _>(last), connection)?;
            }
        }
        Connection::Postgres(connection) => {
            let set = sql_query("SELECT setval(pg_get_serial_sequence('events', 'number'), $1) AS number");
            let _: Number = set.bind::<BigInt, _>(last).get_result(connection)?;
        }
    }
    Ok(())
}
