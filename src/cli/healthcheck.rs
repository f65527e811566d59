//! `countersign healthcheck`: what a container asks about its own server, because its image has no other HTTP client.

use clap::Args;
use serde::Deserialize;

use super::client::Call;
use super::connection::Connection;
use super::error::CliError;
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

/// The answer of /readyz, which a proxy in between may have replaced.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Readiness {
    parts: Vec<Part>,
}

#[derive(Debug, Deserialize)]
struct Part {
    name: String,
    fault: Option<String>,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    let client = arguments.connection.open(context)?.into_stranger();
    let reply = client.once(&Call::get("/readyz")).await?;
    let is_ready = reply.status.is_success();
    if arguments.connection.json {
        let url = client.base();
        output::json(&serde_json::json!({ "ready": is_ready, "status": reply.status.as_u16(), "url": url }))?;
    } else if is_ready {
        output::line("ready")?;
    }
    if is_ready {
        return Ok(());
    }
    let Readiness { parts } = serde_json::from_slice(&reply.body).unwrap_or_default();
    let faults = parts.into_iter().filter_map(|part| Some(format!("{}: {}", part.name, part.fault?)));
    let faults = faults.collect::<Vec<_>>().join("; ");
    let why = if faults.is_empty() { format!("/readyz answers {}", reply.status) } else { faults };
    Err(CliError::failure(format_args!("{} is not ready ({why}); its log says more", client.base())))
}
