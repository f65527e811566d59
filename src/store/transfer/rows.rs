//! Rows of any table: how they are read from either database, and the one form in which they are compared.

use aws_lc_rs::digest::{self, SHA256};
use diesel::backend::Backend;
use diesel::connection::DefaultLoadingMode;
use diesel::deserialize::{self, FromSql, QueryableByName};
use diesel::pg::{Pg, PgConnection, PgRowByRowLoadingMode};
use diesel::query_builder::{BoxedSqlQuery, SqlQuery};
use diesel::row::{Field, NamedRow};
use diesel::sql_types::{BigInt, Binary, HasSqlType, Nullable, Text};
use diesel::sqlite::{Sqlite, SqliteConnection};
use diesel::{RunQueryDsl, sql_query};
use serde::{Deserialize, Serialize};

use super::super::connection::Connection;
use super::super::error::StoreError;
use super::tables::{Ancestry, Column, Kind, Table};

/// What stands in one place of a row. A truth value is 0 or 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Value {
    Nothing,
    Integer(i64),
    Text(String),
    Octets(Vec<u8>),
}

/// The columns of a row by name and, after them, what it is kept in order by.
pub(super) struct Row(Vec<Value>);

impl Row {
    /// Its columns, and its key.
    pub(super) fn split(mut self, columns: usize) -> (Vec<Value>, Vec<Value>) {
        let key = self.0.split_off(columns.min(self.0.len()));
        (self.0, key)
    }
}

/// Goes over the rows of a table in the order of its key, after the given one; where rows refer to each other, those of the
/// first generation come first. One row is in memory at a time.
pub(super) fn for_each(
    connection: &mut Connection,
    table: &Table,
    after: Option<&[Value]>,
    mut visit: impl FnMut(Row) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    match connection {
        Connection::Sqlite(connection) => {
            let query = bound::<Sqlite>(select_from_sqlite(table, after.is_some()), after);
            let mut rows = RunQueryDsl::<SqliteConnection>::load_iter::<Row, DefaultLoadingMode>(query, connection)?;
            rows.try_for_each(|row| visit(row?))
        }
        Connection::Postgres(connection) => {
            let query = bound::<Pg>(select_from_postgres(table, after.is_some()), after);
            let mut rows = RunQueryDsl::<PgConnection>::load_iter::<Row, PgRowByRowLoadingMode>(query, connection)?;
            rows.try_for_each(|row| visit(row?))
        }
    }
}

/// A sum over the rows of a table that does not depend on their order, which differs between databases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint {
    pub(super) rows: u64,
    /// Of the rows' SHA-256 hashes, modulo 2^256; the lowest digit first.
    sum: [u64; 4],
}

impl Fingerprint {
    pub(super) fn add(&mut self, row: &[Value]) {
        let hash = hash(row);
        self.rows += 1;
        let mut carry = false;
        for (digit, octets) in self.sum.iter_mut().zip(hash.as_ref().chunks_exact(8)) {
            let octets = <[u8; 8]>::try_from(octets).unwrap_or_default();
            let (sum, over) = digit.overflowing_add(u64::from_le_bytes(octets));
            let (sum, over_again) = sum.overflowing_add(u64::from(carry));
            (*digit, carry) = (sum, over || over_again);
        }
    }

    /// The sum as 64 hex digits.
    pub(super) fn to_hex(self) -> String {
        self.sum.iter().rev().map(|digit| format!("{digit:016x}")).collect()
    }
}

/// Each value with what it is and its length before it, so that no two rows are hashed alike.
fn hash(row: &[Value]) -> digest::Digest {
    let mut context = digest::Context::new(&SHA256);
    for value in row {
        let number;
        let (tag, octets) = match value {
            Value::Nothing => (0_u8, [].as_slice()),
            Value::Integer(integer) => {
                number = integer.to_be_bytes();
                (1, number.as_slice())
            }
            Value::Text(text) => (2, text.as_bytes()),
            Value::Octets(octets) => (3, octets.as_slice()),
        };
        context.update(&[tag]);
        context.update(&(octets.len() as u64).to_be_bytes());
        context.update(octets);
    }
    context.finish()
}

/// How much memory a row takes, about.
pub(super) fn size(row: &[Value]) -> usize {
    let content = row.iter().map(|value| match value {
        Value::Nothing | Value::Integer(_) => 8,
        Value::Text(text) => text.len(),
        Value::Octets(octets) => octets.len(),
    });
    content.sum()
}

fn select_from_sqlite(table: &Table, is_continued: bool) -> String {
    let name = |column: &Column| quoted(&column.name);
    select(table, is_continued, name, name, |_| "?".into())
}

fn select_from_postgres(table: &Table, is_continued: bool) -> String {
    let wide = |column: &Column| match column.kind {
        Kind::Octets | Kind::Text => quoted(&column.name),
        Kind::Integer => format!("{}::bigint", quoted(&column.name)),
        Kind::Truth => format!("{}::int::bigint", quoted(&column.name)),
    };
    // What the index is in order by; texts, as SQLite compares them.
    let in_order = |column: &Column| match column.kind {
        Kind::Text => format!("{} COLLATE \"C\"", quoted(&column.name)),
        _ => quoted(&column.name),
    };
    select(table, is_continued, wide, in_order, |place| format!("${place}"))
}

fn select(
    table: &Table,
    is_continued: bool,
    output: impl Fn(&Column) -> String,
    in_order: impl Fn(&Column) -> String,
    bind: impl Fn(usize) -> String,
) -> String {
    let generation = table.ancestry.as_ref().map(|ancestry| generation(&table.name, ancestry));
    let shown = |column: &Column| (output(column), letter(column.kind));
    let all = table.columns.iter().map(shown);
    let all = all.chain(generation.iter().map(|number| (number.clone(), letter(Kind::Integer))));
    let all = all.chain(table.key.iter().map(shown)).enumerate();
    let outputs: Vec<String> = all.map(|(place, (what, letter))| format!("{what} AS {letter}{place}")).collect();
    let key: Vec<String> = generation.into_iter().chain(table.key.iter().map(in_order)).collect();
    let binds: Vec<String> = (1..=key.len()).map(bind).collect();
    let key = key.join(", ");
    let after = if is_continued { format!(" WHERE ({key}) > ({})", binds.join(", ")) } else { String::new() };
    format!("SELECT {} FROM {}{after} ORDER BY {key}", outputs.join(", "), quoted(&table.name))
}

/// How many rows a row refers to, one through the other. No order of ids or of writing would tell: a copy is written in that
/// of another database. UNION ends even a circle.
fn generation(table: &str, ancestry: &Ancestry) -> String {
    let (table, parent, id) = (quoted(table), quoted(&ancestry.parent), quoted(&ancestry.id));
    format!(
        "(WITH RECURSIVE above(id) AS (SELECT {table}.{parent} UNION SELECT parents.{parent} FROM {table} AS parents \
         JOIN above ON parents.{id} = above.id) SELECT COUNT(id) FROM above)"
    )
}

/// The names come from the databases' own descriptions of tables that this program made.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// By the first letter of its name a result says what it is: the reader is not told otherwise.
fn letter(kind: Kind) -> char {
    match kind {
        Kind::Octets => 'o',
        Kind::Text => 't',
        Kind::Integer | Kind::Truth => 'i',
    }
}

fn bound<'a, DB>(sql: String, values: Option<&'a [Value]>) -> BoxedSqlQuery<'a, DB, SqlQuery>
where
    DB: Backend + HasSqlType<BigInt> + HasSqlType<Text> + HasSqlType<Binary> + 'a,
    i64: diesel::serialize::ToSql<BigInt, DB>,
    str: diesel::serialize::ToSql<Text, DB>,
    [u8]: diesel::serialize::ToSql<Binary, DB>,
{
    bind_all(sql_query(sql).into_boxed::<DB>(), values.unwrap_or_default())
}

/// Binds one value after the other.
pub(super) fn bind_all<'a, DB>(
    mut query: BoxedSqlQuery<'a, DB, SqlQuery>,
    values: &'a [Value],
) -> BoxedSqlQuery<'a, DB, SqlQuery>
where
    DB: Backend + HasSqlType<BigInt> + HasSqlType<Text> + HasSqlType<Binary> + 'a,
    i64: diesel::serialize::ToSql<BigInt, DB>,
    str: diesel::serialize::ToSql<Text, DB>,
    [u8]: diesel::serialize::ToSql<Binary, DB>,
{
    for value in values {
        query = match value {
            Value::Nothing => query.bind::<Nullable<BigInt>, Option<i64>>(None),
            Value::Integer(integer) => query.bind::<BigInt, _>(*integer),
            Value::Text(text) => query.bind::<Text, _>(text.as_str()),
            Value::Octets(octets) => query.bind::<Binary, _>(octets.as_slice()),
        };
    }
    query
}

impl QueryableByName<Sqlite> for Row {
    fn build<'a>(row: &impl NamedRow<'a, Sqlite>) -> deserialize::Result<Self> {
        read(row)
    }
}

impl QueryableByName<Pg> for Row {
    fn build<'a>(row: &impl NamedRow<'a, Pg>) -> deserialize::Result<Self> {
        read(row)
    }
}

fn read<'a, DB, R>(row: &R) -> deserialize::Result<Row>
where
    DB: Backend,
    R: NamedRow<'a, DB>,
    i64: FromSql<BigInt, DB>,
    String: FromSql<Text, DB>,
    Vec<u8>: FromSql<Binary, DB>,
{
    let mut values = Vec::with_capacity(row.field_count());
    for place in 0..row.field_count() {
        let field = diesel::row::Row::get(row, place).ok_or("a row is shorter than its description")?;
        let letter = field.field_name().and_then(|name| name.chars().next());
        let Some(raw) = field.value() else {
            values.push(Value::Nothing);
            continue;
        };
        values.push(match letter {
            Some('o') => Value::Octets(<Vec<u8> as FromSql<Binary, DB>>::from_sql(raw)?),
            Some('t') => Value::Text(<String as FromSql<Text, DB>>::from_sql(raw)?),
            _ => Value::Integer(<i64 as FromSql<BigInt, DB>>::from_sql(raw)?),
        });
    }
    Ok(Row(values))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(rows: &[&[Value]]) -> Fingerprint {
        let mut fingerprint = Fingerprint::default();
        rows.iter().for_each(|row| fingerprint.add(row));
        fingerprint
    }

    #[test]
    fn a_fingerprint_knows_every_row_but_not_their_order() {
        let (one, two) = ([Value::Integer(1), Value::Nothing], [Value::Text("1".into()), Value::Octets(vec![])]);
        assert_eq!(fingerprint(&[&one, &two]), fingerprint(&[&two, &one]));
        for others in [&[one.as_slice()] as &[&[Value]], &[&one, &one], &[&two, &two], &[&one, &two, &two]] {
            assert_ne!(fingerprint(others).to_hex(), fingerprint(&[&one, &two]).to_hex());
        }
    }

    #[test]
    fn values_that_look_alike_are_not_the_same() {
        let rows: [&[Value]; 6] = [
            &[Value::Nothing],
            &[Value::Integer(0)],
            &[Value::Text(String::new())],
            &[Value::Octets(Vec::new())],
            &[Value::Text("ab".into()), Value::Text("c".into())],
            &[Value::Text("a".into()), Value::Text("bc".into())],
        ];
        for (place, row) in rows.iter().enumerate() {
            assert!(rows.iter().skip(place + 1).all(|other| fingerprint(&[row]) != fingerprint(&[other])));
        }
    }

    #[test]
    fn rows_are_read_on_from_a_key() {
        let column = |name: &str, kind| Column { name: name.into(), kind };
        let columns = vec![column("a", Kind::Octets), column("b", Kind::Truth), column("c", Kind::Text)];
        let key = vec![columns[0].clone(), columns[2].clone()];
        let table = Table { name: "t".into(), key, columns, ancestry: None };
        assert_eq!(
            select_from_postgres(&table, true),
            "SELECT \"a\" AS o0, \"b\"::int::bigint AS i1, \"c\" AS t2, \"a\" AS o3, \"c\" AS t4 FROM \"t\" \
             WHERE (\"a\", \"c\" COLLATE \"C\") > ($1, $2) ORDER BY \"a\", \"c\" COLLATE \"C\""
        );
        assert!(select_from_sqlite(&table, false).ends_with("FROM \"t\" ORDER BY \"a\", \"c\""));
    }
}
