//! `countersign migrate`: brings the database to this version's schema without serving.

use super::{CliError, database, output};
use crate::config::Config;
use crate::store::Store;

pub fn run(config: Config, json: bool) -> Result<(), CliError> {
    let database = database::of(&config);
    let _lock = database::claim(&database)?;
    let applied = Store::migrate(&database).map_err(|error| CliError::failure(error.to_string()))?;
    if json {
        return output::json(&serde_json::json!({ "applied": applied }));
    }
    match applied.as_slice() {
        [] => output::line("the database is up to date"),
        versions => output::line(format_args!("applied: {}", versions.join(", "))),
    }
}
