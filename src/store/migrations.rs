//! Schema migrations, embedded in the binary.

use std::collections::BTreeSet;

use diesel::migration::MigrationSource;
use diesel::pg::Pg;
use diesel::sqlite::Sqlite;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::connection::Connection;
use super::error::StoreError;
use super::postgres;

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Brings the schema up to this binary's version and names what was applied. A schema that a newer binary made is
/// refused before anything is touched.
///
/// Nobody else migrates meanwhile: the caller holds the lock of the data folder, and on PostgreSQL others wait.
pub(super) fn run(connection: &mut Connection) -> Result<Vec<String>, StoreError> {
    match connection {
        Connection::Sqlite(connection) => apply::<Sqlite, _>(connection, SQLITE),
        Connection::Postgres(connection) => {
            postgres::migrating(connection, |connection| apply::<Pg, _>(connection, POSTGRES))
        }
    }
}

/// Refuses a schema that is not this binary's, older or newer.
pub(super) fn require_current(connection: &mut Connection) -> Result<(), StoreError> {
    let is_old = match connection {
        Connection::Sqlite(connection) => is_pending::<Sqlite, _>(connection, SQLITE)?,
        Connection::Postgres(connection) => is_pending::<Pg, _>(connection, POSTGRES)?,
    };
    if is_old {
        let message = "the database has an older schema than this version's: run `countersign migrate` first";
        return Err(StoreError::Migration(message.into()));
    }
    Ok(())
}

/// Refuses a schema that a newer binary made.
pub(super) fn require_known(connection: &mut Connection) -> Result<(), StoreError> {
    match connection {
        Connection::Sqlite(connection) => refuse_newer::<Sqlite, _>(connection, &SQLITE),
        Connection::Postgres(connection) => refuse_newer::<Pg, _>(connection, &POSTGRES),
    }
}

fn apply<DB, C>(connection: &mut C, migrations: EmbeddedMigrations) -> Result<Vec<String>, StoreError>
where
    DB: diesel::backend::Backend,
    C: MigrationHarness<DB>,
    EmbeddedMigrations: MigrationSource<DB>,
{
    refuse_newer(connection, &migrations)?;
    let applied = connection.run_pending_migrations(migrations).map_err(|error| failed(&*error))?;
    Ok(applied.iter().map(ToString::to_string).collect())
}

fn is_pending<DB, C>(connection: &mut C, migrations: EmbeddedMigrations) -> Result<bool, StoreError>
where
    DB: diesel::backend::Backend,
    C: MigrationHarness<DB>,
    EmbeddedMigrations: MigrationSource<DB>,
{
    refuse_newer(connection, &migrations)?;
    connection.has_pending_migration(migrations).map_err(|error| failed(&*error))
}

fn refuse_newer<DB, C>(connection: &mut C, migrations: &EmbeddedMigrations) -> Result<(), StoreError>
where
    DB: diesel::backend::Backend,
    C: MigrationHarness<DB>,
    EmbeddedMigrations: MigrationSource<DB>,
{
    let known = migrations.migrations().map_err(|error| failed(&*error))?;
    let known: BTreeSet<String> = known.iter().map(|migration| migration.name().version().to_string()).collect();
    let applied = connection.applied_migrations().map_err(|error| failed(&*error))?;
    match applied.iter().map(ToString::to_string).find(|version| !known.contains(version)) {
        Some(version) => Err(StoreError::Migration(format!(
            "the database has the schema version {version}, which this Countersign {} does not know: it was made by a newer one. \
             Start that newer version, or restore a backup from before its first start.",
            env!("CARGO_PKG_VERSION")
        ))),
        None => Ok(()),
    }
}

fn failed(error: &dyn std::error::Error) -> StoreError {
    StoreError::Migration(format!("migrating the database failed: {error}"))
}
