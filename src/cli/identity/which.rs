//! `countersign identity match`

use clap::Args;

use super::IDENTITIES;
use crate::cli::client::Call;
use crate::cli::error::CliError;
use crate::cli::in_account::InAccount;
use crate::cli::objects::{Match, Ranked};
use crate::cli::{Context, output};
use crate::domain::choice::Reason;

/// Tell which identity a host would be shown, why, and which would be next
///
/// Example:
///
///   countersign identity match api.partner.example
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// A host name alone, without https://, a port or a path
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
        || "nothing: no identity is assigned to this host, and there is no primary".to_owned(),
        |choice| format!("{} ({}), because {}", choice.name, choice.id, reason(choice)),
    );
    let mut fields = vec![("host", found.host.clone()), ("presented", choice)];
    let next = |next: &Ranked| ("then", format!("{} ({}): {}", next.name, next.id, reason(next)));
    fields.extend(found.runners_up.iter().map(next));
    output::fields(&fields)
}

/// In the words of the domain. A newer server may know more reasons.
fn reason(ranked: &Ranked) -> String {
    let pattern = ranked.pattern.clone().unwrap_or_default();
    let known = [Reason::HostName { pattern: pattern.clone() }, Reason::HostPattern { pattern }, Reason::Primary];
    let known = known.into_iter().find(|reason| reason.as_str() == ranked.reason);
    known.map_or_else(|| ranked.reason.clone(), |reason| reason.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_in_the_words_of_the_rules() {
        let told = |word: &str, pattern: Option<&str>| {
            let pattern = pattern.map(str::to_owned);
            reason(&Ranked { reason: word.to_owned(), pattern, ..Ranked::default() })
        };
        assert_eq!(told("host_name", Some("a.example")), "it is for exactly this host, a.example");
        assert_eq!(told("host_pattern", Some("*.example")), "its pattern *.example matches the host");
        assert_eq!(told("primary", None), Reason::Primary.to_string());
        assert_eq!(told("something newer", None), "something newer");
    }
}
