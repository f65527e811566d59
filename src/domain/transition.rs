//! Transitions: requested changes of status that the worker still has to carry out.

use chrono::{DateTime, Utc};

use super::certificate::Certificate;
use super::id::{AuthorityId, CertificateId, JobId, ZoneId};
use super::reason::RevocationReason;
use super::serial::SerialNumber;
use super::status::Status;

/// One requested change of status. A certificate has at most one: a newer request takes the older one's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    pub certificate: CertificateId,
    pub zone: ZoneId,
    pub authority: AuthorityId,
    pub serial: SerialNumber,
    /// `pending_revocation` or `pending_reactivation`.
    pub status: Status,
    /// The certificate's version that asked for it.
    pub version: i32,
    pub reason: RevocationReason,
    pub invalidity_date: Option<DateTime<Utc>>,
    pub requested_on: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
    /// The bulk job that asked for it.
    pub job: Option<JobId>,
}

impl Transition {
    /// What the worker has to do about a certificate as it was just requested to be.
    pub fn of(requested: &Certificate, reason: RevocationReason, now: DateTime<Utc>) -> Self {
        Self {
            certificate: requested.id,
            zone: requested.zone,
            authority: requested.authority,
            serial: requested.serial.clone(),
            status: requested.status,
            version: requested.version,
            reason,
            invalidity_date: requested.revocation.as_ref().and_then(|revocation| revocation.invalidity_date),
            requested_on: now,
            not_after: requested.not_after,
            job: None,
        }
    }
}
