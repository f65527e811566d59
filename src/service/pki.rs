//! What relying parties fetch: CA certificates, bundles and CRLs. Public, so nothing here takes a permit.

use crate::domain::authority::{Authority, Crl};
use crate::domain::id::AuthorityId;
use crate::x509::{pem, pkcs7};

use super::{Service, ServiceError};

/// Certificates of a chain, the signing one first.
#[derive(Clone, Debug)]
pub struct Bundle(Vec<Vec<u8>>);

impl Bundle {
    pub(super) fn of(authorities: &[Authority]) -> Self {
        Self(authorities.iter().map(|authority| authority.certificate.clone()).collect())
    }

    /// Concatenated PEM.
    pub fn pem(&self) -> String {
        self.0.iter().map(|der| pem::encode("CERTIFICATE", der)).collect()
    }

    /// Concatenated DER.
    pub fn der(&self) -> Vec<u8> {
        self.0.concat()
    }

    /// A PKCS#7 SignedData that holds only certificates (RFC 2315, 9.1).
    pub fn pkcs7(&self) -> Vec<u8> {
        let certificates: Vec<&[u8]> = self.0.iter().map(Vec::as_slice).collect();
        pkcs7::bundle(&certificates)
    }
}

impl Service {
    /// An authority, for anybody.
    pub async fn public_authority(&self, id: Option<AuthorityId>) -> Result<Authority, ServiceError> {
        const NOUN: &str = "authority";
        let id = id.ok_or(ServiceError::NotFound(NOUN))?;
        self.store.authority(id).await?.ok_or(ServiceError::NotFound(NOUN))
    }

    /// An authority and those above it.
    pub async fn public_bundle(&self, id: Option<AuthorityId>) -> Result<Bundle, ServiceError> {
        let mut chain = vec![self.public_authority(id).await?];
        while let Some(parent) = chain.last().and_then(|authority| authority.parent) {
            chain.push(self.public_authority(Some(parent)).await?);
        }
        Ok(Bundle::of(&chain))
    }

    /// The last CRL of an authority, always from the store: nobody may see a status that its CRL does not show.
    pub async fn public_crl(&self, id: Option<AuthorityId>) -> Result<Crl, ServiceError> {
        const NOUN: &str = "CRL";
        let id = id.ok_or(ServiceError::NotFound(NOUN))?;
        self.store.latest_crl(id).await?.ok_or(ServiceError::NotFound(NOUN))
    }
}
