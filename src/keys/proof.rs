//! Proofs of possession, as the holder of a certificate's private key makes them: the counterpart of what
//! [`crate::x509::jws`] reads.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, RSA_PSS_SHA256,
};
use serde_json::{Value, json};

use crate::x509::jws::{self, JwsAlgorithm};
use crate::x509::public_key;

use super::error::KeyError;
use super::private_key::PrivateKey;

const FAILED: KeyError = KeyError::Library("sign");

/// A flattened JWS over the payload that answers the challenge, for the address that it is sent to.
pub fn answer(key: &PrivateKey, challenge: &str, url: &str, payload: &Value) -> Result<Value, KeyError> {
    let (key_type, _) = public_key::identify(key.spki()).map_err(KeyError::Rejected)?;
    let algorithm = JwsAlgorithm::of(key_type);
    let protected = jws::protected_header(algorithm, challenge, url);
    let payload = jws::encode(payload.to_string().as_bytes());
    let signature = sign(algorithm, key, jws::signing_input(&protected, &payload).as_bytes())?;
    Ok(json!({"protected": protected, "payload": payload, "signature": jws::encode(&signature)}))
}

fn sign(algorithm: JwsAlgorithm, key: &PrivateKey, message: &[u8]) -> Result<Vec<u8>, KeyError> {
    match algorithm {
        JwsAlgorithm::Es256 => elliptic(&ECDSA_P256_SHA256_FIXED_SIGNING, key, message),
        JwsAlgorithm::Es384 => elliptic(&ECDSA_P384_SHA384_FIXED_SIGNING, key, message),
        JwsAlgorithm::Es512 => elliptic(&ECDSA_P521_SHA512_FIXED_SIGNING, key, message),
        JwsAlgorithm::EdDsa => {
            let pair = Ed25519KeyPair::from_pkcs8(key.pkcs8_der()).map_err(|_| FAILED)?;
            pair.try_sign(message).map(|made| made.as_ref().to_vec()).map_err(|_| FAILED)
        }
        JwsAlgorithm::Rs256 | JwsAlgorithm::Ps256 => {
            let pair = RsaKeyPair::from_pkcs8(key.pkcs8_der()).map_err(|_| FAILED)?;
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(&RSA_PSS_SHA256, &SystemRandom::new(), message, &mut signature).map_err(|_| FAILED)?;
            Ok(signature)
        }
    }
}

fn elliptic(algorithm: &'static EcdsaSigningAlgorithm, key: &PrivateKey, message: &[u8]) -> Result<Vec<u8>, KeyError> {
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, key.pkcs8_der()).map_err(|_| FAILED)?;
    pair.sign(&SystemRandom::new(), message).map(|made| made.as_ref().to_vec()).map_err(|_| FAILED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::client_key::{ClientKey, ClientKeyKind};
    use crate::x509::jws::SignedMessage;

    #[test]
    fn every_kind_of_key_answers_and_is_believed() {
        for kind in ClientKeyKind::ALL.into_iter().filter(|kind| *kind != ClientKeyKind::Rsa4096) {
            let made = ClientKey::generate(kind).unwrap();
            let key = PrivateKey::from_pkcs8(made.pkcs8_der()).unwrap();
            let message = answer(&key, "challenge", "https://ca.example/x", &json!({"serial_number": "1"})).unwrap();
            let read = SignedMessage::read(message.to_string().as_bytes()).unwrap();
            assert_eq!((read.nonce(), read.url()), ("challenge", "https://ca.example/x"));
            assert_eq!(read.payload(), br#"{"serial_number":"1"}"#);
            assert!(read.verify(Some(made.spki())).is_some(), "{kind:?}");
        }
    }
}
