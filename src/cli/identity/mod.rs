//! `countersign identity`

mod add;
mod call;
mod edit;
mod label;
mod list;
mod material;
mod remove;
mod replace;
mod show;
mod uses;
mod which;

use clap::Subcommand;
use serde_json::Value;

use super::client::Call;
use super::error::CliError;
use super::in_account::Opened;
use super::resolve::{self, IdentityKind};
use super::{Context, envelope, output};
use crate::domain::id::IdentityId;

const IDENTITIES: &str = "mtls_certificates";

const TOUR: &str = "\
A first tour:
  countersign identity add partner.pem --key partner.key --name partner --host '*.partner.example'
  countersign identity match api.partner.example          which one that host is shown, and why
  countersign identity test https://api.partner.example/  whether it works there";

/// Identities: certificates that others issued to you, to be presented to servers; and bundles of CAs to verify servers by
#[derive(Debug, Subcommand)]
#[command(after_help = TOUR)]
pub enum Command {
    Add(add::Arguments),
    List(list::Arguments),
    Show(show::Arguments),
    Rename(edit::Rename),
    Primary(edit::Primary),
    Hosts(edit::Hosts),
    Label(label::Arguments),
    Replace(replace::Arguments),
    Remove(remove::Arguments),
    Match(which::Arguments),
    Test(call::Arguments),
    Uses(uses::List),
    Associate(uses::Associate),
    Dissociate(uses::Dissociate),
}

pub async fn run(command: Command, context: &Context) -> Result<(), CliError> {
    match command {
        Command::Add(arguments) => add::run(arguments, context).await,
        Command::List(arguments) => list::run(arguments, context).await,
        Command::Show(arguments) => show::run(arguments, context).await,
        Command::Rename(arguments) => edit::rename(arguments, context).await,
        Command::Primary(arguments) => edit::primary(arguments, context).await,
        Command::Hosts(arguments) => edit::hosts(arguments, context).await,
        Command::Label(arguments) => label::run(arguments, context).await,
        Command::Replace(arguments) => replace::run(arguments, context).await,
        Command::Remove(arguments) => remove::run(arguments, context).await,
        Command::Match(arguments) => which::run(arguments, context).await,
        Command::Test(arguments) => call::run(arguments, context).await,
        Command::Uses(arguments) => uses::list(arguments, context).await,
        Command::Associate(arguments) => uses::associate(arguments, context).await,
        Command::Dissociate(arguments) => uses::dissociate(arguments, context).await,
    }
}

/// The id of the identity or CA bundle that was named.
async fn find(opened: &Opened, given: &str) -> Result<IdentityId, CliError> {
    resolve::identity(&opened.client, opened.account, IdentityKind::Any, given).await
}

fn path(opened: &Opened, id: IdentityId) -> String {
    opened.path(&format!("{IDENTITIES}/{id}"))
}

/// Makes a change, and prints what has become of the identity.
async fn change(opened: &Opened, call: Call, context: &Context) -> Result<(), CliError> {
    let answer = opened.client.call(call).await?;
    let print = |result: &Value| output::fields(&show::description(&envelope::read(result)?, context.clock.now()));
    opened.tell(&answer, print)
}
