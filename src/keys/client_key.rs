//! Keys that the command line makes for a client: never stored by the service, never seen by it.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::domain::name::AttributeType;
use crate::domain::subject_alternative_name::SubjectAlternativeName;
use crate::x509::signature::{Digest, SignatureAlgorithm};
use crate::x509::{pem, request_writer};

use super::error::KeyError;
use super::pkcs8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKeyKind {
    P256,
    P384,
    P521,
    Rsa2048,
    Rsa3072,
    Rsa4096,
    Ed25519,
}

/// A client's private key. It cannot be printed.
pub struct ClientKey {
    kind: ClientKeyKind,
    key: Key,
    pkcs8: Zeroizing<Vec<u8>>,
    spki: Vec<u8>,
}

enum Key {
    Elliptic(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl ClientKeyKind {
    pub const ALL: [Self; 7] =
        [Self::P256, Self::P384, Self::P521, Self::Rsa2048, Self::Rsa3072, Self::Rsa4096, Self::Ed25519];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::P521 => "p521",
            Self::Rsa2048 => "rsa2048",
            Self::Rsa3072 => "rsa3072",
            Self::Rsa4096 => "rsa4096",
            Self::Ed25519 => "ed25519",
        }
    }

    /// Reads the word case-insensitively; a dash (`P-256`, `rsa-2048`) is accepted.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.to_ascii_lowercase().replace('-', "");
        Self::ALL.into_iter().find(|kind| kind.as_str() == plain)
    }
}

impl ClientKey {
    /// Makes a key. RSA takes up to seconds.
    pub fn generate(kind: ClientKeyKind) -> Result<Self, KeyError> {
        const FAILED: KeyError = KeyError::Library("generate a key");
        let kept = |document: &[u8]| Zeroizing::new(document.to_vec());
        let (key, pkcs8, spki) = match parameters(kind) {
            Parameters::Elliptic(curve) => {
                let key = EcdsaKeyPair::generate(curve).map_err(|_| FAILED)?;
                let pkcs8 = kept(key.to_pkcs8v1().map_err(|_| FAILED)?.as_ref());
                let spki = spki(key.public_key())?;
                (Key::Elliptic(key), pkcs8, spki)
            }
            Parameters::Ed25519 => {
                let key = Ed25519KeyPair::generate().map_err(|_| FAILED)?;
                let pkcs8 = kept(key.to_pkcs8v1().map_err(|_| FAILED)?.as_ref());
                let spki = spki(key.public_key())?;
                (Key::Ed25519(key), pkcs8, spki)
            }
            Parameters::Rsa(size) => {
                let key = RsaKeyPair::generate(size).map_err(|_| FAILED)?;
                let document: Pkcs8V1Der<'_> = key.as_der().map_err(|_| FAILED)?;
                let (pkcs8, spki) = (kept(document.as_ref()), spki(key.public_key())?);
                (Key::Rsa(key), pkcs8, spki)
            }
        };
        Ok(Self { kind, key, pkcs8, spki })
    }

    /// A certificate signing request in PEM for this key.
    pub fn certification_request(
        &self,
        subject: &[(AttributeType, String)],
        names: &[SubjectAlternativeName],
    ) -> Result<String, KeyError> {
        let sign = |message: &[u8]| self.sign(message);
        let der = request_writer::write(subject, names, &self.spki, self.signature_algorithm(), sign)?;
        Ok(pem::encode("CERTIFICATE REQUEST", &der))
    }

    /// PKCS#8 (version 1) in PEM, in the clear.
    pub fn to_pkcs8_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        pkcs8::to_pem(&self.pkcs8)
    }

    /// PKCS#8 in PEM under a passphrase.
    pub fn to_encrypted_pkcs8_pem(&self, passphrase: &SecretString) -> Result<Zeroizing<String>, KeyError> {
        pkcs8::encrypt(&self.pkcs8, passphrase)
    }

    /// PKCS#8 (version 1) in DER, in the clear: for a PKCS#12 file.
    pub fn pkcs8_der(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The SubjectPublicKeyInfo in DER.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    pub fn kind(&self) -> ClientKeyKind {
        self.kind
    }

    fn signature_algorithm(&self) -> SignatureAlgorithm {
        match self.kind {
            ClientKeyKind::P256 => SignatureAlgorithm::Ecdsa(Digest::Sha256),
            ClientKeyKind::P384 => SignatureAlgorithm::Ecdsa(Digest::Sha384),
            ClientKeyKind::P521 => SignatureAlgorithm::Ecdsa(Digest::Sha512),
            ClientKeyKind::Ed25519 => SignatureAlgorithm::Ed25519,
            ClientKeyKind::Rsa2048 | ClientKeyKind::Rsa3072 | ClientKeyKind::Rsa4096 => {
                SignatureAlgorithm::RsaPkcs1(Digest::Sha256)
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        const FAILED: KeyError = KeyError::Library("sign");
        let random = SystemRandom::new();
        match &self.key {
            Key::Elliptic(key) => key.sign(&random, message).map(|made| made.as_ref().to_vec()).map_err(|_| FAILED),
            Key::Ed25519(key) => key.try_sign(message).map(|made| made.as_ref().to_vec()).map_err(|_| FAILED),
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(|_| FAILED)?;
                Ok(signature)
            }
        }
    }
}

enum Parameters {
    Elliptic(&'static EcdsaSigningAlgorithm),
    Ed25519,
    Rsa(KeySize),
}

fn parameters(kind: ClientKeyKind) -> Parameters {
    match kind {
        ClientKeyKind::P256 => Parameters::Elliptic(&ECDSA_P256_SHA256_ASN1_SIGNING),
        ClientKeyKind::P384 => Parameters::Elliptic(&ECDSA_P384_SHA384_ASN1_SIGNING),
        ClientKeyKind::P521 => Parameters::Elliptic(&ECDSA_P521_SHA512_ASN1_SIGNING),
        ClientKeyKind::Rsa2048 => Parameters::Rsa(KeySize::Rsa2048),
        ClientKeyKind::Rsa3072 => Parameters::Rsa(KeySize::Rsa3072),
        ClientKeyKind::Rsa4096 => Parameters::Rsa(KeySize::Rsa4096),
        ClientKeyKind::Ed25519 => Parameters::Ed25519,
    }
}

fn spki(key: &impl AsDer<PublicKeyX509Der<'static>>) -> Result<Vec<u8>, KeyError> {
    key.as_der().map(|der| der.as_ref().to_vec()).map_err(|_| KeyError::Library("encode a public key"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x509::csr;

    #[test]
    fn requests_of_every_kind_of_key_are_accepted_by_our_own_reader() {
        for kind in ClientKeyKind::ALL.into_iter().filter(|kind| *kind != ClientKeyKind::Rsa4096) {
            let key = ClientKey::generate(kind).unwrap();
            let subject = [(AttributeType::CommonName, "device".to_owned())];
            let names = [SubjectAlternativeName::Dns("device.example".into())];
            let pem = key.certification_request(&subject, &names).unwrap();
            let request = csr::parse(&pem).unwrap();
            assert_eq!(request.pem, pem);
            assert_eq!(request.subject.to_string(), "CN=device");
            assert_eq!(request.subject_alternative_names, names);
            assert_eq!(request.public_key.spki, key.spki());
            assert_eq!(request.public_key.key_type.to_string(), kind.as_str());
        }
    }

    #[test]
    fn kinds_are_read_with_and_without_a_dash() {
        assert_eq!(ClientKeyKind::parse("P-521"), Some(ClientKeyKind::P521));
        assert_eq!(ClientKeyKind::parse("RSA2048"), Some(ClientKeyKind::Rsa2048));
        assert_eq!(ClientKeyKind::parse("rsa1024"), None);
    }
}
