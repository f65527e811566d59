//! The key of an authority or of its OCSP responder, and the only three things it does: sign a linted certificate, sign a
//! CRL, and sign an OCSP answer.

use std::sync::Arc;

use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use bytes::Bytes;
use zeroize::Zeroizing;

use crate::domain::key::{AuthorityKeyType, PublicKey};
use crate::domain::plan::PlanKind;
use crate::x509::certificate::SignedCertificate;
use crate::x509::crl::{CrlTbs, SignedCrl};
use crate::x509::lint::LintedTbs;
use crate::x509::ocsp::response::{OcspTbs, SignedOcsp};
use crate::x509::public_key;

use super::error::KeyError;
use super::turns::{self, Patience};

/// From this length on, hashing alone takes about a millisecond.
const LONG_MESSAGE: usize = 1 << 20;

/// An authority's private key in memory. Cloning shares it. It cannot be printed; the library overwrites it when the
/// last clone goes.
#[derive(Clone)]
pub struct Signer {
    key_type: AuthorityKeyType,
    public_key: PublicKey,
    key: Key,
}

/// One arm for each kind of key store; hardware modules will be further ones, which is why signing is asynchronous.
#[derive(Clone)]
enum Key {
    Elliptic(Arc<EcdsaKeyPair>),
    Ed25519(Arc<Ed25519KeyPair>),
    Rsa(Arc<RsaKeyPair>),
}

impl Signer {
    /// Makes a key. Beside it, its PKCS#8 document (version 1), to be sealed and forgotten. RSA takes up to seconds:
    /// call it on a blocking thread.
    pub fn generate(key_type: AuthorityKeyType) -> Result<(Self, Zeroizing<Vec<u8>>), KeyError> {
        let pkcs8 = generate_pkcs8(key_type)?;
        Ok((Self::from_pkcs8(key_type, &pkcs8)?, pkcs8))
    }

    /// Takes a key from its PKCS#8 document. A key of another type than the authority's is refused.
    pub fn from_pkcs8(key_type: AuthorityKeyType, pkcs8: &[u8]) -> Result<Self, KeyError> {
        let (key, spki) = load(key_type, pkcs8)?;
        let public_key = public_key::check(&spki).map_err(|faults| KeyError::Rejected(faults.join("; ")))?;
        Ok(Self { key_type, public_key, key })
    }

    pub fn public_key(&self) -> PublicKey {
        self.public_key.clone()
    }

    pub fn key_type(&self) -> AuthorityKeyType {
        self.key_type
    }

    /// Signs a certificate that was planned for an issuer with this key.
    pub async fn sign_certificate(&self, tbs: LintedTbs) -> Result<SignedCertificate, KeyError> {
        self.check_key_type(tbs.plan().issuer.key_type)?;
        let is_self_signed = matches!(tbs.plan().kind, PlanKind::Authority { self_signed: true, .. });
        if is_self_signed && tbs.plan().public_key.spki != self.public_key.spki {
            return Err(KeyError::Mismatch("a self-signed certificate is signed with the key that it holds".into()));
        }
        let length = tbs.der().len();
        self.run(length, Patience::Bounded, move |signer| {
            let signature = signer.sign(tbs.der())?;
            Ok(tbs.seal(&signature)?)
        })
        .await
    }

    /// Signs a CRL that was planned for an issuer with this key.
    pub async fn sign_crl(&self, tbs: CrlTbs) -> Result<SignedCrl, KeyError> {
        self.check_key_type(tbs.key_type())?;
        self.run(tbs.length(), Patience::Endless, move |signer| {
            let signature = signer.sign_pieces(tbs.pieces())?;
            Ok(tbs.seal(&signature)?)
        })
        .await
    }

    /// Signs an OCSP answer that names this key as the responder's.
    pub async fn sign_ocsp(&self, tbs: OcspTbs) -> Result<SignedOcsp, KeyError> {
        self.check_key_type(tbs.key_type())?;
        if tbs.responder_key() != self.public_key.ski {
            return Err(KeyError::Mismatch("the answer names another responder's key".into()));
        }
        let length = tbs.der().len();
        self.run(length, Patience::Bounded, move |signer| {
            let signature = signer.sign(tbs.der())?;
            Ok(tbs.seal(&signature)?)
        })
        .await
    }

    fn check_key_type(&self, planned: AuthorityKeyType) -> Result<(), KeyError> {
        if planned == self.key_type {
            return Ok(());
        }
        Err(KeyError::Mismatch(format!("it is planned for a key of type {planned}, and this is {}", self.key_type)))
    }

    /// Signs here and now where that takes some tens of microseconds, less than a way to another thread and back. RSA
    /// takes hundreds and more, and a CRL with a million entries has fifty megabytes to hash: those take turns on threads
    /// of their own, so that they do not hold up what else the asynchronous worker has to do.
    async fn run<T, F>(&self, length: usize, patience: Patience, work: F) -> Result<T, KeyError>
    where
        T: Send + 'static,
        F: FnOnce(&Self) -> Result<T, KeyError> + Send + 'static,
    {
        if length < LONG_MESSAGE && !matches!(self.key, Key::Rsa(_)) {
            return work(self);
        }
        let signer = self.clone();
        turns::take(patience, move || work(&signer)).await
    }

    /// Private on purpose: nothing that was not linted gets a signature.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        const FAILED: KeyError = KeyError::Library("sign");
        match &self.key {
            Key::Elliptic(key) => {
                key.sign(&SystemRandom::new(), message).map(|signature| signature.as_ref().to_vec()).map_err(|_| FAILED)
            }
            Key::Ed25519(key) => key.try_sign(message).map(|signature| signature.as_ref().to_vec()).map_err(|_| FAILED),
            Key::Rsa(key) => sign_rsa(key, message),
        }
    }
}

impl Signer {
    /// Signs a message in pieces, without copying it together where the algorithm signs a digest. Ed25519 goes over the
    /// message twice (RFC 8032, 5.1.6).
    fn sign_pieces(&self, pieces: impl Iterator<Item = Bytes>) -> Result<Vec<u8>, KeyError> {
        const FAILED: KeyError = KeyError::Library("sign");
        let digest = |algorithm, pieces: &mut dyn Iterator<Item = Bytes>| {
            let mut context = digest::Context::new(algorithm);
            pieces.for_each(|piece| context.update(&piece));
            context.finish()
        };
        let mut pieces = pieces;
        match &self.key {
            Key::Elliptic(key) => {
                let algorithm = if self.key_type == AuthorityKeyType::P384 { &digest::SHA384 } else { &digest::SHA256 };
                let signature = key.sign_digest(&digest(algorithm, &mut pieces)).map_err(|_| FAILED)?;
                Ok(signature.as_ref().to_vec())
            }
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                let digest = digest(&digest::SHA256, &mut pieces);
                key.sign_digest(&RSA_PKCS1_SHA256, &digest, &mut signature).map_err(|_| FAILED)?;
                Ok(signature)
            }
            Key::Ed25519(_) => self.sign(&pieces.collect::<Vec<_>>().concat()),
        }
    }
}

fn sign_rsa(key: &RsaKeyPair, message: &[u8]) -> Result<Vec<u8>, KeyError> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
        .map_err(|_| KeyError::Library("sign"))?;
    Ok(signature)
}

fn generate_pkcs8(key_type: AuthorityKeyType) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    const FAILED: KeyError = KeyError::Library("generate a key");
    let kept = |document: &[u8]| Zeroizing::new(document.to_vec());
    if let Some(curve) = curve(key_type) {
        let key = EcdsaKeyPair::generate(curve).map_err(|_| FAILED)?;
        return key.to_pkcs8v1().map(|document| kept(document.as_ref())).map_err(|_| FAILED);
    }
    let Some(size) = rsa_size(key_type) else {
        let key = Ed25519KeyPair::generate().map_err(|_| FAILED)?;
        return key.to_pkcs8v1().map(|document| kept(document.as_ref())).map_err(|_| FAILED);
    };
    let key = RsaKeyPair::generate(size).map_err(|_| FAILED)?;
    let document: Pkcs8V1Der<'_> = key.as_der().map_err(|_| FAILED)?;
    Ok(kept(document.as_ref()))
}

fn load(key_type: AuthorityKeyType, pkcs8: &[u8]) -> Result<(Key, Vec<u8>), KeyError> {
    let rejected =
        |error: aws_lc_rs::error::KeyRejected| KeyError::Rejected(format!("it is no {key_type} key ({error})"));
    if let Some(curve) = curve(key_type) {
        let key = EcdsaKeyPair::from_pkcs8(curve, pkcs8).map_err(rejected)?;
        let spki = spki(key.public_key())?;
        return Ok((Key::Elliptic(Arc::new(key)), spki));
    }
    let Some(size) = rsa_size(key_type) else {
        let key = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(rejected)?;
        let spki = spki(key.public_key())?;
        return Ok((Key::Ed25519(Arc::new(key)), spki));
    };
    let key = RsaKeyPair::from_pkcs8(pkcs8).map_err(rejected)?;
    if key.public_modulus_len() != size.len() {
        return Err(KeyError::Rejected(format!(
            "it is no {key_type} key: its modulus has {} octets",
            key.public_modulus_len()
        )));
    }
    let spki = spki(key.public_key())?;
    Ok((Key::Rsa(Arc::new(key)), spki))
}

fn spki(key: &impl AsDer<PublicKeyX509Der<'static>>) -> Result<Vec<u8>, KeyError> {
    key.as_der().map(|der| der.as_ref().to_vec()).map_err(|_| KeyError::Library("encode a public key"))
}

fn curve(key_type: AuthorityKeyType) -> Option<&'static EcdsaSigningAlgorithm> {
    match key_type {
        AuthorityKeyType::P256 => Some(&ECDSA_P256_SHA256_ASN1_SIGNING),
        AuthorityKeyType::P384 => Some(&ECDSA_P384_SHA384_ASN1_SIGNING),
        _ => None,
    }
}

fn rsa_size(key_type: AuthorityKeyType) -> Option<KeySize> {
    match key_type {
        AuthorityKeyType::Rsa2048 => Some(KeySize::Rsa2048),
        AuthorityKeyType::Rsa3072 => Some(KeySize::Rsa3072),
        AuthorityKeyType::Rsa4096 => Some(KeySize::Rsa4096),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
