//! `countersign healthcheck`: what a container asks about its own server, because its image has no other HTTP client.

use clap::Args;

use super::connection::Connection;
use super::error::CliError;
use super::readiness::Readiness;
use super::{Context, output};

/// Ask the server once whether it can work: exit code 0 if it is ready, 1 if it is not
///
/// Made for health checks of containers. Example:
///
///   countersign healthcheck --url http://127.0.0.1:8080
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    let client = arguments.connection.open(context)?.into_stranger();
    let readiness = Readiness::ask(&client).await?;
    let is_ready = readiness.is_ready();
    if arguments.connection.json {
        let url = client.base();
        output::json(&serde_json::json!({ "ready": is_ready, "status": readiness.status.as_u16(), "url": url }))?;
    } else if is_ready {
        output::line("ready")?;
    }
    if is_ready {
        return Ok(());
    }
    let why = readiness.unexplained().unwrap_or_else(|| {
        let faults = readiness.parts.into_iter().filter_map(|part| Some(format!("{}: {}", part.name, part.fault?)));
        faults.collect::<Vec<_>>().join("; ")
    });
    Err(CliError::failure(format_args!("{} is not ready ({why}); its log says more", client.base())))
}
