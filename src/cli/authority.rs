//! `countersign authority`

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};

use super::client::{Call, Client};
use super::connection::{Connection, ZoneChoice};
use super::error::CliError;
use super::objects::Authority;
use super::{Context, configure, envelope, export_key, output};
use crate::domain::id::{AuthorityId, ZoneId};
use crate::domain::key::AuthorityKeyType;

/// The certificate authorities of a zone
#[derive(Debug, Subcommand)]
pub enum Command {
    List(List),
    Show(Show),
    Create(Create),
    ExportKey(export_key::Arguments),
}

/// List the authorities of a zone: issuing ones first, then the root
///
/// Example:
///
///   countersign authority list --zone default
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct List {
    #[command(flatten)]
    zone: ZoneChoice,

    #[command(flatten)]
    connection: Connection,
}

/// Show one authority
///
/// Examples:
///
///   countersign authority show
///   countersign authority show 568b6b74-7b0c-4755-8840-4e3b8c24adeb --pem
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Show {
    /// Its id [default: the one that signs now]
    #[arg(value_name = "ID", value_parser = id)]
    authority: Option<AuthorityId>,

    /// Print its certificate, in PEM
    #[arg(long, conflicts_with = "json")]
    pem: bool,

    #[command(flatten)]
    zone: ZoneChoice,

    #[command(flatten)]
    connection: Connection,
}

/// Make another issuing authority for a zone, which signs from now on
///
/// The one before is retired: it goes on to publish CRLs and to answer OCSP for its certificates,
/// and stays in the bundle as long as they live. Relying parties need the new bundle at once: until
/// they have it, only those take the new certificates whose clients send the issuing one along.
/// Example, for a zone that has outgrown one CRL:
///
///   countersign authority create --zone devices --crl-shards 64
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Create {
    #[command(flatten)]
    options: AuthorityOptions,

    #[command(flatten)]
    zone: ZoneChoice,

    #[command(flatten)]
    connection: Connection,
}

/// What an issuing authority shall be like.
#[derive(Args, Debug, Serialize)]
pub struct AuthorityOptions {
    /// Its key: p256, p384, rsa2048, rsa3072, rsa4096 or ed25519 [default: the server's]
    #[arg(long, value_name = "TYPE", value_parser = key_type)]
    #[serde(skip_serializing_if = "Option::is_none")]
    key_type: Option<&'static str>,

    /// Publish its CRL also in so many shards, 2 to 1024, whose addresses stand in the certificates: for zones that may come
    /// to revoke more than some ten thousand. Fixed for the authority's life
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(2..=1024))]
    #[serde(skip_serializing_if = "Option::is_none")]
    crl_shards: Option<i32>,
}

pub async fn run(command: Command, context: &Context) -> Result<(), CliError> {
    match command {
        Command::List(arguments) => list(arguments, context).await,
        Command::Show(arguments) => show(arguments, context).await,
        Command::Create(arguments) => create(arguments, context).await,
        Command::ExportKey(arguments) => {
            let config = configure(&arguments.configuration, context)?;
            export_key::run(arguments, config).await
        }
    }
}

/// All the authorities of a zone.
pub async fn all(client: &Client, zone: ZoneId) -> Result<Vec<Authority>, CliError> {
    envelope::read(&Value::Array(client.items(&path(zone)).await?))
}

async fn list(arguments: List, context: &Context) -> Result<(), CliError> {
    let client = arguments.connection.open(context)?;
    let zone = arguments.zone.resolve(&client, context).await?;
    let authorities = Value::Array(client.items(&path(zone)).await?);
    if arguments.connection.json {
        return output::json(&authorities);
    }
    let authorities: Vec<Authority> = envelope::read(&authorities)?;
    let rows = authorities.into_iter().map(|authority| {
        let crl =
            authority.crl.map_or_else(|| "none".to_owned(), |crl| format!("{} until {}", crl.number, crl.next_update));
        vec![
            authority.id,
            authority.name,
            authority.kind,
            authority.state,
            authority.key_type,
            authority.expires_on,
            crl,
        ]
    });
    output::table(&["ID", "NAME", "TYPE", "STATE", "KEY", "EXPIRES", "CRL"], rows)
}

async fn show(arguments: Show, context: &Context) -> Result<(), CliError> {
    let client = arguments.connection.open(context)?;
    let zone = arguments.zone.resolve(&client, context).await?;
    let id = match arguments.authority {
        Some(id) => id,
        None => issuing(&client, zone).await?,
    };
    let answer = client.call(Call::get(format!("{}/{id}", path(zone)))).await?;
    if arguments.pem {
        return output::bytes(answer.read::<Authority>()?.certificate.as_bytes());
    }
    print(&answer.result, arguments.connection.json)
}

fn print(authority: &Value, as_json: bool) -> Result<(), CliError> {
    if as_json {
        return output::json(authority);
    }
    let authority: Authority = envelope::read(authority)?;
    let crl = authority.crl.unwrap_or_default();
    output::fields(&[
        ("id", authority.id),
        ("name", authority.name),
        ("type", authority.kind),
        ("state", authority.state),
        ("key", authority.key_type),
        ("subject", authority.subject),
        ("issued", authority.issued_on),
        ("expires", authority.expires_on),
        ("serial number", authority.serial_number),
        ("SHA-256", authority.fingerprint_sha256),
        ("CRL number", if crl.number == 0 { String::new() } else { crl.number.to_string() }),
        ("CRL of", crl.this_update),
        ("CRL until", crl.next_update),
        ("CRL at", crl.url),
        ("CRL shards", if authority.crl_shards == 0 { String::new() } else { authority.crl_shards.to_string() }),
    ])
}

async fn create(arguments: Create, context: &Context) -> Result<(), CliError> {
    let client = arguments.connection.open(context)?;
    let zone = arguments.zone.resolve(&client, context).await?;
    let answer = client.call(Call::post(path(zone), json!(arguments.options))).await?;
    print(&answer.result, arguments.connection.json)
}

/// The one that signs for a zone now.
pub async fn issuing(client: &Client, zone: ZoneId) -> Result<AuthorityId, CliError> {
    let authorities = all(client, zone).await?;
    let issuing = authorities.iter().find(|authority| authority.is_active_issuer());
    issuing.and_then(|authority| AuthorityId::parse(&authority.id)).ok_or_else(|| {
        CliError::failure("no authority signs for this zone; `countersign authority list` shows those it has")
    })
}

fn path(zone: ZoneId) -> String {
    format!("/client/v4/zones/{zone}/certificate_authorities")
}

fn key_type(text: &str) -> Result<&'static str, String> {
    AuthorityKeyType::parse(text).map(AuthorityKeyType::as_str).ok_or_else(|| {
        let words: Vec<&str> = AuthorityKeyType::ALL.iter().map(|kind| kind.as_str()).collect();
        format!("write one of {}", words.join(", "))
    })
}

pub fn id(text: &str) -> Result<AuthorityId, String> {
    AuthorityId::parse(text)
        .ok_or_else(|| "an authority's id is a UUID, which `countersign authority list` shows".into())
}
