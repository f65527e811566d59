//! PKCS#12 files (RFC 7292) from everywhere: OpenSSL old and new, keytool, Windows, macOS, NSS.
//!
//! The walk is our own, because the files are BER, and because how much work one asks for, how many bags it has and how
//! deep they nest must be known before it is done.

use std::borrow::Cow;

use aws_lc_rs::{digest, hmac};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::keys::error::KeyError;
use crate::keys::private_key::PrivateKey;
use crate::keys::private_key::derivation::{self, Password, Purpose, Work};
use crate::keys::private_key::encryption::{self, EncryptedKey, identified};
use crate::x509::ber;
use crate::x509::der::{
    self, DerError, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, Reader, SEQUENCE, Tlv, context, context_constructed,
};

pub const MAX_LENGTH: usize = 256 * 1024;

const MAX_BAGS: usize = 200;
/// Safe contents in safe contents, which nobody writes.
const MAX_DEPTH: usize = 4;

const DATA: &str = "1.2.840.113549.1.7.1";
const ENCRYPTED_DATA: &str = "1.2.840.113549.1.7.6";
const PBMAC1: &str = "1.2.840.113549.1.5.14";
const KEY_BAG: &str = "1.2.840.113549.1.12.10.1.1";
const SHROUDED_KEY_BAG: &str = "1.2.840.113549.1.12.10.1.2";
const CERTIFICATE_BAG: &str = "1.2.840.113549.1.12.10.1.3";
const SAFE_CONTENTS_BAG: &str = "1.2.840.113549.1.12.10.1.6";
const X509_CERTIFICATE: &str = "1.2.840.113549.1.9.22.1";

/// What a file holds that is of use here. CRLs, secrets and attributes are passed over.
#[derive(Default)]
pub struct Contents {
    /// In DER, in the order they stand.
    pub certificates: Vec<Vec<u8>>,
    pub keys: Vec<Result<PrivateKey, KeyError>>,
    /// A passphrase stands behind the file's MAC or an encryption.
    pub is_protected: bool,
    /// Something in it is encrypted with DES, triple DES or RC2.
    pub is_weak: bool,
}

/// Opens a file. Without a passphrase an empty one is tried, as files for import by machines often have it; when that
/// does not fit, the error is [`KeyError::WrongPassphrase`] too.
pub fn open(file: &[u8], passphrase: Option<&SecretString>, work: &mut Work) -> Result<Contents, KeyError> {
    if file.len() > MAX_LENGTH {
        return Err(KeyError::Rejected(format!("it is longer than {} KiB", MAX_LENGTH / 1024)));
    }
    let der = ber::to_der(file).map_err(|_| no_pkcs12(file))?;
    let file = File::read(&der).map_err(|_| no_pkcs12(file))?;
    let empty = SecretString::from("");
    let passphrase = passphrase.unwrap_or(&empty);
    let mut result = Err(KeyError::WrongPassphrase);
    for password in Password::forms(passphrase) {
        result = file.open(&password, work);
        if !matches!(result, Err(KeyError::WrongPassphrase)) {
            break;
        }
    }
    result
}

/// What people send in place of PKCS#12.
fn no_pkcs12(bytes: &[u8]) -> KeyError {
    const JAVA_KEY_STORES: [&[u8]; 2] = [&[0xfe, 0xed, 0xfe, 0xed], &[0xce, 0xce, 0xce, 0xce]];
    KeyError::Rejected(if JAVA_KEY_STORES.iter().any(|magic| bytes.starts_with(magic)) {
        "it is a Java key store of the old type (JKS or JCEKS); keytool -importkeystore -deststoretype pkcs12 converts it".into()
    } else if bytes.starts_with(b"-----BEGIN") {
        "it is PEM; send PEM in certificates and private_key".into()
    } else if bytes.starts_with(b"MII") {
        "it is base64 inside base64; encode the file once".into()
    } else {
        "it is not a PKCS#12 file, or it was cut or changed".into()
    })
}

/// A PFX with version 3 and password integrity (RFC 7292, 4).
struct File<'a> {
    authenticated_safe: &'a [u8],
    mac: Option<Tlv<'a>>,
}

impl<'a> File<'a> {
    fn read(der: &'a [u8]) -> Result<Self, DerError> {
        let mut fields = der::single(der, SEQUENCE, "the file")?.contents();
        if fields.expect(INTEGER, "the version")?.small_unsigned("the version")? != 3 {
            return Err(DerError::Value { what: "the version" });
        }
        let (kind, content) = content_info(&fields.expect(SEQUENCE, "the contents")?)?;
        if kind != DATA {
            return Err(DerError::Value { what: "the type of the contents" });
        }
        let authenticated_safe = der::single(content, OCTET_STRING, "the contents")?.value;
        Ok(Self { authenticated_safe, mac: fields.optional(SEQUENCE)? })
    }

    fn open(&self, password: &Password, work: &mut Work) -> Result<Contents, KeyError> {
        let mut opening = Opening { password, work, bags: 0, contents: Contents::default(), is_verified: false };
        if let Some(mac) = &self.mac {
            verify_mac(mac, self.authenticated_safe, password, opening.work)?;
            opening.is_verified = true;
            opening.contents.is_protected = true;
        }
        let safe = ber::to_der(self.authenticated_safe).map_err(malformed)?;
        let mut infos = der::single(&safe, SEQUENCE, "the contents").map_err(malformed)?.contents();
        while !infos.is_empty() {
            let info = infos.expect(SEQUENCE, "a part").map_err(malformed)?;
            opening.count()?;
            opening.take_part(&info)?;
        }
        Ok(opening.contents)
    }
}

/// One attempt with one form of the passphrase.
struct Opening<'w, 'p> {
    password: &'p Password,
    work: &'w mut Work,
    bags: usize,
    contents: Contents,
    /// The MAC fits, so the passphrase is right.
    is_verified: bool,
}

impl Opening<'_, '_> {
    fn count(&mut self) -> Result<(), KeyError> {
        self.bags += 1;
        if self.bags <= MAX_BAGS {
            return Ok(());
        }
        Err(KeyError::TooCostly(format!("it has more than {MAX_BAGS} entries")))
    }

    /// A ContentInfo of the AuthenticatedSafe (RFC 7292, 4.1).
    fn take_part(&mut self, info: &Tlv<'_>) -> Result<(), KeyError> {
        let (kind, content) = content_info(info).map_err(malformed)?;
        let plain = match kind.as_ref() {
            DATA => {
                let octets = der::single(content, OCTET_STRING, "a part").map_err(malformed)?;
                Zeroizing::new(octets.value.to_vec())
            }
            ENCRYPTED_DATA => {
                let (algorithm, ciphertext) = encrypted_data(content).map_err(malformed)?;
                self.contents.is_protected = true;
                self.contents.is_weak |= encryption::is_weak(&algorithm);
                let plain = encryption::decrypt(&algorithm, &ciphertext, self.password, self.work);
                plain.map_err(|error| self.explained(error))?
            }
            other => return Err(encryption::unsupported(other)),
        };
        // After a wrong passphrase the padding may be right by chance, but never the contents.
        let safe = ber::to_der(&plain).map_err(|error| self.explained_contents(&kind, error))?;
        self.take_bags(&safe, 0).map_err(|error| match error {
            KeyError::Rejected(_) if kind == ENCRYPTED_DATA && !self.is_verified => KeyError::WrongPassphrase,
            other => other,
        })
    }

    fn take_bags(&mut self, safe: &[u8], depth: usize) -> Result<(), KeyError> {
        if depth > MAX_DEPTH {
            return Err(KeyError::Rejected("its parts are nested too deep".into()));
        }
        let mut bags = der::single(safe, SEQUENCE, "the bags").map_err(malformed)?.contents();
        while !bags.is_empty() {
            self.count()?;
            let (kind, value) = bags.expect(SEQUENCE, "a bag").and_then(|bag| content_info(&bag)).map_err(malformed)?;
            match kind.as_ref() {
                KEY_BAG => self.contents.keys.push(PrivateKey::from_pkcs8(value)),
                SHROUDED_KEY_BAG => self.take_encrypted_key(value)?,
                CERTIFICATE_BAG => {
                    let certificate = certificate(value).map_err(malformed)?;
                    self.contents.certificates.extend(certificate.map(<[u8]>::to_vec));
                }
                SAFE_CONTENTS_BAG => self.take_bags(value, depth + 1)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn take_encrypted_key(&mut self, value: &[u8]) -> Result<(), KeyError> {
        let key = EncryptedKey::read(value)?;
        self.contents.is_protected = true;
        self.contents.is_weak |= key.is_weak();
        let key = match key.decrypt(self.password, self.work) {
            Err(KeyError::WrongPassphrase) => return Err(self.explained(KeyError::WrongPassphrase)),
            Err(error @ (KeyError::TooCostly(_) | KeyError::UnsupportedEncryption(_))) => return Err(error),
            other => other,
        };
        self.contents.keys.push(key);
        Ok(())
    }

    fn explained(&self, error: KeyError) -> KeyError {
        match error {
            KeyError::WrongPassphrase if self.is_verified => KeyError::Rejected(
                "the passphrase opens the file but not an entry in it, which must have another passphrase; export it again with one for all".into(),
            ),
            other => other,
        }
    }

    fn explained_contents(&self, kind: &str, error: DerError) -> KeyError {
        if kind == ENCRYPTED_DATA && !self.is_verified { KeyError::WrongPassphrase } else { malformed(error) }
    }
}

/// The type and the contents of `[0]`; ContentInfo, SafeBag and CertBag all begin so.
fn content_info<'a>(info: &Tlv<'a>) -> Result<(Cow<'static, str>, &'a [u8]), DerError> {
    let mut fields = info.contents();
    let kind = fields.expect(OBJECT_IDENTIFIER, "the type of an entry")?.object_identifier()?;
    Ok((kind, fields.expect(context_constructed(0), "the contents of an entry")?.value))
}

/// EncryptedData (RFC 5652, 8): its algorithm and what is encrypted, which may stand in pieces.
fn encrypted_data(content: &[u8]) -> Result<(Tlv<'_>, Zeroizing<Vec<u8>>), DerError> {
    let mut fields = der::single(content, SEQUENCE, "encrypted data")?.contents();
    fields.expect(INTEGER, "the version of encrypted data")?;
    let mut info = fields.expect(SEQUENCE, "encrypted contents")?.contents();
    info.expect(OBJECT_IDENTIFIER, "the type of encrypted contents")?;
    let algorithm = info.expect(SEQUENCE, "the encryption")?;
    let octets = match info.optional(context_constructed(0))? {
        Some(pieces) => ber::concatenated(pieces.value)?,
        None => Zeroizing::new(info.expect(context(0), "encrypted contents")?.value.to_vec()),
    };
    Ok((algorithm, octets))
}

/// `None` for certificates of another kind (SDSI).
fn certificate(bag: &[u8]) -> Result<Option<&[u8]>, DerError> {
    let (kind, value) = content_info(&der::single(bag, SEQUENCE, "a certificate bag")?)?;
    if kind != X509_CERTIFICATE {
        return Ok(None);
    }
    der::single(value, OCTET_STRING, "a certificate").map(|octets| Some(octets.value))
}

/// MacData (RFC 7292, 4): that of PKCS#12 itself, or PBMAC1 (RFC 9579).
fn verify_mac(mac: &Tlv<'_>, content: &[u8], password: &Password, work: &mut Work) -> Result<(), KeyError> {
    let mac = read_mac(mac).map_err(malformed)?;
    let (name, parameters) = identified(&mac.algorithm).map_err(malformed)?;
    let (function, key) = if name == PBMAC1 {
        pbmac1(parameters, password, work)?
    } else {
        let (_, digest, function) =
            DIGESTS.iter().find(|entry| entry.0 == name).ok_or_else(|| encryption::unsupported(&name))?;
        let length = digest.output_len();
        (*function, derivation::pkcs12(digest, password, mac.salt, Purpose::Mac, mac.rounds, length, work)?)
    };
    let key = hmac::Key::new(function, &key);
    hmac::verify(&key, content, mac.digest).map_err(|_| KeyError::WrongPassphrase)
}

struct Mac<'a> {
    algorithm: Tlv<'a>,
    digest: &'a [u8],
    salt: &'a [u8],
    rounds: u64,
}

fn read_mac<'a>(mac: &Tlv<'a>) -> Result<Mac<'a>, DerError> {
    let mut fields = mac.contents();
    let mut info = fields.expect(SEQUENCE, "the MAC")?.contents();
    let algorithm = info.expect(SEQUENCE, "the algorithm of the MAC")?;
    let digest = info.expect(OCTET_STRING, "the MAC")?.value;
    let salt = fields.expect(OCTET_STRING, "the salt of the MAC")?.value;
    let rounds = match fields.optional(INTEGER)? {
        Some(rounds) => rounds.small_unsigned("the rounds of the MAC")?,
        None => 1,
    };
    Ok(Mac { algorithm, digest, salt, rounds })
}

static DIGESTS: [(&str, &digest::Algorithm, hmac::Algorithm); 5] = [
    ("1.3.14.3.2.26", &digest::SHA1_FOR_LEGACY_USE_ONLY, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
    ("2.16.840.1.101.3.4.2.4", &digest::SHA224, hmac::HMAC_SHA224),
    ("2.16.840.1.101.3.4.2.1", &digest::SHA256, hmac::HMAC_SHA256),
    ("2.16.840.1.101.3.4.2.2", &digest::SHA384, hmac::HMAC_SHA384),
    ("2.16.840.1.101.3.4.2.3", &digest::SHA512, hmac::HMAC_SHA512),
];

fn pbmac1(
    mut parameters: Reader<'_>,
    password: &Password,
    work: &mut Work,
) -> Result<(hmac::Algorithm, Zeroizing<Vec<u8>>), KeyError> {
    let mut fields = parameters.expect(SEQUENCE, "the parameters of PBMAC1").map_err(malformed)?.contents();
    let derivation = fields.expect(SEQUENCE, "the key derivation").map_err(malformed)?;
    let scheme = fields.expect(SEQUENCE, "the MAC").and_then(|scheme| identified(&scheme)).map_err(malformed)?.0;
    let function =
        MAC_FUNCTIONS.iter().find(|entry| entry.0 == scheme).ok_or_else(|| encryption::unsupported(&scheme))?;
    Ok((function.1, encryption::derive(&derivation, None, &password.text, work)?))
}

static MAC_FUNCTIONS: [(&str, hmac::Algorithm); 3] = [
    ("1.2.840.113549.2.9", hmac::HMAC_SHA256),
    ("1.2.840.113549.2.10", hmac::HMAC_SHA384),
    ("1.2.840.113549.2.11", hmac::HMAC_SHA512),
];

fn malformed(error: DerError) -> KeyError {
    KeyError::Rejected(format!("the PKCS#12 file is malformed: {error}"))
}

/// Whether a passphrase was given at all; an empty one is what forms send for none.
pub fn is_given(passphrase: Option<&SecretString>) -> bool {
    passphrase.is_some_and(|passphrase| !passphrase.expose_secret().is_empty())
}

#[cfg(test)]
mod tests;
