//! `countersign webhook create`, `edit` and `delete`

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use serde::Serialize;
use serde_json::json;

use super::{WEBHOOKS, change, find};
use crate::cli::client::Call;
use crate::cli::error::CliError;
use crate::cli::escape::escape;
use crate::cli::in_zone::InZone;
use crate::cli::{Context, files, output};
use crate::domain::event_stream::Kinds;

/// Make a webhook, and print the secret that its deliveries are signed with, this once
///
/// It is told what happens from now on. Examples:
///
///   countersign webhook create partner https://hooks.partner.example/countersign
///   countersign webhook create firewall https://10.1.2.3/revoked --trusted-ca inside-ca.pem \
///       --kind certificate.revoked --kind certificate.reactivated
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Create {
    /// What it is to be called
    name: String,

    /// The https address to tell
    address: String,

    /// Tell it of this kind; repeat for more, or put commas between them [default: every kind]
    #[arg(long = "kind", alias = "kinds", value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    kinds: Vec<String>,

    /// PEM file with the CAs that the receiver is verified by [default: what the system that Countersign runs on trusts]
    #[arg(long, value_name = "FILE")]
    trusted_ca: Option<PathBuf>,

    /// Do not tell it anything yet
    #[arg(long)]
    disabled: bool,

    #[command(flatten)]
    place: InZone,
}

/// Change a webhook; what is not given stays as it is
///
/// On another server, the secret must be another one. Examples:
///
///   countersign webhook edit partner --address https://new.partner.example/ --rotate-secret
///   countersign webhook edit partner --enable
#[derive(Args, Debug)]
#[command(verbatim_doc_comment, group(ArgGroup::new("change").required(true).multiple(true).args([
    "name", "address", "kinds", "every_kind", "trusted_ca", "system_ca", "rotate_secret", "enable", "disable",
])))]
pub struct Edit {
    /// The webhook, by name or id
    #[arg(value_name = "NAME|ID")]
    webhook: String,

    /// Give it another name
    #[arg(long, value_name = "NEW")]
    name: Option<String>,

    /// Tell another https address
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,

    /// Tell it of this kind, instead of those before; repeat for more, or put commas between them
    #[arg(
        long = "kind", alias = "kinds", value_name = "KIND", value_delimiter = ',', value_parser = kind,
        conflicts_with = "every_kind"
    )]
    kinds: Vec<String>,

    /// Tell it of every kind
    #[arg(long)]
    every_kind: bool,

    /// PEM file with the CAs that the receiver is verified by
    #[arg(long, value_name = "FILE", conflicts_with = "system_ca")]
    trusted_ca: Option<PathBuf>,

    /// Verify the receiver by what the system that Countersign runs on trusts
    #[arg(long)]
    system_ca: bool,

    /// Make a new secret and print it; the old one signs nothing any more
    #[arg(long)]
    rotate_secret: bool,

    /// Switch it on: it is told what it missed, as far as that is kept
    #[arg(long, conflicts_with = "disable")]
    enable: bool,

    /// Switch it off
    #[arg(long)]
    disable: bool,

    #[command(flatten)]
    place: InZone,
}

/// Delete a webhook and the log of its deliveries
///
/// Example:
///
///   countersign webhook delete partner
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Delete {
    /// The webhook, by name or id
    #[arg(value_name = "NAME|ID")]
    webhook: String,

    #[command(flatten)]
    place: InZone,
}

/// What is sent. What is `None` is left out.
#[derive(Serialize)]
struct Sending {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kinds: Option<Vec<String>>,
    /// `Some(None)`: those of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    trusted_ca: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotate_secret: Option<bool>,
}

pub async fn create(arguments: Create, context: &Context) -> Result<(), CliError> {
    let trusted_ca = arguments.trusted_ca.as_deref().map(authorities).transpose()?;
    let opened = arguments.place.open(context).await?;
    let sending = Sending {
        name: Some(arguments.name),
        url: Some(arguments.address),
        kinds: Some(arguments.kinds),
        trusted_ca,
        enabled: Some(!arguments.disabled),
        rotate_secret: None,
    };
    change(&opened, Call::post(opened.path(WEBHOOKS), json!(sending))).await
}

pub async fn edit(arguments: Edit, context: &Context) -> Result<(), CliError> {
    let trusted_ca = match &arguments.trusted_ca {
        Some(path) => Some(authorities(path)?),
        None => arguments.system_ca.then_some(None),
    };
    let opened = arguments.place.open(context).await?;
    let path = find(&opened, &arguments.webhook).await?;
    let speaks_of_kinds = arguments.every_kind || !arguments.kinds.is_empty();
    let sending = Sending {
        name: arguments.name,
        url: arguments.address,
        kinds: speaks_of_kinds.then_some(arguments.kinds),
        trusted_ca,
        enabled: match (arguments.enable, arguments.disable) {
            (false, false) => None,
            (enable, _) => Some(enable),
        },
        rotate_secret: arguments.rotate_secret.then_some(true),
    };
    change(&opened, Call::patch(path, json!(sending))).await
}

pub async fn delete(arguments: Delete, context: &Context) -> Result<(), CliError> {
    let opened = arguments.place.open(context).await?;
    let path = find(&opened, &arguments.webhook).await?;
    let answer = opened.client.call(Call::delete(path)).await?;
    opened.tell(&answer, |_| output::line(format_args!("deleted {}", escape(&arguments.webhook))))
}

fn authorities(path: &Path) -> Result<Option<String>, CliError> {
    files::read_text(path).map(Some)
}

fn kind(text: &str) -> Result<String, String> {
    Kinds::parse([text]).map(|_| text.to_owned())
}
