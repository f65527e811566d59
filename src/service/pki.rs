//! What relying parties fetch: CA certificates, bundles and CRLs. Public, so nothing here takes a permit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::domain::authority::{Authority, Crl};
use crate::domain::id::AuthorityId;
use crate::x509::{pem, pkcs7};

use super::error::Noun;
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
        let id = id.ok_or(ServiceError::NotFound(Noun::Authority))?;
        self.store.authority(id).await?.ok_or(ServiceError::NotFound(Noun::Authority))
    }

    /// An authority and those above it.
    pub async fn public_bundle(&self, id: Option<AuthorityId>) -> Result<Bundle, ServiceError> {
        let mut chain = vec![self.public_authority(id).await?];
        while let Some(parent) = chain.last().and_then(|authority| authority.parent) {
            chain.push(self.public_authority(Some(parent)).await?);
        }
        Ok(Bundle::of(&chain))
    }

    /// The last CRL of an authority. Which one that is comes from the store at each call: nobody may see a status that
    /// its CRL does not show. The bytes are shared by all who fetch them.
    pub async fn public_crl(&self, id: Option<AuthorityId>) -> Result<Arc<PublishedCrl>, ServiceError> {
        let id = id.ok_or(ServiceError::NotFound(Noun::Crl))?;
        let publication = self.store.publication(id).await?.ok_or(ServiceError::NotFound(Noun::Crl))?;
        if let Some(known) = self.crls.find(id, publication.number) {
            return Ok(known);
        }
        let crl = self.store.latest_crl(id).await?.ok_or(ServiceError::NotFound(Noun::Crl))?;
        Ok(self.crls.keep(crl))
    }
}

/// A CRL in the two forms it is fetched in.
#[derive(Debug)]
pub struct PublishedCrl {
    pub authority: AuthorityId,
    pub number: i64,
    pub this_update: DateTime<Utc>,
    pub next_update: DateTime<Utc>,
    der: Bytes,
    pem: OnceLock<Bytes>,
}

impl PublishedCrl {
    pub fn der(&self) -> Bytes {
        self.der.clone()
    }

    pub fn pem(&self) -> Bytes {
        self.pem.get_or_init(|| pem::encode("X509 CRL", &self.der).into()).clone()
    }
}

/// The last CRL of each authority that somebody asked for.
#[derive(Default)]
pub(super) struct Crls(Mutex<HashMap<AuthorityId, Arc<PublishedCrl>>>);

impl Crls {
    const CAPACITY: usize = 1000;

    fn find(&self, authority: AuthorityId, number: i64) -> Option<Arc<PublishedCrl>> {
        let crls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        crls.get(&authority).filter(|crl| crl.number == number).cloned()
    }

    fn keep(&self, crl: Crl) -> Arc<PublishedCrl> {
        let published = Arc::new(PublishedCrl {
            authority: crl.authority,
            number: crl.number,
            this_update: crl.this_update,
            next_update: crl.next_update,
            der: crl.der.into(),
            pem: OnceLock::new(),
        });
        let mut crls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if crls.len() >= Self::CAPACITY {
            crls.clear();
        }
        crls.insert(crl.authority, Arc::clone(&published));
        published
    }
}
