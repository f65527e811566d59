//! Uploads of certificates that others issued, with their private keys, in the forms in which people hold them.
//!
//! Everything is read before anything is judged, so that one answer names all that is wrong; what is odd and usable is
//! told in messages. No fault and no message holds anything of a key or a passphrase.

mod authorities;
mod checks;
mod parts;
mod pkcs12;
mod sniff;

use chrono::{DateTime, Utc};
use secrecy::SecretString;

use crate::domain::violation::Violation;
use crate::x509::chain;
use crate::x509::foreign_certificate::ForeignCertificate;

use super::private_key::PrivateKey;

pub use authorities::read_authorities;

use parts::Parts;

pub const CERTIFICATES: &str = "/certificates";
pub const PRIVATE_KEY: &str = "/private_key";
pub const PKCS12: &str = "/pkcs12";
pub const PASSPHRASE: &str = "/passphrase";
pub const TRUSTED_CA: &str = "/trusted_ca";

/// What a caller sends. It cannot be printed.
#[derive(Clone, Copy, Default)]
pub struct Upload<'a> {
    /// PEM; the private key may stand in it too.
    pub certificates: Option<&'a str>,
    /// PEM; certificates may stand in it too.
    pub private_key: Option<&'a str>,
    /// A PKCS#12 file in DER (or BER).
    pub pkcs12: Option<&'a [u8]>,
    pub passphrase: Option<&'a SecretString>,
    /// PEM: the CAs by which servers that the identity is shown to are judged.
    pub trusted_ca: Option<&'a str>,
}

/// An identity as it was read and found good.
pub struct ReadIdentity {
    /// The leaf first, then upwards.
    pub chain: Vec<ForeignCertificate>,
    pub private_key: PrivateKey,
    pub trusted_ca: Vec<ForeignCertificate>,
    /// What is odd about it, in words for the caller.
    pub messages: Vec<String>,
}

/// A newer chain for a private key that is there already.
pub struct ReadChain {
    pub chain: Vec<ForeignCertificate>,
    pub trusted_ca: Vec<ForeignCertificate>,
    pub messages: Vec<String>,
}

/// Reads certificates and their private key. Decrypting takes up to seconds: call it on a blocking thread.
pub fn read(upload: &Upload<'_>, now: DateTime<Utc>) -> Result<ReadIdentity, Vec<Violation>> {
    let mut parts = Parts::read(upload);
    let key = parts.take_key();
    let trusted_ca = parts.take_trusted_ca(upload, now);
    let chain = parts.take_chain(key.as_ref().map(|(key, pointer)| (key.spki(), *pointer)), &trusted_ca, now);
    match (key, chain) {
        (Some((private_key, _)), Some(chain)) if parts.faults.is_empty() => {
            Ok(ReadIdentity { chain, private_key, trusted_ca, messages: parts.messages })
        }
        _ => Err(parts.faults),
    }
}

/// Reads newer certificates for a key that is stored, by its SubjectPublicKeyInfo. An upload that brings a key is for
/// [`read`]: here it is a fault.
pub fn read_for_key(upload: &Upload<'_>, spki: &[u8], now: DateTime<Utc>) -> Result<ReadChain, Vec<Violation>> {
    let mut parts = Parts::read(upload);
    parts.refuse_keys();
    let trusted_ca = parts.take_trusted_ca(upload, now);
    let chain = parts.take_chain(Some((spki, CERTIFICATES)), &trusted_ca, now);
    match chain {
        Some(chain) if parts.faults.is_empty() => Ok(ReadChain { chain, trusted_ca, messages: parts.messages }),
        _ => Err(parts.faults),
    }
}

/// Reads one private key and nothing else, in every form in which an identity's is read. A fault at [`PASSPHRASE`] says
/// that one is needed, or that it is wrong.
pub fn read_private_key(text: &str, passphrase: Option<&SecretString>) -> Result<PrivateKey, Vec<Violation>> {
    let mut parts = Parts::read(&Upload { private_key: Some(text), passphrase, ..Upload::default() });
    match parts.take_key() {
        Some((key, _)) if parts.faults.is_empty() => Ok(key),
        _ => Err(parts.faults),
    }
}

/// Whether the upload itself brings a private key: a PKCS#12 file, a block that says so, or anything in the field.
pub fn brings_a_key(upload: &Upload<'_>) -> bool {
    let has_key_block = |text: &str| text.contains("PRIVATE KEY-----");
    upload.pkcs12.is_some()
        || upload.private_key.is_some_and(|text| !text.trim().is_empty())
        || upload.certificates.is_some_and(has_key_block)
}

impl Parts {
    /// The one key, and where it was found; several copies of it are as good as one.
    fn take_key(&mut self) -> Option<(PrivateKey, &'static str)> {
        let mut keys = std::mem::take(&mut self.keys).into_iter();
        let Some((key, pointer)) = keys.next() else {
            if !self.has_unusable_key {
                self.fault(
                    PRIVATE_KEY,
                    "there is no private key; it may be sent apart, or beside the certificates, in PEM",
                );
            }
            return None;
        };
        for (other, pointer) in keys {
            if other.spki() != key.spki() {
                self.fault(
                    pointer,
                    "there are two different private keys; send the one that belongs to the certificate",
                );
                return None;
            }
        }
        Some((key, pointer))
    }

    fn refuse_keys(&mut self) {
        let pointers: Vec<&'static str> = std::mem::take(&mut self.keys).into_iter().map(|entry| entry.1).collect();
        for pointer in pointers {
            self.fault(pointer, "there is a private key; leave it out, because the one that is stored stays");
        }
    }

    /// The chain of the key, judged. Without a key the first certificate that is no CA is judged in its place, so that
    /// its faults are told together with those of the key.
    fn take_chain(
        &mut self,
        key: Option<(&[u8], &'static str)>,
        trusted: &[ForeignCertificate],
        now: DateTime<Utc>,
    ) -> Option<Vec<ForeignCertificate>> {
        let found = std::mem::take(&mut self.certificates);
        if found.is_empty() {
            if !self.has_unusable_certificate {
                self.fault(CERTIFICATES, "there is no certificate; send it in PEM, -----BEGIN CERTIFICATE-----");
            }
            return None;
        }
        let pointer_of = |leaf: &ForeignCertificate| {
            found.iter().find(|(one, _)| one.der == leaf.der).map_or(CERTIFICATES, |entry| entry.1)
        };
        let certificates: Vec<ForeignCertificate> = found.iter().map(|(certificate, _)| certificate.clone()).collect();
        let likely_leaf = certificates.iter().find(|one| !one.is_ca).or(certificates.first())?.clone();
        let Some((spki, key_pointer)) = key else {
            checks::leaf(&likely_leaf, now, pointer_of(&likely_leaf), self);
            return None;
        };
        let Some(ordered) = chain::order(certificates, spki, trusted, now) else {
            self.fault(key_pointer, checks::wrong_key(&likely_leaf, found.len(), spki));
            checks::leaf(&likely_leaf, now, pointer_of(&likely_leaf), self);
            return None;
        };
        self.messages.extend(ordered.messages);
        let (leaf, above) = ordered.chain.split_first()?;
        checks::leaf(leaf, now, pointer_of(leaf), self);
        checks::intermediates(above, now, self);
        Some(ordered.chain)
    }

    fn take_trusted_ca(&mut self, upload: &Upload<'_>, now: DateTime<Utc>) -> Vec<ForeignCertificate> {
        let Some(text) = upload.trusted_ca.filter(|text| !text.trim().is_empty()) else { return Vec::new() };
        match read_authorities(text, now, TRUSTED_CA) {
            Ok((authorities, messages)) => {
                self.messages.extend(messages);
                authorities
            }
            Err(faults) => {
                self.faults.extend(faults);
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests;
