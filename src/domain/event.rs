//! What happened that others may want to hear of, beyond who did it: carried by the numbered event stream and by webhooks.
//! The audit log records each one too; the two are written together.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::certificate::Certificate;
use super::check::CheckState;
use super::id::{AuthorityId, CertificateId, CheckId, IdentityId};
use super::reason::RevocationReason;
use super::serial::SerialNumber;
use super::status::Status;
use super::text::timestamp;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    CertificateIssued {
        certificate: Subject,
        common_name: String,
        expires_on: DateTime<Utc>,
    },
    /// Somebody asked for a change; `status` is `pending_revocation` or `pending_reactivation`.
    CertificatePending {
        certificate: Subject,
        status: Status,
        reason: RevocationReason,
    },
    /// Relying parties can see the change; `status` is `revoked` or `active`.
    CertificateSettled {
        certificate: Subject,
        status: Status,
        reason: RevocationReason,
        crl_number: i64,
        published_on: DateTime<Utc>,
    },
    /// A certificate that is not revoked ends within so many days; told at 30, 14, 7 and 1.
    CertificateExpiring {
        certificate: Subject,
        common_name: String,
        expires_on: DateTime<Utc>,
        within_days: i16,
    },
    CrlPublished {
        authority: AuthorityId,
        number: i64,
        this_update: DateTime<Utc>,
        next_update: DateTime<Utc>,
    },
    /// An identity ends within so many days; told at 30, 14, 7 and 1.
    IdentityExpiring {
        identity: IdentityId,
        name: String,
        expires_on: DateTime<Utc>,
        within_days: i16,
    },
    /// A check came to another state than it had; `None` before its first run.
    CheckChanged {
        check: CheckId,
        name: String,
        from: Option<CheckState>,
        to: CheckState,
        findings: Vec<String>,
    },
}

/// The certificate that an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    pub id: CertificateId,
    pub authority: AuthorityId,
    pub serial: SerialNumber,
}

impl Event {
    /// Every kind there is, for whoever chooses among them.
    pub const KINDS: [&'static str; 9] = [
        "certificate.issued",
        "certificate.pending_revocation",
        "certificate.revoked",
        "certificate.pending_reactivation",
        "certificate.reactivated",
        "certificate.expiring",
        "crl.published",
        "identity.expiring",
        "check.state",
    ];

    /// Its kind, one of [`Event::KINDS`].
    pub fn kind(&self) -> &'static str {
        match self {
            Self::CertificateIssued { .. } => "certificate.issued",
            Self::CertificatePending { status: Status::PendingReactivation, .. } => "certificate.pending_reactivation",
            Self::CertificatePending { .. } => "certificate.pending_revocation",
            Self::CertificateSettled { status: Status::Active, .. } => "certificate.reactivated",
            Self::CertificateSettled { .. } => "certificate.revoked",
            Self::CertificateExpiring { .. } => "certificate.expiring",
            Self::CrlPublished { .. } => "crl.published",
            Self::IdentityExpiring { .. } => "identity.expiring",
            Self::CheckChanged { .. } => "check.state",
        }
    }

    /// The written id of what it is about.
    pub fn subject(&self) -> String {
        match self {
            Self::CertificateIssued { certificate, .. }
            | Self::CertificatePending { certificate, .. }
            | Self::CertificateSettled { certificate, .. }
            | Self::CertificateExpiring { certificate, .. } => certificate.id.to_string(),
            Self::CrlPublished { authority, .. } => authority.to_string(),
            Self::IdentityExpiring { identity, .. } => identity.to_string(),
            Self::CheckChanged { check, .. } => check.to_string(),
        }
    }

    /// What it says; the number, the time and the zone are added by whoever carries it.
    pub fn to_json(&self) -> Value {
        let event = self.kind();
        match self {
            Self::CertificateIssued { certificate, common_name, expires_on } => json!({
                "event": event,
                "certificate": certificate.to_json(),
                "common_name": common_name,
                "expires_on": timestamp(*expires_on),
            }),
            Self::CertificatePending { certificate, status, reason } => json!({
                "event": event,
                "certificate": certificate.to_json(),
                "status": status.as_str(),
                "reason": reason.as_str(),
            }),
            Self::CertificateSettled { certificate, status, reason, crl_number, published_on } => json!({
                "event": event,
                "certificate": certificate.to_json(),
                "status": status.as_str(),
                "reason": reason.as_str(),
                "receipt": {"status": status.as_str(), "crl_number": crl_number, "published_on": timestamp(*published_on)},
            }),
            Self::CertificateExpiring { certificate, common_name, expires_on, within_days } => json!({
                "event": event,
                "certificate": certificate.to_json(),
                "common_name": common_name,
                "expires_on": timestamp(*expires_on),
                "within_days": within_days,
            }),
            Self::CrlPublished { authority, number, this_update, next_update } => json!({
                "event": event,
                "certificate_authority": authority.to_string(),
                "crl_number": number,
                "this_update": timestamp(*this_update),
                "next_update": timestamp(*next_update),
            }),
            Self::IdentityExpiring { identity, name, expires_on, within_days } => json!({
                "event": event,
                "identity": {"id": identity.to_string(), "name": name},
                "expires_on": timestamp(*expires_on),
                "within_days": within_days,
            }),
            Self::CheckChanged { check, name, from, to, findings } => json!({
                "event": event,
                "check": {"id": check.to_string(), "name": name},
                "from": from.map(CheckState::as_str),
                "to": to.as_str(),
                "findings": findings,
            }),
        }
    }
}

impl Subject {
    pub fn of(certificate: &Certificate) -> Self {
        Self { id: certificate.id, authority: certificate.authority, serial: certificate.serial.clone() }
    }

    fn to_json(&self) -> Value {
        json!({
            "id": self.id.to_string(),
            "certificate_authority": self.authority.to_string(),
            "serial_number": self.serial.to_decimal(),
        })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn every_kind_is_in_the_list_of_kinds() {
        let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let certificate = Subject {
            id: CertificateId::new(Uuid::nil()),
            authority: AuthorityId::new(Uuid::nil()),
            serial: SerialNumber::from_be_bytes(&[1, 0]).unwrap(),
        };
        let pending = |status| Event::CertificatePending {
            certificate: certificate.clone(),
            status,
            reason: RevocationReason::CertificateHold,
        };
        let settled = |status| Event::CertificateSettled {
            certificate: certificate.clone(),
            status,
            reason: RevocationReason::CertificateHold,
            crl_number: 7,
            published_on: at,
        };
        let events = [
            pending(Status::PendingRevocation),
            pending(Status::PendingReactivation),
            settled(Status::Revoked),
            settled(Status::Active),
        ];
        for event in &events {
            assert!(Event::KINDS.contains(&event.kind()), "{}", event.kind());
            assert_eq!(event.to_json()["event"], event.kind());
            assert_eq!(event.to_json()["certificate"]["serial_number"], "256");
        }
        assert_eq!(events[2].to_json()["receipt"]["crl_number"], 7);
        assert_eq!(events.map(|event| event.kind()).len(), 4);
    }
}
