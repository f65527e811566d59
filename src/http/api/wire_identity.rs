//! An identity on the wire: the fields of Cloudflare's account mTLS certificates (wire contract, 2.2), then our own. The
//! private key is not among them, nor anywhere else.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use num_bigint::BigUint;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::host_pattern::HostPattern;
use crate::domain::identity::{Identity, Managed, Use};
use crate::domain::text::timestamp;

#[derive(Serialize, ToSchema)]
pub struct MtlsCertificate {
    /// UUID.
    id: String,
    /// A bundle of CAs to trust; else a certificate with its key.
    ca: bool,
    /// PEM, the leaf first, then its chain.
    certificates: String,
    /// notAfter of the leaf, RFC 3339 in UTC.
    expires_on: String,
    /// RFC 4514.
    issuer: String,
    name: String,
    /// Decimal.
    serial_number: String,
    #[schema(example = "SHA256WithRSA")]
    signature: String,
    /// Always `custom`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// With microseconds.
    uploaded_on: String,
    updated_at: String,
    /// Host names and patterns that it is presented to.
    hosts: Vec<String>,
    /// Presented where no host matches.
    primary: bool,
    labels: BTreeMap<String, String>,
    /// PEM of the CAs that its servers are verified by; null for those of the system.
    trusted_ca: Option<String>,
    /// notBefore of the leaf.
    issued_on: String,
    /// RFC 4514.
    subject: String,
    common_name: String,
    subject_alternative_names: Vec<String>,
    serial_number_hex: String,
    /// SHA-256 of the leaf's DER, 64 hex digits.
    fingerprint_sha256: String,
    key_type: String,
    /// Counts replacements and renewals.
    version: i32,
    /// Set when one of the account's own zones issues its certificate.
    #[schema(value_type = Option<WireManaged>)]
    managed: Option<WireManaged>,
}

/// How an identity's certificate is issued and renewed.
#[derive(Serialize, ToSchema)]
pub struct WireManaged {
    zone_id: String,
    /// The present certificate.
    client_certificate_id: String,
    renews_on: String,
    profile: Option<String>,
    validity_days: i64,
    key_type: String,
    /// How long a replaced certificate stays valid, in seconds.
    grace_seconds: i64,
}

/// Who relies on an identity: the two fields of Cloudflare's, then our own.
#[derive(Serialize, ToSchema)]
pub struct MtlsCertificateAssociation {
    service: String,
    /// Always `active`.
    status: &'static str,
    /// `check`, `zone`, or what its user called itself.
    kind: String,
    link: String,
    since: String,
}

impl From<Identity> for MtlsCertificate {
    fn from(identity: Identity) -> Self {
        let facts = identity.facts;
        Self {
            id: identity.id.to_string(),
            ca: identity.is_ca,
            certificates: identity.certificates,
            expires_on: timestamp(facts.not_after),
            issuer: facts.issuer,
            name: identity.name,
            serial_number: BigUint::from_bytes_be(&facts.serial).to_string(),
            signature: facts.signature,
            kind: "custom",
            uploaded_on: microseconds(identity.created_on),
            updated_at: microseconds(identity.updated_on),
            hosts: identity.hosts.iter().map(|host| host.as_str().to_owned()).collect(),
            primary: identity.is_primary,
            labels: identity.labels,
            trusted_ca: Some(identity.trusted_ca).filter(|pem| !pem.is_empty()),
            issued_on: timestamp(facts.not_before),
            subject: facts.subject,
            common_name: facts.common_name,
            subject_alternative_names: facts.subject_alternative_names,
            serial_number_hex: hex::encode(&facts.serial),
            fingerprint_sha256: hex::encode(&facts.fingerprint_sha256),
            key_type: facts.key_type,
            version: identity.version,
            managed: identity.managed.map(Into::into),
        }
    }
}

impl From<Managed> for WireManaged {
    fn from(managed: Managed) -> Self {
        Self {
            zone_id: managed.zone.to_string(),
            client_certificate_id: managed.certificate.to_string(),
            renews_on: timestamp(managed.renew_on),
            profile: managed.plan.profile,
            validity_days: managed.plan.validity_days,
            key_type: managed.plan.key_type,
            grace_seconds: managed.plan.grace_seconds,
        }
    }
}

impl From<Use> for MtlsCertificateAssociation {
    fn from(using: Use) -> Self {
        Self {
            service: using.name,
            status: "active",
            kind: using.kind,
            link: using.link,
            since: timestamp(using.since),
        }
    }
}

/// All hosts as the one pattern that matches them, for those who know only one: `{a.example,b.example}`.
pub fn as_one_pattern(hosts: &[HostPattern]) -> String {
    match hosts {
        [] => String::new(),
        [only] => only.as_str().to_owned(),
        several => {
            let list: Vec<&str> = several.iter().map(HostPattern::as_str).collect();
            format!("{{{}}}", list.join(","))
        }
    }
}

fn microseconds(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}
