//! Schema migrations, embedded in the binary.

use std::collections::BTreeSet;

use diesel::migration::MigrationSource;
use diesel::sqlite::Sqlite;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::connection::Connection;
use super::error::StoreError;

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// Brings the schema up to this binary's version and names what was applied. A schema that a newer binary made is
/// refused before anything is touched. The caller holds the lock of the data folder, so nobody else migrates.
pub(super) fn run(connection: &mut Connection) -> Result<Vec<String>, StoreError> {
    refuse_newer(connection)?;
    let applied = connection.run_pending_migrations(SQLITE).map_err(|error| failed(&*error))?;
    Ok(applied.iter().map(ToString::to_string).collect())
}

/// Refuses a schema that is not this binary's, older or newer.
pub(super) fn require_current(connection: &mut Connection) -> Result<(), StoreError> {
    refuse_newer(connection)?;
    if connection.has_pending_migration(SQLITE).map_err(|error| failed(&*error))? {
        let message = "the database has an older schema than this version's: run `countersign migrate` first";
        return Err(StoreError::Migration(message.into()));
    }
    Ok(())
}

fn refuse_newer(connection: &mut Connection) -> Result<(), StoreError> {
    let known: Vec<Box<dyn diesel::migration::Migration<Sqlite>>> =
        SQLITE.migrations().map_err(|error| failed(&*error))?;
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
