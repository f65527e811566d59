//! Keys that OpenSSL encrypted inside PEM, before PKCS#8: `Proc-Type: 4,ENCRYPTED` and `DEK-Info` (RFC 1421, 4.6).

use zeroize::Zeroizing;

use crate::keys::error::KeyError;
use crate::x509::pem::bundle::Block;

use super::derivation::{Password, openssl_pem};
use super::encryption::Cipher;

/// Whether the block says that it is encrypted.
pub fn is_encrypted(block: &Block) -> bool {
    block.header("DEK-Info").is_some() || block.header("Proc-Type").is_some_and(|kind| kind.ends_with("ENCRYPTED"))
}

/// The DER in the block. A wrong passphrase mostly shows in the padding, and else the DER is none.
pub fn decrypt(block: &Block, password: &Password) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let malformed =
        || KeyError::Rejected("its DEK-Info line is malformed; it reads like DEK-Info: AES-256-CBC,0123…".into());
    let (name, vector) = block.header("DEK-Info").and_then(|info| info.split_once(',')).ok_or_else(malformed)?;
    let cipher = cipher(name)?;
    let vector =
        hex::decode(vector).ok().filter(|vector| vector.len() == cipher.block_length()).ok_or_else(malformed)?;
    // OpenSSL takes the first half of the initial vector for the salt.
    let salt = vector.get(..8).ok_or_else(malformed)?;
    let key = openssl_pem(&password.text, salt, cipher.key_length());
    cipher.decrypt(&key, &vector, &block.der)
}

fn cipher(name: &str) -> Result<Cipher, KeyError> {
    match name.to_ascii_uppercase().as_str() {
        "AES-128-CBC" => Ok(Cipher::Aes128),
        "AES-192-CBC" => Ok(Cipher::Aes192),
        "AES-256-CBC" => Ok(Cipher::Aes256),
        "DES-EDE3-CBC" => Ok(Cipher::TripleDes),
        other => {
            let shown: String = other.chars().filter(|character| character.is_ascii_graphic()).take(30).collect();
            Err(KeyError::UnsupportedEncryption(format!("{shown} in the old PEM format")))
        }
    }
}
