//! `countersign webhook test` and `deliveries`

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::find;
use crate::cli::client::Call;
use crate::cli::error::CliError;
use crate::cli::escape::escape;
use crate::cli::in_zone::InZone;
use crate::cli::objects::Delivery;
use crate::cli::progress::Spinner;
use crate::cli::{Context, envelope, output};

/// How long the server itself waits for the receiver.
const PATIENCE: Duration = Duration::from_secs(10);

/// Send a webhook a ping now, and see what comes of it
///
/// The exit code is 0 if the receiver takes it, and 1 if not. Example:
///
///   countersign webhook test partner
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Test {
    /// The webhook, by name or id
    #[arg(value_name = "NAME|ID")]
    webhook: String,

    #[command(flatten)]
    place: InZone,
}

/// List the last deliveries of a webhook, the newest first
///
/// Example:
///
///   countersign webhook deliveries partner
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct List {
    /// The webhook, by name or id
    #[arg(value_name = "NAME|ID")]
    webhook: String,

    #[command(flatten)]
    place: InZone,
}

pub async fn test(arguments: Test, context: &Context) -> Result<(), CliError> {
    let opened = arguments.place.open(context).await?;
    let path = find(&opened, &arguments.webhook).await?;
    let answer = {
        let _spinner = Spinner::start(format!("calling {}", escape(&arguments.webhook)));
        opened.client.call(Call::post(format!("{path}/test"), json!({})).while_it_waits(PATIENCE)).await?
    };
    let delivery: Delivery = answer.read()?;
    opened.tell(&answer, |_| {
        output::fields(&[
            ("outcome", outcome(&delivery)),
            ("status", delivery.status.map(|status| status.to_string()).unwrap_or_default()),
            ("time", format!("{} ms", delivery.duration_ms)),
        ])
    })?;
    if delivery.success { Ok(()) } else { Err(CliError::Reported) }
}

pub async fn list(arguments: List, context: &Context) -> Result<(), CliError> {
    let opened = arguments.place.open(context).await?;
    let path = find(&opened, &arguments.webhook).await?;
    let deliveries = Value::Array(opened.client.items(&format!("{path}/deliveries")).await?);
    if opened.json {
        return output::json(&deliveries);
    }
    let deliveries: Vec<Delivery> = envelope::read(&deliveries)?;
    if deliveries.is_empty() {
        output::note("nothing was delivered yet; `countersign webhook test NAME` sends a ping");
        return Ok(());
    }
    output::table(&["AT", "EVENTS", "ATTEMPT", "TIME", "OUTCOME"], deliveries.into_iter().map(row))
}

fn row(delivery: Delivery) -> Vec<String> {
    let events = match (delivery.first_event_id, delivery.last_event_id) {
        (0, _) => "ping".to_owned(),
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first} to {last}"),
    };
    let time = format!("{} ms", delivery.duration_ms);
    vec![delivery.at.clone(), events, delivery.attempt.to_string(), time, outcome(&delivery)]
}

fn outcome(delivery: &Delivery) -> String {
    match &delivery.failure {
        None => "taken".to_owned(),
        Some(failure) => failure.clone(),
    }
}
