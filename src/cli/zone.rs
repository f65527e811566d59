//! `countersign zone`

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};

use super::authority::AuthorityOptions;
use super::client::Call;
use super::connection::Connection;
use super::envelope;
use super::error::CliError;
use super::objects::Zone;
use super::{Context, output, resolve};

/// Zones: namespaces of certificates, each with its own issuing authority
#[derive(Debug, Subcommand)]
pub enum Command {
    List(List),
    Create(Create),
    Show(Show),
    Rename(Rename),
}

/// List the zones that the token reaches
///
/// Example:
///
///   countersign zone list
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct List {
    #[command(flatten)]
    connection: Connection,
}

/// Make a zone and its issuing authority
///
/// Example:
///
///   countersign zone create devices --key-type p384
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Create {
    /// What it is to be called
    name: String,

    #[command(flatten)]
    authority: AuthorityOptions,

    /// The account, by id or name [default: the token's own]
    #[arg(long, value_name = "NAME|ID")]
    account: Option<String>,

    #[command(flatten)]
    connection: Connection,
}

/// Show one zone
///
/// Example:
///
///   countersign zone show default
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Show {
    /// The zone, by name or id
    #[arg(value_name = "NAME|ID")]
    zone: String,

    #[command(flatten)]
    connection: Connection,
}

/// Give a zone another name
///
/// Certificates and authorities keep the names that they were made with. Example:
///
///   countersign zone rename devices machines
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Rename {
    /// The zone, by name or id
    #[arg(value_name = "NAME|ID")]
    zone: String,

    /// What it is to be called
    #[arg(value_name = "NEW")]
    name: String,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Serialize)]
struct ZoneRequest {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<Reference>,
    authority: AuthorityOptions,
}

#[derive(Serialize)]
struct Reference {
    id: String,
}

const ZONES: &str = "/client/v4/zones";

pub async fn run(command: Command, context: &Context) -> Result<(), CliError> {
    match command {
        Command::List(arguments) => list(arguments, context).await,
        Command::Create(arguments) => create(arguments, context).await,
        Command::Show(arguments) => show(arguments, context).await,
        Command::Rename(arguments) => rename(arguments, context).await,
    }
}

async fn list(arguments: List, context: &Context) -> Result<(), CliError> {
    let client = arguments.connection.open(context)?;
    let zones = Value::Array(client.items(ZONES).await?);
    if arguments.connection.json {
        return output::json(&zones);
    }
    let zones: Vec<Zone> = envelope::read(&zones)?;
    if zones.is_empty() {
        output::note("the token reaches no zone; `countersign zone create NAME` makes one");
        return Ok(());
    }
    let rows = zones.into_iter().map(|zone| vec![zone.id, zone.name, zone.account.name, zone.created_on]);
    output::table(&["ID", "NAME", "ACCOUNT", "CREATED"], rows)
}

async fn create(arguments: Create, context: &Context) -> Result<(), CliError> {
    let client = arguments.connection.open(context)?;
    let account = match arguments.account.as_deref() {
        Some(account) => Some(Reference { id: resolve::account(&client, Some(account)).await?.to_string() }),
        None => None,
    };
    let body = json!(ZoneRequest { name: arguments.name, account, authority: arguments.authority });
    let answer = client.call(Call::post(ZONES, body)).await?;
    print(&answer.result, arguments.connection.json)
}

async fn show(arguments: Show, context: &Context) -> Result<(), CliError> {
    let client = arguments.connection.open(context)?;
    let id = resolve::zone(&client, &arguments.zone).await?;
    let answer = client.call(Call::get(format!("{ZONES}/{id}"))).await?;
    print(&answer.result, arguments.connection.json)
}

async fn rename(arguments: Rename, context: &Context) -> Result<(), CliError> {
    let client = arguments.connection.open(context)?;
    let id = resolve::zone(&client, &arguments.zone).await?;
    let answer = client.call(Call::patch(format!("{ZONES}/{id}"), json!({ "name": arguments.name }))).await?;
    print(&answer.result, arguments.connection.json)
}

fn print(zone: &Value, as_json: bool) -> Result<(), CliError> {
    if as_json {
        return output::json(zone);
    }
    let zone: Zone = envelope::read(zone)?;
    output::fields(&[
        ("id", zone.id),
        ("name", zone.name),
        ("status", zone.status),
        ("account", format!("{} ({})", zone.account.name, zone.account.id)),
        ("created", zone.created_on),
    ])
}
