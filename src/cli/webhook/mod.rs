//! `countersign webhook`

mod deliveries;
mod edit;
mod list;
mod show;

use clap::Subcommand;

use super::client::Call;
use super::error::CliError;
use super::in_zone::OpenedZone;
use super::{Context, envelope, resolve};

const WEBHOOKS: &str = "webhooks";

const TOUR: &str = "\
A webhook is told of a zone's events by a signed POST, in order, each again until it answers with
a 2xx; one that fails for three days is switched off. A first tour:
  countersign webhook create partner https://hooks.partner.example/countersign
  countersign webhook test partner        does it arrive?
  countersign webhook deliveries partner  what came of each delivery";

/// Webhooks: who is told of what happens in a zone
#[derive(Debug, Subcommand)]
#[command(after_help = TOUR)]
pub enum Command {
    List(list::Arguments),
    Show(show::Arguments),
    Create(edit::Create),
    Edit(edit::Edit),
    Test(deliveries::Test),
    Deliveries(deliveries::List),
    Delete(edit::Delete),
}

pub async fn run(command: Command, context: &Context) -> Result<(), CliError> {
    match command {
        Command::List(arguments) => list::run(arguments, context).await,
        Command::Show(arguments) => show::run(arguments, context).await,
        Command::Create(arguments) => edit::create(arguments, context).await,
        Command::Edit(arguments) => edit::edit(arguments, context).await,
        Command::Test(arguments) => deliveries::test(arguments, context).await,
        Command::Deliveries(arguments) => deliveries::list(arguments, context).await,
        Command::Delete(arguments) => edit::delete(arguments, context).await,
    }
}

/// The path of the webhook that was named.
async fn find(opened: &OpenedZone, given: &str) -> Result<String, CliError> {
    let id = resolve::webhook(&opened.client, opened.zone, given).await?;
    Ok(opened.path(&format!("{WEBHOOKS}/{id}")))
}

/// Makes a change, and prints what has become of the webhook; a new secret with a word of what it is.
async fn change(opened: &OpenedZone, call: Call) -> Result<(), CliError> {
    let answer = opened.client.call(call).await?;
    opened.tell(&answer, |result| show::print(&envelope::read(result)?))
}
