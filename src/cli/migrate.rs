//! `countersign migrate`: brings the database to this version's schema without serving.

use super::{CliError, output, serve};
use crate::config::{Config, DatabaseUrl};
use crate::store::Store;

pub fn run(config: Config, json: bool) -> Result<(), CliError> {
    let DatabaseUrl::Sqlite(database) = &config.database;
    if let Some(folder) = database.parent() {
        serve::create_private_folder(folder)?;
    }
    let _lock = serve::lock(database)?;
    let applied = Store::migrate(database).map_err(|error| CliError::failure(error.to_string()))?;
    if json {
        return output::json(&serde_json::json!({ "applied": applied }));
    }
    match applied.as_slice() {
        [] => output::line("the database is up to date"),
        versions => output::line(format_args!("applied: {}", versions.join(", "))),
    }
}
