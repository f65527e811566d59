//! `countersign webhook list`

use clap::Args;
use serde_json::Value;

use super::{WEBHOOKS, show};
use crate::cli::error::CliError;
use crate::cli::in_zone::InZone;
use crate::cli::objects::Webhook;
use crate::cli::{Context, envelope, output};

/// List the webhooks of a zone, oldest first
///
/// Example:
///
///   countersign webhook list --zone devices
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    #[command(flatten)]
    place: InZone,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    let opened = arguments.place.open(context).await?;
    let webhooks = Value::Array(opened.client.items(&opened.path(WEBHOOKS)).await?);
    if opened.json {
        return output::json(&webhooks);
    }
    let webhooks: Vec<Webhook> = envelope::read(&webhooks)?;
    if webhooks.is_empty() {
        output::note("no webhooks yet; `countersign webhook create NAME https://…` makes one");
        return Ok(());
    }
    let rows = webhooks.into_iter().map(|webhook| {
        let (state, kinds) = (show::state(&webhook), show::kinds(&webhook));
        vec![webhook.id, webhook.name, state, kinds, webhook.url]
    });
    output::table(&["ID", "NAME", "STATE", "KINDS", "URL"], rows)
}
