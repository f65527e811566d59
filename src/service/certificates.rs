//! The life of certificates after issuance: listing, showing, revoking, reactivating.

use chrono::{DateTime, Utc};

use crate::domain::audit::Action;
use crate::domain::certificate::{Certificate, CertificateFilter};
use crate::domain::event::{Event, Subject};
use crate::domain::id::CertificateId;
use crate::domain::reason::RevocationReason;
use crate::domain::status::{self, Change, Outcome, Refusal};
use crate::domain::text::timestamp;
use crate::domain::transition::Transition;
use crate::store::{BlockedKey, ChangeOutcome, Page, Window};

use super::access::{Act, ReactivateCertificate, ReadCertificates, RevokeCertificate, ZonePermit};
use super::error::Noun;
use super::{Service, ServiceError};

/// How often a change is decided anew because somebody else changed the same certificate in between.
pub(super) const MAX_DECISIONS: usize = 16;

/// How a certificate is to be revoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RevocationRequest {
    /// Without one the revocation is a hold, if the certificate's profile allows that.
    pub reason: Option<RevocationReason>,
    /// Since when the key is believed to be in wrong hands (RFC 5280, 5.3.2); not in the future.
    pub invalidity_date: Option<DateTime<Utc>>,
}

impl Service {
    /// Certificates of the zone, oldest first.
    pub async fn certificates(
        &self,
        permit: &ZonePermit<ReadCertificates>,
        filter: CertificateFilter,
        window: Window,
    ) -> Result<Page<Certificate>, ServiceError> {
        Ok(self.store.certificates(permit.zone(), filter, window).await?)
    }

    /// One certificate of the zone.
    pub async fn certificate(
        &self,
        permit: &ZonePermit<ReadCertificates>,
        id: Option<CertificateId>,
    ) -> Result<Certificate, ServiceError> {
        self.find(permit, id).await
    }

    /// Asks for a certificate to be revoked.
    ///
    /// Returns the certificate as it then stands. Repeating the request changes nothing.
    pub async fn revoke(
        &self,
        permit: &ZonePermit<RevokeCertificate>,
        id: Option<CertificateId>,
        request: RevocationRequest,
    ) -> Result<Certificate, ServiceError> {
        let outcome = self.revoke_or_refuse(permit, id, request).await;
        self.recorded(permit, &written(id), outcome).await
    }

    async fn revoke_or_refuse(
        &self,
        permit: &ZonePermit<RevokeCertificate>,
        id: Option<CertificateId>,
        request: RevocationRequest,
    ) -> Result<Certificate, ServiceError> {
        let certificate = self.find(permit, id).await?;
        let reason = self.judged_reason(&certificate, request)?;
        self.change(permit, certificate, Change::Revoke(reason), request.invalidity_date).await
    }

    /// The reason that a request comes to for a certificate, if both are as they may be.
    pub(super) fn judged_reason(
        &self,
        certificate: &Certificate,
        request: RevocationRequest,
    ) -> Result<RevocationReason, ServiceError> {
        if request.invalidity_date.is_some_and(|date| date > self.clock.now()) {
            let message = "the invalidity date lies in the future; it says since when the key is believed to be in wrong hands (RFC 5280, 5.3.2)";
            return Err(ServiceError::invalid("", message));
        }
        let hold_is_allowed = self.profiles.find(&certificate.profile).is_none_or(|profile| profile.allow_hold);
        match request.reason {
            Some(reason) if reason.is_hold() && !hold_is_allowed => {
                let message = format!(
                    "profile {:?} allows no hold: name a final reason, such as superseded",
                    certificate.profile
                );
                Err(ServiceError::invalid("", message))
            }
            Some(reason) => Ok(reason),
            None if hold_is_allowed => Ok(RevocationReason::CertificateHold),
            None => Ok(RevocationReason::Unspecified),
        }
    }

    /// Asks for a hold to be lifted. Returns the certificate as it then stands.
    pub async fn reactivate(
        &self,
        permit: &ZonePermit<ReactivateCertificate>,
        id: Option<CertificateId>,
    ) -> Result<Certificate, ServiceError> {
        let outcome = match self.find(permit, id).await {
            Ok(certificate) => self.change(permit, certificate, Change::Reactivate, None).await,
            Err(error) => Err(error),
        };
        self.recorded(permit, &written(id), outcome).await
    }

    /// A PATCH that asks for nothing: the certificate as it is.
    pub async fn leave_as_it_is(
        &self,
        permit: &ZonePermit<ReactivateCertificate>,
        id: Option<CertificateId>,
    ) -> Result<Certificate, ServiceError> {
        self.find(permit, id).await
    }

    async fn change<A: Act>(
        &self,
        permit: &ZonePermit<A>,
        mut certificate: Certificate,
        change: Change,
        invalidity_date: Option<DateTime<Utc>>,
    ) -> Result<Certificate, ServiceError> {
        let id = certificate.id;
        for _ in 0..MAX_DECISIONS {
            if let Some(changed) = self.change_as_read(permit, certificate, change, invalidity_date).await? {
                return Ok(changed);
            }
            certificate = self.find(permit, Some(id)).await?;
        }
        Err(changed_by_many())
    }

    /// Changes the certificate if it still stands as it was read; `None` if somebody else was quicker.
    pub(super) async fn change_as_read<A: Act>(
        &self,
        permit: &ZonePermit<A>,
        certificate: Certificate,
        change: Change,
        invalidity_date: Option<DateTime<Utc>>,
    ) -> Result<Option<Certificate>, ServiceError> {
        let now = self.clock.now();
        let (to, reason) = match status::change(certificate.standing(now), change) {
            Outcome::Unchanged => {
                self.note_compromise(permit, &certificate, change).await?;
                return Ok(Some(certificate));
            }
            Outcome::Moves { to, reason } => (to, reason),
            Outcome::Refused(refusal) => return Err(ServiceError::invalid("", explain(refusal, &certificate))),
        };
        let action = match change {
            Change::Revoke(_) => Action::RevokeCertificate,
            Change::Reactivate => Action::ReactivateCertificate,
        };
        let subject = certificate.id.to_string();
        let mut event = self.event(permit.caller().actor(), permit.account(), Some(permit.zone()), action, subject);
        event.detail = format!("reason {reason}");
        event.news = Some(Event::CertificatePending { certificate: Subject::of(&certificate), status: to, reason });
        let requested = certificate.clone().requested(to, reason, invalidity_date, now);
        let transition = Transition::of(&requested, reason, now);
        let is_compromised = reason == RevocationReason::KeyCompromise;
        let blocked_key = is_compromised.then(|| blocked_key(permit, &requested, now));
        let changed = self.store.request_change(certificate, requested.clone(), transition, blocked_key, event).await?;
        if changed == ChangeOutcome::Overtaken {
            return Ok(None);
        }
        self.work.notify_one();
        Ok(Some(requested))
    }

    /// A compromise that is reported after another final reason changes no CRL, but the key is blocked all the same.
    async fn note_compromise<A: Act>(
        &self,
        permit: &ZonePermit<A>,
        certificate: &Certificate,
        change: Change,
    ) -> Result<(), ServiceError> {
        let recorded = certificate.revocation.as_ref().map(|revocation| revocation.reason);
        if change != Change::Revoke(RevocationReason::KeyCompromise)
            || recorded == Some(RevocationReason::KeyCompromise)
        {
            return Ok(());
        }
        let subject = certificate.id.to_string();
        let zone = Some(permit.zone());
        let mut event = self.event(permit.caller().actor(), permit.account(), zone, Action::RevokeCertificate, subject);
        event.detail = "the key is blocked; the recorded reason stays".into();
        Ok(self.store.block_key(blocked_key(permit, certificate, self.clock.now()), event).await?)
    }

    async fn find<A: Act>(
        &self,
        permit: &ZonePermit<A>,
        id: Option<CertificateId>,
    ) -> Result<Certificate, ServiceError> {
        let id = id.ok_or(ServiceError::NotFound(Noun::Certificate))?;
        self.store.certificate(permit.zone(), id).await?.ok_or(ServiceError::NotFound(Noun::Certificate))
    }
}

fn explain(refusal: Refusal, certificate: &Certificate) -> String {
    match refusal {
        Refusal::RevocationIsFinal(reason) => format!(
            "the certificate is revoked with the reason {reason}, which is final: only a certificateHold can be lifted (RFC 5280, 5.3.1)"
        ),
        Refusal::HasExpired => {
            format!("the certificate expired on {}; issue a new one instead", timestamp(certificate.not_after))
        }
    }
}

pub(super) fn changed_by_many() -> ServiceError {
    ServiceError::Unavailable("the certificate is being changed by many at once".into())
}

/// The id for the audit log; one that no certificate can have is not repeated there.
fn written(id: Option<CertificateId>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

/// Whoever has the key could ask for another certificate with it, so there is none in the whole account.
fn blocked_key<A: Act>(permit: &ZonePermit<A>, certificate: &Certificate, now: DateTime<Utc>) -> BlockedKey {
    BlockedKey {
        account: permit.account(),
        spki_sha256: certificate.spki_sha256.clone(),
        reason: RevocationReason::KeyCompromise,
        blocked_on: now,
    }
}
