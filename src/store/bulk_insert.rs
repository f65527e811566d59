//! Many rows of one table at once, in the way that is fastest on each database.
//!
//! PostgreSQL takes them in one statement, `INSERT … SELECT * FROM unnest(…)` with an array for each column: one round trip
//! and one prepared statement for any number, hardly slower than COPY. SQLite takes one after the other by a prepared
//! statement whose text is never built again: a statement of many rows would be, and is slower.

use std::borrow::Cow;
use std::marker::PhantomData;

use diesel::backend::Backend;
use diesel::pg::{Pg, PgConnection};
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::query_dsl::methods::ExecuteDsl;
use diesel::sql_types::{Array, BigInt, Binary, Bool, Integer, Nullable, SmallInt, Text};
use diesel::sqlite::Sqlite;
use diesel::{QueryResult, RunQueryDsl};

use super::connection::Connection;
use super::error::StoreError;

/// A row: its columns by name, the same for every row of the table.
pub(super) type Row<'a> = Vec<(&'static str, Value<'a>)>;

pub(super) enum Value<'a> {
    Binary(Option<&'a [u8]>),
    Text(Cow<'a, str>),
    MaybeText(Option<&'a str>),
    BigInt(i64),
    MaybeBigInt(Option<i64>),
    Integer(i32),
    SmallInt(i16),
    MaybeSmallInt(Option<i16>),
    Bool(bool),
}

impl<'a> Value<'a> {
    pub(super) fn binary(octets: &'a [u8]) -> Self {
        Self::Binary(Some(octets))
    }

    pub(super) fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

/// Inserts all rows into the table, which `T` stands for among prepared statements.
pub(super) fn insert<T: 'static>(
    connection: &mut Connection,
    table: &'static str,
    rows: &[Row<'_>],
) -> Result<(), StoreError> {
    upsert::<T>(connection, table, rows, "")
}

/// The same with what the INSERT ends with (`ON CONFLICT …`), for each `T` always the same.
pub(super) fn upsert<T: 'static>(
    connection: &mut Connection,
    table: &'static str,
    rows: &[Row<'_>],
    ending: &'static str,
) -> Result<(), StoreError> {
    match connection {
        Connection::Sqlite(connection) => rows.iter().try_for_each(|row| {
            let one = OneRow::<T> { table, row, ending, kind: PhantomData };
            ExecuteDsl::execute(one, connection).map(drop).map_err(StoreError::from)
        }),
        Connection::Postgres(connection) => insert_together(connection, &[(table, rows, ending)]),
    }
}

/// Rows of several tables, each with what its INSERT ends with (`ON CONFLICT …`), in one statement and one round trip of
/// PostgreSQL. Tables without rows are left out.
pub(super) fn insert_together(
    connection: &mut PgConnection,
    parts: &[(&'static str, &[Row<'_>], &'static str)],
) -> Result<(), StoreError> {
    let parts = parts.iter().filter(|(_, rows, _)| !rows.is_empty());
    let parts: Vec<_> = parts.map(|(table, rows, ending)| Columns { table, columns: columns(rows), ending }).collect();
    if !parts.is_empty() {
        ExecuteDsl::execute(Together(parts), connection)?;
    }
    Ok(())
}

fn push_head<DB: Backend>(
    out: &mut AstPass<'_, '_, DB>,
    table: &str,
    names: impl Iterator<Item = &'static str>,
) -> QueryResult<()> {
    out.push_sql("INSERT INTO ");
    out.push_identifier(table)?;
    for (index, name) in names.enumerate() {
        out.push_sql(if index == 0 { " (" } else { ", " });
        out.push_identifier(name)?;
    }
    Ok(())
}

struct OneRow<'a, T> {
    table: &'static str,
    row: &'a [(&'static str, Value<'a>)],
    ending: &'static str,
    kind: PhantomData<T>,
}

impl<T> QueryFragment<Sqlite> for OneRow<'_, T> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        push_head(&mut out, self.table, self.row.iter().map(|(name, _)| *name))?;
        for (index, (_, value)) in self.row.iter().enumerate() {
            out.push_sql(if index == 0 { ") VALUES (" } else { ", " });
            match value {
                Value::Binary(octets) => out.push_bind_param::<Nullable<Binary>, _>(octets)?,
                Value::Text(text) => out.push_bind_param::<Text, str>(text)?,
                Value::MaybeText(text) => out.push_bind_param::<Nullable<Text>, _>(text)?,
                Value::BigInt(number) => out.push_bind_param::<BigInt, _>(number)?,
                Value::MaybeBigInt(number) => out.push_bind_param::<Nullable<BigInt>, _>(number)?,
                Value::Integer(number) => out.push_bind_param::<Integer, _>(number)?,
                Value::SmallInt(number) => out.push_bind_param::<SmallInt, _>(number)?,
                Value::MaybeSmallInt(number) => out.push_bind_param::<Nullable<SmallInt>, _>(number)?,
                Value::Bool(whether) => out.push_bind_param::<Bool, _>(whether)?,
            }
        }
        out.push_sql(") ");
        out.push_sql(self.ending);
        Ok(())
    }
}

/// Known by its table: the text is built for the first row alone.
impl<T: 'static> QueryId for OneRow<'_, T> {
    type QueryId = OneRow<'static, T>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<T> RunQueryDsl<diesel::SqliteConnection> for OneRow<'_, T> {}

struct Columns<'a> {
    table: &'static str,
    columns: Vec<(&'static str, Column<'a>)>,
    ending: &'static str,
}

/// All but the last stand in a WITH, whose statements PostgreSQL runs to their end whether or not they are read (section
/// 7.8.4 of its manual).
struct Together<'a>(Vec<Columns<'a>>);

impl QueryFragment<Pg> for Together<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let Some((last, others)) = self.0.split_last() else { return Ok(()) };
        for (index, part) in others.iter().enumerate() {
            out.push_sql(if index == 0 { "WITH " } else { ", " });
            out.push_identifier(&format!("into_{}", part.table))?;
            out.push_sql(" AS (");
            part.walk_ast(out.reborrow())?;
            out.push_sql(") ");
        }
        last.walk_ast(out)
    }
}

enum Column<'a> {
    Binary(Vec<Option<&'a [u8]>>),
    Text(Vec<&'a str>),
    MaybeText(Vec<Option<&'a str>>),
    BigInt(Vec<i64>),
    MaybeBigInt(Vec<Option<i64>>),
    Integer(Vec<i32>),
    SmallInt(Vec<i16>),
    MaybeSmallInt(Vec<Option<i16>>),
    Bool(Vec<bool>),
}

/// The rows turned into columns.
fn columns<'a>(rows: &'a [Row<'a>]) -> Vec<(&'static str, Column<'a>)> {
    let Some(first) = rows.first() else { return Vec::new() };
    let column = |index: usize, like: &Value<'_>| {
        let values = || rows.iter().filter_map(move |row| row.get(index).map(|(_, value)| value));
        macro_rules! gather {
            ($kind:ident, $value:pat => $taken:expr) => {
                Column::$kind(
                    values().filter_map(|value| if let $value = value { Some($taken) } else { None }).collect(),
                )
            };
        }
        match like {
            Value::Binary(_) => gather!(Binary, Value::Binary(octets) => *octets),
            Value::Text(_) => gather!(Text, Value::Text(text) => text.as_ref()),
            Value::MaybeText(_) => gather!(MaybeText, Value::MaybeText(text) => *text),
            Value::BigInt(_) => gather!(BigInt, Value::BigInt(number) => *number),
            Value::MaybeBigInt(_) => gather!(MaybeBigInt, Value::MaybeBigInt(number) => *number),
            Value::Integer(_) => gather!(Integer, Value::Integer(number) => *number),
            Value::SmallInt(_) => gather!(SmallInt, Value::SmallInt(number) => *number),
            Value::MaybeSmallInt(_) => gather!(MaybeSmallInt, Value::MaybeSmallInt(number) => *number),
            Value::Bool(_) => gather!(Bool, Value::Bool(whether) => *whether),
        }
    };
    first.iter().enumerate().map(|(index, (name, like))| (*name, column(index, like))).collect()
}

impl QueryFragment<Pg> for Columns<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        push_head(&mut out, self.table, self.columns.iter().map(|(name, _)| *name))?;
        out.push_sql(") SELECT * FROM unnest");
        for (index, (_, column)) in self.columns.iter().enumerate() {
            out.push_sql(if index == 0 { "(" } else { ", " });
            let array_type = match column {
                Column::Binary(values) => {
                    out.push_bind_param::<Array<Nullable<Binary>>, _>(values)?;
                    "::bytea[]"
                }
                Column::Text(values) => {
                    out.push_bind_param::<Array<Text>, _>(values)?;
                    "::text[]"
                }
                Column::MaybeText(values) => {
                    out.push_bind_param::<Array<Nullable<Text>>, _>(values)?;
                    "::text[]"
                }
                Column::BigInt(values) => {
                    out.push_bind_param::<Array<BigInt>, _>(values)?;
                    "::bigint[]"
                }
                Column::MaybeBigInt(values) => {
                    out.push_bind_param::<Array<Nullable<BigInt>>, _>(values)?;
                    "::bigint[]"
                }
                Column::Integer(values) => {
                    out.push_bind_param::<Array<Integer>, _>(values)?;
                    "::integer[]"
                }
                Column::SmallInt(values) => {
                    out.push_bind_param::<Array<SmallInt>, _>(values)?;
                    "::smallint[]"
                }
                Column::MaybeSmallInt(values) => {
                    out.push_bind_param::<Array<Nullable<SmallInt>>, _>(values)?;
                    "::smallint[]"
                }
                Column::Bool(values) => {
                    out.push_bind_param::<Array<Bool>, _>(values)?;
                    "::boolean[]"
                }
            };
            out.push_sql(array_type);
        }
        out.push_sql(") ");
        out.push_sql(self.ending);
        Ok(())
    }
}

/// Cached by its text.
impl QueryId for Together<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl RunQueryDsl<PgConnection> for Together<'_> {}
