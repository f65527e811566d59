//! Identities, who relies on them, and which of them a host is shown.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Identity {
    pub id: String,
    pub name: String,
    /// A bundle of CAs to trust; else a certificate with its key.
    pub ca: bool,
    /// PEM, the leaf first.
    pub certificates: String,
    pub subject: String,
    pub issuer: String,
    pub subject_alternative_names: Vec<String>,
    pub serial_number_hex: String,
    pub fingerprint_sha256: String,
    pub key_type: String,
    pub issued_on: String,
    pub expires_on: String,
    pub uploaded_on: String,
    pub hosts: Vec<String>,
    pub primary: bool,
    pub labels: BTreeMap<String, String>,
    /// PEM of the CAs that its servers are verified by.
    pub trusted_ca: Option<String>,
    pub managed: Option<Managed>,
}

/// How an identity's certificate is issued and renewed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Managed {
    pub zone_id: String,
    pub client_certificate_id: String,
    pub renews_on: String,
}

/// Somebody who relies on an identity.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Association {
    pub service: String,
    pub kind: String,
    pub link: String,
    pub since: String,
}

/// What would be presented to a host.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Match {
    pub host: String,
    pub choice: Option<Ranked>,
    pub runners_up: Vec<Ranked>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Ranked {
    pub id: String,
    pub name: String,
    /// `host_name`, `host_pattern` or `primary`.
    pub reason: String,
    pub pattern: Option<String>,
}
