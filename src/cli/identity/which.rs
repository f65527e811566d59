//! `countersign identity match`

use clap::Args;

use super::IDENTITIES;
use crate::cli::client::Call;
use crate::cli::error::CliError;
use crate::cli::in_account::InAccount;
use crate::cli::objects::{Match, Ranked};
use crate::cli::{Context, output};

/// Tell which identity a host would be shown, why, and which would be next
///
/// Example:
///
///   countersign identity match api.partner.example
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// A host name alone, without a scheme, port or path
    host: String,

    #[command(flatten)]
    place: InAccount,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    let opened = arguments.place.open(context).await?;
    let call = Call::get(opened.path(&format!("{IDENTITIES}/match"))).query("host", arguments.host);
    let answer = opened.client.call(call).await?;
    if opened.json {
        return output::json(&answer.result);
    }
    let found: Match = answer.read()?;
    let choice = found.choice.as_ref().map_or_else(
        || "nothing: no identity is for this host, and there is no primary".to_owned(),
        |choice| format!("{} ({}), because {}", choice.name, choice.id, reason(choice)),
    );
    let mut fields = vec![("host", found.host.clone()), ("presented", choice)];
    let next = |next: &Ranked| ("then", format!("{} ({}): {}", next.name, next.id, reason(next)));
    fields.extend(found.runners_up.iter().map(next));
    output::fields(&fields)
}

fn reason(ranked: &Ranked) -> String {
    let pattern = ranked.pattern.as_deref().unwrap_or_default();
    match ranked.reason.as_str() {
        "host_name" => format!("it is for exactly this host, {pattern}"),
        "host_pattern" => format!("its pattern {pattern} matches the host"),
        "primary" => "it is the primary identity, for hosts that no other is for".to_owned(),
        other => other.to_owned(),
    }
}
