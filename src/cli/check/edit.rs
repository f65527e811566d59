//! `countersign check create`, `edit`, `enable`, `disable` and `remove`

use clap::{Arg, Args};
use serde_json::json;

use super::definition::{Definition, Part};
use super::{CHECKS, change, find};
use crate::cli::client::{Call, secret_body};
use crate::cli::error::CliError;
use crate::cli::escape::escape;
use crate::cli::in_account::InAccount;
use crate::cli::{Context, output};

const USUAL_INTERVAL_SECONDS: u64 = 60;

/// Make a check; one with an interval runs for the first time at once
///
/// Examples:
///
///   countersign check create partner-health https://api.partner.example/health --latency 2s
///   countersign check create orders https://api.partner.example/orders --manual \
///       --identity partner --secret-header Authorization@token --expect-json /status=open
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Create {
    /// What it is to be called
    name: String,

    /// The https address to call
    address: String,

    #[command(flatten)]
    definition: Definition,

    #[command(flatten)]
    place: InAccount,
}

/// Change a check; what is not given stays as it is
///
/// Headers are changed all together: those that are given take the place of all there are. What is
/// expected is changed kind by kind: --status leaves --expect-json alone. Examples:
///
///   countersign check edit partner-health --every 5m --latency 500ms
///   countersign check edit partner-health --clear headers --clear body --method GET
#[derive(Args, Debug)]
#[command(verbatim_doc_comment, mut_args(without_default))]
pub struct Edit {
    /// The check, by name or id
    #[arg(value_name = "NAME|ID")]
    check: String,

    /// Give it another name
    #[arg(long, value_name = "NEW")]
    name: Option<String>,

    /// Call another https address
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,

    /// Take something away, to be as it is for a new check; repeat for more
    #[arg(long, value_name = "PART")]
    clear: Vec<Part>,

    #[command(flatten)]
    definition: Definition,

    #[command(flatten)]
    place: InAccount,
}

/// Let a check run at its interval again
///
/// Example:
///
///   countersign check enable partner-health
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Enable {
    #[command(flatten)]
    chosen: Chosen,
}

/// Keep a check from running by itself
///
/// Example:
///
///   countersign check disable partner-health
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Disable {
    #[command(flatten)]
    chosen: Chosen,
}

/// Remove a check and its runs
///
/// Example:
///
///   countersign check remove partner-health
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Remove {
    #[command(flatten)]
    chosen: Chosen,
}

#[derive(Args, Debug)]
struct Chosen {
    /// The check, by name or id
    #[arg(value_name = "NAME|ID")]
    check: String,

    #[command(flatten)]
    place: InAccount,
}

/// The defaults of a new check would mislead where what is not given stays.
fn without_default(option: Arg) -> Arg {
    let help = option.get_help().map(ToString::to_string).unwrap_or_default();
    match help.split_once(" [default: ") {
        Some((text, _)) if option.get_help_heading() != Some("Connection") => option.help(text.to_owned()),
        _ => option,
    }
}

pub async fn create(arguments: Create, context: &Context) -> Result<(), CliError> {
    let opened = arguments.place.open(context).await?;
    let mut sending = arguments.definition.read(&opened, None, &[]).await?;
    sending.name = Some(arguments.name);
    sending.request = sending.request.with_default_method();
    sending.request.url = Some(arguments.address);
    sending.interval_seconds.get_or_insert(Some(USUAL_INTERVAL_SECONDS));
    change(&opened, Call::post(opened.path(CHECKS), secret_body(&sending)?)).await
}

pub async fn edit(arguments: Edit, context: &Context) -> Result<(), CliError> {
    let opened = arguments.place.open(context).await?;
    let path = find(&opened, &arguments.check).await?;
    let mut sending = arguments.definition.read(&opened, Some(&path), &arguments.clear).await?;
    sending.name = arguments.name;
    sending.request.url = arguments.address;
    change(&opened, Call::patch(path, secret_body(&sending)?)).await
}

pub async fn enable(arguments: Enable, context: &Context) -> Result<(), CliError> {
    switch(arguments.chosen, true, context).await
}

pub async fn disable(arguments: Disable, context: &Context) -> Result<(), CliError> {
    switch(arguments.chosen, false, context).await
}

async fn switch(chosen: Chosen, enabled: bool, context: &Context) -> Result<(), CliError> {
    let opened = chosen.place.open(context).await?;
    let path = find(&opened, &chosen.check).await?;
    change(&opened, Call::patch(path, json!({ "enabled": enabled }))).await
}

pub async fn remove(arguments: Remove, context: &Context) -> Result<(), CliError> {
    let chosen = arguments.chosen;
    let opened = chosen.place.open(context).await?;
    let path = find(&opened, &chosen.check).await?;
    let answer = opened.client.call(Call::delete(path)).await?;
    opened.tell(&answer, |_| output::line(format_args!("removed {}", escape(&chosen.check))))
}
