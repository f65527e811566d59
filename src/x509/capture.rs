//! Makes rcgen encode without signing, and replaces fields of what it encoded by raw DER.
//!
//! rcgen keeps distinguished names in a map, so repeated attributes (`DC=…,DC=…`) get lost (rustls/rcgen 81), and it
//! takes a key's curve from a signature algorithm (448). Its `SigningKey` gets the whole TBS to sign; ours keeps the
//! bytes, the names and the key are put in byte for byte, and the result exists, and can be linted, before any
//! signature.

use std::cell::Cell;

use rcgen::{CertificateParams, CertificateRevocationListParams, Issuer, KeyIdMethod, PublicKeyData, SigningKey};

use crate::domain::key::AuthorityKeyType;

use super::algorithm;
use super::der::{self, SEQUENCE, write};
use super::error::X509Error;

/// The TBSCertificate that rcgen encodes, with placeholders for issuer, subject and public key.
pub fn certificate(
    params: &CertificateParams,
    issuer_ski: &[u8],
    key_type: AuthorityKeyType,
) -> Result<Vec<u8>, X509Error> {
    let capture = Capture::new(key_type);
    params.signed_by(&capture, &issuer(issuer_ski, &capture))?;
    Ok(capture.content.take())
}

/// The TBSCertList that rcgen encodes, with a placeholder for the issuer.
pub fn crl(
    params: &CertificateRevocationListParams,
    issuer_ski: &[u8],
    key_type: AuthorityKeyType,
) -> Result<Vec<u8>, X509Error> {
    let capture = Capture::new(key_type);
    params.signed_by(&issuer(issuer_ski, &capture))?;
    Ok(capture.content.take())
}

/// A step of a splice.
pub enum Field<'a> {
    /// A field that is there, with its name and the tags it may have, and stays.
    Kept(&'static str, &'static [u8]),
    /// A field that is there, a SEQUENCE, and gives way to this DER.
    Replaced(&'static str, &'a [u8]),
}

/// Puts DER into a SEQUENCE that rcgen wrote. Fails unless it has exactly the expected fields, so that a change in
/// what rcgen writes can never put our DER in a wrong place.
pub fn splice(content: &[u8], fields: &[Field<'_>]) -> Result<Vec<u8>, X509Error> {
    let unexpected = |what, detail: String| X509Error::UnexpectedEncoding { what, detail };
    let mut reader = der::single(content, SEQUENCE, "the encoder's output")?.contents();
    let mut parts = Vec::with_capacity(fields.len());
    for field in fields {
        let (what, tags, replacement) = match field {
            Field::Kept(what, tags) => (*what, *tags, None),
            Field::Replaced(what, der) => (*what, [SEQUENCE].as_slice(), Some(*der)),
        };
        let element = reader.read()?;
        if !tags.contains(&element.tag) {
            return Err(unexpected(what, format!("tag 0x{:02x}", element.tag)));
        }
        parts.push(replacement.unwrap_or(element.whole));
    }
    if !reader.is_empty() {
        return Err(unexpected("field", "more fields than expected".into()));
    }
    Ok(write::sequence(&parts))
}

/// Stands in for the issuer's key: its `sign` only keeps what should be signed.
struct Capture {
    algorithm: &'static rcgen::SignatureAlgorithm,
    content: Cell<Vec<u8>>,
}

impl Capture {
    fn new(key_type: AuthorityKeyType) -> Self {
        Self { algorithm: algorithm::for_encoder(key_type), content: Cell::default() }
    }
}

impl PublicKeyData for Capture {
    fn der_bytes(&self) -> &[u8] {
        &[]
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.algorithm
    }
}

impl SigningKey for Capture {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.content.set(message.to_vec());
        Ok(Vec::new())
    }
}

/// The issuer's key identifier is given, never derived: rcgen knows no SHA-1 method, and derives from the placeholder.
fn issuer<'a>(ski: &[u8], capture: &'a Capture) -> Issuer<'static, &'a Capture> {
    let mut params = CertificateParams::default();
    params.key_identifier_method = KeyIdMethod::PreSpecified(ski.to_vec());
    Issuer::new(params, capture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_splice_refuses_other_fields_than_expected() {
        let content = write::sequence(&[&[0x02, 0x01, 0x05], &[0x30, 0x00]]);
        let (number, list) = (Field::Kept("number", &[0x02]), Field::Kept("list", &[0x30]));
        let replaced = Field::Replaced("name", &[0x30, 0x02, 0x05, 0x00]);
        let spliced = splice(&content, &[Field::Kept("number", &[0x02]), replaced]).unwrap();
        assert_eq!(spliced, [0x30, 7, 2, 1, 5, 0x30, 2, 5, 0]);
        assert!(splice(&content, &[Field::Kept("number", &[0x02]), Field::Kept("set", &[0x31])]).is_err());
        assert!(splice(&content, &[Field::Replaced("name", &[0x30, 0x00]), Field::Kept("list", &[0x30])]).is_err());
        assert!(splice(&content, &[Field::Kept("number", &[0x02])]).is_err());
        assert!(splice(&content, &[number, list, Field::Kept("more", &[0x30])]).is_err());
    }
}
