//! Certificates that others issued: read leniently, for the world is full of certificates that strict DER refuses, and
//! shown as people know them. What cannot be read at all is refused, and so is what would make checks guess.
//!
//! Deliberately not here: judgements. Whether a certificate fits its purpose is asked where it is used.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use num_bigint::BigInt;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

use crate::domain::key::PublicKeyType;

use super::signature::{Digest, SignatureAlgorithm};
use super::{der, signature};
use super::{distinguished_name, oid, pem, public_key};

/// More than any certificate in use has; post-quantum ones will have some ten.
pub const MAX_LENGTH: usize = 64 * 1024;

/// id-kp-clientAuth (RFC 5280, 4.2.1.12).
pub const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";
/// anyExtendedKeyUsage.
pub const ANY_PURPOSE: &str = "2.5.29.37.0";

/// RFC 5280 allows 20 octets, and not all keep to it.
const MAX_SERIAL_LENGTH: usize = 40;
const MAX_NAMES: usize = 1000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignCertificate {
    pub der: Vec<u8>,
    /// In the form and order of RFC 4514: `CN=device,O=Example Inc.,C=US`.
    pub subject: String,
    pub issuer: String,
    /// The names as they stand, for comparing.
    pub subject_der: Vec<u8>,
    pub issuer_der: Vec<u8>,
    /// The last CN of the subject; empty when there is none.
    pub common_name: String,
    /// The contents of the INTEGER: two's complement, for some are zero or negative.
    pub serial: Vec<u8>,
    pub not_before: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
    /// The signature on it in CFSSL's words, such as `SHA256WithRSA` (wire contract, 1.5).
    pub signature: String,
    /// `rsa2048`, `p256`, … or what the key is called, if TLS clients cannot use it.
    pub key_type: String,
    pub spki: Vec<u8>,
    pub spki_sha256: [u8; 32],
    pub fingerprint_sha256: [u8; 32],
    /// 1, 2 or 3.
    pub version: u32,
    /// basicConstraints says cA.
    pub is_ca: bool,
    /// Subject and issuer are the same name.
    pub is_self_issued: bool,
    /// The purposes as dotted OIDs; `None` without the extension, which means all of them.
    pub extended_key_usage: Option<Vec<String>>,
    pub key_usage: Option<KeyUsageBits>,
    /// With their types, `dns:device.example`.
    pub subject_alternative_names: Vec<String>,
    /// subjectKeyIdentifier.
    pub ski: Option<Vec<u8>>,
    /// keyIdentifier of authorityKeyIdentifier.
    pub aki: Option<Vec<u8>>,
}

/// The bits of keyUsage that matter to whoever presents or trusts a certificate (RFC 5280, 4.2.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUsageBits {
    pub digital_signature: bool,
    pub key_cert_sign: bool,
}

impl ForeignCertificate {
    /// Reads one certificate and nothing after it. The error says what is wrong with it, in words for the caller.
    pub fn from_der(der: &[u8]) -> Result<Self, String> {
        if der.len() > MAX_LENGTH {
            return Err(format!("it is longer than {} KiB", MAX_LENGTH / 1024));
        }
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| "it is not an X.509 certificate in DER")?;
        if !rest.is_empty() {
            return Err("there are bytes after the certificate".into());
        }
        assemble(der, &certificate)
    }

    pub fn to_pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.der)
    }

    pub fn serial_decimal(&self) -> String {
        BigInt::from_signed_bytes_be(&self.serial).to_string()
    }

    /// Lower-case hex, two digits an octet, without the leading zero octet of the sign.
    pub fn serial_hex(&self) -> String {
        match self.serial.as_slice() {
            [0, rest @ ..] if !rest.is_empty() => hex::encode(rest),
            all => hex::encode(all),
        }
    }

    /// What to call it in messages: the subject, or the serial number where that is empty.
    pub fn label(&self) -> String {
        if self.subject.is_empty() {
            format!("the certificate with the serial number {}", self.serial_hex())
        } else {
            self.subject.clone()
        }
    }

    /// Whether the signature on it was made with this issuer's key; `None` where the algorithm is not known here.
    pub fn is_signed_by(&self, issuer: &Self) -> Option<bool> {
        let signed = signature::Signed::read(&self.der).ok()?;
        let algorithm = SignatureAlgorithm::read(&signed.algorithm).ok()?;
        let (key_type, key) = public_key::identify(&issuer.spki).ok()?;
        // Shorter RSA keys verify nothing here, which says nothing about the signature.
        if matches!(key_type, PublicKeyType::Rsa(bits) if !(2048..=8192).contains(&bits)) {
            return None;
        }
        Some(signature::verify(algorithm, key_type, key, signed.content.whole, signed.signature).is_ok())
    }

    /// Whether MD5 or SHA-1 stands under it, which nobody should trust any more.
    pub fn has_weak_signature(&self) -> bool {
        ["MD2", "MD5", "SHA1"].iter().any(|weak| self.signature.contains(weak))
    }
}

fn assemble(der: &[u8], certificate: &X509Certificate<'_>) -> Result<ForeignCertificate, String> {
    let subject_der = certificate.subject().as_raw();
    let issuer_der = certificate.issuer().as_raw();
    let subject = distinguished_name::read(subject_der).map_err(|fault| format!("its subject {fault}"))?;
    let issuer = distinguished_name::read(issuer_der).map_err(|fault| format!("its issuer {fault}"))?;
    let serial = certificate.raw_serial();
    if serial.is_empty() || serial.len() > MAX_SERIAL_LENGTH {
        return Err(format!("its serial number has {} octets; it must have 1 to 20", serial.len()));
    }
    let time = |seconds: i64, what: &str| {
        DateTime::from_timestamp(seconds, 0).ok_or_else(|| format!("its {what} is not a time"))
    };
    let spki = certificate.public_key().raw;
    let extensions = Extensions::read(certificate)?;
    Ok(ForeignCertificate {
        der: der.to_vec(),
        subject: subject.text,
        issuer: issuer.text,
        subject_der: subject_der.to_vec(),
        issuer_der: issuer_der.to_vec(),
        common_name: subject.common_name,
        serial: serial.to_vec(),
        not_before: time(certificate.validity().not_before.timestamp(), "notBefore")?,
        not_after: time(certificate.validity().not_after.timestamp(), "notAfter")?,
        signature: signature_name(certificate, der),
        key_type: key_type(certificate),
        spki: spki.to_vec(),
        spki_sha256: public_key::sha256(spki),
        fingerprint_sha256: public_key::sha256(der),
        version: certificate.version().0.saturating_add(1),
        is_ca: extensions.is_ca,
        is_self_issued: subject_der == issuer_der,
        extended_key_usage: extensions.extended_key_usage,
        key_usage: extensions.key_usage,
        subject_alternative_names: extensions.subject_alternative_names,
        ski: extensions.ski,
        aki: extensions.aki,
    })
}

#[derive(Default)]
struct Extensions {
    is_ca: bool,
    extended_key_usage: Option<Vec<String>>,
    key_usage: Option<KeyUsageBits>,
    subject_alternative_names: Vec<String>,
    ski: Option<Vec<u8>>,
    aki: Option<Vec<u8>>,
}

impl Extensions {
    /// An extension that decides what the certificate may do must be readable and stand once (RFC 5280, 4.2).
    fn read(certificate: &X509Certificate<'_>) -> Result<Self, String> {
        let mut read = Self::default();
        let mut seen = Vec::new();
        for extension in certificate.extensions() {
            let dotted = extension.oid.to_id_string();
            if seen.contains(&dotted) {
                return Err(format!("its extension {} stands twice", oid::name(&dotted)));
            }
            read.take(&dotted, extension.parsed_extension())?;
            seen.push(dotted);
        }
        Ok(read)
    }

    fn take(&mut self, dotted: &str, extension: &ParsedExtension<'_>) -> Result<(), String> {
        match extension {
            ParsedExtension::BasicConstraints(constraints) => self.is_ca = constraints.ca,
            ParsedExtension::KeyUsage(usage) => {
                self.key_usage = Some(KeyUsageBits {
                    digital_signature: usage.digital_signature(),
                    key_cert_sign: usage.key_cert_sign(),
                });
            }
            ParsedExtension::ExtendedKeyUsage(usage) => self.extended_key_usage = Some(purposes(usage)),
            ParsedExtension::SubjectAlternativeName(names) => {
                self.subject_alternative_names = names.general_names.iter().take(MAX_NAMES).map(show_name).collect();
            }
            ParsedExtension::SubjectKeyIdentifier(identifier) => self.ski = Some(identifier.0.to_vec()),
            ParsedExtension::AuthorityKeyIdentifier(authority) => {
                self.aki = authority.key_identifier.as_ref().map(|identifier| identifier.0.to_vec());
            }
            _ if matches!(dotted, oid::BASIC_CONSTRAINTS | oid::KEY_USAGE | oid::EXTENDED_KEY_USAGE) => {
                return Err(format!("its extension {} is malformed", oid::name(dotted)));
            }
            _ => {}
        }
        Ok(())
    }
}

/// The library keeps the purposes it knows as flags.
fn purposes(usage: &x509_parser::extensions::ExtendedKeyUsage<'_>) -> Vec<String> {
    let known = [
        (usage.any, ANY_PURPOSE),
        (usage.server_auth, "1.3.6.1.5.5.7.3.1"),
        (usage.client_auth, CLIENT_AUTH),
        (usage.code_signing, "1.3.6.1.5.5.7.3.3"),
        (usage.email_protection, "1.3.6.1.5.5.7.3.4"),
        (usage.time_stamping, "1.3.6.1.5.5.7.3.8"),
        (usage.ocsp_signing, "1.3.6.1.5.5.7.3.9"),
    ];
    let known = known.into_iter().filter(|entry| entry.0).map(|entry| entry.1.to_owned());
    known.chain(usage.other.iter().map(|purpose| purpose.to_id_string())).collect()
}

fn show_name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(text) => format!("dns:{}", without_controls(text)),
        GeneralName::RFC822Name(text) => format!("email:{}", without_controls(text)),
        GeneralName::URI(text) => format!("uri:{}", without_controls(text)),
        GeneralName::IPAddress(octets) => format!("ip:{}", address(octets)),
        GeneralName::DirectoryName(name) => {
            format!(
                "directoryName:{}",
                distinguished_name::read(name.as_raw()).map(|name| name.text).unwrap_or_default()
            )
        }
        GeneralName::OtherName(kind, _) => format!("otherName:{}", kind.to_id_string()),
        GeneralName::RegisteredID(kind) => format!("registeredID:{}", kind.to_id_string()),
        GeneralName::X400Address(_) => "x400Address".into(),
        GeneralName::EDIPartyName(_) => "ediPartyName".into(),
        GeneralName::Invalid(tag, _) => format!("malformed name of the type {}", tag.0),
    }
}

fn address(octets: &[u8]) -> String {
    let four = <[u8; 4]>::try_from(octets).map(std::net::IpAddr::from);
    let address = four.or_else(|_| <[u8; 16]>::try_from(octets).map(std::net::IpAddr::from));
    address.map_or_else(|_| hex::encode(octets), |address| address.to_string())
}

fn without_controls(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

fn key_type(certificate: &X509Certificate<'_>) -> String {
    let key = certificate.public_key();
    if let Ok((key_type, _)) = public_key::identify(key.raw) {
        return key_type.to_string();
    }
    let algorithm = key.algorithm.algorithm.to_id_string();
    let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    match curve {
        Some(curve) if algorithm == oid::EC_PUBLIC_KEY => oid::name(&curve.to_id_string()).to_owned(),
        _ => oid::name(&algorithm).to_owned(),
    }
}

/// CFSSL has no words for RSASSA-PSS; these follow its pattern.
fn signature_name(certificate: &X509Certificate<'_>, der: &[u8]) -> String {
    let dotted = certificate.signature_algorithm.algorithm.to_id_string();
    if dotted == oid::RSASSA_PSS {
        let algorithm = signature::Signed::read(der).map(|signed| SignatureAlgorithm::read(&signed.algorithm));
        return match algorithm {
            Ok(Ok(SignatureAlgorithm::RsaPss(Digest::Sha256))) => "SHA256WithRSAPSS",
            Ok(Ok(SignatureAlgorithm::RsaPss(Digest::Sha384))) => "SHA384WithRSAPSS",
            Ok(Ok(SignatureAlgorithm::RsaPss(Digest::Sha512))) => "SHA512WithRSAPSS",
            _ => "RSAPSS",
        }
        .to_owned();
    }
    SIGNATURE_NAMES.iter().find(|entry| entry.0 == dotted).map_or("Unknown Signature", |entry| entry.1).to_owned()
}

const SIGNATURE_NAMES: [(&str, &str); 17] = [
    ("1.2.840.113549.1.1.2", "MD2WithRSA"),
    ("1.2.840.113549.1.1.4", "MD5WithRSA"),
    ("1.2.840.113549.1.1.5", "SHA1WithRSA"),
    ("1.3.14.3.2.29", "SHA1WithRSA"),
    ("1.2.840.113549.1.1.14", "SHA224WithRSA"),
    (oid::SHA256_WITH_RSA, "SHA256WithRSA"),
    (oid::SHA384_WITH_RSA, "SHA384WithRSA"),
    (oid::SHA512_WITH_RSA, "SHA512WithRSA"),
    ("1.2.840.10040.4.3", "DSAWithSHA1"),
    ("2.16.840.1.101.3.4.3.2", "DSAWithSHA256"),
    ("1.2.840.10045.4.1", "ECDSAWithSHA1"),
    ("1.2.840.10045.4.3.1", "ECDSAWithSHA224"),
    (oid::ECDSA_WITH_SHA256, "ECDSAWithSHA256"),
    (oid::ECDSA_WITH_SHA384, "ECDSAWithSHA384"),
    (oid::ECDSA_WITH_SHA512, "ECDSAWithSHA512"),
    (oid::ED25519, "Ed25519"),
    ("1.3.101.113", "Ed448"),
];

/// Whether two SubjectPublicKeyInfos hold the same key, however they name its algorithm: RSA with and without the NULL
/// or restricted to PSS, points in the compressed form or not.
pub fn is_same_key(one: &[u8], other: &[u8]) -> bool {
    if one == other {
        return true;
    }
    match (split(one), split(other)) {
        (Some(one), Some(other)) => one.0 == other.0 && is_same_point_or_number(one.1, other.1),
        _ => false,
    }
}

/// The family of the algorithm, and the key.
fn split(spki: &[u8]) -> Option<(Cow<'static, str>, &[u8])> {
    let mut fields = der::single(spki, der::SEQUENCE, "").ok()?.contents();
    let mut algorithm = fields.expect(der::SEQUENCE, "").ok()?.contents();
    let dotted = algorithm.expect(der::OBJECT_IDENTIFIER, "").ok()?.object_identifier().ok()?;
    let family = if dotted == oid::RSASSA_PSS { oid::RSA_ENCRYPTION.into() } else { dotted };
    Some((family, fields.expect(der::BIT_STRING, "").ok()?.octet_aligned_bits("").ok()?))
}

fn is_same_point_or_number(one: &[u8], other: &[u8]) -> bool {
    match (one, other) {
        // SEC 1, 2.3.3: the compressed form is the parity of y, and x.
        ([sign @ (2 | 3), x @ ..], [4, point @ ..]) | ([4, point @ ..], [sign @ (2 | 3), x @ ..]) => {
            let parity = point.last().map(|last| 2 + (last & 1));
            point.len() == 2 * x.len() && point.starts_with(x) && parity == Some(*sign)
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests;
