//! What relying parties fetch: CA certificates, bundles and CRLs. Public, so nothing here takes a permit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::domain::authority::{Authority, AuthorityState, Crl, CrlBody, CrlScope};
use crate::domain::id::{AuthorityId, ZoneId};
use crate::x509;
use crate::x509::crl::EntryList;
use crate::x509::{pem, pkcs7};

use super::authority_locks::AuthorityLocks;
use super::error::Noun;
use super::revocation_lists::{RevocationList, off_thread};
use super::{Service, ServiceError};

/// How often a CRL and its list are read again because another publication came in between.
const MAX_READINGS: usize = 8;

/// Certificates of a chain, the signing one first.
#[derive(Clone, Debug)]
pub struct Bundle(Vec<Vec<u8>>);

impl Bundle {
    pub(super) fn of(authorities: &[Authority]) -> Self {
        Self(authorities.iter().map(|authority| authority.certificate.clone()).collect())
    }

    /// The same below a certificate that the first of them signed.
    pub(super) fn below(mut self, certificate: Vec<u8>) -> Self {
        self.0.insert(0, certificate);
        self
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

    /// The last CRL of an authority over everything, over what changed, or over a shard. Which one that is comes from the
    /// store at each call: nobody may see a status that its CRL does not show. The bytes are shared by all who fetch them.
    pub async fn public_crl(
        &self,
        id: Option<AuthorityId>,
        scope: CrlScope,
    ) -> Result<Arc<PublishedCrl>, ServiceError> {
        let id = id.ok_or(ServiceError::NotFound(Noun::Crl))?;
        let number = self.store.crl_number(id, scope).await?.ok_or(ServiceError::NotFound(Noun::Crl))?;
        if let Some(known) = self.crls.find(id, scope, number) {
            return Ok(known);
        }
        // Putting a long one together and verifying it takes a while: whoever else wants it meanwhile waits for the same one.
        let _turn = self.crls.reading.lock(id).await;
        if let Some(known) = self.crls.find(id, scope, number) {
            return Ok(known);
        }
        let authority = self.public_authority(Some(id)).await?;
        // The list in memory runs on while publications follow each other: both must be of the same one.
        for _ in 0..MAX_READINGS {
            let (crl, number) = self.store.crl(id, scope).await?.ok_or(ServiceError::NotFound(Noun::Crl))?;
            let entries = match &crl.body {
                CrlBody::Whole(_) => EntryList::default(),
                CrlBody::Around { .. } => {
                    let list = self.revocation_list(&authority).await?;
                    if list.number != number {
                        continue;
                    }
                    list.entries(scope)
                }
            };
            let published = Arc::new(PublishedCrl::of(crl, entries));
            self.require_signature(&authority, &published).await?;
            return Ok(self.crls.keep(published));
        }
        Err(ServiceError::Unavailable("CRLs are being published faster than they can be read".into()))
    }

    /// The last complete CRL of every authority in a zone's chain, the signing one first: what servers want in one file.
    pub async fn public_crl_chain(&self, zone: Option<ZoneId>) -> Result<Vec<Arc<PublishedCrl>>, ServiceError> {
        let zone = zone.ok_or(ServiceError::NotFound(Noun::Crl))?;
        let mut authorities = self.store.zone_authorities(zone).await?;
        authorities.retain(|authority| authority.state != AuthorityState::Disabled);
        authorities.reverse();
        let mut next = 0;
        while let Some(parent) = authorities.get(next).map(|authority| authority.parent) {
            if let Some(parent) = parent.filter(|parent| authorities.iter().all(|known| known.id != *parent)) {
                authorities.push(self.public_authority(Some(parent)).await?);
            }
            next += 1;
        }
        if authorities.is_empty() {
            return Err(ServiceError::NotFound(Noun::Crl));
        }
        let mut chain = Vec::with_capacity(authorities.len());
        for authority in &authorities {
            chain.push(self.public_crl(Some(authority.id), CrlScope::Complete).await?);
        }
        Ok(chain)
    }

    /// A CRL that is put together from its parts leaves only if its signature verifies: a fault of ours in between must not
    /// make every relying party refuse everybody. One that does not is signed anew.
    async fn require_signature(
        &self,
        authority: &Authority,
        published: &Arc<PublishedCrl>,
    ) -> Result<(), ServiceError> {
        let issuer_spki = x509::certificate::read(&authority.certificate)?.spki;
        let crl = Arc::clone(published);
        let verified = off_thread(move || {
            x509::crl::verify(&crl.head, &crl.entries, &crl.tail, &issuer_spki).map_err(ServiceError::from)
        });
        if let Err(error) = verified.await {
            tracing::error!(%error, authority = %authority.id, number = published.number, "a CRL does not verify; it will be signed anew");
            self.store.call_for_publication(authority.id).await?;
            self.work.notify_one();
            return Err(ServiceError::Unavailable("the CRL is being signed anew".into()));
        }
        Ok(())
    }
}

/// A CRL as it is fetched, in pieces that share the memory of the list they come from.
#[derive(Debug)]
pub struct PublishedCrl {
    pub authority: AuthorityId,
    pub scope: CrlScope,
    pub number: i64,
    pub this_update: DateTime<Utc>,
    pub next_update: DateTime<Utc>,
    head: Bytes,
    entries: EntryList,
    tail: Bytes,
}

impl PublishedCrl {
    fn of(crl: Crl, entries: EntryList) -> Self {
        let (head, tail) = match crl.body {
            CrlBody::Whole(der) => (der, Vec::new()),
            CrlBody::Around { head, tail, .. } => (head, tail),
        };
        Self {
            authority: crl.authority,
            scope: crl.scope,
            number: crl.number,
            this_update: crl.this_update,
            next_update: crl.next_update,
            head: head.into(),
            entries,
            tail: tail.into(),
        }
    }

    /// Its length in DER, in octets.
    pub fn length(&self) -> usize {
        self.head.len() + self.entries.length() + self.tail.len()
    }

    /// Its DER, one piece after the other.
    pub fn pieces(&self) -> impl Iterator<Item = Bytes> + use<> {
        let entries: Vec<Bytes> = self.entries.pieces().collect();
        std::iter::once(self.head.clone()).chain(entries).chain(std::iter::once(self.tail.clone()))
    }

    /// Its DER, copied together.
    pub fn der(&self) -> Vec<u8> {
        self.pieces().collect::<Vec<_>>().concat()
    }
}

/// The last CRL of each scope that somebody asked for or that was signed here.
#[derive(Default)]
pub(super) struct Crls {
    known: Mutex<HashMap<(AuthorityId, CrlScope), Arc<PublishedCrl>>>,
    reading: AuthorityLocks,
}

impl Crls {
    const CAPACITY: usize = 5000;

    fn find(&self, authority: AuthorityId, scope: CrlScope, number: i64) -> Option<Arc<PublishedCrl>> {
        let crls = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        crls.get(&(authority, scope)).filter(|crl| crl.number == number).cloned()
    }

    /// Keeps what was just signed and stored here.
    pub(super) fn keep_signed(&self, crls: Vec<Crl>, list: &RevocationList) {
        for crl in crls {
            let entries = list.entries(crl.scope);
            self.keep(Arc::new(PublishedCrl::of(crl, entries)));
        }
    }

    fn keep(&self, published: Arc<PublishedCrl>) -> Arc<PublishedCrl> {
        let key = (published.authority, published.scope);
        let mut crls = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if crls.len() >= Self::CAPACITY && !crls.contains_key(&key) {
            crls.clear();
        }
        crls.insert(key, Arc::clone(&published));
        published
    }
}
