//! Client certificates as the store keeps them.

use chrono::{DateTime, Utc};

use super::id::{AuthorityId, CertificateId, ZoneId};
use super::reason::RevocationReason;
use super::serial::SerialNumber;
use super::status::{Standing, Status};
use super::subject_alternative_name::SubjectAlternativeName;

/// A client certificate that one of our authorities signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub id: CertificateId,
    pub zone: ZoneId,
    pub authority: AuthorityId,
    pub authority_name: String,
    pub serial: SerialNumber,
    /// The certificate in DER.
    pub der: Vec<u8>,
    /// The CSR as PEM, line ends normalised.
    pub csr: String,
    pub ski: Vec<u8>,
    pub fingerprint_sha256: Vec<u8>,
    pub spki_sha256: Vec<u8>,
    pub signature: String,
    pub subject: SubjectFields,
    pub subject_alternative_names: Vec<SubjectAlternativeName>,
    pub profile: String,
    pub validity_days: i32,
    pub not_before: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
    pub status: Status,
    /// Counts the changes of status: the compare-and-set of every change names it.
    pub version: i32,
    pub revocation: Option<Revocation>,
    pub receipt: Option<Receipt>,
}

/// The six subject attributes of the wire contract; empty where the CSR has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectFields {
    pub common_name: String,
    pub organization: String,
    pub organizational_unit: String,
    pub country: String,
    pub state: String,
    pub location: String,
}

/// A revocation asked for, and, once published, carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    pub reason: RevocationReason,
    pub requested_on: DateTime<Utc>,
    /// Since when the key is believed to be in wrong hands, where that is known (RFC 5280, 5.3.2).
    pub invalidity_date: Option<DateTime<Utc>>,
    /// The revocationDate on the CRL; none while it is pending.
    pub revoked_on: Option<DateTime<Utc>>,
    /// The first CRL that listed it; none while it is pending.
    pub crl_number: Option<i64>,
}

/// What proves that the last transition took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The status that the CRL made visible.
    pub status: Status,
    pub crl_number: i64,
    /// The CRL's thisUpdate.
    pub published_on: DateTime<Utc>,
}

impl Certificate {
    pub fn standing(&self, now: DateTime<Utc>) -> Standing {
        Standing {
            status: self.status,
            reason: self.revocation.as_ref().map(|revocation| revocation.reason),
            is_expired: self.not_after < now,
        }
    }

    /// The certificate as it stands once this change has been asked for.
    pub fn requested(
        mut self,
        to: Status,
        reason: RevocationReason,
        invalidity_date: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Self {
        self.status = to;
        self.version += 1;
        if to == Status::PendingRevocation {
            let requested =
                Revocation { reason, requested_on: now, invalidity_date, revoked_on: None, crl_number: None };
            self.revocation = Some(requested);
        }
        self
    }
}

/// What a list of certificates begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CertificateOrder {
    #[default]
    OldestFirst,
    NewestFirst,
    FirstToEnd,
    LastToEnd,
}

impl CertificateOrder {
    /// The same list from its other end.
    pub fn reversed(self) -> Self {
        match self {
            Self::OldestFirst => Self::NewestFirst,
            Self::NewestFirst => Self::OldestFirst,
            Self::FirstToEnd => Self::LastToEnd,
            Self::LastToEnd => Self::FirstToEnd,
        }
    }

    pub fn is_by_end(self) -> bool {
        matches!(self, Self::FirstToEnd | Self::LastToEnd)
    }
}

/// Which certificates of a zone a list shows. All given conditions hold together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateFilter {
    pub status: Option<Status>,
    /// The common name starts with this.
    pub common_name: Option<String>,
    pub serial: Option<SerialNumber>,
    pub fingerprint_sha256: Option<Vec<u8>>,
    pub expires_before: Option<DateTime<Utc>>,
    pub expires_after: Option<DateTime<Utc>>,
}

impl CertificateFilter {
    /// Whether at most the status is asked for, so that the counters answer for the total.
    pub fn is_by_status_only(&self) -> bool {
        Self { status: None, ..self.clone() } == Self::default()
    }
}
