//! `countersign crl`: CRLs fetched once, and by `crl sync` again and again.

mod contents;
mod exec;
mod kept_file;
mod sync;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::bundle::deliver;
use super::client::{Call, Client, ClientError};
use super::connection::{Connection, ZoneChoice};
use super::error::CliError;
use super::{Context, authority};
use crate::domain::id::AuthorityId;
use crate::x509::pem;

/// Get the certificate revocation list of the zone; `crl sync` keeps a file of them current
///
/// Examples; the second is for nginx (`ssl_crl`), which wants the CRLs of the whole chain in one file:
///
///   countersign crl --format der --out zone.crl
///   countersign crl --chain --out /etc/nginx/clients-crl.pem && nginx -s reload
#[derive(Args, Debug)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    once: Once,
}

#[derive(Debug, Subcommand)]
enum Command {
    Sync(sync::Arguments),
}

#[derive(Args, Debug)]
struct Once {
    #[arg(long, value_enum, default_value_t = Format::Pem)]
    format: Format,

    /// The CRLs of all authorities of the zone and of those above them, in one PEM file
    #[arg(long, conflicts_with_all = ["authority", "delta", "shard"])]
    chain: bool,

    /// Only what changed since an earlier CRL; there is such a delta from the second CRL on
    #[arg(long, conflicts_with = "shard")]
    delta: bool,

    /// The CRL of one shard, of an authority that was made with `--crl-shards`
    #[arg(long, value_name = "NUMBER")]
    shard: Option<u32>,

    /// The CRL of this authority [default: the one that signs now]
    #[arg(long, value_name = "ID", value_parser = authority::id)]
    authority: Option<AuthorityId>,

    /// Write to this file instead of stdout; a reader never finds a part of it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    #[command(flatten)]
    zone: ZoneChoice,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Pem,
    Der,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    match arguments.command {
        Some(Command::Sync(arguments)) => sync::run(arguments, context).await,
        None => once(arguments.once, context).await,
    }
}

async fn once(arguments: Once, context: &Context) -> Result<(), CliError> {
    if arguments.chain && arguments.format == Format::Der {
        return Err(CliError::usage(
            "--chain puts several CRLs into one file, which only PEM can hold: leave --format der away",
        ));
    }
    let client = arguments.connection.open(context)?;
    let path = path(&arguments, &client, context).await?;
    let content = client.fetch(Call::get(path)).await.map_err(|error| explain(error, &arguments))?;
    let (content, format) = match arguments.format {
        // Deltas and shards are there in DER alone.
        Format::Pem if arguments.delta || arguments.shard.is_some() => {
            (pem::encode("X509 CRL", &content).into_bytes(), "pem")
        }
        Format::Pem => (content, "pem"),
        Format::Der => (content, "der"),
    };
    let is_text = arguments.format == Format::Pem;
    deliver(&content, is_text, arguments.out, arguments.connection.json, format)
}

/// By the address that this command talks to: the public one in `crl.url` may be a proxy's.
async fn path(arguments: &Once, client: &Client, context: &Context) -> Result<String, CliError> {
    if let Some(authority) = arguments.authority {
        return Ok(of_authority(authority, arguments));
    }
    let zone = arguments.zone.resolve(client, context).await?;
    if arguments.chain {
        return Ok(format!("/pki/{zone}/crl-chain.pem"));
    }
    Ok(of_authority(authority::issuing(client, zone).await?, arguments))
}

fn of_authority(authority: AuthorityId, arguments: &Once) -> String {
    match (arguments.shard, arguments.format) {
        (Some(shard), _) => format!("/pki/{authority}/crl/{shard}"),
        (None, _) if arguments.delta => format!("/pki/{authority}/crl/delta"),
        (None, Format::Pem) => format!("/pki/{authority}/crl.pem"),
        (None, Format::Der) => format!("/pki/{authority}/crl"),
    }
}

fn explain(error: ClientError, arguments: &Once) -> CliError {
    match error {
        ClientError::Refused { status: 404, .. } | ClientError::Foreign { status: 404, .. } => {
            CliError::failure(if arguments.delta {
                "the authority publishes no delta CRL yet: there is one from its second CRL on"
            } else if arguments.shard.is_some() {
                "the authority has no such shard; one has shards if it was made with `authority create --crl-shards`"
            } else {
                "there is no such CRL; `countersign authority list` shows the authorities that publish one"
            })
        }
        other => other.into(),
    }
}
