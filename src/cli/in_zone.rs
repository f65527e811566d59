//! What the commands share that work on the things of one zone.

use clap::Args;
use serde_json::Value;

use super::client::Client;
use super::connection::{Connection, ZoneChoice};
use super::envelope::Answer;
use super::error::CliError;
use super::{Context, output};
use crate::domain::id::ZoneId;

#[derive(Args, Clone, Debug)]
pub struct InZone {
    #[command(flatten)]
    zone: ZoneChoice,

    #[command(flatten)]
    connection: Connection,
}

/// The connection, with the zone that was chosen.
pub struct OpenedZone {
    pub client: Client,
    pub zone: ZoneId,
    /// Whether JSON is to be printed.
    pub json: bool,
}

impl InZone {
    pub async fn open(&self, context: &Context) -> Result<OpenedZone, CliError> {
        let client = self.connection.open(context)?;
        let zone = self.zone.resolve(&client, context).await?;
        Ok(OpenedZone { client, zone, json: self.connection.json })
    }
}

impl OpenedZone {
    /// The path of something of the zone's.
    pub fn path(&self, below: &str) -> String {
        format!("/client/v4/zones/{}/{below}", self.zone)
    }

    /// Prints a changed object as JSON, or in the words that are given; and passes on what the server remarks.
    pub fn tell(&self, answer: &Answer, words: impl FnOnce(&Value) -> Result<(), CliError>) -> Result<(), CliError> {
        for message in &answer.messages {
            output::note(format_args!("note: {}", message.text()));
        }
        if self.json { output::json(&answer.result) } else { words(&answer.result) }
    }
}
