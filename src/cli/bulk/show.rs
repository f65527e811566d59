//! `countersign bulk show` and `cancel`

use clap::Args;

use super::{job, job_id, jobs, watch};
use crate::cli::Context;
use crate::cli::client::Call;
use crate::cli::connection::{Connection, ZoneChoice};
use crate::cli::error::CliError;
use crate::domain::id::JobId;

/// Show a bulk job and how far it is
///
/// Example, until relying parties can see all of it:
///
///   countersign bulk show 0199c0de-7a2b-7c11-8f00-5d1c2b3a4f60 --wait
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Show {
    /// The job, by its id
    #[arg(value_name = "ID", value_parser = job_id)]
    id: JobId,

    /// Watch it until it is over
    #[arg(long)]
    wait: bool,

    #[command(flatten)]
    zone: ZoneChoice,

    #[command(flatten)]
    connection: Connection,
}

/// Cancel a bulk job: what it has not asked for yet is not asked for any more
///
/// What it has asked for stands. Example:
///
///   countersign bulk cancel 0199c0de-7a2b-7c11-8f00-5d1c2b3a4f60
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Cancel {
    /// The job, by its id
    #[arg(value_name = "ID", value_parser = job_id)]
    id: JobId,

    #[command(flatten)]
    zone: ZoneChoice,

    #[command(flatten)]
    connection: Connection,
}

pub async fn show(arguments: Show, context: &Context) -> Result<(), CliError> {
    let client = arguments.connection.open(context)?;
    let zone = arguments.zone.resolve(&client, context).await?;
    if arguments.wait {
        return watch::until_over(&client, zone, arguments.id, arguments.connection.json, context).await;
    }
    let answer = client.call(Call::get(format!("{}/{}", jobs(zone), arguments.id))).await?;
    job::print(&answer.result, arguments.connection.json)
}

pub async fn cancel(arguments: Cancel, context: &Context) -> Result<(), CliError> {
    let client = arguments.connection.open(context)?;
    let zone = arguments.zone.resolve(&client, context).await?;
    let answer = client.call(Call::delete(format!("{}/{}", jobs(zone), arguments.id))).await?;
    job::print(&answer.result, arguments.connection.json)
}
