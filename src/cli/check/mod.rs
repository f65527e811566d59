//! `countersign check`

mod definition;
mod edit;
mod expectations;
mod list;
mod runs;
mod show;

use clap::Subcommand;
use serde_json::Value;

use super::client::Call;
use super::error::CliError;
use super::in_account::Opened;
use super::{Context, envelope, output, resolve};

const CHECKS: &str = "checks";

const TOUR: &str = "\
A check is passing when all is as expected, degraded when only the answer is too slow or the
server's certificate ends too soon, and failing otherwise. A first tour:
  countersign check create partner-health https://api.partner.example/health --latency 2s
  countersign check list                 how they all stand
  countersign check runs partner-health  what came of each run";

/// Checks: calls with an identity, at intervals or by hand, to see whether a partner's API works
#[derive(Debug, Subcommand)]
#[command(after_help = TOUR)]
pub enum Command {
    List(list::Arguments),
    Show(show::Arguments),
    Create(edit::Create),
    Edit(edit::Edit),
    Run(runs::Run),
    Runs(runs::List),
    Enable(edit::Enable),
    Disable(edit::Disable),
    Remove(edit::Remove),
}

pub async fn run(command: Command, context: &Context) -> Result<(), CliError> {
    match command {
        Command::List(arguments) => list::run(arguments, context).await,
        Command::Show(arguments) => show::run(arguments, context).await,
        Command::Create(arguments) => edit::create(arguments, context).await,
        Command::Edit(arguments) => edit::edit(arguments, context).await,
        Command::Run(arguments) => runs::run(arguments, context).await,
        Command::Runs(arguments) => runs::list(arguments, context).await,
        Command::Enable(arguments) => edit::enable(arguments, context).await,
        Command::Disable(arguments) => edit::disable(arguments, context).await,
        Command::Remove(arguments) => edit::remove(arguments, context).await,
    }
}

/// The path of the check that was named.
async fn find(opened: &Opened, given: &str) -> Result<String, CliError> {
    let id = resolve::check(&opened.client, opened.account, given).await?;
    Ok(opened.path(&format!("{CHECKS}/{id}")))
}

/// Makes a change, and prints what has become of the check.
async fn change(opened: &Opened, call: Call) -> Result<(), CliError> {
    let answer = opened.client.call(call).await?;
    let print = |result: &Value| output::fields(&show::description(&envelope::read(result)?));
    opened.tell(&answer, print)
}
