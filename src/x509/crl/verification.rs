//! Verifying a CRL that is at hand in parts: a list with a million entries is not copied together for it.

use bytes::Bytes;

use super::super::der::{self, BIT_STRING, DerError, Reader, SEQUENCE};
use super::super::error::X509Error;
use super::super::signature::{self, SignatureAlgorithm};
use super::super::{public_key, signature::verify_document};
use super::EntryList;

/// Whether these parts, one after the other, are a CRL whose signature verifies with the issuer's SubjectPublicKeyInfo.
pub fn verify(head: &[u8], entries: &EntryList, tail: &[u8], issuer_spki: &[u8]) -> Result<(), X509Error> {
    if entries.count() == 0 {
        return verify_document(&[head, tail].concat(), issuer_spki);
    }
    let length = head.len() + entries.length() + tail.len();
    let (announced, content) = der::header(head, SEQUENCE, "the signed structure")?;
    if head.len() - content.len() + announced != length {
        return Err(DerError::Value { what: "the signed structure" }.into());
    }
    let (announced, fields) = der::header(content, SEQUENCE, "the signed content")?;
    let end = head.len() - fields.len() + announced;
    let in_tail = end.checked_sub(head.len() + entries.length()).ok_or(DerError::Truncated)?;
    let (end_of_content, rest) = tail.split_at_checked(in_tail).ok_or(DerError::Truncated)?;

    let mut reader = Reader::new(rest);
    let algorithm = reader.expect(SEQUENCE, "the signature algorithm")?;
    let signature = reader.expect(BIT_STRING, "the signature")?.octet_aligned_bits("the signature")?;
    reader.finish("the signature")?;
    let (key_type, key) = public_key::identify(issuer_spki).map_err(X509Error::Signature)?;
    let algorithm = SignatureAlgorithm::read(&algorithm).map_err(X509Error::Signature)?;
    let (first, last) = (Bytes::copy_from_slice(content), Bytes::copy_from_slice(end_of_content));
    let pieces = std::iter::once(first).chain(entries.pieces()).chain(std::iter::once(last));
    signature::verify_pieces(algorithm, key_type, key, pieces, signature).map_err(X509Error::Signature)
}
