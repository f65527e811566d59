//! The authority that a request means, by the hashes of its name and key (RFC 6960, 4.1.1).

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

use crate::domain::serial::SerialNumber;

use super::super::der::{DerError, write};
use super::super::error::X509Error;
use super::super::{certificate, oid, public_key};
use super::request::{CertId, CertIdForm};

/// Hashes of an authority's name and key, as its certificate has them.
#[derive(Clone, Debug)]
pub struct IssuerHashes {
    sha1: Hashes,
    sha256: Hashes,
}

#[derive(Clone, Debug)]
struct Hashes {
    name: Vec<u8>,
    key: Vec<u8>,
}

impl IssuerHashes {
    /// Calculates them from the authority's certificate in DER.
    pub fn of(authority: &[u8]) -> Result<Self, X509Error> {
        let facts = certificate::read(authority)?;
        let (_, key) = public_key::identify(&facts.spki).map_err(X509Error::Content)?;
        let hashes = |algorithm| {
            let hash = |octets| digest::digest(algorithm, octets).as_ref().to_vec();
            Hashes { name: hash(facts.subject.der.as_slice()), key: hash(key) }
        };
        Ok(Self { sha1: hashes(&SHA1_FOR_LEGACY_USE_ONLY), sha256: hashes(&SHA256) })
    }

    /// The CertID in DER of one of this authority's certificates, with SHA-256.
    pub fn cert_id(&self, serial: &SerialNumber) -> Result<Vec<u8>, DerError> {
        let algorithm = write::sequence(&[&write::object_identifier(oid::SHA256)?]);
        let (name, key) = (write::octet_string(&self.sha256.name), write::octet_string(&self.sha256.key));
        Ok(write::sequence(&[&algorithm, &name, &key, &write::unsigned_integer(serial.as_bytes())]))
    }

    /// The form of the CertID, if it means a certificate of this authority in a hash algorithm that is known.
    pub fn form_of(&self, cert_id: &CertId<'_>) -> Option<CertIdForm> {
        let form = cert_id.form?;
        let hashes = if form.is_sha1() { &self.sha1 } else { &self.sha256 };
        let is_ours = cert_id.issuer_name_hash == hashes.name && cert_id.issuer_key_hash == hashes.key;
        is_ours.then_some(form)
    }
}
