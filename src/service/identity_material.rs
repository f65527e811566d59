//! Opening what was uploaded: certificates and keys in any form, read once, off the asynchronous threads.

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::domain::host_pattern::HostPattern;
use crate::domain::identity::{self, IdentityFacts};
use crate::domain::violation::Violation;
use crate::keys::private_key::PrivateKey;
use crate::keys::upload::{self, Upload};
use crate::x509::foreign_certificate::ForeignCertificate;

use super::{Service, ServiceError, in_turn};

/// Certificates and key in whatever form they came.
#[derive(Default)]
pub struct Material {
    /// PEM; may hold the key too.
    pub certificates: Option<SecretString>,
    pub private_key: Option<SecretString>,
    /// DER.
    pub pkcs12: Option<Zeroizing<Vec<u8>>>,
    pub passphrase: Option<SecretString>,
    /// PEM of CAs to verify its servers by.
    pub trusted_ca: Option<String>,
}

/// An upload that was opened and found good.
pub(super) struct OpenedUpload {
    /// The leaf first; of a bundle, its CAs as sent.
    pub(super) chain: Vec<ForeignCertificate>,
    pub(super) private_key: Option<PrivateKey>,
    pub(super) trusted: Vec<ForeignCertificate>,
    pub(super) messages: Vec<String>,
}

impl Service {
    /// Opens an upload: stretching a passphrase takes up to a second of a core, so a few are opened at once, off the
    /// asynchronous threads.
    pub(super) async fn read_material(
        &self,
        material: Material,
        is_ca: bool,
        now: DateTime<Utc>,
    ) -> Result<Result<OpenedUpload, Vec<Violation>>, ServiceError> {
        self.open_upload(move || {
            if is_ca { OpenedUpload::bundle(&material, now) } else { OpenedUpload::identity(&material, now) }
        })
        .await
    }

    pub(super) async fn read_for_key(
        &self,
        material: Material,
        spki: Vec<u8>,
        now: DateTime<Utc>,
    ) -> Result<Result<OpenedUpload, Vec<Violation>>, ServiceError> {
        self.open_upload(move || OpenedUpload::for_key(&material, &spki, now)).await
    }

    async fn open_upload<F>(&self, read: F) -> Result<Result<OpenedUpload, Vec<Violation>>, ServiceError>
    where
        F: FnOnce() -> Result<OpenedUpload, Vec<Violation>> + Send + 'static,
    {
        in_turn(&self.upload_reading, read).await
    }
}

impl OpenedUpload {
    fn identity(material: &Material, now: DateTime<Utc>) -> Result<Self, Vec<Violation>> {
        let read = upload::read(&material.as_upload(), now)?;
        Ok(Self {
            chain: read.chain,
            private_key: Some(read.private_key),
            trusted: read.trusted_ca,
            messages: read.messages,
        })
    }

    fn for_key(material: &Material, spki: &[u8], now: DateTime<Utc>) -> Result<Self, Vec<Violation>> {
        let read = upload::read_for_key(&material.as_upload(), spki, now)?;
        Ok(Self { chain: read.chain, private_key: None, trusted: read.trusted_ca, messages: read.messages })
    }

    fn bundle(material: &Material, now: DateTime<Utc>) -> Result<Self, Vec<Violation>> {
        let pem = material.certificates.as_ref().map(|pem| pem.expose_secret()).unwrap_or_default();
        let (chain, messages) = upload::read_authorities(pem, now, "/certificates")?;
        Ok(Self { chain, private_key: None, trusted: Vec::new(), messages })
    }

    pub(super) fn certificates(&self) -> String {
        pem(&self.chain)
    }

    pub(super) fn trusted_ca(&self) -> String {
        pem(&self.trusted)
    }

    pub(super) fn facts(&self) -> Result<IdentityFacts, ServiceError> {
        let first =
            self.chain.first().ok_or_else(|| ServiceError::Internal("an upload without a certificate".into()))?;
        Ok(facts_of(first))
    }
}

impl Material {
    pub(super) fn as_upload(&self) -> Upload<'_> {
        Upload {
            certificates: self.certificates.as_ref().map(|text| text.expose_secret()),
            private_key: self.private_key.as_ref().map(|text| text.expose_secret()),
            pkcs12: self.pkcs12.as_deref().map(Vec::as_slice),
            passphrase: self.passphrase.as_ref(),
            trusted_ca: self.trusted_ca.as_deref(),
        }
    }
}

pub(super) fn facts_of(certificate: &ForeignCertificate) -> IdentityFacts {
    IdentityFacts {
        subject: certificate.subject.clone(),
        issuer: certificate.issuer.clone(),
        common_name: certificate.common_name.clone(),
        serial: certificate.serial.clone(),
        signature: certificate.signature.clone(),
        key_type: certificate.key_type.clone(),
        fingerprint_sha256: certificate.fingerprint_sha256.to_vec(),
        spki_sha256: certificate.spki_sha256.to_vec(),
        subject_alternative_names: certificate.subject_alternative_names.clone(),
        not_before: certificate.not_before,
        not_after: certificate.not_after,
    }
}

pub(super) fn pem(certificates: &[ForeignCertificate]) -> String {
    certificates.iter().map(ForeignCertificate::to_pem).collect()
}

/// A bundle of CAs is trusted, not presented.
pub(super) fn what_a_bundle_has_not(material: &Material, hosts: &[HostPattern], is_primary: bool) -> Vec<Violation> {
    let has = |pointer: &str, what: &str| Violation::new(pointer, format!("a CA bundle (ca: true) has no {what}"));
    let mut faults = Vec::new();
    if material.private_key.is_some() {
        faults.push(has("/private_key", "private key"));
    }
    if material.pkcs12.is_some() {
        faults.push(has("/pkcs12", "PKCS#12 file; send its certificates in PEM"));
    }
    if material.trusted_ca.is_some() {
        faults.push(has("/trusted_ca", "further CAs to trust; put them into certificates"));
    }
    if !hosts.is_empty() {
        faults.push(has("/hosts", "hosts: it is never presented"));
    }
    if is_primary {
        faults.push(has("/primary", "rank: it is never presented"));
    }
    faults
}

/// What the certificate calls itself.
pub(super) fn default_name(read: &OpenedUpload) -> String {
    let label = |certificate: &ForeignCertificate| match certificate.common_name.as_str() {
        "" => certificate.label(),
        name => name.to_owned(),
    };
    let name = read.chain.first().map(label).unwrap_or_default();
    let printable: String =
        name.chars().filter(|character| !character.is_control()).take(identity::MAX_NAME_LENGTH).collect();
    if printable.trim().is_empty() { "unnamed".into() } else { printable.trim().to_owned() }
}
