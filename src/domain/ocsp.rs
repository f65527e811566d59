//! What OCSP says of a certificate (RFC 6960, 2.2).

use chrono::{DateTime, Utc};

use super::reason::RevocationReason;

/// The status of one certificate as its authority published it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertStatus {
    /// Issued by the authority and not revoked. Also after its end, and while a revocation is pending.
    Good,
    Revoked(Revocation),
    /// The authority never issued a certificate with this serial number.
    Unknown,
}

/// Since when, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    pub revoked_on: DateTime<Utc>,
    pub reason: RevocationReason,
    /// Since when the key is believed to be in wrong hands (RFC 5280, 5.3.2).
    pub invalidity_date: Option<DateTime<Utc>>,
}

impl CertStatus {
    /// The word of RFC 6960.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Revoked(_) => "revoked",
            Self::Unknown => "unknown",
        }
    }
}
