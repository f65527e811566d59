//! `countersign webhook show`

use clap::Args;

use super::find;
use crate::cli::client::Call;
use crate::cli::error::CliError;
use crate::cli::in_zone::InZone;
use crate::cli::objects::Webhook;
use crate::cli::{Context, output};

/// Show a webhook, and how it stands
///
/// Example:
///
///   countersign webhook show partner
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The webhook, by name or id
    #[arg(value_name = "NAME|ID")]
    webhook: String,

    #[command(flatten)]
    place: InZone,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    let opened = arguments.place.open(context).await?;
    let path = find(&opened, &arguments.webhook).await?;
    let answer = opened.client.call(Call::get(path)).await?;
    if opened.json {
        return output::json(&answer.result);
    }
    print(&answer.read()?)
}

/// Its fields, for people.
pub fn print(webhook: &Webhook) -> Result<(), CliError> {
    let last = webhook.last_delivery.as_ref().map(|last| match &last.failure {
        Some(failure) => format!("{}: {failure}", last.at),
        None => format!("{}: taken", last.at),
    });
    output::fields(&[
        ("id", webhook.id.clone()),
        ("name", webhook.name.clone()),
        ("url", webhook.url.clone()),
        ("state", state(webhook)),
        ("kinds", kinds(webhook)),
        ("account", if webhook.account_events { "hears of the account as a whole, too".into() } else { String::new() }),
        ("trusted CA", webhook.trusted_ca.as_ref().map(|_| "its own".to_owned()).unwrap_or_default()),
        ("last event", webhook.last_event_id.to_string()),
        ("last delivery", last.unwrap_or_default()),
        ("next attempt", webhook.next_attempt_on.clone().unwrap_or_default()),
        ("created", webhook.created_on.clone()),
        ("secret", webhook.secret.clone().unwrap_or_default()),
    ])?;
    if webhook.secret.is_some() {
        output::note(
            "keep the secret where the receiver finds it: deliveries are signed with it, and it is shown this once",
        );
    }
    Ok(())
}

pub fn state(webhook: &Webhook) -> String {
    match (&webhook.disabled_reason, &webhook.failing_since, webhook.enabled) {
        (Some(reason), _, false) => format!("disabled: {reason}"),
        (_, _, false) => "disabled".into(),
        (_, Some(since), true) => format!("failing since {since}, {} attempts", webhook.failed_attempts),
        (_, None, true) => "enabled".into(),
    }
}

pub fn kinds(webhook: &Webhook) -> String {
    if webhook.kinds.is_empty() { "every kind".to_owned() } else { webhook.kinds.join(",") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_says_why() {
        let failing =
            Webhook { enabled: true, failing_since: Some("T".into()), failed_attempts: 3, ..Webhook::default() };
        assert_eq!(state(&failing), "failing since T, 3 attempts");
        let gone = Webhook { enabled: false, disabled_reason: Some("gone".into()), ..failing };
        assert_eq!(state(&gone), "disabled: gone");
        assert_eq!(state(&Webhook::default()), "disabled");
        assert_eq!(state(&Webhook { enabled: true, ..Webhook::default() }), "enabled");
    }
}
