//! The signature algorithm of each kind of authority key: one each, so that nothing is left to choose.

use crate::domain::key::AuthorityKeyType;

use super::der::{DerError, write};
use super::oid;

/// The AlgorithmIdentifier of the signatures that this key makes.
pub fn identifier(key_type: AuthorityKeyType) -> Result<Vec<u8>, DerError> {
    match key_type {
        AuthorityKeyType::P256 => without_parameters(oid::ECDSA_WITH_SHA256),
        AuthorityKeyType::P384 => without_parameters(oid::ECDSA_WITH_SHA384),
        AuthorityKeyType::Ed25519 => without_parameters(oid::ED25519),
        AuthorityKeyType::Rsa2048 | AuthorityKeyType::Rsa3072 | AuthorityKeyType::Rsa4096 => {
            with_null(oid::SHA256_WITH_RSA)
        }
    }
}

/// RFC 5758, 3.2 and RFC 8410, 3: parameters are absent for ECDSA and Ed25519.
pub fn without_parameters(dotted: &str) -> Result<Vec<u8>, DerError> {
    Ok(write::sequence(&[&write::object_identifier(dotted)?]))
}

/// RFC 4055, 5: RSA PKCS#1 has NULL parameters.
pub fn with_null(dotted: &str) -> Result<Vec<u8>, DerError> {
    Ok(write::sequence(&[&write::object_identifier(dotted)?, &write::null()]))
}

/// The encoder's name for the same algorithm.
pub fn for_encoder(key_type: AuthorityKeyType) -> &'static rcgen::SignatureAlgorithm {
    match key_type {
        AuthorityKeyType::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
        AuthorityKeyType::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
        AuthorityKeyType::Ed25519 => &rcgen::PKCS_ED25519,
        AuthorityKeyType::Rsa2048 | AuthorityKeyType::Rsa3072 | AuthorityKeyType::Rsa4096 => &rcgen::PKCS_RSA_SHA256,
    }
}
