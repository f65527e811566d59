//! Who signs for a zone, and what stands in the certificates it signs.

use std::sync::Arc;

use crate::domain::authority::{Authority, AuthorityState};
use crate::domain::id::{AuthorityId, ZoneId};
use crate::domain::plan::Issuer;
use crate::domain::zone::Zone;
use crate::x509;

use super::{Service, ServiceError};

/// A zone and its active issuing authority.
#[derive(Clone, Debug)]
pub struct ZoneIssuer {
    pub zone: Zone,
    pub authority: Authority,
    /// The authority as certificates name it.
    pub issuer: Issuer,
}

impl Service {
    /// The zone with the authority that signs for it now; `None` for a zone that does not exist.
    pub(super) async fn zone_issuer(&self, id: ZoneId) -> Result<Option<Arc<ZoneIssuer>>, ServiceError> {
        let now = self.clock.now();
        if let Some(known) = self.issuers.find(&id, now) {
            return Ok(Some(known));
        }
        let before = self.issuers.before();
        let Some(zone) = self.store.zone(id).await? else { return Ok(None) };
        let authorities = self.store.zone_authorities(id).await?;
        let active = authorities.into_iter().rev().find(|authority| authority.state == AuthorityState::Active);
        let authority =
            active.ok_or_else(|| ServiceError::Internal(format!("zone {id} has no active issuing authority")))?;
        let issuer = self.issuer(&authority)?;
        Ok(Some(self.issuers.keep_since(id, ZoneIssuer { zone, authority, issuer }, now, before)))
    }

    /// An authority as the certificates it signs name it.
    pub(super) fn issuer(&self, authority: &Authority) -> Result<Issuer, ServiceError> {
        let facts = x509::certificate::read(&authority.certificate)?;
        Ok(Issuer {
            subject: facts.subject.der,
            ski: authority.ski.clone(),
            key_type: authority.key_type,
            not_after: authority.not_after,
            crl_url: self.crl_url(authority.id),
            certificate_url: format!("{}/pki/{}/ca.cer", self.options.public_url, authority.id),
            ocsp_url: Some(format!("{}/pki/{}/ocsp", self.options.public_url, authority.id)),
        })
    }

    /// Where an authority's CRL is published.
    pub fn crl_url(&self, authority: AuthorityId) -> String {
        format!("{}/pki/{authority}/crl", self.options.public_url)
    }
}
