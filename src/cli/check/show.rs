//! `countersign check show`

use clap::Args;

use super::find;
use crate::cli::client::Call;
use crate::cli::error::CliError;
use crate::cli::in_account::InAccount;
use crate::cli::objects::Check;
use crate::cli::{Context, output};

const UNITS: [(u64, char); 3] = [(86_400, 'd'), (3600, 'h'), (60, 'm')];

/// Show a check: what it does, and how it stands
///
/// Example:
///
///   countersign check show partner-health
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The check, by name or id
    #[arg(value_name = "NAME|ID")]
    check: String,

    #[command(flatten)]
    place: InAccount,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    let opened = arguments.place.open(context).await?;
    let path = find(&opened, &arguments.check).await?;
    let answer = opened.client.call(Call::get(path)).await?;
    if opened.json {
        return output::json(&answer.result);
    }
    output::fields(&description(&answer.read()?))
}

/// Its fields, for people.
pub fn description(check: &Check) -> Vec<(&'static str, String)> {
    let state = match (&check.state, &check.state_since) {
        (Some(state), Some(since)) => format!("{state}, since {since}"),
        _ => "not run yet".to_owned(),
    };
    let body = match (&check.body, check.secret_body) {
        (_, true) => "(secret)".to_owned(),
        (Some(body), _) => body.clone(),
        (None, _) => String::new(),
    };
    let expected = if check.expect.as_object().is_none_or(serde_json::Map::is_empty) {
        r#"{"status":["2xx"]}"#.to_owned()
    } else {
        check.expect.to_string()
    };
    let mut fields = vec![
        ("id", check.id.clone()),
        ("name", check.name.clone()),
        ("state", state),
        ("request", format!("{} {}", check.method, check.url)),
    ];
    let headers = check.headers.iter();
    fields.extend(
        headers.map(|header| ("header", format!("{}: {}", header.name, header.value.as_deref().unwrap_or("(secret)")))),
    );
    fields.extend([
        ("body", body),
        ("expected", expected),
        ("identity", check.identity.clone()),
        ("trusted CA", check.trusted_ca.clone().unwrap_or_default()),
        ("every", interval(check)),
        ("time-out", format!("{} ms", check.timeout_ms)),
        ("last run", check.last_run_on.clone().unwrap_or_default()),
        ("next run", check.next_run_on.clone().unwrap_or_default()),
    ]);
    fields
}

/// How often it runs, as it is written.
pub fn interval(check: &Check) -> String {
    let every = match check.interval_seconds {
        None => "by hand".to_owned(),
        Some(seconds) => match UNITS.into_iter().find(|(unit, _)| seconds > 0 && seconds % unit == 0) {
            Some((unit, letter)) => format!("{}{letter}", seconds / unit),
            None => format!("{seconds}s"),
        },
    };
    if check.enabled { every } else { format!("{every} (disabled)") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_written_as_they_are_read() {
        for (seconds, expected) in [(30, "30s"), (60, "1m"), (90, "90s"), (7200, "2h"), (86_400, "1d")] {
            let check = Check { interval_seconds: Some(seconds), enabled: true, ..Check::default() };
            assert_eq!(interval(&check), expected);
        }
        assert_eq!(interval(&Check::default()), "by hand (disabled)");
    }
}
