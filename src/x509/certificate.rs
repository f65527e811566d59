//! Finished certificates: sealing one, and reading what stands in one.

use chrono::{DateTime, Utc};

use crate::domain::name::Name;
use crate::domain::plan::Plan;
use crate::domain::serial::SerialNumber;
use crate::domain::subject_alternative_name::SubjectAlternativeName;

use super::der::{DerError, write};
use super::error::X509Error;
use super::lint::LintedTbs;
use super::parsed::{self, ParsedTbs};
use super::signature::Signed;
use super::{algorithm, general_name, name, oid, public_key, time};

/// A certificate that was planned, linted and signed, in this order. Only [`LintedTbs::seal`] makes one.
#[derive(Clone, Debug)]
pub struct SignedCertificate {
    der: Vec<u8>,
    fingerprint_sha256: [u8; 32],
    plan: Plan,
}

impl SignedCertificate {
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    pub fn fingerprint_sha256(&self) -> [u8; 32] {
        self.fingerprint_sha256
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

impl LintedTbs {
    /// Puts the signature under the linted bytes. Only `keys::Signer` calls it, with the signature that the planned
    /// issuer's key made over exactly [`LintedTbs::der`]. Fails if the algorithm inside is not the one that is
    /// written outside (RFC 5280, 4.1.1.2).
    pub(crate) fn seal(self, signature: &[u8]) -> Result<SignedCertificate, X509Error> {
        let (tbs, plan) = self.into_parts();
        let outer = algorithm::identifier(plan.issuer.key_type)?;
        if parsed::signature_algorithm(&tbs)? != outer {
            return Err(X509Error::Signature("the algorithms inside and outside of the certificate differ".into()));
        }
        let der = write::sequence(&[&tbs, &outer, &write::bit_string(signature)]);
        Ok(SignedCertificate { fingerprint_sha256: public_key::sha256(&der), der, plan })
    }
}

/// What stands in a certificate, for loading authorities, for the command line and for tests.
#[derive(Clone, Debug)]
pub struct CertificateFacts {
    /// DER and text of the subject.
    pub subject: Name,
    pub issuer: Name,
    pub serial: SerialNumber,
    pub not_before: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
    /// subjectKeyIdentifier.
    pub ski: Option<Vec<u8>>,
    /// keyIdentifier of authorityKeyIdentifier.
    pub aki: Option<Vec<u8>>,
    /// The SubjectPublicKeyInfo in DER.
    pub spki: Vec<u8>,
    pub is_ca: bool,
    pub path_length: Option<u64>,
    pub subject_alternative_names: Vec<SubjectAlternativeName>,
    pub crl_urls: Vec<String>,
    /// caIssuers of authorityInfoAccess.
    pub issuer_urls: Vec<String>,
    pub fingerprint_sha256: [u8; 32],
}

/// Reads a certificate. The signature is not verified: [`super::signature::verify_document`] does that.
pub fn read(der: &[u8]) -> Result<CertificateFacts, X509Error> {
    let signed = Signed::read(der)?;
    let tbs = ParsedTbs::read(signed.content.whole)?;
    if tbs.signature_algorithm.whole != signed.algorithm.whole {
        return Err(X509Error::Signature("the algorithms inside and outside of the certificate differ".into()));
    }
    let (is_ca, path_length) = tbs.basic_constraints()?.unwrap_or((false, None));
    let names = tbs.extension(oid::SUBJECT_ALT_NAME).map(|extension| general_name::read(extension.value)).transpose();
    let serial = SerialNumber::from_be_bytes(tbs.serial.unsigned_integer("serialNumber")?);
    Ok(CertificateFacts {
        subject: name::read(tbs.subject.whole).map_err(faults)?,
        issuer: name::read(tbs.issuer.whole).map_err(faults)?,
        serial: serial.ok_or(DerError::Value { what: "serialNumber" })?,
        not_before: time::read(&tbs.not_before, "notBefore")?,
        not_after: time::read(&tbs.not_after, "notAfter")?,
        ski: tbs.subject_key_identifier()?.map(<[u8]>::to_vec),
        aki: parsed::authority_key_identifier(&tbs.extensions)?.map(<[u8]>::to_vec),
        spki: tbs.spki.whole.to_vec(),
        is_ca,
        path_length,
        subject_alternative_names: names.map_err(faults)?.unwrap_or_default().names,
        crl_urls: tbs.crl_distribution_points()?.unwrap_or_default().into_iter().map(str::to_owned).collect(),
        issuer_urls: issuer_urls(&tbs)?,
        fingerprint_sha256: public_key::sha256(der),
    })
}

fn issuer_urls(tbs: &ParsedTbs<'_>) -> Result<Vec<String>, DerError> {
    let locations = tbs.information_access()?.unwrap_or_default().into_iter();
    Ok(locations.filter(|(method, _)| method == oid::ACCESS_CA_ISSUERS).map(|(_, url)| url.to_owned()).collect())
}

fn faults(faults: Vec<String>) -> X509Error {
    X509Error::Content(faults.join("; "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{lint, pem, tbs, testing};
    use super::*;

    fn sealed() -> Vec<u8> {
        let tbs = tbs::build(testing::client_plan()).unwrap();
        let Ok(linted) = lint::lint(tbs) else { panic!("the plan passes") };
        linted.seal(b"signature").unwrap().der().to_vec()
    }

    proptest! {
        #[test]
        fn no_mutation_brings_the_reader_down(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let mut der = sealed();
            for (place, octet) in &changes {
                let place = place.index(der.len());
                der[place] = *octet;
            }
            let _ = read(&der);
            if let Ok(signed) = Signed::read(&der) {
                let _ = lint::lint(tbs::Tbs { der: signed.content.whole.to_vec(), plan: testing::client_plan() });
            }
        }
    }

    #[test]
    fn every_field_of_the_plan_is_read_back() {
        let plan = testing::client_plan();
        let facts = read(&sealed()).unwrap();
        assert_eq!((facts.subject, facts.serial), (plan.subject, plan.serial));
        assert_eq!(facts.issuer.der, plan.issuer.subject);
        assert_eq!((facts.not_before, facts.not_after), (plan.not_before, plan.not_after));
        assert_eq!(facts.ski, Some(plan.public_key.ski.to_vec()));
        assert_eq!(facts.aki, Some(plan.issuer.ski));
        assert_eq!(facts.spki, plan.public_key.spki);
        assert_eq!(facts.crl_urls, [plan.issuer.crl_url]);
        assert_eq!(facts.issuer_urls, [plan.issuer.certificate_url]);
        assert_eq!(facts.subject_alternative_names.len(), 2);
    }

    #[test]
    fn the_certificate_of_the_wire_contract_reads_as_the_contract_says() {
        let facts = testing::contract_certificate();
        assert_eq!(facts.serial.to_decimal(), "178330214396732578226290616980440577183373074272");
        assert_eq!(hex::encode(facts.ski.unwrap()), "ee6559d74a51e399760a5ac3d75349640efafd58");
        assert_eq!(
            hex::encode(facts.fingerprint_sha256),
            "f013fa7fa7b6f912581f9038b66bd318b69bf9aaa6d596cddcc77f222a9ced09"
        );
        assert_eq!(facts.not_before.to_rfc3339(), "2026-11-20T18:25:00+00:00");
        assert_eq!(facts.not_after.to_rfc3339(), "2027-11-20T18:25:00+00:00");
        assert_eq!(
            facts.subject.to_string(),
            "C=PT, ST=Lisboa, L=Lisboa, O=Example Org, OU=Field devices, CN=device-0001"
        );
        assert!(!facts.is_ca);
    }

    #[test]
    fn its_pem_is_written_as_it_stands_there() {
        let der = pem::decode_all("CERTIFICATE", testing::CONTRACT_CERTIFICATE).unwrap().remove(0);
        assert_eq!(pem::encode("CERTIFICATE", &der), testing::CONTRACT_CERTIFICATE);
    }

    #[test]
    fn truncated_and_extended_certificates_are_malformed() {
        let der = pem::decode_all("CERTIFICATE", testing::CONTRACT_CERTIFICATE).unwrap().remove(0);
        assert!(read(&der[..der.len() - 1]).is_err());
        assert!(read(&[der.as_slice(), &[0]].concat()).is_err());
    }
}
