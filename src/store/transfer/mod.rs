//! Moving an installation into another kind of database: every table that the source describes, in the order of their
//! references, in batches.
//!
//! How far it has come is written in the target, in the transaction of each batch: whoever is killed goes on there. Until
//! everything was compared the target has a [`notice`], and nobody serves it. The source gets one of its own before the
//! target loses its: at no moment can both be served. A server that was cut off from its database meanwhile comes upon the
//! notice with its next connection.

mod rows;
mod sequence;
mod tables;
mod writing;

use std::thread;

use aws_lc_rs::digest::{self, SHA256};
use diesel::Connection as _;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::BigInt;
use serde::{Deserialize, Serialize};

use super::connection::{self, Connection, Database};
use super::error::StoreError;
use super::notice::{self, Reason};
use super::{migrations, postgres, presence};
use rows::{Fingerprint, Value};
use tables::Table;

pub(super) use sequence::{last_event, set_last_event};

/// The largest batch, in rows and in octets: what one transaction holds, and memory.
const BATCH_ROWS: usize = 2000;
const BATCH_OCTETS: usize = 4 << 20;
/// How often progress is told of while rows are compared.
const TOLD_EVERY: u64 = 1000;

/// What is being done, for whoever waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    pub stage: Stage,
    pub table: &'a str,
    /// Rows of all tables.
    pub done: u64,
    pub total: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Copying,
    Comparing,
}

/// A table that is the same in both databases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MovedTable {
    pub table: String,
    pub rows: u64,
    /// Over the content of all rows, in whatever order: 64 hex digits.
    pub fingerprint: String,
}

/// How a move ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    pub tables: Vec<MovedTable>,
    /// How many rows had been copied already when this began.
    pub continued_after: u64,
}

/// How far a table has been copied; kept in the target.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Copied {
    rows: u64,
    after: Option<Vec<Value>>,
    is_done: bool,
}

/// Moves all data of one database into another. The caller holds the locks of files; on servers nobody else gets in.
///
/// Refuses a source that holds no installation, and a target that holds another one.
pub fn relocate(from: &Database, to: &Database, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Moved, StoreError> {
    let mut source = connection::open_writer(from)?;
    // Until the end: what somebody wrote behind the copying would be in neither the copy nor the comparison.
    require_nobody_else(&mut source, from)?;
    migrations::require_current(&mut source)?;
    require_movable(&mut source, to)?;
    let installation = installation(&mut source)?
        .ok_or_else(|| StoreError::Migration(format!("{from} holds no installation: there is nothing to move")))?;

    let mut target = connection::open_writer(to)?;
    prepare(&mut target, to, &installation)?;
    let tables = tables::read(&mut source)?;
    tables::require_agreement(&tables, &tables::read(&mut target)?)?;

    let mut total = 0;
    for table in &tables {
        total += count(&mut source, table)?;
    }
    let mut done = 0_u64;
    let mut continued_after = 0;
    for table in &tables {
        let copied = copied(&mut target, table)?;
        continued_after += copied.rows;
        let mut tell =
            |rows: u64| progress(Progress { stage: Stage::Copying, table: &table.name, done: done + rows, total });
        done += copy(&mut source, &mut target, table, copied, &mut tell)?;
    }
    if let Some(last) = last_event(&mut source)? {
        set_last_event(&mut target, last)?;
    }
    let compared = compare(&mut source, &mut target, &tables, total, progress)?;
    finish(&mut source, &mut target, to)?;
    Ok(Moved { tables: compared, continued_after })
}

/// A move that was cut off after the source had got its notice goes on; to another place it does not.
fn require_movable(source: &mut Connection, to: &Database) -> Result<(), StoreError> {
    let is_same_move = notice::reason(source)? == Some(Reason::Moved)
        && notice::get(source, "place")?.is_some_and(|place| place == to.to_string());
    if is_same_move { Ok(()) } else { notice::require_none(source) }
}

/// Something that no other installation has: what its master key sealed at the first start.
fn installation(connection: &mut Connection) -> Result<Option<String>, StoreError> {
    use super::schema::master_keys::dsl;
    let values: Vec<Vec<u8>> = dsl::master_keys.order(dsl::version).select(dsl::check_value).load(connection)?;
    let hash = digest::digest(&SHA256, &values.concat());
    Ok((!values.is_empty()).then(|| hex::encode(hash)))
}

/// Refuses a database that somebody uses, and keeps everybody out of it as long as the connection lasts. A file was locked by
/// the caller.
pub(super) fn require_nobody_else(connection: &mut Connection, database: &Database) -> Result<(), StoreError> {
    let Connection::Postgres(connection) = connection else { return Ok(()) };
    match presence::be_alone(connection)? {
        None => Ok(()),
        Some(others) => Err(StoreError::Migration(format!(
            "{database} is in use: {} connections of Countersign are open, which PostgreSQL knows as {}. Stop every replica first.",
            others.number, others.names
        ))),
    }
}

/// Makes the target ready: a new one gets its notice before its tables, so that nobody sets up an installation in it.
fn prepare(target: &mut Connection, to: &Database, installation: &str) -> Result<(), StoreError> {
    match target {
        Connection::Sqlite(connection) => connection.batch_execute("PRAGMA foreign_keys = OFF")?,
        Connection::Postgres(connection) => postgres::lock_start(connection)?,
    }
    let prepared = claim(target, to, installation);
    if let Connection::Postgres(connection) = target {
        postgres::unlock_start(connection)?;
        postgres::lock_transfer(connection)?;
    }
    prepared?;
    migrations::run(target)?;
    Ok(())
}

fn claim(target: &mut Connection, to: &Database, installation: &str) -> Result<(), StoreError> {
    match notice::reason(target)? {
        Some(Reason::Filling) => {
            if notice::get(target, "installation")?.as_deref() == Some(installation) {
                return Ok(());
            }
            let what = format!("another installation is being moved into {to}; name an empty database");
            return Err(StoreError::Migration(what));
        }
        Some(_) => notice::require_none(target)?,
        None => {}
    }
    if !notice::is_vacant(target)? {
        let what = format!("{to} holds an installation already; name an empty database. Nothing was changed.");
        return Err(StoreError::Migration(what));
    }
    target.transaction(|target| {
        notice::put_up(target, Reason::Filling)?;
        notice::set(target, "installation", installation)
    })
}

fn copied(target: &mut Connection, table: &Table) -> Result<Copied, StoreError> {
    let Some(text) = notice::get(target, &item(table))? else { return Ok(Copied::default()) };
    serde_json::from_str(&text).map_err(|error| StoreError::Damaged(error.to_string()))
}

fn item(table: &Table) -> String {
    format!("table {}", table.name)
}

/// Copies what the table's rows go on with. How many rows there are now.
fn copy(
    source: &mut Connection,
    target: &mut Connection,
    table: &Table,
    mut copied: Copied,
    tell: &mut dyn FnMut(u64),
) -> Result<u64, StoreError> {
    tell(copied.rows);
    if copied.is_done {
        return Ok(copied.rows);
    }
    let (mut batch, mut octets, start) = (Vec::new(), 0, copied.after.clone());
    rows::for_each(source, table, start.as_deref(), |row| {
        let (row, key) = row.split(table.columns.len());
        octets += rows::size(&row);
        batch.push(row);
        copied.rows += 1;
        copied.after = Some(key);
        if batch.len() >= BATCH_ROWS || octets >= BATCH_OCTETS {
            octets = 0;
            write(target, table, std::mem::take(&mut batch), &copied)?;
            tell(copied.rows);
        }
        Ok(())
    })?;
    copied.is_done = true;
    write(target, table, batch, &copied)?;
    tell(copied.rows);
    Ok(copied.rows)
}

/// Writes rows and, in the same transaction, how far the table has come with them.
fn write(target: &mut Connection, table: &Table, rows: Vec<Vec<Value>>, copied: &Copied) -> Result<(), StoreError> {
    let text = serde_json::to_string(copied).map_err(|error| StoreError::Damaged(error.to_string()))?;
    target.transaction(|target| {
        writing::insert(target, table, rows)?;
        notice::set(target, &item(table), &text)
    })
}

/// Reads every row of both databases, and says what they have in common.
fn compare(
    source: &mut Connection,
    target: &mut Connection,
    tables: &[Table],
    total: u64,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<MovedTable>, StoreError> {
    let of_target = tables::read(target)?;
    // Both sides at once: each waits for its own database.
    let (ours, theirs) = thread::scope(|scope| {
        let theirs = scope.spawn(|| fingerprints(target, &of_target, &mut |_, _| {}));
        let ours = fingerprints(source, tables, &mut |table, done| {
            progress(Progress { stage: Stage::Comparing, table, done, total });
        });
        let theirs = theirs.join().unwrap_or_else(|_| Err(StoreError::Damaged("comparing stopped".into())));
        (ours, theirs)
    });
    let (ours, theirs) = (ours?, theirs?);
    require_references(target)?;
    let mut compared = Vec::with_capacity(tables.len());
    for (table, ours) in tables.iter().zip(ours) {
        let place = of_target.iter().position(|other| other.name == table.name);
        if place.and_then(|place| theirs.get(place)) != Some(&ours) {
            return Err(StoreError::Damaged(format!(
                "the rows of {} are not the same in both databases: did somebody else write into one of them? Empty the \
                 target and begin anew; the source is as it was.",
                table.name
            )));
        }
        compared.push(MovedTable { table: table.name.clone(), rows: ours.rows, fingerprint: ours.to_hex() });
    }
    Ok(compared)
}

fn fingerprints(
    connection: &mut Connection,
    tables: &[Table],
    tell: &mut dyn FnMut(&str, u64),
) -> Result<Vec<Fingerprint>, StoreError> {
    let mut done = 0_u64;
    let mut all = Vec::with_capacity(tables.len());
    for table in tables {
        let mut fingerprint = Fingerprint::default();
        rows::for_each(connection, table, None, |row| {
            fingerprint.add(&row.split(table.columns.len()).0);
            done += 1;
            if done.is_multiple_of(TOLD_EVERY) {
                tell(&table.name, done);
            }
            Ok(())
        })?;
        all.push(fingerprint);
    }
    Ok(all)
}

/// SQLite does not look at references while it is being filled.
fn require_references(target: &mut Connection) -> Result<(), StoreError> {
    match target {
        Connection::Postgres(_) => Ok(()),
        Connection::Sqlite(connection) => super::backup::require_references(connection),
    }
}

/// From here on the target is the installation.
fn finish(source: &mut Connection, target: &mut Connection, to: &Database) -> Result<(), StoreError> {
    if let Connection::Postgres(connection) = target {
        // The planner knows nothing of the new rows yet.
        connection.batch_execute("ANALYZE")?;
    }
    source.transaction(|source| {
        notice::put_up(source, Reason::Moved)?;
        notice::set(source, "place", &to.to_string())
    })?;
    notice::take_down(target)
}

fn count(connection: &mut Connection, table: &Table) -> Result<u64, StoreError> {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        number: i64,
    }
    let sql = format!("SELECT COUNT(*) AS number FROM {}", rows::quoted(&table.name));
    let counted: Count = connection::on_either!(connection, |connection| sql_query(sql).get_result(connection))?;
    Ok(u64::try_from(counted.number).unwrap_or_default())
}

#[cfg(test)]
mod tests;
