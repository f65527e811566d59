//! Writes certificate signing requests (PKCS#10, RFC 2986) for keys that are made here.

use crate::domain::name::AttributeType;
use crate::domain::subject_alternative_name::SubjectAlternativeName;

use super::der::{SET, context_constructed, write};
use super::error::X509Error;
use super::signature::{Digest, SignatureAlgorithm};
use super::{algorithm, extension, general_name, name, oid};

/// Writes a request in DER. `sign` gets the bytes to sign and answers with the signature by `signature_algorithm`,
/// which is one of those that this module can name: ECDSA, RSA PKCS#1 or Ed25519.
pub fn write<E: From<X509Error>>(
    subject: &[(AttributeType, String)],
    names: &[SubjectAlternativeName],
    spki: &[u8],
    signature_algorithm: SignatureAlgorithm,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, E> {
    let subject = name::build(subject)?;
    let attributes = attributes(names)?;
    let info = write::sequence(&[&[0x02, 0x01, 0x00], &subject.der, spki, &attributes]);
    let identifier = identifier(signature_algorithm)?;
    let signature = sign(&info)?;
    Ok(write::sequence(&[&info, &identifier, &write::bit_string(&signature)]))
}

/// An empty subject makes the names the only identity, hence critical (RFC 5280, 4.1.2.6); in a request the flag is
/// but a wish, so it is left out.
fn attributes(names: &[SubjectAlternativeName]) -> Result<Vec<u8>, X509Error> {
    if names.is_empty() {
        return Ok(write::element(context_constructed(0), &[]));
    }
    let extension = extension::write(oid::SUBJECT_ALT_NAME, false, &general_name::write(names))?;
    let kind = write::object_identifier(oid::EXTENSION_REQUEST)?;
    let values = write::element(SET, &write::sequence(&[&extension]));
    Ok(write::element(context_constructed(0), &write::sequence(&[&kind, &values])))
}

fn identifier(algorithm: SignatureAlgorithm) -> Result<Vec<u8>, X509Error> {
    Ok(match algorithm {
        SignatureAlgorithm::RsaPkcs1(Digest::Sha256) => algorithm::with_null(oid::SHA256_WITH_RSA)?,
        SignatureAlgorithm::RsaPkcs1(Digest::Sha384) => algorithm::with_null(oid::SHA384_WITH_RSA)?,
        SignatureAlgorithm::RsaPkcs1(Digest::Sha512) => algorithm::with_null(oid::SHA512_WITH_RSA)?,
        SignatureAlgorithm::Ecdsa(Digest::Sha256) => algorithm::without_parameters(oid::ECDSA_WITH_SHA256)?,
        SignatureAlgorithm::Ecdsa(Digest::Sha384) => algorithm::without_parameters(oid::ECDSA_WITH_SHA384)?,
        SignatureAlgorithm::Ecdsa(Digest::Sha512) => algorithm::without_parameters(oid::ECDSA_WITH_SHA512)?,
        SignatureAlgorithm::Ed25519 => algorithm::without_parameters(oid::ED25519)?,
        SignatureAlgorithm::RsaPss(_) => {
            return Err(X509Error::Content("requests are not written with RSASSA-PSS".into()));
        }
    })
}
