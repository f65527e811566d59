//! The database that commands on the server's own machine work on, and the right to be alone with it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::CliError;
use crate::config::{Config, DatabaseUrl};
use crate::store::Database;

/// The database that the configuration names.
pub(super) fn of(config: &Config) -> Database {
    of_url(&config.database)
}

pub(super) fn of_url(url: &DatabaseUrl) -> Database {
    match url {
        DatabaseUrl::Sqlite(path) => Database::Sqlite(path.clone()),
        DatabaseUrl::Postgres(url) => Database::Postgres(url.clone()),
    }
}

/// The right to use it: an embedded database belongs to one process. Its folder is made if it is not there. PostgreSQL
/// serves as many as come.
pub(super) fn claim(database: &Database) -> Result<Option<File>, CliError> {
    let Database::Sqlite(path) = database else { return Ok(None) };
    if let Some(folder) = path.parent() {
        create_private_folder(folder)?;
    }
    lock(path).map(Some)
}

/// The folder is made for its owner alone: it holds the master key and the first token.
pub(super) fn create_private_folder(folder: &Path) -> Result<(), CliError> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| CliError::failure(format!("cannot make the folder {}: {error}", folder.display())))
}

/// One process serves an embedded database; the lock goes with the process, however it ends.
fn lock(database: &Path) -> Result<File, CliError> {
    // The file, not the name: another name may lead to the same one.
    let file = database.canonicalize().unwrap_or_else(|_| database.to_owned());
    let mut path = file.into_os_string();
    path.push(".lock");
    let path = Path::new(&path);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(|error| CliError::failure(format!("cannot open {}: {error}", path.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(CliError::failure(format!(
            "another countersign is using {}. Stop it first, or give this one a data folder of its own with --data-dir.",
            database.display()
        ))),
        Err(TryLockError::Error(error)) => Err(CliError::failure(format!("cannot lock {}: {error}", path.display()))),
    }
}
