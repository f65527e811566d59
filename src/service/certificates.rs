//! The life of certificates after issuance: listing, showing, revoking, reactivating.

use chrono::{DateTime, Utc};

use crate::domain::bulk::Wish;
use crate::domain::certificate::{Certificate, CertificateFilter, CertificateOrder};
use crate::domain::id::CertificateId;
use crate::domain::reason::RevocationReason;
use crate::store::{ChangeOutcome, Page, Totals, Window};

use super::access::{Act, ReactivateCertificate, ReadCertificates, RevokeCertificate, ZonePermit};
use super::changes::{Asked, Decision};
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
    /// Certificates of the zone.
    pub async fn certificates(
        &self,
        permit: &ZonePermit<ReadCertificates>,
        filter: CertificateFilter,
        order: CertificateOrder,
        window: Window,
    ) -> Result<Page<Certificate>, ServiceError> {
        Ok(self.store.certificates(permit.zone(), filter, order, window, self.clock.now()).await?)
    }

    /// Learns its way about the long lists, before somebody asks for a page in the middle of one.
    pub async fn prepare_long_lists(&self) -> Result<(), ServiceError> {
        Ok(self.store.walk_long_lists(self.clock.now()).await?)
    }

    /// How many there are of each status.
    pub async fn totals(&self, permit: &ZonePermit<ReadCertificates>) -> Result<Totals, ServiceError> {
        Ok(self.store.totals(vec![permit.zone()]).await?.remove(&permit.zone()).unwrap_or_default())
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
        let RevocationRequest { reason, invalidity_date } = request;
        self.check_invalidity_date(invalidity_date, "")?;
        self.change_one(permit, id, Wish::Revoke { reason, invalidity_date }).await
    }

    /// Asks for a hold to be lifted. Returns the certificate as it then stands.
    pub async fn reactivate(
        &self,
        permit: &ZonePermit<ReactivateCertificate>,
        id: Option<CertificateId>,
    ) -> Result<Certificate, ServiceError> {
        let outcome = self.change_one(permit, id, Wish::Reactivate).await;
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

    async fn change_one<A: Act>(
        &self,
        permit: &ZonePermit<A>,
        id: Option<CertificateId>,
        wish: Wish,
    ) -> Result<Certificate, ServiceError> {
        for _ in 0..MAX_DECISIONS {
            let certificate = self.find(permit, id).await?;
            if let Some(changed) = self.change_as_read(permit, certificate, wish).await? {
                return Ok(changed);
            }
        }
        Err(changed_by_many())
    }

    /// Changes the certificate if it still stands as it was read; `None` if somebody else was quicker.
    pub(super) async fn change_as_read<A: Act>(
        &self,
        permit: &ZonePermit<A>,
        certificate: Certificate,
        wish: Wish,
    ) -> Result<Option<Certificate>, ServiceError> {
        let asked = Asked { wish, actor: permit.caller().actor(), account: permit.account(), job: None };
        let now = self.clock.now();
        let key = certificate.spki_sha256.clone();
        match self.decide_change(&asked, certificate, now) {
            Decision::Refused(why) => Err(ServiceError::invalid("", why)),
            Decision::Unchanged { certificate, note } => {
                let Some(compromise) = self.compromise(&asked, vec![key], now).await? else {
                    return Ok(Some(*certificate));
                };
                Ok(self.store.note_compromise(compromise, note.map(|note| *note)).await?.then_some(*certificate))
            }
            Decision::Changes(change) => {
                let compromise = self.compromise(&asked, vec![key], now).await?;
                let requested = change.requested.clone();
                if self.store.request_change(*change, compromise).await? == ChangeOutcome::Overtaken {
                    return Ok(None);
                }
                self.work.notify_one();
                Ok(Some(requested))
            }
        }
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

pub(super) fn changed_by_many() -> ServiceError {
    ServiceError::Unavailable("the certificate is being changed by many at once".into())
}

/// The id for the audit log; one that no certificate can have is not repeated there.
fn written(id: Option<CertificateId>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}
