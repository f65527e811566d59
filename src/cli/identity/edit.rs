//! `countersign identity rename`, `primary` and `hosts`

use clap::Args;
use serde_json::json;

use super::{change, find, path};
use crate::cli::Context;
use crate::cli::client::Call;
use crate::cli::error::CliError;
use crate::cli::in_account::InAccount;

/// Give an identity another name
///
/// Example:
///
///   countersign identity rename partner partner-eu
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Rename {
    /// The identity, by name or id
    #[arg(value_name = "NAME|ID")]
    identity: String,

    /// What it is to be called
    #[arg(value_name = "NEW")]
    name: String,

    #[command(flatten)]
    place: InAccount,
}

/// Make an identity the primary: the one for every host that no other is for
///
/// The one that was primary before is it no longer.
///
/// Examples:
///
///   countersign identity primary partner
///   countersign identity primary partner --unset
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Primary {
    /// The identity, by name or id
    #[arg(value_name = "NAME|ID")]
    identity: String,

    /// Take it back: where no host matches, nothing is presented
    #[arg(long)]
    unset: bool,

    #[command(flatten)]
    place: InAccount,
}

/// Say to which hosts an identity is presented; those it has are replaced
///
/// Where several identities are for a host, one with its full name beats those with a pattern, and
/// among equals the newest wins. In patterns, * stands for any run of characters. Examples:
///
///   countersign identity hosts partner api.partner.example '*.eu.partner.example'
///   countersign identity hosts partner --clear
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Hosts {
    /// The identity, by name or id
    #[arg(value_name = "NAME|ID")]
    identity: String,

    /// Host names, and patterns such as *.example.com
    #[arg(value_name = "PATTERN", required_unless_present = "clear", conflicts_with = "clear")]
    patterns: Vec<String>,

    /// Take all its hosts away: it is presented only as the primary, or where it is named
    #[arg(long)]
    clear: bool,

    #[command(flatten)]
    place: InAccount,
}

pub async fn rename(arguments: Rename, context: &Context) -> Result<(), CliError> {
    let opened = arguments.place.open(context).await?;
    let path = path(&opened, find(&opened, &arguments.identity).await?);
    change(&opened, Call::patch(path, json!({ "name": arguments.name })), context).await
}

pub async fn primary(arguments: Primary, context: &Context) -> Result<(), CliError> {
    let opened = arguments.place.open(context).await?;
    let path = path(&opened, find(&opened, &arguments.identity).await?);
    change(&opened, Call::patch(path, json!({ "primary": !arguments.unset })), context).await
}

pub async fn hosts(arguments: Hosts, context: &Context) -> Result<(), CliError> {
    let opened = arguments.place.open(context).await?;
    let path = path(&opened, find(&opened, &arguments.identity).await?);
    change(&opened, Call::patch(path, json!({ "hosts": arguments.patterns })), context).await
}
