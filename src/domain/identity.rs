//! Identities: certificate chains with private keys that somebody else issued to us, and that we present to servers in
//! outgoing mutual TLS. Bundles of CAs to trust are kept beside them.
//!
//! The private key is not here: nothing that shows, lists or chooses identities ever holds it.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::host_pattern::HostPattern;
use super::id::{AccountId, CertificateId, IdentityId, ZoneId};
use super::text;

pub const MAX_NAME_LENGTH: usize = 120;
pub const MAX_HOSTS: usize = 100;
/// What the hosts of one identity may cost together, in `HostPattern::cost`.
pub const MAX_HOSTS_COST: usize = 8192;
/// What the hosts of all identities of an account may cost together.
pub const MAX_ACCOUNT_COST: usize = 500_000;
/// How many identities an account may have.
pub const MAX_IDENTITIES: i64 = 20_000;
const MAX_LABELS: usize = 50;
const MAX_LABEL_LENGTH: usize = 255;

/// The days before its end on which an identity's expiry is announced, the first notice first.
pub const EXPIRY_NOTICES: [i16; 4] = [30, 14, 7, 1];

#[derive(Clone, Debug)]
pub struct Identity {
    pub id: IdentityId,
    pub account: AccountId,
    pub name: String,
    /// A bundle of CAs to trust: it has no key and is never presented.
    pub is_ca: bool,
    /// PEM, the leaf first, then the chain upwards.
    pub certificates: String,
    /// PEM of the CAs that its servers are verified by; empty for those of the system.
    pub trusted_ca: String,
    /// The hosts it is presented to, in the order given.
    pub hosts: Vec<HostPattern>,
    /// Presented where no host matches. At most one in an account.
    pub is_primary: bool,
    pub labels: BTreeMap<String, String>,
    pub facts: IdentityFacts,
    /// Set when our own zone issues its certificate.
    pub managed: Option<Managed>,
    /// Counts its certificates: each replacement or renewal is one more.
    pub version: i32,
    pub created_on: DateTime<Utc>,
    pub updated_on: DateTime<Utc>,
}

/// What stands in the leaf; of a bundle, in its first certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFacts {
    /// RFC 4514.
    pub subject: String,
    /// RFC 4514.
    pub issuer: String,
    pub common_name: String,
    /// The magnitude, big-endian. Others may use more than the 20 octets of RFC 5280.
    pub serial: Vec<u8>,
    /// Algorithm of the certificate's signature.
    pub signature: String,
    pub key_type: String,
    pub fingerprint_sha256: Vec<u8>,
    pub spki_sha256: Vec<u8>,
    pub subject_alternative_names: Vec<String>,
    pub not_before: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
}

/// How our own zone issues an identity's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Managed {
    pub zone: ZoneId,
    /// The present certificate.
    pub certificate: CertificateId,
    pub renew_on: DateTime<Utc>,
    pub plan: ManagedPlan,
}

/// What a managed identity's certificates are to hold, at every renewal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedPlan {
    pub common_name: String,
    pub organization: Option<String>,
    pub organizational_unit: Option<String>,
    /// Written `TYPE:VALUE`, such as `dns:client.example.com`.
    pub subject_alternative_names: Vec<String>,
    /// The word of `ClientKeyKind`.
    pub key_type: String,
    pub profile: Option<String>,
    pub validity_days: i64,
    /// How long a replaced certificate stays valid, for whoever still presents it.
    pub grace_seconds: i64,
}

/// What a PATCH changes; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct IdentityEdit {
    pub name: Option<String>,
    pub hosts: Option<Vec<HostPattern>>,
    pub is_primary: Option<bool>,
    pub labels: Option<BTreeMap<String, String>>,
}

/// Which identities a list shows.
#[derive(Clone, Debug, Default)]
pub struct IdentityFilter {
    pub is_ca: Option<bool>,
    pub name: Option<String>,
    pub is_primary: Option<bool>,
    /// Ends before this.
    pub expires_before: Option<DateTime<Utc>>,
    /// Has this label, with this value if one is given.
    pub label: Option<(String, Option<String>)>,
}

/// Somebody who relies on an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    pub name: String,
    /// What kind of thing it is, such as `check` or `workflow`.
    pub kind: String,
    /// Where to see it; may be empty.
    pub link: String,
    pub since: DateTime<Utc>,
}

impl IdentityEdit {
    pub fn is_empty(&self) -> bool {
        self.name.is_none() && self.hosts.is_none() && self.is_primary.is_none() && self.labels.is_none()
    }
}

impl ManagedPlan {
    /// When a certificate made now is to be renewed: at two thirds of its life.
    pub fn renewal_of(&self, not_before: DateTime<Utc>, not_after: DateTime<Utc>) -> DateTime<Utc> {
        not_before + (not_after - not_before) * 2 / 3
    }
}

/// The notice that is due: the smallest number of days that covers what is left, if it was not given yet. Nothing is
/// said of what has already ended, nor twice of the same.
pub fn due_expiry_notice(not_after: DateTime<Utc>, given: Option<i16>, now: DateTime<Utc>) -> Option<i16> {
    let left = not_after - now;
    if left <= TimeDelta::zero() {
        return None;
    }
    let due = EXPIRY_NOTICES.into_iter().rfind(|days| left <= TimeDelta::days(i64::from(*days)))?;
    given.is_none_or(|given| due < given).then_some(due)
}

pub fn check_name(name: &str) -> Result<String, String> {
    text::label(name, MAX_NAME_LENGTH)
}

/// Labels are few and short: they are for people and for filters.
pub fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), String> {
    if labels.len() > MAX_LABELS {
        return Err(format!("there can be at most {MAX_LABELS} labels"));
    }
    let is_key = |key: &str| {
        (1..=63).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b))
    };
    let is_value = |value: &str| {
        value.chars().count() <= MAX_LABEL_LENGTH && !value.chars().any(|character| character.is_control())
    };
    match labels.iter().find(|(key, value)| !is_key(key) || !is_value(value)) {
        Some((key, _)) => Err(format!(
            "the label {:?} must have a key of 1 to 63 letters, digits, dots, dashes, slashes or underscores, and a \
             printable value of at most {MAX_LABEL_LENGTH} characters",
            key.chars().take(63).collect::<String>()
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(days: i64, seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::days(days) + TimeDelta::seconds(seconds)
    }

    #[test]
    fn each_notice_is_given_once_and_the_nearest_one_only() {
        let end = at(100, 0);
        for (now, given, expected) in [
            (at(69, 0), None, None),
            (at(70, 0), None, Some(30)),
            (at(70, 0), Some(30), None),
            (at(86, 1), Some(30), Some(14)),
            (at(95, 0), None, Some(7)),
            (at(99, 1), Some(7), Some(1)),
            (at(99, 1), Some(1), None),
            (at(100, 0), None, None),
            (at(101, 0), Some(1), None),
        ] {
            assert_eq!(due_expiry_notice(end, given, now), expected, "{now} {given:?}");
        }
    }

    #[test]
    fn a_managed_certificate_is_renewed_at_two_thirds_of_its_life() {
        let plan = ManagedPlan {
            common_name: "x".into(),
            organization: None,
            organizational_unit: None,
            subject_alternative_names: Vec::new(),
            key_type: "p256".into(),
            profile: None,
            validity_days: 30,
            grace_seconds: 0,
        };
        assert_eq!(plan.renewal_of(at(0, 0), at(30, 0)), at(20, 0));
    }

    #[test]
    fn labels_are_bounded() {
        let labels = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        assert!(check_labels(&labels("team/owner", "payments")).is_ok());
        assert!(check_labels(&labels("", "x")).is_err());
        assert!(check_labels(&labels("a b", "x")).is_err());
        assert!(check_labels(&labels("a", "x\ny")).is_err());
        assert!(check_labels(&labels("a", &"x".repeat(256))).is_err());
        assert!(check_labels(&(0..51).map(|n| (n.to_string(), String::new())).collect()).is_err());
    }
}
