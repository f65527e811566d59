//! Writing rows of any table: many in one statement.

use diesel::pg::{Pg, PgConnection};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Binary, Nullable, Text};
use diesel::sqlite::{Sqlite, SqliteConnection};

use super::super::connection::Connection;
use super::super::error::StoreError;
use super::rows::{Value, bind_all, quoted};
use super::tables::{Kind, Table};

/// SQLite takes at most 32 766 variables in a statement.
const SQLITE_VARIABLES: usize = 30_000;

pub(super) fn insert(connection: &mut Connection, table: &Table, rows: Vec<Vec<Value>>) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let written = match connection {
        Connection::Sqlite(connection) => insert_into_sqlite(connection, table, &rows),
        Connection::Postgres(connection) => insert_into_postgres(connection, table, rows),
    };
    written.map_err(|error| StoreError::Migration(format!("the rows of {} could not be written: {error}", table.name)))
}

fn insert_into_sqlite(connection: &mut SqliteConnection, table: &Table, rows: &[Vec<Value>]) -> QueryResult<()> {
    let binds = format!("({})", vec!["?"; table.columns.len()].join(", "));
    for some in rows.chunks((SQLITE_VARIABLES / table.columns.len().max(1)).max(1)) {
        let sql = format!("{} VALUES {}", insert_into(table), vec![binds.as_str(); some.len()].join(", "));
        let query = sql_query(sql).into_boxed::<Sqlite>();
        let query = some.iter().fold(query, |query, row| bind_all(query, row));
        RunQueryDsl::<SqliteConnection>::execute(query, connection)?;
    }
    Ok(())
}

/// One array for each column: the statement is the same however many rows there are.
fn insert_into_postgres(connection: &mut PgConnection, table: &Table, rows: Vec<Vec<Value>>) -> QueryResult<()> {
    let mut arrays: Vec<Vec<Value>> = table.columns.iter().map(|_| Vec::with_capacity(rows.len())).collect();
    for row in rows {
        arrays.iter_mut().zip(row).for_each(|(array, value)| array.push(value));
    }
    let numbered = |form: &dyn Fn(usize, Kind) -> String| -> String {
        let parts = table.columns.iter().enumerate().map(|(place, column)| form(place + 1, column.kind));
        parts.collect::<Vec<_>>().join(", ")
    };
    let values = numbered(&|place, kind| match kind {
        Kind::Truth => format!("c{place} <> 0"),
        _ => format!("c{place}"),
    });
    let binds = numbered(&|place, kind| match kind {
        Kind::Octets => format!("${place}::bytea[]"),
        Kind::Text => format!("${place}::text[]"),
        Kind::Integer | Kind::Truth => format!("${place}::bigint[]"),
    });
    let names = numbered(&|place, _| format!("c{place}"));
    let sql = format!("{} SELECT {values} FROM unnest({binds}) AS u({names})", insert_into(table));
    let mut query = sql_query(sql).into_boxed::<Pg>();
    for (column, array) in table.columns.iter().zip(arrays) {
        query = match column.kind {
            Kind::Octets => query.bind::<Array<Nullable<Binary>>, _>(each(array, octets)),
            Kind::Text => query.bind::<Array<Nullable<Text>>, _>(each(array, text)),
            Kind::Integer | Kind::Truth => query.bind::<Array<Nullable<BigInt>>, _>(each(array, integer)),
        };
    }
    RunQueryDsl::<PgConnection>::execute(query, connection).map(drop)
}

fn insert_into(table: &Table) -> String {
    let columns: Vec<String> = table.columns.iter().map(|column| quoted(&column.name)).collect();
    format!("INSERT INTO {} ({})", quoted(&table.name), columns.join(", "))
}

fn each<T>(values: Vec<Value>, form: fn(Value) -> Option<T>) -> Vec<Option<T>> {
    values.into_iter().map(form).collect()
}

fn octets(value: Value) -> Option<Vec<u8>> {
    if let Value::Octets(octets) = value { Some(octets) } else { None }
}

fn text(value: Value) -> Option<String> {
    if let Value::Text(text) = value { Some(text) } else { None }
}

fn integer(value: Value) -> Option<i64> {
    if let Value::Integer(integer) = value { Some(integer) } else { None }
}
