//! The tables of a database as the database itself describes them: so that no table and no column can be forgotten.

use std::collections::{BTreeMap, BTreeSet};

use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use diesel::{sql_query, sql_types};

use super::super::connection::Connection;
use super::super::error::StoreError;
use super::super::notice;

/// Which migrations were applied: each database has its own account of it.
const MIGRATIONS: &str = "__diesel_schema_migrations";

/// Who is signed in does not move: whoever was signs in again, at the new place.
const SESSIONS: [&str; 2] = ["sessions", "spent_forms"];

/// A table and its columns, these by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    /// By what its rows are read in order.
    pub(super) key: Vec<Column>,
    /// By what they refer to each other, if they do: what is referred to is read before.
    pub(super) ancestry: Option<Ancestry>,
}

/// The column that refers to a row of the same table, and the one that it refers to.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub(super) struct Ancestry {
    #[diesel(sql_type = sql_types::Text)]
    pub(super) parent: String,
    #[diesel(sql_type = sql_types::Text)]
    pub(super) id: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// What a column holds, in either database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Octets,
    Text,
    Integer,
    Truth,
}

impl Table {
    /// Whether the other one can hold the same rows; how they are kept in order is each database's own affair.
    fn agrees_with(&self, other: &Self) -> bool {
        self.name == other.name && self.columns == other.columns
    }
}

/// The tables that hold data, each after those that it refers to.
pub(super) fn read(connection: &mut Connection) -> Result<Vec<Table>, StoreError> {
    let found = match connection {
        Connection::Sqlite(connection) => of_sqlite(connection)?,
        Connection::Postgres(connection) => of_postgres(connection)?,
    };
    in_order(found)
}

/// Says where the tables of two databases differ.
pub(super) fn require_agreement(source: &[Table], target: &[Table]) -> Result<(), StoreError> {
    let names = |tables: &[Table]| tables.iter().map(|table| table.name.clone()).collect::<BTreeSet<_>>();
    let differing = |name: &&String| {
        let of = |tables: &'_ [Table]| tables.iter().find(|table| table.name == **name).cloned();
        match (of(source), of(target)) {
            (Some(one), Some(other)) => !one.agrees_with(&other),
            _ => true,
        }
    };
    let all: BTreeSet<String> = names(source).union(&names(target)).cloned().collect();
    match all.iter().find(differing) {
        None => Ok(()),
        Some(name) => Err(StoreError::Migration(format!(
            "the table {name} is not the same in both databases: were they made by different versions of Countersign?"
        ))),
    }
}

/// A table with the names of those that it refers to.
type Found = (Table, BTreeSet<String>);

fn in_order(found: Vec<Found>) -> Result<Vec<Table>, StoreError> {
    let mut waiting: BTreeMap<String, Found> = found.into_iter().map(|found| (found.0.name.clone(), found)).collect();
    let mut ordered = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let is_next =
            |(table, needs): &&Found| needs.iter().all(|need| *need == table.name || !waiting.contains_key(need));
        let next = waiting.values().find(is_next).map(|(table, _)| table.name.clone());
        let next = next.and_then(|name| waiting.remove(&name));
        let circle = || StoreError::Migration("some tables refer to each other in a circle".into());
        ordered.push(next.ok_or_else(circle)?.0);
    }
    Ok(ordered)
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = sql_types::Text)]
    name: String,
}

#[derive(QueryableByName)]
struct Described {
    #[diesel(sql_type = sql_types::Text)]
    name: String,
    #[diesel(sql_type = sql_types::Text)]
    kind: String,
    /// The place in the primary key, from 1; 0 for columns outside.
    #[diesel(sql_type = sql_types::Integer)]
    place: i32,
}

#[derive(QueryableByName)]
struct SqliteTable {
    #[diesel(sql_type = sql_types::Text)]
    name: String,
    #[diesel(sql_type = sql_types::Integer)]
    has_rowid: i32,
}

fn of_sqlite(connection: &mut SqliteConnection) -> Result<Vec<Found>, StoreError> {
    let tables: Vec<SqliteTable> = sql_query(
        "SELECT name, wr = 0 AS has_rowid FROM pragma_table_list \
         WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
    )
    .load(connection)?;
    let mut found = Vec::new();
    for SqliteTable { name, has_rowid } in tables.into_iter().filter(|table| is_data(&table.name)) {
        let described: Vec<Described> = sql_query("SELECT name, type AS kind, pk AS place FROM pragma_table_info(?)")
            .bind::<sql_types::Text, _>(&name)
            .load(connection)?;
        let needs: Vec<Name> = sql_query("SELECT DISTINCT \"table\" AS name FROM pragma_foreign_key_list(?)")
            .bind::<sql_types::Text, _>(&name)
            .load(connection)?;
        let ancestry: Option<Ancestry> = sql_query(
            "SELECT \"from\" AS parent, COALESCE(\"to\", 'id') AS id FROM pragma_foreign_key_list(?1) WHERE \"table\" = ?1",
        )
        .bind::<sql_types::Text, _>(&name)
        .get_result(connection)
        .optional()?;
        let (columns, key) = columns(&name, described)?;
        let rowid = vec![Column { name: "rowid".into(), kind: Kind::Integer }];
        let key = if has_rowid == 0 { key } else { rowid };
        found.push((Table { name, columns, key, ancestry }, needs.into_iter().map(|need| need.name).collect()));
    }
    Ok(found)
}

fn of_postgres(connection: &mut PgConnection) -> Result<Vec<Found>, StoreError> {
    let tables: Vec<Name> = sql_query(
        "SELECT table_name::text AS name FROM information_schema.tables \
         WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' ORDER BY 1",
    )
    .load(connection)?;
    // The place in the primary key or, without one, in the oldest unique index; it leads to the rows in order.
    const COLUMNS: &str = "
        SELECT c.column_name::text AS name, c.data_type::text AS kind, COALESCE(k.place, 0)::int AS place
        FROM information_schema.columns c
        LEFT JOIN (
            SELECT a.attname, u.place FROM pg_index i
            CROSS JOIN unnest(i.indkey::int[]) WITH ORDINALITY AS u(attnum, place)
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.attnum
            WHERE i.indexrelid = (
                SELECT indexrelid FROM pg_index WHERE indrelid = to_regclass($1) AND indisunique AND indpred IS NULL
                ORDER BY indisprimary DESC, indexrelid LIMIT 1)
        ) k ON k.attname = c.column_name
        WHERE c.table_schema = current_schema() AND c.table_name = $1";
    const NEEDS: &str = "
        SELECT DISTINCT f.relname::text AS name FROM pg_constraint c JOIN pg_class f ON f.oid = c.confrelid
        WHERE c.contype = 'f' AND c.conrelid = to_regclass($1)";
    const ANCESTRY: &str = "
        SELECT p.attname::text AS parent, i.attname::text AS id FROM pg_constraint c
        JOIN pg_attribute p ON p.attrelid = c.conrelid AND p.attnum = c.conkey[1]
        JOIN pg_attribute i ON i.attrelid = c.confrelid AND i.attnum = c.confkey[1]
        WHERE c.contype = 'f' AND c.conrelid = to_regclass($1) AND c.confrelid = c.conrelid";
    let mut found = Vec::new();
    for Name { name } in tables.into_iter().filter(|table| is_data(&table.name)) {
        let described: Vec<Described> = sql_query(COLUMNS).bind::<sql_types::Text, _>(&name).load(connection)?;
        let needs: Vec<Name> = sql_query(NEEDS).bind::<sql_types::Text, _>(&name).load(connection)?;
        let (columns, mut key) = columns(&name, described)?;
        if key.is_empty() {
            // Of what is only ever added to, the id is unique though nothing enforces it.
            key = columns.iter().filter(|column| column.name == "id").cloned().collect();
        }
        let ancestry = sql_query(ANCESTRY).bind::<sql_types::Text, _>(&name).get_result(connection).optional()?;
        found.push((Table { name, columns, key, ancestry }, needs.into_iter().map(|need| need.name).collect()));
    }
    Ok(found)
}

fn is_data(table: &str) -> bool {
    table != MIGRATIONS && table != notice::TABLE && !SESSIONS.contains(&table)
}

/// All columns by name, and those of the key in its order.
fn columns(table: &str, mut described: Vec<Described>) -> Result<(Vec<Column>, Vec<Column>), StoreError> {
    let column = |one: &Described| -> Result<Column, StoreError> {
        Ok(Column { name: one.name.clone(), kind: kind(table, one)? })
    };
    described.sort_by(|one, other| one.name.cmp(&other.name));
    let columns = described.iter().map(column).collect::<Result<_, StoreError>>()?;
    described.retain(|one| one.place > 0);
    described.sort_by_key(|one| one.place);
    Ok((columns, described.iter().map(column).collect::<Result<_, StoreError>>()?))
}

fn kind(table: &str, column: &Described) -> Result<Kind, StoreError> {
    match column.kind.to_ascii_lowercase().as_str() {
        "blob" | "bytea" => Ok(Kind::Octets),
        "text" => Ok(Kind::Text),
        "smallint" | "integer" | "bigint" => Ok(Kind::Integer),
        "boolean" => Ok(Kind::Truth),
        other => {
            let what = format!("the column {table}.{} holds {other}, which cannot be moved", column.name);
            Err(StoreError::Migration(what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::connection::{Database, open_writer};
    use super::super::super::migrations;
    use super::*;

    fn tables() -> Vec<Table> {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = open_writer(&Database::Sqlite(folder.path().join("x.db"))).unwrap();
        migrations::run(&mut connection).unwrap();
        read(&mut connection).unwrap()
    }

    #[test]
    fn every_table_comes_after_those_it_refers_to() {
        let tables = tables();
        let place = |name: &str| tables.iter().position(|table| table.name == name).unwrap();
        for (first, second) in [
            ("accounts", "zones"),
            ("zones", "authorities"),
            ("authorities", "certificates"),
            ("identities", "managed_identities"),
            ("webhooks", "webhook_deliveries"),
        ] {
            assert!(place(first) < place(second), "{first} before {second}");
        }
        assert!(tables.iter().all(|table| !table.key.is_empty() && is_data(&table.name)));
        let ancestry = |name: &str| tables[place(name)].ancestry.clone();
        assert_eq!(ancestry("authorities"), Some(Ancestry { parent: "parent_id".into(), id: "id".into() }));
        assert_eq!(ancestry("certificates"), None);
    }

    #[test]
    fn tables_that_differ_are_named() {
        let (source, mut target) = (tables(), tables());
        require_agreement(&source, &target).unwrap();
        target[3].columns.pop();
        let said = require_agreement(&source, &target).unwrap_err().to_string();
        assert!(said.contains(&target[3].name), "{said}");
        target.remove(3);
        assert!(require_agreement(&source, &target).is_err());
    }
}
