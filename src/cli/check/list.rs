//! `countersign check list`

use clap::Args;
use serde_json::Value;

use super::{CHECKS, show};
use crate::cli::client::Call;
use crate::cli::error::CliError;
use crate::cli::in_account::InAccount;
use crate::cli::objects::Check;
use crate::cli::{Context, envelope, output};
use crate::domain::check::CheckState;

/// List the checks of the account, oldest first
///
/// Example:
///
///   countersign check list --state failing
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// Only those in this state: passing, degraded or failing
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Option<CheckState>,

    #[command(flatten)]
    place: InAccount,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    let opened = arguments.place.open(context).await?;
    let call = Call::get(opened.path(CHECKS));
    let call = match arguments.state {
        Some(state) => call.query("state", state.as_str()),
        None => call,
    };
    let checks = Value::Array(opened.client.items_of(call).await?);
    if opened.json {
        return output::json(&checks);
    }
    let checks: Vec<Check> = envelope::read(&checks)?;
    if checks.is_empty() {
        output::note(match arguments.state {
            Some(_) => "no check is in this state",
            None => "no checks yet; `countersign check create NAME https://…` makes one",
        });
        return Ok(());
    }
    let rows = checks.iter().map(|check| {
        vec![
            check.id.clone(),
            check.name.clone(),
            check.state.clone().unwrap_or_else(|| "not run yet".to_owned()),
            show::interval(check),
            check.last_run_on.clone().unwrap_or_default(),
            check.url.clone(),
        ]
    });
    output::table(&["ID", "NAME", "STATE", "EVERY", "LAST RUN", "URL"], rows)
}

fn state(text: &str) -> Result<CheckState, String> {
    CheckState::parse(text).ok_or_else(|| "write one of passing, degraded, failing".into())
}
