//! Private keys on their way in and out: PKCS#8 in PEM, plain or under a passphrase (PBES2 with scrypt and
//! AES-256-CBC). Documents are of version 1, which OpenSSL 3.0 reads; it does not read version 2.

use pkcs8::der::{Decode, Encode};
use pkcs8::{EncryptedPrivateKeyInfoRef, LineEnding, PrivateKeyInfoRef, SecretDocument};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::error::KeyError;

const PLAIN: &str = "PRIVATE KEY";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// The document in PEM, in the clear.
pub fn to_pem(pkcs8_der: &[u8]) -> Result<Zeroizing<String>, KeyError> {
    version_1(pkcs8_der)?.to_pem(PLAIN, LineEnding::LF).map_err(|_| rejected())
}

/// The document in PEM under a passphrase. scrypt takes some tens of milliseconds: call it on a blocking thread.
pub fn encrypt(pkcs8_der: &[u8], passphrase: &SecretString) -> Result<Zeroizing<String>, KeyError> {
    let document = version_1(pkcs8_der)?;
    let info = PrivateKeyInfoRef::from_der(document.as_bytes()).map_err(|_| rejected())?;
    let encrypted = info.encrypt(passphrase.expose_secret()).map_err(|_| KeyError::Library("encrypt a key"))?;
    encrypted.to_pem(ENCRYPTED, LineEnding::LF).map_err(|_| rejected())
}

/// Reads a key from PEM, encrypted (then with its passphrase) or in the clear; the answer is PKCS#8 of version 1.
pub fn decrypt(pem: &str, passphrase: &SecretString) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let (label, document) = SecretDocument::from_pem(pem).map_err(|error| KeyError::Rejected(error.to_string()))?;
    let document = match label {
        PLAIN => document,
        ENCRYPTED => {
            let encrypted =
                EncryptedPrivateKeyInfoRef::from_der(document.as_bytes()).map_err(|_| KeyError::WrongPassphrase)?;
            encrypted.decrypt(passphrase.expose_secret()).map_err(|_| KeyError::WrongPassphrase)?
        }
        other => {
            return Err(KeyError::Rejected(format!("a PEM block of the type {other} is not PKCS#8 (PRIVATE KEY)")));
        }
    };
    Ok(Zeroizing::new(version_1(document.as_bytes())?.as_bytes().to_vec()))
}

/// Leaves out the public key that version 2 adds (RFC 5958, 2).
fn version_1(pkcs8_der: &[u8]) -> Result<SecretDocument, KeyError> {
    let mut info = PrivateKeyInfoRef::from_der(pkcs8_der).map_err(|_| rejected())?;
    info.public_key = None;
    let der = Zeroizing::new(info.to_der().map_err(|_| rejected())?);
    SecretDocument::try_from(der.as_slice()).map_err(|_| rejected())
}

fn rejected() -> KeyError {
    KeyError::Rejected("it is not a PKCS#8 document".into())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::Ed25519KeyPair;

    use super::*;
    use crate::keys::client_key::{ClientKey, ClientKeyKind};

    #[test]
    fn an_encrypted_key_comes_back_with_its_passphrase_only() {
        let key = ClientKey::generate(ClientKeyKind::P256).unwrap();
        let pem = encrypt(key.pkcs8_der(), &"Grüße".into()).unwrap();
        assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
        assert_eq!(decrypt(&pem, &"Grüße".into()).unwrap().as_slice(), key.pkcs8_der());
        assert!(matches!(decrypt(&pem, &"other".into()), Err(KeyError::WrongPassphrase)));
    }

    #[test]
    fn documents_are_of_version_1() {
        let version_2 = Ed25519KeyPair::generate().unwrap().to_pkcs8().unwrap();
        let plain = to_pem(version_2.as_ref()).unwrap();
        let read = decrypt(&plain, &"".into()).unwrap();
        assert_eq!(read.len(), 48);
        assert!(Ed25519KeyPair::from_pkcs8_maybe_unchecked(&read).is_ok());
    }

    #[test]
    fn other_documents_are_refused() {
        for pem in ["", "garbage", "-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----\n"] {
            assert!(matches!(decrypt(pem, &"".into()), Err(KeyError::Rejected(_))), "{pem}");
        }
        assert!(to_pem(b"\x30\x00").is_err());
    }
}
