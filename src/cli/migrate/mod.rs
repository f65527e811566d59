//! `countersign migrate`: brings the database to this version's schema without serving, or moves it into another kind.

mod relocation;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::configuration::ConfigurationFlags;
use super::{CliError, database, output};
use crate::config::Config;
use crate::store::Store;

/// Bring the database to the schema of this version, or move it into PostgreSQL
///
/// The start of the server brings the schema up to date too. With --from and --to everything is
/// moved from one kind of database into the other. Stop the server first; a move that was cut off
/// goes on when the same command is run again. At the end both are compared row by row, and only
/// then can the new one be served, and the old one no longer. The master key stays where it is.
/// Without --to the target is the database that the configuration names, so that its password
/// need not be on the command line; PGPASSWORD and PGPASSFILE are read too. Examples:
///
///   countersign migrate --data-dir /var/lib/countersign
///
///   countersign migrate --from sqlite:/var/lib/countersign/countersign.db \
///     --to postgres://countersign@db.example.com/countersign
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The database to move: sqlite:PATH or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "DATABASE", value_parser = NonEmptyStringValueParser::new())]
    from: Option<String>,

    /// Where to; an empty database [default: the one of the configuration]
    #[arg(long, value_name = "DATABASE", requires = "from", value_parser = NonEmptyStringValueParser::new())]
    to: Option<String>,

    #[command(flatten)]
    pub configuration: ConfigurationFlags,

    /// Print JSON, for scripts
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments, config: &Config) -> Result<(), CliError> {
    if let Some(from) = &arguments.from {
        return relocation::run(from, arguments.to.as_deref(), config, arguments.json);
    }
    let database = database::of(config);
    let _lock = database::claim(&database)?;
    let applied = Store::migrate(&database).map_err(|error| CliError::failure(error.to_string()))?;
    if arguments.json {
        return output::json(&serde_json::json!({ "applied": applied }));
    }
    match applied.as_slice() {
        [] => output::line("the database is up to date"),
        versions => output::line(format_args!("applied: {}", versions.join(", "))),
    }
}
