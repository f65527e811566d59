//! A certificate with what stands above it, in the forms in which programs want it.

use crate::domain::authority::Authority;
use crate::domain::certificate::Certificate;

use super::access::{IssueCertificate, ReadCertificates, ZonePermit};
use super::pki::Bundle;
use super::{Service, ServiceError};

impl Service {
    /// The authorities above a certificate, its issuer first.
    pub async fn authorities_above(
        &self,
        _permit: &ZonePermit<ReadCertificates>,
        certificate: &Certificate,
    ) -> Result<Vec<Authority>, ServiceError> {
        self.above(certificate).await
    }

    /// The certificate, then its issuers. The root is not sent in a handshake (RFC 8446, 4.4.2), and therefore left out of
    /// what servers and clients are given to present; `with_root` has all of it.
    pub async fn certificate_chain(
        &self,
        permit: &ZonePermit<ReadCertificates>,
        certificate: &Certificate,
        with_root: bool,
    ) -> Result<Bundle, ServiceError> {
        let mut above = self.authorities_above(permit, certificate).await?;
        above.retain(|authority| with_root || !authority.is_root());
        Ok(Bundle::of(&above).below(certificate.der.clone()))
    }

    /// What a client presents, for whoever just had the certificate issued: they may not be able to read it later.
    pub async fn issued_chain(
        &self,
        _permit: &ZonePermit<IssueCertificate>,
        certificate: &Certificate,
    ) -> Result<Bundle, ServiceError> {
        let mut above = self.above(certificate).await?;
        above.retain(|authority| !authority.is_root());
        Ok(Bundle::of(&above).below(certificate.der.clone()))
    }

    async fn above(&self, certificate: &Certificate) -> Result<Vec<Authority>, ServiceError> {
        let mut chain = vec![self.public_authority(Some(certificate.authority)).await?];
        while let Some(parent) = chain.last().and_then(|authority| authority.parent) {
            chain.push(self.public_authority(Some(parent)).await?);
        }
        Ok(chain)
    }
}
