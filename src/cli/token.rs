//! `countersign token`

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};

use super::client::Call;
use super::connection::Connection;
use super::envelope;
use super::error::CliError;
use super::escape::escape;
use super::in_account::{InAccount, Opened};
use super::list::time;
use super::objects::Token;
use super::{Context, output, resolve};
use crate::domain::id::TokenId;
use crate::domain::permission::Permission;

/// API tokens
#[derive(Debug, Subcommand)]
pub enum Command {
    List(List),
    Create(Create),
    Roll(Roll),
    Revoke(Revoke),
    Verify(Verify),
}

/// List the tokens of the account; their values are known to nobody but their holders
///
/// Example:
///
///   countersign token list
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct List {
    #[command(flatten)]
    place: InAccount,
}

/// Make a token and print its value, this once
///
/// Example, a token that can only issue, in one zone, for a year:
///
///   countersign token create enrolment --permission client_certificates:issue \
///       --permission zones:read --zone devices --expires-on 2027-12-31
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Create {
    /// What it is for
    name: String,

    /// What it may do; repeat for more (`--permission help` lists them)
    #[arg(long = "permission", value_name = "PERMISSION", required = true, value_parser = permission)]
    permissions: Vec<Permission>,

    /// A zone that it reaches, by name or id; repeat for more [default: all zones of the account]
    #[arg(long = "zone", value_name = "NAME|ID")]
    zones: Vec<String>,

    /// From when on it is valid (RFC 3339, or a date) [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    not_before: Option<String>,

    /// Until when it is valid (RFC 3339, or a date) [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = time)]
    expires_on: Option<String>,

    #[command(flatten)]
    place: InAccount,
}

/// Give a token another value and print it, this once; the old one stops working at once
///
/// With several replicas, on the others within a second. Its name, its permissions and its end
/// stay. Example:
///
///   countersign token roll ed17574386854bf78a67040be0a770b0
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Roll {
    /// Its id, which `countersign token list` shows
    #[arg(value_name = "ID", value_parser = token_id)]
    id: TokenId,

    #[command(flatten)]
    place: InAccount,
}

/// Revoke a token, at once and for good
///
/// With several replicas, on the others within a second. Example:
///
///   countersign token revoke ed17574386854bf78a67040be0a770b0
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Revoke {
    /// Its id, which `countersign token list` shows
    #[arg(value_name = "ID", value_parser = token_id)]
    id: TokenId,

    #[command(flatten)]
    place: InAccount,
}

/// Ask the server whether the token in use is valid
///
/// Example:
///
///   COUNTERSIGN_TOKEN="$(cat token)" countersign token verify
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Verify {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Serialize)]
struct TokenRequest {
    name: String,
    permissions: Vec<&'static str>,
    /// None at all means every zone of the account.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    zones: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_on: Option<String>,
}

const TOKENS: &str = "tokens";

pub async fn run(command: Command, context: &Context) -> Result<(), CliError> {
    match command {
        Command::List(arguments) => list(arguments, context).await,
        Command::Create(arguments) => create(arguments, context).await,
        Command::Roll(arguments) => roll(arguments, context).await,
        Command::Revoke(arguments) => revoke(arguments, context).await,
        Command::Verify(arguments) => verify(arguments, context).await,
    }
}

async fn list(arguments: List, context: &Context) -> Result<(), CliError> {
    let opened = arguments.place.open(context).await?;
    let tokens = Value::Array(opened.client.items(&opened.path(TOKENS)).await?);
    if opened.json {
        return output::json(&tokens);
    }
    let tokens: Vec<Token> = envelope::read(&tokens)?;
    let rows = tokens.into_iter().map(|token| {
        let zones = token.zones.map_or_else(|| "all".to_owned(), |zones| zones.join(" "));
        let expires = token.expires_on.unwrap_or_else(|| "never".to_owned());
        vec![token.id, token.name, token.status, expires, zones, token.permissions.join(" ")]
    });
    output::table(&["ID", "NAME", "STATUS", "EXPIRES", "ZONES", "PERMISSIONS"], rows)
}

async fn create(arguments: Create, context: &Context) -> Result<(), CliError> {
    let opened = arguments.place.open(context).await?;
    let mut zones = Vec::new();
    for zone in &arguments.zones {
        zones.push(resolve::zone(&opened.client, zone).await?.to_string());
    }
    let body = json!(TokenRequest {
        name: arguments.name,
        permissions: arguments.permissions.iter().map(|permission| permission.as_str()).collect(),
        zones,
        not_before: arguments.not_before,
        expires_on: arguments.expires_on,
    });
    let answer = opened.client.call(Call::post(opened.path(TOKENS), body)).await?;
    if opened.json {
        output::json(&answer.result)?;
    } else {
        let token: Token = answer.read()?;
        output::note(format_args!("token {}", escape(&token.id)));
        output::line(escape(&token.value.unwrap_or_default()))?;
    }
    output::note("warning: keep the value now; it is shown this once and stored nowhere");
    Ok(())
}

async fn roll(arguments: Roll, context: &Context) -> Result<(), CliError> {
    let opened = arguments.place.open(context).await?;
    let answer = opened.client.call(Call::put(format!("{}/value", path(&opened, arguments.id)), json!({}))).await?;
    let value: String = answer.read()?;
    if opened.json {
        output::json(&json!({ "id": arguments.id.to_string(), "value": value }))?;
    } else {
        output::note(format_args!("token {}", arguments.id));
        output::line(escape(&value))?;
    }
    output::note("warning: keep the value now; it is shown this once");
    output::note("the one before works no more: replace it where it stands (admin.token, COUNTERSIGN_TOKEN)");
    Ok(())
}

async fn revoke(arguments: Revoke, context: &Context) -> Result<(), CliError> {
    let opened = arguments.place.open(context).await?;
    let answer = opened.client.call(Call::delete(path(&opened, arguments.id))).await?;
    if opened.json {
        return output::json(&answer.result);
    }
    output::line(format_args!("revoked {}", arguments.id))
}

async fn verify(arguments: Verify, context: &Context) -> Result<(), CliError> {
    let client = arguments.connection.open(context)?;
    let answer = client.call(Call::get("/client/v4/user/tokens/verify")).await?;
    let token: Token = answer.read()?;
    if arguments.connection.json {
        output::json(&answer.result)?;
    } else {
        let expires = token.expires_on.unwrap_or_else(|| "never".to_owned());
        output::fields(&[("id", token.id), ("status", token.status.clone()), ("expires", expires)])?;
    }
    if token.status == "active" { Ok(()) } else { Err(CliError::failure("the token is not valid now")) }
}

fn path(opened: &Opened, id: TokenId) -> String {
    format!("{}/{id}", opened.path(TOKENS))
}

fn permission(text: &str) -> Result<Permission, String> {
    Permission::parse(text).ok_or_else(|| {
        let words: Vec<&str> = Permission::ALL.iter().map(|permission| permission.as_str()).collect();
        format!("write one of {}", words.join(", "))
    })
}

fn token_id(text: &str) -> Result<TokenId, String> {
    TokenId::parse(text)
        .ok_or_else(|| "a token's id has 32 hex digits, and is not its value; `countersign token list` shows it".into())
}
