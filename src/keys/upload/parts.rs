//! The parts of an upload, from all its fields, each read for itself.

use secrecy::{ExposeSecret, SecretString};

use crate::domain::violation::Violation;
use crate::keys::error::KeyError;
use crate::keys::private_key::derivation::{Password, Work};
use crate::keys::private_key::encryption::EncryptedKey;
use crate::keys::private_key::{PrivateKey, legacy_pem};
use crate::x509::der::{OBJECT_IDENTIFIER, Reader, SEQUENCE};
use crate::x509::foreign_certificate::ForeignCertificate;
use crate::x509::pem::bundle::{self, Block};

use super::{CERTIFICATES, PASSPHRASE, PKCS12, PRIVATE_KEY, Upload, pkcs12, sniff};

pub const MAX_CERTIFICATES: usize = 100;

/// What was found, with the JSON pointer of where, and what is wrong.
#[derive(Default)]
pub struct Parts {
    pub certificates: Vec<(ForeignCertificate, &'static str)>,
    pub keys: Vec<(PrivateKey, &'static str)>,
    pub faults: Vec<Violation>,
    pub messages: Vec<String>,
    /// There is one, and why it cannot be read is among the faults.
    pub has_unusable_key: bool,
    pub has_unusable_certificate: bool,
    has_encryption: bool,
}

impl Parts {
    pub fn read(upload: &Upload<'_>) -> Self {
        let mut parts = Self::default();
        let mut work = Work::default();
        for (text, pointer) in [(upload.certificates, CERTIFICATES), (upload.private_key, PRIVATE_KEY)] {
            if let Some(text) = text.filter(|text| !text.trim().is_empty()) {
                parts.take_text(text, pointer, upload.passphrase, &mut work);
            }
        }
        if let Some(file) = upload.pkcs12 {
            parts.take_pkcs12(file, upload.passphrase, &mut work);
        }
        if parts.certificates.len() > MAX_CERTIFICATES {
            parts.certificates.truncate(MAX_CERTIFICATES);
            parts.fault(CERTIFICATES, format!("there are more than {MAX_CERTIFICATES} certificates"));
        }
        if pkcs12::is_given(upload.passphrase) && !parts.has_encryption && !parts.has_unusable_key {
            parts.messages.push("a passphrase was given, but nothing was encrypted; it is not stored".into());
        }
        parts
    }

    pub fn fault(&mut self, pointer: &str, message: impl Into<String>) {
        self.faults.push(Violation::new(pointer, message));
    }

    fn take_text(&mut self, text: &str, pointer: &'static str, passphrase: Option<&SecretString>, work: &mut Work) {
        let blocks = match bundle::read(text) {
            Ok(blocks) if blocks.is_empty() => return self.unusable(text, pointer, sniff::without_pem(text)),
            Ok(blocks) => blocks,
            Err(fault) => return self.unusable(text, pointer, fault),
        };
        let mut curve = None;
        for block in &blocks {
            match block.label.as_str() {
                "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => self.take_certificate(block, pointer),
                // OpenSSL writes the curve in a block of its own, before the key.
                "EC PARAMETERS" => curve = Some(block.der.as_slice()),
                "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" | "ENCRYPTED PRIVATE KEY" => {
                    let key = self.read_key(block, curve, passphrase, work);
                    self.take_key_or_fault(key, pointer, passphrase);
                }
                label => match sniff::other_block(label) {
                    sniff::Other::Fault { message, is_key } => {
                        self.has_unusable_key |= is_key;
                        self.has_unusable_certificate |= !is_key;
                        self.fault(pointer, message);
                    }
                    sniff::Other::LeftOut(message) => self.messages.push(message),
                },
            }
        }
    }

    /// Nothing in the field can be read, so what should be in it is not missed a second time.
    fn unusable(&mut self, text: &str, pointer: &'static str, fault: String) {
        self.has_unusable_key |= pointer == PRIVATE_KEY || text.contains("PRIVATE KEY");
        self.has_unusable_certificate |= pointer == CERTIFICATES || text.contains("CERTIFICATE-----");
        self.fault(pointer, fault);
    }

    fn take_certificate(&mut self, block: &Block, pointer: &'static str) {
        match ForeignCertificate::from_der(sniff::certificate_alone(block)) {
            Ok(certificate) => self.certificates.push((certificate, pointer)),
            Err(fault) => {
                self.has_unusable_certificate = true;
                let hint = sniff::mislabelled(&block.der).unwrap_or_default();
                self.fault(pointer, format!("a certificate cannot be read: {fault}{hint}"));
            }
        }
    }

    fn read_key(
        &mut self,
        block: &Block,
        curve: Option<&[u8]>,
        passphrase: Option<&SecretString>,
        work: &mut Work,
    ) -> Result<PrivateKey, KeyError> {
        let is_legacy = legacy_pem::is_encrypted(block);
        if !is_legacy && block.label != "ENCRYPTED PRIVATE KEY" {
            return read_plain_key(&block.label, &block.der, curve);
        }
        self.has_encryption = true;
        let passphrase = passphrase.ok_or(KeyError::WrongPassphrase)?;
        let password = Password::new(passphrase);
        if is_legacy {
            let der = legacy_pem::decrypt(block, &password)?;
            self.messages.push("the private key was encrypted in OpenSSL's old PEM format, which is easily broken: one round of MD5; treat copies of the file as unencrypted".into());
            // Contents that are no SEQUENCE of an INTEGER and more come from a passphrase that is wrong.
            let is_key = Reader::new(&der).expect(SEQUENCE, "").is_ok_and(|key| key.contents().peek() == Some(2));
            return if is_key { read_plain_key(&block.label, &der, curve) } else { Err(KeyError::WrongPassphrase) };
        }
        let key = EncryptedKey::read(&block.der)?;
        if key.is_weak() {
            self.messages.push("the private key was encrypted with an old algorithm that is easily broken; treat copies of the file as unencrypted".into());
        }
        key.decrypt(&password, work)
    }

    fn take_key_or_fault(
        &mut self,
        key: Result<PrivateKey, KeyError>,
        pointer: &'static str,
        passphrase: Option<&SecretString>,
    ) {
        match key {
            Ok(key) => self.keys.push((key, pointer)),
            Err(error) => {
                self.has_unusable_key = true;
                let (pointer, message) = explained(&error, pointer, passphrase);
                if !self.faults.iter().any(|fault| fault.pointer == pointer && fault.message == message) {
                    self.fault(pointer, message);
                }
            }
        }
    }

    fn take_pkcs12(&mut self, file: &[u8], passphrase: Option<&SecretString>, work: &mut Work) {
        let contents = match pkcs12::open(file, passphrase, work) {
            Ok(contents) => contents,
            Err(error) => {
                self.has_unusable_key = true;
                self.has_unusable_certificate = true;
                let (pointer, message) = explained(&error, PKCS12, passphrase);
                return self.fault(pointer, message);
            }
        };
        self.has_encryption |= contents.is_protected;
        if contents.is_weak {
            self.messages.push("the PKCS#12 file is encrypted with an old algorithm (RC2 or triple DES) that is easily broken; treat copies of the file as unencrypted".into());
        }
        for der in &contents.certificates {
            match ForeignCertificate::from_der(der) {
                Ok(certificate) => self.certificates.push((certificate, PKCS12)),
                Err(fault) => self.fault(PKCS12, format!("a certificate in the file cannot be read: {fault}")),
            }
        }
        for key in contents.keys {
            self.take_key_or_fault(key, PKCS12, passphrase);
        }
    }
}

/// Where the fault lies and what it is.
fn explained(error: &KeyError, pointer: &'static str, passphrase: Option<&SecretString>) -> (&'static str, String) {
    let what = if pointer == PKCS12 { "PKCS#12 file" } else { "private key" };
    match error {
        KeyError::WrongPassphrase if !pkcs12::is_given(passphrase) => {
            (PASSPHRASE, format!("the {what} is encrypted; send its passphrase"))
        }
        KeyError::WrongPassphrase => {
            let has_line_end = passphrase.is_some_and(|text| text.expose_secret().ends_with(['\n', '\r']));
            let hint = if has_line_end { " (it ends with a line break, which hardly belongs to it)" } else { "" };
            (PASSPHRASE, format!("the passphrase does not open the {what}{hint}"))
        }
        KeyError::Rejected(why) | KeyError::TooCostly(why) => (pointer, format!("the {what} cannot be used: {why}")),
        KeyError::UnsupportedEncryption(name) => (
            pointer,
            format!(
                "the {what} is encrypted with {name}, which is not supported; openssl pkcs8 -topk8 or openssl pkcs12 writes it anew"
            ),
        ),
        other => (pointer, format!("the {what} cannot be used: {other}")),
    }
}

/// The label is a hint only: programs have written each kind under the label of another.
fn read_plain_key(label: &str, der: &[u8], curve: Option<&[u8]>) -> Result<PrivateKey, KeyError> {
    match label {
        "RSA PRIVATE KEY" if !is_pkcs8(der) => PrivateKey::from_pkcs1(der),
        "EC PRIVATE KEY" if !is_pkcs8(der) => PrivateKey::from_sec1(der, curve),
        _ => PrivateKey::from_pkcs8(der),
    }
}

/// The version is followed by an AlgorithmIdentifier.
fn is_pkcs8(der: &[u8]) -> bool {
    let Ok(key) = Reader::new(der).expect(SEQUENCE, "") else { return false };
    let mut fields = key.contents();
    let _version = fields.read();
    fields.expect(SEQUENCE, "").is_ok_and(|algorithm| algorithm.contents().peek() == Some(OBJECT_IDENTIFIER))
}
