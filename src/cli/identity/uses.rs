//! `countersign identity uses`, `associate` and `dissociate`

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use super::{find, path};
use crate::cli::client::Call;
use crate::cli::error::CliError;
use crate::cli::escape::escape;
use crate::cli::in_account::{InAccount, segment};
use crate::cli::objects::Association;
use crate::cli::{Context, envelope, output};

/// List who relies on an identity
///
/// Those are the checks that name it, and whatever `identity associate` was told of.
///
/// Example:
///
///   countersign identity uses partner
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct List {
    /// The identity, by name or id
    #[arg(value_name = "NAME|ID")]
    identity: String,

    #[command(flatten)]
    place: InAccount,
}

/// Say that something relies on an identity, so that it is not removed by mistake
///
/// Example:
///
///   countersign identity associate partner nightly-sync --kind workflow \
///       --link https://ci.example.com/nightly-sync
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Associate {
    /// The identity, by name or id
    #[arg(value_name = "NAME|ID")]
    identity: String,

    /// What relies on it
    name: String,

    /// What kind of thing that is [default: custom]
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,

    /// Where to see it
    #[arg(long, value_name = "URL")]
    link: Option<String>,

    #[command(flatten)]
    place: InAccount,
}

/// Take back that something relies on an identity
///
/// Example:
///
///   countersign identity dissociate partner nightly-sync
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Dissociate {
    /// The identity, by name or id
    #[arg(value_name = "NAME|ID")]
    identity: String,

    /// What relied on it
    name: String,

    #[command(flatten)]
    place: InAccount,
}

#[derive(Serialize)]
struct UseRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
}

pub async fn list(arguments: List, context: &Context) -> Result<(), CliError> {
    let opened = arguments.place.open(context).await?;
    let path = path(&opened, find(&opened, &arguments.identity).await?);
    let uses = Value::Array(opened.client.items(&format!("{path}/associations")).await?);
    if opened.json {
        return output::json(&uses);
    }
    let uses: Vec<Association> = envelope::read(&uses)?;
    if uses.is_empty() {
        output::note("nothing is known to rely on it");
        return Ok(());
    }
    let rows = uses.into_iter().map(|using| vec![using.service, using.kind, using.since, using.link]);
    output::table(&["NAME", "KIND", "SINCE", "LINK"], rows)
}

pub async fn associate(arguments: Associate, context: &Context) -> Result<(), CliError> {
    let opened = arguments.place.open(context).await?;
    let path = path(&opened, find(&opened, &arguments.identity).await?);
    let body = json!(UseRequest { kind: arguments.kind, link: arguments.link });
    let answer = opened.client.call(Call::put(use_path(&path, &arguments.name)?, body)).await?;
    opened.tell(&answer, |result| {
        let using: Association = envelope::read(result)?;
        output::fields(&[("name", using.service), ("kind", using.kind), ("link", using.link), ("since", using.since)])
    })
}

pub async fn dissociate(arguments: Dissociate, context: &Context) -> Result<(), CliError> {
    let opened = arguments.place.open(context).await?;
    let path = path(&opened, find(&opened, &arguments.identity).await?);
    let answer = opened.client.call(Call::delete(use_path(&path, &arguments.name)?)).await?;
    opened.tell(&answer, |_| output::line(format_args!("taken back: {}", escape(&arguments.name))))
}

/// A name of dots alone would be taken for a step in the path (RFC 3986, 5.2.4).
fn use_path(identity: &str, name: &str) -> Result<String, CliError> {
    if matches!(name.trim(), "" | "." | "..") {
        return Err(CliError::usage("a name of dots or blanks alone names nothing"));
    }
    Ok(format!("{identity}/associations/{}", segment(name)))
}
