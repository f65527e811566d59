//! The API's objects as far as commands read them. Everything has a default: an older or newer server may say less.

mod call;
mod identity;
mod webhook;

use chrono::{DateTime, Utc};
use serde::Deserialize;

pub use call::{Answer, Check, Outcome};
pub use identity::{Association, Identity, Match, Ranked};
pub use webhook::{Delivery, Webhook};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Certificate {
    pub id: String,
    pub certificate_authority: NamedObject,
    /// PEM, the leaf only.
    pub certificate: String,
    pub serial_number: String,
    pub serial_number_hex: String,
    pub signature: String,
    pub common_name: String,
    pub organization: String,
    pub organizational_unit: String,
    pub country: String,
    pub state: String,
    pub location: String,
    pub expires_on: String,
    pub issued_on: String,
    pub fingerprint_sha256: String,
    pub status: String,
    pub validity_days: u64,
    pub profile: String,
    pub sans: Vec<TypedName>,
    pub revocation: Option<Revocation>,
    pub receipt: Option<Receipt>,
}

impl Certificate {
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        time(&self.expires_on).is_some_and(|end| end < now)
    }

    /// What a person calls it: its common name, else its first SAN, else its id.
    pub fn label(&self) -> &str {
        let names = self.sans.first().map(|name| name.value.as_str());
        Some(self.common_name.as_str()).filter(|name| !name.is_empty()).or(names).unwrap_or(&self.id)
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NamedObject {
    pub id: String,
    pub name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TypedName {
    #[serde(rename = "type")]
    pub kind: String,
    pub value: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Revocation {
    pub reason: String,
    pub requested_on: String,
    pub revoked_on: Option<String>,
}

/// What proves that the last finished transition took effect.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Receipt {
    pub status: String,
    pub crl_number: u64,
    pub published_on: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Zone {
    pub id: String,
    pub name: String,
    pub status: String,
    pub account: NamedObject,
    pub created_on: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Account {
    pub id: String,
    pub name: String,
    pub created_on: String,
    /// Only in the answer that made it.
    pub token: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Authority {
    pub id: String,
    pub name: String,
    /// `root` or `issuing`.
    #[serde(rename = "type")]
    pub kind: String,
    pub state: String,
    pub key_type: String,
    pub subject: String,
    pub serial_number: String,
    pub fingerprint_sha256: String,
    pub certificate: String,
    pub issued_on: String,
    pub expires_on: String,
    pub crl_shards: i32,
    pub crl: Option<Crl>,
}

impl Authority {
    pub fn is_active_issuer(&self) -> bool {
        self.kind == "issuing" && self.state == "active"
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Crl {
    pub number: u64,
    pub this_update: String,
    pub next_update: String,
    pub url: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Token {
    pub id: String,
    pub name: String,
    pub status: String,
    pub permissions: Vec<String>,
    /// `None`: every zone of the account.
    pub zones: Option<Vec<String>>,
    pub expires_on: Option<String>,
    /// Only in the answer that makes it.
    pub value: Option<String>,
}

/// A time of the API: RFC 3339.
pub fn time(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_expires_at_its_end() {
        let certificate = Certificate { expires_on: "2027-11-20T18:25:00Z".into(), ..Certificate::default() };
        let end = time("2027-11-20T18:25:00Z").unwrap();
        assert!(!certificate.is_expired(end));
        assert!(certificate.is_expired(end + chrono::Duration::seconds(1)));
    }

    #[test]
    fn a_certificate_without_a_common_name_is_called_by_its_first_san() {
        let name = TypedName { kind: "dns".into(), value: "a.example".into() };
        let certificate = Certificate { id: "x".into(), sans: vec![name], ..Certificate::default() };
        assert_eq!(certificate.label(), "a.example");
    }
}
