//! `countersign account`

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::Call;
use super::connection::Connection;
use super::envelope;
use super::error::CliError;
use super::objects::Account;
use super::{Context, output};

/// Accounts: tenants, each with its own root authority, zones and tokens
#[derive(Debug, Subcommand)]
pub enum Command {
    List(List),
    Create(Create),
}

/// List the accounts that the token sees: its own, or all for the operator
///
/// Example:
///
///   countersign account list
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct List {
    #[command(flatten)]
    connection: Connection,
}

/// Make an account, with a token that may do everything in it; the token is shown once
///
/// Takes a token with every permission in the account of the first start. Example:
///
///   countersign account create 'Example Org'
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Create {
    /// What it is to be called
    name: String,

    #[command(flatten)]
    connection: Connection,
}

const ACCOUNTS: &str = "/client/v4/accounts";

pub async fn run(command: Command, context: &Context) -> Result<(), CliError> {
    match command {
        Command::List(arguments) => list(arguments, context).await,
        Command::Create(arguments) => create(arguments, context).await,
    }
}

async fn list(arguments: List, context: &Context) -> Result<(), CliError> {
    let client = arguments.connection.open(context)?;
    let accounts = Value::Array(client.items(ACCOUNTS).await?);
    if arguments.connection.json {
        return output::json(&accounts);
    }
    let accounts: Vec<Account> = envelope::read(&accounts)?;
    let rows = accounts.into_iter().map(|account| vec![account.id, account.name, account.created_on]);
    output::table(&["ID", "NAME", "CREATED"], rows)
}

async fn create(arguments: Create, context: &Context) -> Result<(), CliError> {
    let client = arguments.connection.open(context)?;
    let answer = client.call(Call::post(ACCOUNTS, json!({ "name": arguments.name }))).await?;
    if arguments.connection.json {
        return output::json(&answer.result);
    }
    let account: Account = envelope::read(&answer.result)?;
    output::fields(&[
        ("id", account.id),
        ("name", account.name),
        ("created", account.created_on),
        ("token", account.token.unwrap_or_default()),
    ])?;
    output::note("keep the token: it is shown this once, and may do everything in the new account");
    Ok(())
}
