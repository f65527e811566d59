//! Private keys that were made elsewhere and are used by TLS here.
//!
//! Whatever form a key comes in, it is kept in one: PKCS#8 of version 1, as the cryptographic library writes it after it
//! has checked that the numbers belong together. So what is stored today is read tomorrow.

pub mod derivation;
pub mod encryption;
pub mod legacy_pem;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair,
};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::x509::der::{
    self, DerError, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, Tlv, context_constructed, write,
};
use crate::x509::{oid, public_key};

use super::error::KeyError;

const ACCEPTED: &str = "usable are RSA of 2048 to 8192 bits, P-256, P-384, P-521 and Ed25519";
const RSA_BITS: std::ops::RangeInclusive<u64> = 2048..=8192;

/// A private key of a kind that TLS clients use. It cannot be printed or serialised.
pub struct PrivateKey {
    pkcs8: Zeroizing<Vec<u8>>,
    spki: Vec<u8>,
    key_type: String,
}

impl PrivateKey {
    /// Reads PKCS#8 of version 1 or 2 (RFC 5958). Attributes and the public key of version 2 are left out.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let (algorithm, key) = split(der).map_err(|error| rejected(format!("it is not PKCS#8: {error}")))?;
        let mut fields = algorithm.contents();
        let kind = fields.expect(OBJECT_IDENTIFIER, "the algorithm").and_then(|kind| kind.object_identifier());
        match kind.map_err(malformed)?.as_ref() {
            oid::RSA_ENCRYPTION => Self::from_pkcs1(key),
            oid::EC_PUBLIC_KEY => {
                let parameters = fields.read().map_err(malformed)?;
                Self::elliptic(&[parameters.whole], key)
            }
            oid::ED25519 => Self::ed25519(&document(algorithm.whole, key)),
            oid::RSASSA_PSS => Err(rejected(format!("it is an RSA key for RSASSA-PSS only; {ACCEPTED}"))),
            other => Err(rejected(format!("it is a key of the type {}; {ACCEPTED}", oid::name(other)))),
        }
    }

    /// Reads an RSAPrivateKey (RFC 8017, A.1.2), the contents of `RSA PRIVATE KEY`.
    pub fn from_pkcs1(der: &[u8]) -> Result<Self, KeyError> {
        let (primes, bits) = rsa_facts(der).map_err(malformed)?;
        if !RSA_BITS.contains(&bits) {
            return Err(rejected(format!("it is an RSA key of {bits} bits; {ACCEPTED}")));
        }
        if primes != 0 {
            return Err(rejected("it is an RSA key of more than two primes, which is not supported".into()));
        }
        let key =
            RsaKeyPair::from_der(der).map_err(|_| rejected("the numbers of the RSA key do not fit together".into()))?;
        let document: Pkcs8V1Der<'_> = key.as_der().map_err(|_| KeyError::Library("encode a private key"))?;
        Self::finish(document.as_ref())
    }

    /// Reads an ECPrivateKey (RFC 5915), the contents of `EC PRIVATE KEY`. `parameters` are those of an
    /// `EC PARAMETERS` block before it, for keys that do not name their curve.
    pub fn from_sec1(der: &[u8], parameters: Option<&[u8]>) -> Result<Self, KeyError> {
        let own = sec1_parameters(der).map_err(malformed)?;
        if let Some(parameters) = own.or(parameters) {
            return Self::elliptic(&[parameters], der);
        }
        let curves = CURVES.map(|(curve, _)| write::object_identifier(curve));
        let curves: Vec<Vec<u8>> = curves.into_iter().collect::<Result<_, _>>().map_err(malformed)?;
        Self::elliptic(&curves.iter().map(Vec::as_slice).collect::<Vec<_>>(), der)
    }

    /// The document in DER: version 1, in the clear.
    pub fn pkcs8_der(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The SubjectPublicKeyInfo in DER.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// `rsa2048`, `p256`, …
    pub fn key_type(&self) -> &str {
        &self.key_type
    }

    /// Tries each of the parameters. The library checks the public key inside, if any, so a wrong curve never fits.
    fn elliptic(parameters: &[&[u8]], key: &[u8]) -> Result<Self, KeyError> {
        for parameters in parameters {
            let curve = der::single(parameters, OBJECT_IDENTIFIER, "").and_then(|curve| curve.object_identifier()).ok();
            if let Some(curve) = &curve
                && !CURVES.iter().any(|known| known.0 == curve)
            {
                return Err(rejected(format!("it is a key on the curve {}; {ACCEPTED}", oid::name(curve))));
            }
            let algorithm = write::object_identifier(oid::EC_PUBLIC_KEY).map_err(malformed)?;
            let document = document(&write::sequence(&[&algorithm, parameters]), key);
            // Curves that are spelled out instead of named are tried one after the other.
            let algorithms = CURVES.iter().filter(|known| curve.as_deref().is_none_or(|curve| known.0 == curve));
            for (_, algorithm) in algorithms {
                if let Ok(pair) = EcdsaKeyPair::from_pkcs8(algorithm, &document) {
                    let document = pair.to_pkcs8v1().map_err(|_| KeyError::Library("encode a private key"))?;
                    return Self::finish(document.as_ref());
                }
            }
        }
        Err(rejected(format!("its numbers are no key on any curve that is usable here; {ACCEPTED}")))
    }

    fn ed25519(document: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_pkcs8(document).map_err(|_| rejected("the Ed25519 key is malformed".into()))?;
        let document = pair.to_pkcs8v1().map_err(|_| KeyError::Library("encode a private key"))?;
        Self::finish(document.as_ref())
    }

    /// The public key is the one of the very object that TLS will sign with.
    fn finish(pkcs8: &[u8]) -> Result<Self, KeyError> {
        let unusable = || rejected(format!("TLS cannot use it; {ACCEPTED}"));
        let key = any_supported_type(&PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8))).map_err(|_| unusable())?;
        let spki = key.public_key().ok_or_else(unusable)?.to_vec();
        let (key_type, _) = public_key::identify(&spki).map_err(KeyError::Rejected)?;
        Ok(Self { pkcs8: Zeroizing::new(pkcs8.to_vec()), spki, key_type: key_type.to_string() })
    }
}

const CURVES: [(&str, &EcdsaSigningAlgorithm); 3] = [
    (oid::CURVE_P256, &ECDSA_P256_SHA256_ASN1_SIGNING),
    (oid::CURVE_P384, &ECDSA_P384_SHA384_ASN1_SIGNING),
    (oid::CURVE_P521, &ECDSA_P521_SHA512_ASN1_SIGNING),
];

/// The AlgorithmIdentifier and the contents of privateKey (RFC 5958, 2).
fn split(der: &[u8]) -> Result<(Tlv<'_>, &[u8]), DerError> {
    let mut fields = der::single(der, SEQUENCE, "the key")?.contents();
    if fields.expect(INTEGER, "the version")?.small_unsigned("the version")? > 1 {
        return Err(DerError::Value { what: "the version" });
    }
    let algorithm = fields.expect(SEQUENCE, "the algorithm")?;
    Ok((algorithm, fields.expect(OCTET_STRING, "the private key")?.value))
}

/// PKCS#8 of version 1.
fn document(algorithm: &[u8], key: &[u8]) -> Zeroizing<Vec<u8>> {
    let key = Zeroizing::new(write::octet_string(key));
    Zeroizing::new(write::sequence(&[&[INTEGER, 1, 0], algorithm, &key]))
}

/// The version, which is 0 for two primes, and the length of the modulus.
fn rsa_facts(der: &[u8]) -> Result<(u64, u64), DerError> {
    let mut fields = der::single(der, SEQUENCE, "the RSA key")?.contents();
    let version = fields.expect(INTEGER, "the version")?.small_unsigned("the version")?;
    let modulus = fields.expect(INTEGER, "the modulus")?.big_unsigned("the modulus")?;
    Ok((version, modulus.bits()))
}

fn sec1_parameters(der: &[u8]) -> Result<Option<&[u8]>, DerError> {
    let mut fields = der::single(der, SEQUENCE, "the EC key")?.contents();
    fields.expect(INTEGER, "the version")?;
    fields.expect(OCTET_STRING, "the private key")?;
    Ok(fields.optional(context_constructed(0))?.map(|parameters| parameters.value))
}

fn rejected(why: String) -> KeyError {
    KeyError::Rejected(why)
}

/// [`DerError`] names fields and tags, never contents.
fn malformed(error: DerError) -> KeyError {
    KeyError::Rejected(format!("it is malformed: {error}"))
}

#[cfg(test)]
mod tests;
