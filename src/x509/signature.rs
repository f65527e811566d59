//! Signatures: which algorithms are accepted, and whether one verifies.
//!
//! The curve always comes from the key, never from the signature algorithm: a P-256 key may sign with SHA-384.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self as aws, ParsedPublicKey, VerificationAlgorithm};

use bytes::Bytes;

use crate::domain::key::PublicKeyType;

use super::der::{
    self, BIT_STRING, DerError, INTEGER, NULL, OBJECT_IDENTIFIER, Reader, SEQUENCE, Tlv, context_constructed,
};
use super::error::X509Error;
use super::{oid, public_key};

const ACCEPTED: &str = "accepted are RSA (PKCS#1 v1.5 or PSS) and ECDSA with SHA-256, SHA-384 or SHA-512, and Ed25519";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    RsaPkcs1(Digest),
    RsaPss(Digest),
    Ecdsa(Digest),
    Ed25519,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    Sha256,
    Sha384,
    Sha512,
}

impl SignatureAlgorithm {
    /// Reads an AlgorithmIdentifier; the error names the algorithm and those that are accepted.
    pub fn read(identifier: &Tlv<'_>) -> Result<Self, String> {
        let malformed = |error: DerError| format!("the signature algorithm is malformed: {error}");
        let mut reader = identifier.contents();
        let kind = reader.expect(OBJECT_IDENTIFIER, "its object identifier").map_err(malformed)?;
        let dotted = kind.object_identifier().map_err(malformed)?;
        match dotted.as_ref() {
            oid::SHA256_WITH_RSA => null_or_absent(reader).map(|()| Self::RsaPkcs1(Digest::Sha256)),
            oid::SHA384_WITH_RSA => null_or_absent(reader).map(|()| Self::RsaPkcs1(Digest::Sha384)),
            oid::SHA512_WITH_RSA => null_or_absent(reader).map(|()| Self::RsaPkcs1(Digest::Sha512)),
            oid::ECDSA_WITH_SHA256 => absent(reader).map(|()| Self::Ecdsa(Digest::Sha256)),
            oid::ECDSA_WITH_SHA384 => absent(reader).map(|()| Self::Ecdsa(Digest::Sha384)),
            oid::ECDSA_WITH_SHA512 => absent(reader).map(|()| Self::Ecdsa(Digest::Sha512)),
            oid::ED25519 => absent(reader).map(|()| Self::Ed25519),
            oid::RSASSA_PSS => read_pss(reader).map(Self::RsaPss),
            other => Err(format!("the signature algorithm {} is not accepted; {ACCEPTED}", oid::name(other))),
        }
    }

    /// What it signs a digest by; Ed25519 signs the message itself (RFC 8032).
    fn digest(self) -> Option<&'static digest::Algorithm> {
        match self {
            Self::RsaPkcs1(digest) | Self::RsaPss(digest) | Self::Ecdsa(digest) => Some(match digest {
                Digest::Sha256 => &digest::SHA256,
                Digest::Sha384 => &digest::SHA384,
                Digest::Sha512 => &digest::SHA512,
            }),
            Self::Ed25519 => None,
        }
    }

    /// How to verify it with a key of this type; the error says that the two do not belong together.
    fn verifier(self, key_type: PublicKeyType) -> Result<&'static dyn VerificationAlgorithm, String> {
        use Digest::{Sha256, Sha384, Sha512};
        Ok(match (key_type, self) {
            (PublicKeyType::Rsa(_), Self::RsaPkcs1(Sha256)) => &aws::RSA_PKCS1_2048_8192_SHA256,
            (PublicKeyType::Rsa(_), Self::RsaPkcs1(Sha384)) => &aws::RSA_PKCS1_2048_8192_SHA384,
            (PublicKeyType::Rsa(_), Self::RsaPkcs1(Sha512)) => &aws::RSA_PKCS1_2048_8192_SHA512,
            (PublicKeyType::Rsa(_), Self::RsaPss(Sha256)) => &aws::RSA_PSS_2048_8192_SHA256,
            (PublicKeyType::Rsa(_), Self::RsaPss(Sha384)) => &aws::RSA_PSS_2048_8192_SHA384,
            (PublicKeyType::Rsa(_), Self::RsaPss(Sha512)) => &aws::RSA_PSS_2048_8192_SHA512,
            (PublicKeyType::P256, Self::Ecdsa(Sha256)) => &aws::ECDSA_P256_SHA256_ASN1,
            (PublicKeyType::P256, Self::Ecdsa(Sha384)) => &aws::ECDSA_P256_SHA384_ASN1,
            (PublicKeyType::P256, Self::Ecdsa(Sha512)) => &aws::ECDSA_P256_SHA512_ASN1,
            (PublicKeyType::P384, Self::Ecdsa(Sha256)) => &aws::ECDSA_P384_SHA256_ASN1,
            (PublicKeyType::P384, Self::Ecdsa(Sha384)) => &aws::ECDSA_P384_SHA384_ASN1,
            (PublicKeyType::P384, Self::Ecdsa(Sha512)) => &aws::ECDSA_P384_SHA512_ASN1,
            (PublicKeyType::P521, Self::Ecdsa(Sha256)) => &aws::ECDSA_P521_SHA256_ASN1,
            (PublicKeyType::P521, Self::Ecdsa(Sha384)) => &aws::ECDSA_P521_SHA384_ASN1,
            (PublicKeyType::P521, Self::Ecdsa(Sha512)) => &aws::ECDSA_P521_SHA512_ASN1,
            (PublicKeyType::Ed25519, Self::Ed25519) => &aws::ED25519,
            _ => return Err(format!("the signature is {self:?}, which a key of type {key_type} cannot make")),
        })
    }
}

/// Verifies a signature. `key` is the contents of subjectPublicKey.
pub fn verify(
    algorithm: SignatureAlgorithm,
    key_type: PublicKeyType,
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), String> {
    let verifier = algorithm.verifier(key_type)?;
    let wrong = "the signature does not verify with the public key";
    let key = ParsedPublicKey::new(verifier, key).map_err(|_| wrong)?;
    key.verify_sig(message, signature).map_err(|_| wrong.to_owned())
}

/// Verifies a signature over a message in pieces, without copying it together where the algorithm signs a digest.
pub fn verify_pieces(
    algorithm: SignatureAlgorithm,
    key_type: PublicKeyType,
    key: &[u8],
    pieces: impl Iterator<Item = Bytes>,
    signature: &[u8],
) -> Result<(), String> {
    let Some(digest) = algorithm.digest() else {
        return verify(algorithm, key_type, key, &pieces.collect::<Vec<_>>().concat(), signature);
    };
    let wrong = "the signature does not verify with the public key";
    let key = ParsedPublicKey::new(algorithm.verifier(key_type)?, key).map_err(|_| wrong)?;
    let mut context = digest::Context::new(digest);
    pieces.for_each(|piece| context.update(&piece));
    key.verify_digest_sig(&context.finish(), signature).map_err(|_| wrong.to_owned())
}

/// Verifies a certificate or a CRL against the issuer's SubjectPublicKeyInfo.
pub fn verify_document(der: &[u8], issuer_spki: &[u8]) -> Result<(), X509Error> {
    let document = Signed::read(der)?;
    let (key_type, key) = public_key::identify(issuer_spki).map_err(X509Error::Signature)?;
    let algorithm = SignatureAlgorithm::read(&document.algorithm).map_err(X509Error::Signature)?;
    verify(algorithm, key_type, key, document.content.whole, document.signature).map_err(X509Error::Signature)
}

/// What certificates, CRLs and requests have in common: content, algorithm, signature.
pub struct Signed<'a> {
    pub content: Tlv<'a>,
    pub algorithm: Tlv<'a>,
    pub signature: &'a [u8],
}

impl<'a> Signed<'a> {
    pub fn read(der: &'a [u8]) -> Result<Self, DerError> {
        let outer = der::single(der, SEQUENCE, "the signed structure")?;
        let mut reader = outer.contents();
        let content = reader.expect(SEQUENCE, "the signed content")?;
        let algorithm = reader.expect(SEQUENCE, "the signature algorithm")?;
        let signature = reader.expect(BIT_STRING, "the signature")?.octet_aligned_bits("the signature")?;
        reader.finish("the signature")?;
        Ok(Self { content, algorithm, signature })
    }
}

/// RFC 4055, 5: readers accept NULL and nothing.
fn null_or_absent(mut parameters: Reader<'_>) -> Result<(), String> {
    let null = parameters.optional(NULL).map_err(|error| error.to_string())?;
    if null.is_none_or(|null| null.value.is_empty()) { absent(parameters) } else { Err(wrong_parameters()) }
}

fn absent(parameters: Reader<'_>) -> Result<(), String> {
    if parameters.is_empty() { Ok(()) } else { Err(wrong_parameters()) }
}

fn wrong_parameters() -> String {
    "the signature algorithm has parameters that its standard does not allow".into()
}

/// RSASSA-PSS-params (RFC 4055, 3.1) with one digest for everything and a salt of its length, which is what TLS 1.3
/// uses too. Anything absent means SHA-1 there, and is refused with it.
fn read_pss(mut reader: Reader<'_>) -> Result<Digest, String> {
    let malformed = |error: DerError| format!("the RSASSA-PSS parameters are malformed: {error}");
    let sequence = reader.expect(SEQUENCE, "their sequence").map_err(malformed)?;
    absent(reader)?;
    let mut fields = sequence.contents();
    let hash = fields.expect(context_constructed(0), "the digest (SHA-1 is not accepted)").map_err(malformed)?;
    let mask =
        fields.expect(context_constructed(1), "the mask generation (SHA-1 is not accepted)").map_err(malformed)?;
    let salt = fields.optional(context_constructed(2)).map_err(malformed)?;
    absent(fields)?;

    let digest = read_digest(hash.value).map_err(malformed)?;
    let mask_digest = read_mask_digest(mask.value).map_err(malformed)?;
    let salt_length = match salt {
        Some(salt) => der::single(salt.value, INTEGER, "the salt length")
            .map_err(malformed)?
            .small_unsigned("")
            .map_err(malformed)?,
        None => 20,
    };
    match digest {
        Some(digest) if mask_digest != Some(digest) => {
            Err("RSASSA-PSS with two different digests is not accepted".into())
        }
        Some(digest) if salt_length != digest.length() => Err(format!(
            "RSASSA-PSS with a salt of {salt_length} octets is not accepted; it must be as long as the digest, {} octets (openssl: -sigopt rsa_pss_saltlen:digest)",
            digest.length()
        )),
        Some(digest) => Ok(digest),
        None => Err(format!("RSASSA-PSS with this digest is not accepted; {ACCEPTED}")),
    }
}

/// `None` is a digest that is not accepted.
fn read_digest(identifier: &[u8]) -> Result<Option<Digest>, DerError> {
    let sequence = der::single(identifier, SEQUENCE, "a digest")?;
    let kind = sequence.contents().expect(OBJECT_IDENTIFIER, "a digest")?.object_identifier()?;
    Ok(match kind.as_ref() {
        oid::SHA256 => Some(Digest::Sha256),
        oid::SHA384 => Some(Digest::Sha384),
        oid::SHA512 => Some(Digest::Sha512),
        _ => None,
    })
}

fn read_mask_digest(identifier: &[u8]) -> Result<Option<Digest>, DerError> {
    let sequence = der::single(identifier, SEQUENCE, "the mask generation")?;
    let mut reader = sequence.contents();
    let kind = reader.expect(OBJECT_IDENTIFIER, "the mask generation")?.object_identifier()?;
    if kind != oid::MGF1 {
        return Ok(None);
    }
    read_digest(reader.read()?.whole)
}

impl Digest {
    fn length(self) -> u64 {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}
