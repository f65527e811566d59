//! `countersign crl`

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::bundle::deliver;
use super::client::{Call, Client, ClientError};
use super::connection::{Connection, ZoneChoice};
use super::error::CliError;
use super::escape::escape;
use super::objects::Authority;
use super::{Context, authority};
use crate::domain::id::AuthorityId;

/// Get the certificate revocation list of the zone
///
/// Example, for nginx (`ssl_crl`), which wants the CRL of every CA of the chain in one file:
///
///   countersign crl --chain --out /etc/nginx/clients-crl.pem && nginx -s reload
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    #[arg(long, value_enum, default_value_t = Format::Pem)]
    format: Format,

    /// The CRLs of all authorities of the zone and of their root, in one PEM file
    #[arg(long, conflicts_with = "authority")]
    chain: bool,

    /// The CRL of this authority [default: the one that signs now]
    #[arg(long, value_name = "ID")]
    authority: Option<String>,

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
    if arguments.chain && arguments.format == Format::Der {
        return Err(CliError::usage(
            "--chain puts several CRLs into one file, which only PEM can hold: leave --format der away",
        ));
    }
    let client = arguments.connection.open(context)?;
    let zone = arguments.zone.resolve(&client, context).await?;
    let authorities = authority::all(&client, zone).await?;
    let mut content = Vec::new();
    for chosen in choose(&authorities, &arguments)? {
        content.extend(fetch(&client, chosen, arguments.format).await?);
    }
    let (is_text, format) = match arguments.format {
        Format::Pem => (true, "pem"),
        Format::Der => (false, "der"),
    };
    deliver(&content, is_text, arguments.out, arguments.connection.json, format)
}

fn choose<'a>(authorities: &'a [Authority], arguments: &Arguments) -> Result<Vec<&'a Authority>, CliError> {
    if arguments.chain {
        // An authority that signs nothing any more has no CRL, and nobody looks for it.
        return Ok(authorities
            .iter()
            .filter(|authority| authority.crl.is_some() || authority.state == "active")
            .collect());
    }
    let chosen = match &arguments.authority {
        Some(id) => authorities.iter().find(|authority| authority.id == *id),
        None => authorities.iter().find(|authority| authority.is_active_issuer()),
    };
    let chosen = chosen.ok_or_else(|| {
        CliError::failure("the zone has no such authority; `countersign authority list` shows those it has")
    })?;
    Ok(vec![chosen])
}

/// Fetches by the address that this command talks to: the public one in `crl.url` may be a proxy's.
async fn fetch(client: &Client, authority: &Authority, format: Format) -> Result<Vec<u8>, CliError> {
    let id = AuthorityId::parse(&authority.id)
        .ok_or_else(|| CliError::failure("the server gave an authority id that is none"))?;
    let file = match format {
        Format::Pem => "crl.pem",
        Format::Der => "crl",
    };
    client.fetch(Call::get(format!("/pki/{id}/{file}"))).await.map_err(|error| match error {
        ClientError::Refused { status: 404, .. } | ClientError::Foreign { status: 404, .. } => {
            CliError::failure(format_args!(
                "the authority {} has not published a CRL yet; see what `countersign doctor` says",
                escape(&authority.name)
            ))
        }
        other => other.into(),
    })
}
