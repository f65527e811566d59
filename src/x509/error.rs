//! What can go wrong with bytes of our own making, and with certificates and CRLs that are read back.
//!
//! Faults of a caller's request are not errors of this kind: they are [`crate::domain::violation::Violation`]s.

use super::der::DerError;

#[derive(Debug, thiserror::Error)]
pub enum X509Error {
    /// Bytes that are no strict DER, or not of the structure that is read.
    #[error("malformed DER: {0}")]
    Der(#[from] DerError),
    /// Well-formed bytes that say something they must not.
    #[error("{0}")]
    Content(String),
    /// The encoder refused what it was given.
    #[error("the encoder refused: {0}")]
    Encoder(#[from] rcgen::Error),
    /// The encoder wrote other fields than the splice expects: nothing may be signed.
    #[error("the encoder wrote an unexpected {what}: {detail}")]
    UnexpectedEncoding { what: &'static str, detail: String },
    /// A signature that does not verify, or whose algorithm is not the key's.
    #[error("{0}")]
    Signature(String),
    /// The PKCS#12 file could not be written.
    #[error("PKCS#12: {0}")]
    Pkcs12(String),
}
