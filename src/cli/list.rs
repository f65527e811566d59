//! `countersign list`

use std::io::{self, Write};

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::Value;

use super::client::{Call, Client};
use super::connection::{Connection, ZoneChoice};
use super::envelope;
use super::error::CliError;
use super::objects::Certificate;
use super::resolve::CertificateReference;
use super::{Context, output};
use crate::domain::id::ZoneId;
use crate::domain::status::Status;

/// The largest page that the server gives (wire contract, section 8, row 12).
const PAGE: u64 = 1000;
/// Longer names are cut in the table; `show` has them whole.
const LONGEST_NAME: usize = 48;

/// List the certificates of a zone, oldest first
///
/// Examples:
///
///   countersign list --status active --expires-before 2027-01-01T00:00:00Z
///   countersign list --common-name device- --json | jq -r '.[].id'
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// Only those with this status: active, pending_revocation, revoked, pending_reactivation
    #[arg(long, value_name = "STATUS", value_parser = status)]
    status: Option<String>,

    /// Only those whose common name begins so
    #[arg(long, value_name = "PREFIX")]
    common_name: Option<String>,

    /// Only the one with this serial number, decimal or hex
    #[arg(long, value_name = "NUMBER", value_parser = serial_number)]
    serial_number: Option<String>,

    /// Only the one with this SHA-256 fingerprint
    #[arg(long, value_name = "HEX", value_parser = fingerprint)]
    fingerprint: Option<String>,

    /// Only those that expire before this time (RFC 3339, or a date)
    #[arg(long, value_name = "TIME", value_parser = time)]
    expires_before: Option<String>,

    /// Only those that expire after this time (RFC 3339, or a date)
    #[arg(long, value_name = "TIME", value_parser = time)]
    expires_after: Option<String>,

    /// At most so many [default: all]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,

    #[command(flatten)]
    zone: ZoneChoice,

    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    let client = arguments.connection.open(context)?;
    let zone = arguments.zone.resolve(&client, context).await?;
    let mut pages = Pages { client: &client, zone, arguments: &arguments, page: 1, remaining: arguments.limit };
    if arguments.connection.json {
        return print_json(&mut pages).await;
    }
    let mut rows = Vec::new();
    while let Some(page) = pages.next().await? {
        for item in &page {
            rows.push(row(&envelope::read(item)?, context.clock.now()));
        }
    }
    if rows.is_empty() {
        output::note(nothing(&arguments));
        return Ok(());
    }
    output::table(&["ID", "NAME", "STATUS", "EXPIRES"], rows)
}

/// The list, page by page: a million certificates are never held at once.
struct Pages<'a> {
    client: &'a Client,
    zone: ZoneId,
    arguments: &'a Arguments,
    page: u64,
    /// How many are still wanted; `None` means all.
    remaining: Option<u64>,
}

impl Pages<'_> {
    /// `None` after the last page.
    async fn next(&mut self) -> Result<Option<Vec<Value>>, CliError> {
        if self.remaining == Some(0) {
            return Ok(None);
        }
        let answer = self.client.call(self.call()).await?;
        let Value::Array(mut items) = answer.result else {
            return Err(CliError::failure("the server's answer is no list"));
        };
        if items.is_empty() {
            return Ok(None);
        }
        if let Some(remaining) = &mut self.remaining {
            items.truncate(usize::try_from(*remaining).unwrap_or(usize::MAX));
            *remaining -= items.len() as u64;
        }
        let is_last = answer.result_info.is_some_and(|info| info.total_pages <= self.page);
        if is_last {
            self.remaining = Some(0);
        }
        self.page += 1;
        Ok(Some(items))
    }

    fn call(&self) -> Call {
        let arguments = self.arguments;
        // The page must stay of one size, or its number would mean something else from page to page.
        let per_page = arguments.limit.unwrap_or(PAGE).min(PAGE);
        let filters = [
            ("status", &arguments.status),
            ("common_name", &arguments.common_name),
            ("serial_number", &arguments.serial_number),
            ("fingerprint_sha256", &arguments.fingerprint),
            ("expires_before", &arguments.expires_before),
            ("expires_after", &arguments.expires_after),
        ];
        let call = Call::get(format!("/client/v4/zones/{}/client_certificates", self.zone))
            .query("page", self.page.to_string())
            .query("per_page", per_page.to_string());
        filters
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)))
            .fold(call, |call, (name, value)| call.query(name, value))
    }
}

/// One array, written as the pages come, a certificate a line.
async fn print_json(pages: &mut Pages<'_>) -> Result<(), CliError> {
    let mut separator = "[\n";
    while let Some(page) = pages.next().await? {
        let mut stdout = io::stdout().lock();
        for item in &page {
            write!(stdout, "{separator}{item}")?;
            separator = ",\n";
        }
    }
    output::line(if separator == "[\n" { "[]" } else { "\n]" })
}

fn row(certificate: &Certificate, now: DateTime<Utc>) -> Vec<String> {
    let expired = if certificate.is_expired(now) { " (expired)" } else { "" };
    vec![
        certificate.id.clone(),
        shortened(certificate.label()),
        certificate.status.clone(),
        format!("{}{expired}", certificate.expires_on),
    ]
}

fn shortened(name: &str) -> String {
    match name.char_indices().nth(LONGEST_NAME) {
        Some((end, _)) => format!("{}…", name.get(..end).unwrap_or(name)),
        None => name.to_owned(),
    }
}

fn nothing(arguments: &Arguments) -> &'static str {
    let is_filtered = arguments.status.is_some()
        || arguments.common_name.is_some()
        || arguments.serial_number.is_some()
        || arguments.fingerprint.is_some()
        || arguments.expires_before.is_some()
        || arguments.expires_after.is_some();
    if is_filtered {
        "no certificate of this zone matches; without filters `countersign list` shows them all"
    } else {
        "no certificates yet; `countersign issue --common-name device-1` makes a key and a certificate"
    }
}

fn status(text: &str) -> Result<String, String> {
    if text.eq_ignore_ascii_case("all") {
        return Ok("all".to_owned());
    }
    let words: Vec<&str> = Status::ALL.iter().map(|status| status.as_str()).collect();
    let status = Status::parse(text).ok_or_else(|| format!("write one of all, {}", words.join(", ")))?;
    Ok(status.as_str().to_owned())
}

fn serial_number(text: &str) -> Result<String, String> {
    match CertificateReference::parse(text) {
        Some(CertificateReference::Serial(serial)) => Ok(serial.to_decimal()),
        _ => Err("a serial number is a decimal number or up to 40 hex digits".into()),
    }
}

fn fingerprint(text: &str) -> Result<String, String> {
    match CertificateReference::parse(text) {
        Some(CertificateReference::Fingerprint(fingerprint)) => Ok(fingerprint),
        _ => Err("a SHA-256 fingerprint has 64 hex digits, with or without colons".into()),
    }
}

/// A date alone means its first moment, in UTC.
pub fn time(text: &str) -> Result<String, String> {
    let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    match DateTime::parse_from_rfc3339(&full) {
        Ok(_) => Ok(full),
        Err(_) => Err("write a time such as 2027-01-31T12:00:00Z, or a date such as 2027-01-31".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_or_dates() {
        assert_eq!(time("2027-01-31").unwrap(), "2027-01-31T00:00:00Z");
        assert_eq!(time("2027-01-31T12:00:00+01:00").unwrap(), "2027-01-31T12:00:00+01:00");
        for text in ["", "tomorrow", "2027-02-30", "31.01.2027"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(shortened("device-1"), "device-1");
        assert_eq!(shortened(&"ü".repeat(60)), format!("{}…", "ü".repeat(48)));
    }

    #[test]
    fn expired_certificates_are_marked() {
        let certificate = Certificate {
            id: "1".into(),
            common_name: "a".into(),
            status: "active".into(),
            expires_on: "2020-01-01T00:00:00Z".into(),
            ..Certificate::default()
        };
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        assert_eq!(row(&certificate, now)[3], "2020-01-01T00:00:00Z (expired)");
    }
}
