//! What CRLs list, and how a list changes.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::reason::RevocationReason;
use super::serial::SerialNumber;

/// One revoked certificate on a CRL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedEntry {
    pub serial: SerialNumber,
    /// The revocationDate.
    pub revoked_on: DateTime<Utc>,
    pub reason: RevocationReason,
    /// Since when the key is believed to be in wrong hands (RFC 5280, 5.3.2).
    pub invalidity_date: Option<DateTime<Utc>>,
}

/// What a change does to a list: another entry for a serial number, or none any more.
pub type Changes = BTreeMap<SerialNumber, Option<RevokedEntry>>;
