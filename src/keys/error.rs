//! What can go wrong with keys. No message ever holds key material.

use crate::x509::error::X509Error;

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The text of a master key has another form.
    #[error("the master key must be 32 bytes, written as 64 hexadecimal digits or 44 characters of base64")]
    MasterKeyForm,
    /// Opening failed: another master key, another record, or changed bytes. AES-GCM cannot tell which.
    #[error(
        "the sealed key cannot be opened: the master key is not the one it was sealed with, or the record was changed"
    )]
    WrongMasterKey,
    /// Sealed by a newer program.
    #[error("the key was sealed in the form {0}, which this version does not know")]
    UnknownSealVersion(i32),
    /// Bytes that are not the private key they should be.
    #[error("the private key was not accepted: {0}")]
    Rejected(String),
    /// An encrypted key under another passphrase.
    #[error("the private key cannot be decrypted: the passphrase is wrong, or its encryption is not supported")]
    WrongPassphrase,
    /// An encryption that is not read here, in words that name it.
    #[error("the encryption is not supported: {0}")]
    UnsupportedEncryption(String),
    /// Parameters that would cost more time or memory than one upload may.
    #[error("the encryption is too costly: {0}")]
    TooCostly(String),
    /// A certificate or CRL that is planned for another key.
    #[error("this key does not sign that: {0}")]
    Mismatch(String),
    /// More slow signatures are waited for than can be made in about a second.
    #[error("too many signatures are waited for")]
    Busy,
    /// The cryptographic library failed, which it does only when randomness or memory is short.
    #[error("the cryptographic library failed to {0}")]
    Library(&'static str),
    #[error(transparent)]
    X509(#[from] X509Error),
}
