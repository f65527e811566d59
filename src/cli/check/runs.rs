//! `countersign check run` and `runs`

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::find;
use crate::cli::client::Call;
use crate::cli::error::CliError;
use crate::cli::escape::escape;
use crate::cli::in_account::InAccount;
use crate::cli::objects::Outcome;
use crate::cli::progress::Spinner;
use crate::cli::report::{self, BodyOption};
use crate::cli::{Context, envelope, output};
use crate::domain::check::{CheckState, MAX_TIMEOUT_MILLIS};

/// Run a check now, and see what comes of it
///
/// The exit code is 0 if the check passes or is degraded, and 1 if it fails. Example:
///
///   countersign check run partner-health
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Run {
    /// The check, by name or id
    #[arg(value_name = "NAME|ID")]
    check: String,

    #[command(flatten)]
    body: BodyOption,

    #[command(flatten)]
    place: InAccount,
}

/// List the last runs of a check, the newest first
///
/// Example:
///
///   countersign check runs partner-health
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct List {
    /// The check, by name or id
    #[arg(value_name = "NAME|ID")]
    check: String,

    #[command(flatten)]
    place: InAccount,
}

pub async fn run(arguments: Run, context: &Context) -> Result<(), CliError> {
    arguments.body.check(arguments.place.json())?;
    let opened = arguments.place.open(context).await?;
    let path = find(&opened, &arguments.check).await?;
    let longest = Duration::from_millis(u64::try_from(MAX_TIMEOUT_MILLIS).unwrap_or_default());
    let answer = {
        let _spinner = Spinner::start(format!("running {}", escape(&arguments.check)));
        opened.client.call(Call::post(format!("{path}/run"), json!({})).while_it_waits(longest)).await?
    };
    let outcome = report::print(&answer, &arguments.body, opened.json)?;
    if outcome.state.as_deref() == Some(CheckState::Failing.as_str()) { Err(CliError::Reported) } else { Ok(()) }
}

pub async fn list(arguments: List, context: &Context) -> Result<(), CliError> {
    let opened = arguments.place.open(context).await?;
    let path = find(&opened, &arguments.check).await?;
    let runs = Value::Array(opened.client.items(&format!("{path}/runs")).await?);
    if opened.json {
        return output::json(&runs);
    }
    let runs: Vec<Outcome> = envelope::read(&runs)?;
    if runs.is_empty() {
        output::note("it has not run yet; `countersign check run NAME` runs it now");
        return Ok(());
    }
    output::table(&["STARTED", "STATE", "STATUS", "TIME", "BY", "IDENTITY", "FINDINGS"], runs.into_iter().map(row))
}

fn row(run: Outcome) -> Vec<String> {
    vec![
        run.started_on,
        run.state.unwrap_or_default(),
        run.status.map_or_else(|| "none".to_owned(), |status| status.to_string()),
        run.timings_ms.total.map(|time| format!("{time} ms")).unwrap_or_default(),
        if run.scheduled { "schedule".to_owned() } else { "hand".to_owned() },
        run.identity.name.unwrap_or_else(|| "none".to_owned()),
        run.findings.join("; "),
    ]
}
