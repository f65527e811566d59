//! `countersign bulk list`

use clap::Args;
use serde_json::Value;

use super::job::Job;
use super::jobs;
use crate::cli::connection::{Connection, ZoneChoice};
use crate::cli::error::CliError;
use crate::cli::{Context, envelope, output};

/// List the bulk jobs of a zone, newest first
///
/// They are kept for 90 days after their end. Example:
///
///   countersign bulk list
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    #[command(flatten)]
    zone: ZoneChoice,

    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    let client = arguments.connection.open(context)?;
    let zone = arguments.zone.resolve(&client, context).await?;
    let listed = Value::Array(client.items(&jobs(zone)).await?);
    if arguments.connection.json {
        return output::json(&listed);
    }
    let listed: Vec<Job> = envelope::read(&listed)?;
    if listed.is_empty() {
        output::note(
            "no bulk jobs; `countersign revoke --where common-name=device- --dry-run` shows what one would do",
        );
        return Ok(());
    }
    let rows = listed.into_iter().map(|job| {
        let done = format!("{}/{}", job.visible(), job.total);
        vec![job.id, job.action, job.reason.unwrap_or_default(), job.state, done, job.created_on, job.requested_by.name]
    });
    output::table(&["ID", "ACTION", "REASON", "STATE", "DONE", "REQUESTED", "BY"], rows)
}
