//! `countersign events`

use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use super::client::{Call, Client, ClientError};
use super::connection::{Connection, ZoneChoice};
use super::error::CliError;
use super::escape::escape;
use super::{Context, output};
use crate::domain::event_stream::Kinds;

const PAGE: &str = "1000";
const PAUSE: Duration = Duration::from_secs(1);
/// What has a column of its own, or goes without saying.
const FRAME: [&str; 5] = ["event", "number", "at", "zone_id", "account_id"];

/// Tell what happened in a zone, and go on telling as it happens
///
/// Events are kept for 30 days. With --json, each is a line of its own. Examples:
///
///   countersign events --since 0 --kinds certificate.revoked,certificate.reactivated
///   countersign events --follow --json | while read -r event; do echo "$event"; done
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// Wait for what comes next; a connection that breaks is made again, and nothing is missed
    #[arg(long, short)]
    follow: bool,

    /// Begin behind the event with this number; 0 is the oldest that is kept [default: 0, or now with --follow]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(0..))]
    since: Option<i64>,

    /// Only these kinds, with commas between them, such as crl.published [default: every kind]
    #[arg(long, alias = "kind", value_name = "KINDS", value_parser = kinds)]
    kinds: Option<Kinds>,

    #[command(flatten)]
    zone: ZoneChoice,

    #[command(flatten)]
    connection: Connection,
}

/// What a page says of itself.
#[derive(Deserialize)]
struct PageInfo {
    last_event_id: i64,
    #[serde(default)]
    more: bool,
}

#[derive(Deserialize)]
struct Page {
    result: Vec<Value>,
    result_info: PageInfo,
}

struct Listener<'a> {
    client: Client,
    path: String,
    arguments: &'a Arguments,
    clock: &'a crate::clock::Clock,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    let client = arguments.connection.open(context)?;
    let zone = arguments.zone.resolve(&client, context).await?;
    let path = format!("/client/v4/zones/{zone}/events");
    let listener = Listener { client, path, arguments: &arguments, clock: &context.clock };
    if !arguments.follow {
        return listener.print_what_is_kept(arguments.since.unwrap_or_default()).await;
    }
    let after = match arguments.since {
        Some(number) => number,
        None => listener.page(None).await?.result_info.last_event_id,
    };
    listener.follow(after).await
}

impl Listener<'_> {
    async fn print_what_is_kept(&self, mut after: i64) -> Result<(), CliError> {
        let mut is_quiet = true;
        loop {
            let page = self.page(Some(after)).await?;
            is_quiet &= page.result.is_empty();
            page.result.iter().try_for_each(|event| self.print(event))?;
            after = page.result_info.last_event_id;
            if !page.result_info.more {
                break;
            }
        }
        if is_quiet && !self.arguments.connection.json {
            output::note("nothing of that has happened; `countersign events --follow` waits for it");
        }
        Ok(())
    }

    async fn page(&self, after: Option<i64>) -> Result<Page, CliError> {
        let body = self.client.fetch(self.call(after).query("format", "json").query("limit", PAGE)).await?;
        serde_json::from_slice(&body).map_err(|error| {
            CliError::failure(format_args!(
                "the server's answer is not what this version of countersign expects: {error}"
            ))
        })
    }

    async fn follow(&self, mut after: i64) -> Result<(), CliError> {
        let mut has_listened = false;
        loop {
            let ended = match self.client.listen(self.call(Some(after))).await {
                Ok(mut stream) => {
                    has_listened = true;
                    loop {
                        match stream.next().await {
                            Ok(Some(message)) => {
                                let event = serde_json::from_str(&message.data).map_err(CliError::failure)?;
                                self.print(&event)?;
                                after = message.id.unwrap_or(after);
                            }
                            Ok(None) => break None,
                            Err(error) => break Some(error),
                        }
                    }
                }
                Err(error) => Some(error),
            };
            match ended {
                Some(error) if !has_listened || is_final(&error) => return Err(error.into()),
                Some(error) => tracing::debug!(%error, "listening again"),
                None => tracing::debug!("the server ended the stream; listening again"),
            }
            self.clock.sleep(PAUSE).await;
        }
    }

    fn call(&self, after: Option<i64>) -> Call {
        let mut call = Call::get(self.path.clone());
        if let Some(after) = after {
            call = call.query("last_event_id", after.to_string());
        }
        if let Some(kinds) = &self.arguments.kinds {
            call = call.query("kinds", kinds.words().collect::<Vec<_>>().join(","));
        }
        call
    }

    fn print(&self, event: &Value) -> Result<(), CliError> {
        if self.arguments.connection.json { output::json_line(event) } else { output::line(line(event)) }
    }
}

/// What asking again will not change.
fn is_final(error: &ClientError) -> bool {
    match error {
        ClientError::Refused { status, .. } => *status < 500 && *status != 429,
        ClientError::Untrusted { .. } | ClientError::Redirected { .. } | ClientError::Setup(_) => true,
        ClientError::Unreachable { .. } | ClientError::Interrupted { .. } | ClientError::Foreign { .. } => false,
    }
}

/// An event in one line: number, time, kind, and then whatever it says.
fn line(event: &Value) -> String {
    let text = |key: &str| event.get(key).map(value).unwrap_or_default();
    let mut line = format!("{}  {}  {}", text("number"), text("at"), text("event"));
    let said = event.as_object().into_iter().flatten();
    for (key, content) in said.filter(|(key, content)| !FRAME.contains(&key.as_str()) && !content.is_null()) {
        // A receipt is the CRL that the change is on.
        let key = if key == "receipt" { "crl" } else { key };
        line.push_str(&format!("  {}={}", escape(key), value(content)));
    }
    line
}

/// A value in few words: of an object its name, id or number.
fn value(content: &Value) -> String {
    match content {
        Value::String(text) => escape(text).into_owned(),
        Value::Object(fields) => {
            let named = ["name", "id", "crl_number"].into_iter().find_map(|key| fields.get(key));
            named.map_or_else(|| escape(&content.to_string()).into_owned(), value)
        }
        other => escape(&other.to_string()).into_owned(),
    }
}

fn kinds(text: &str) -> Result<Kinds, String> {
    Kinds::parse(text.split(',').map(str::trim).filter(|word| !word.is_empty()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_one_line_that_no_name_can_break() {
        let event = json!({
            "event": "certificate.revoked", "certificate": {"id": "c1", "serial_number": "7"}, "reason": "superseded",
            "receipt": {"status": "revoked", "crl_number": 5}, "common_name": "a\nb", "from": null,
            "number": 12, "at": "2027-01-15T08:00:00.000Z", "zone_id": "z",
        });
        assert_eq!(
            line(&event),
            "12  2027-01-15T08:00:00.000Z  certificate.revoked  certificate=c1  reason=superseded  crl=5  \
             common_name=a\\u{a}b"
        );
    }
}
