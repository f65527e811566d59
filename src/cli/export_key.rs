//! `countersign authority export-key`: the one way a CA key leaves, encrypted, past the network: only whoever holds the
//! database and the master key can do it.

use std::path::PathBuf;

use clap::Args;

use super::configuration::ConfigurationFlags;
use super::database;
use super::error::CliError;
use super::files::{self, Access};
use super::{authority, output, serve};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::id::AuthorityId;
use crate::service::{Random, Service};
use crate::store::{Database, Store};

/// Write an authority's private key to a file, as encrypted PKCS#8 that openssl reads
///
/// Works on the database itself, with its master key, on the machine that holds both. Example:
///
///   countersign authority export-key 568b6b74-7b0c-4755-8840-4e3b8c24adeb \
///     --out ca.key --passphrase-file passphrase
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The authority; `countersign authority list` shows the ids
    #[arg(value_name = "ID", value_parser = authority::id)]
    authority: AuthorityId,

    /// Where to write it; an existing file is not overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// A file whose first line is the passphrase
    #[arg(long, value_name = "FILE")]
    passphrase_file: PathBuf,

    #[command(flatten)]
    pub configuration: ConfigurationFlags,
}

pub async fn run(arguments: Arguments, config: Config) -> Result<(), CliError> {
    let passphrase = files::read_password(&arguments.passphrase_file)?;
    if arguments.out.exists() {
        return Err(CliError::failure(format_args!("{} is there already", arguments.out.display())));
    }
    let database = database::of(&config);
    if let Database::Sqlite(path) = &database
        && !path.exists()
    {
        return Err(CliError::failure(format_args!("there is no database {database}")));
    }
    let store = Store::open_beside(&database).map_err(CliError::failure)?;
    let options = serve::options(&config, config.listen)?;
    let opened = Service::open(store, Clock::system(), Random::system(), options).await;
    let service = opened.map_err(CliError::failure)?;
    let key = service.export_key(arguments.authority, passphrase).await.map_err(CliError::failure)?;
    files::create(&arguments.out, key.as_bytes(), Access::Private)?;
    output::note(format_args!(
        "wrote {}; whoever has it and the passphrase can sign as this authority",
        arguments.out.display()
    ));
    Ok(())
}
