//! `countersign identity list`

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::Value;

use super::IDENTITIES;
use crate::cli::client::Call;
use crate::cli::error::CliError;
use crate::cli::in_account::InAccount;
use crate::cli::objects::{self, Identity};
use crate::cli::{Context, envelope, output};

/// So many hosts stand in the table; `show` has them all.
const SHOWN_HOSTS: usize = 2;

/// List identities and CA bundles, oldest first
///
/// Examples:
///
///   countersign identity list --expiring-within 30d
///   countersign identity list --no-ca --label team=billing --json | jq -r '.[].id'
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// Only those that expire within this time, such as 30d or 36h, or have expired
    #[arg(long, value_name = "DURATION")]
    expiring_within: Option<String>,

    /// Only bundles of CAs
    #[arg(long, conflicts_with = "no_ca")]
    ca: bool,

    /// Only identities, without the bundles of CAs
    #[arg(long)]
    no_ca: bool,

    /// Only those with this label, and this value if one is given
    #[arg(long, value_name = "KEY[=VALUE]")]
    label: Option<String>,

    #[command(flatten)]
    place: InAccount,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    let opened = arguments.place.open(context).await?;
    let kind = match (arguments.ca, arguments.no_ca) {
        (true, _) => Some("true"),
        (_, true) => Some("false"),
        _ => None,
    };
    let is_filtered = kind.is_some() || arguments.expiring_within.is_some() || arguments.label.is_some();
    let filters =
        [("expiring_within", arguments.expiring_within), ("ca", kind.map(str::to_owned)), ("label", arguments.label)];
    let call = filters
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .fold(Call::get(opened.path(IDENTITIES)), |call, (name, value)| call.query(name, value));
    let identities = Value::Array(opened.client.items_of(call).await?);
    if opened.json {
        return output::json(&identities);
    }
    let identities: Vec<Identity> = envelope::read(&identities)?;
    if identities.is_empty() {
        output::note(match is_filtered {
            true => "no identity matches; without filters `countersign identity list` shows them all",
            false => "no identities yet; `countersign identity add FILE --key FILE` keeps a certificate with its key",
        });
        return Ok(());
    }
    let now = context.clock.now();
    let rows = identities.iter().map(|identity| {
        vec![
            identity.id.clone(),
            identity.name.clone(),
            some(&identity.hosts),
            expiry(&identity.expires_on, now),
            marks(identity).join(" "),
        ]
    });
    output::table(&["ID", "NAME", "HOSTS", "EXPIRES", "MARKS"], rows)
}

/// What sets it apart, in one word each.
pub fn marks(identity: &Identity) -> Vec<&'static str> {
    let marks = [("primary", identity.primary), ("managed", identity.managed.is_some()), ("ca", identity.ca)];
    marks.into_iter().filter(|(_, is_so)| *is_so).map(|(word, _)| word).collect()
}

/// A time with what is left until then.
pub fn expiry(expires_on: &str, now: DateTime<Utc>) -> String {
    let Some(end) = objects::time(expires_on) else { return expires_on.to_owned() };
    let left = match end - now {
        left if left.num_seconds() < 0 => "expired".to_owned(),
        left if left.num_days() == 0 => "less than a day".to_owned(),
        left if left.num_days() == 1 => "1 day".to_owned(),
        left => format!("{} days", left.num_days()),
    };
    format!("{expires_on} ({left})")
}

fn some(hosts: &[String]) -> String {
    let shown: Vec<&str> = hosts.iter().take(SHOWN_HOSTS).map(String::as_str).collect();
    match hosts.len().saturating_sub(SHOWN_HOSTS) {
        0 => shown.join(", "),
        more => format!("{}, {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_beside_the_end() {
        let now = objects::time("2027-03-01T12:00:00Z").unwrap();
        for (end, expected) in [
            ("2027-03-31T12:00:01Z", "30 days"),
            ("2027-03-02T12:00:00Z", "1 day"),
            ("2027-03-02T11:59:59Z", "less than a day"),
            ("2027-03-01T11:59:59Z", "expired"),
        ] {
            assert_eq!(expiry(end, now), format!("{end} ({expected})"));
        }
        assert_eq!(expiry("someday", now), "someday");
    }

    #[test]
    fn long_lists_of_hosts_are_cut() {
        let hosts = ["a", "b", "c", "d"].map(String::from);
        assert_eq!(some(&hosts), "a, b, 2 more");
        assert_eq!(some(&hosts[..2]), "a, b");
        assert_eq!(some(&[]), "");
    }
}
