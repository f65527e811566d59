//! Certificate revocation lists (RFC 5280, 5): complete ones, written and read.

use chrono::{DateTime, Utc};
use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams};

use crate::domain::key::AuthorityKeyType;
use crate::domain::reason::RevocationReason;
use crate::domain::serial::SerialNumber;

use super::capture::{self, Field};
use super::der::{
    self, DerError, ENUMERATED, GENERALIZED_TIME, INTEGER, Reader, SEQUENCE, Tlv, UTC_TIME, EXPLICIT_0, write,
};
use super::error::X509Error;
use super::extension::{self, Extension};
use super::signature::Signed;
use super::{algorithm, oid, parsed, time};

/// One revoked certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedEntry {
    pub serial: SerialNumber,
    pub revoked_on: DateTime<Utc>,
    pub reason: RevocationReason,
    pub invalidity_date: Option<DateTime<Utc>>,
}

/// All that a CRL shall say. Times are cut to whole seconds.
#[derive(Clone, Debug)]
pub struct CrlPlan {
    /// The authority's subject in DER.
    pub issuer_subject: Vec<u8>,
    /// The authority's SKI: the CRL's authorityKeyIdentifier.
    pub issuer_ski: Vec<u8>,
    pub key_type: AuthorityKeyType,
    /// From 1, strictly growing per authority.
    pub number: u64,
    pub this_update: DateTime<Utc>,
    pub next_update: DateTime<Utc>,
    pub entries: Vec<RevokedEntry>,
}

/// An encoded TBSCertList, ready to be signed.
pub struct CrlTbs {
    der: Vec<u8>,
    key_type: AuthorityKeyType,
    number: u64,
    this_update: DateTime<Utc>,
    next_update: DateTime<Utc>,
}

/// A signed CRL. Only [`CrlTbs::seal`] makes one.
#[derive(Clone, Debug)]
pub struct SignedCrl {
    der: Vec<u8>,
    number: u64,
    this_update: DateTime<Utc>,
    next_update: DateTime<Utc>,
}

/// Encodes the plan. The issuer is carried byte for byte; the reason `unspecified` is left out (5.3.1).
pub fn build(plan: CrlPlan) -> Result<CrlTbs, X509Error> {
    if plan.number == 0 {
        return Err(X509Error::Content("CRL numbers start at 1".into()));
    }
    let CrlPlan { issuer_subject, issuer_ski, key_type, number, this_update, next_update, entries } = plan;
    let params = CertificateRevocationListParams {
        this_update: time::for_encoder(this_update)?,
        next_update: time::for_encoder(next_update)?,
        crl_number: number.into(),
        issuing_distribution_point: None,
        revoked_certs: entries.into_iter().map(entry_for_encoder).collect::<Result<_, _>>()?,
        // The encoder takes the CRL's key identifier from here, not from the issuer.
        key_identifier_method: KeyIdMethod::PreSpecified(issuer_ski.clone()),
    };
    let encoded = capture::crl(&params, &issuer_ski, key_type)?;
    let der = splice_issuer(&encoded, &issuer_subject, !params.revoked_certs.is_empty())?;
    let (this_update, next_update) = (time::truncated(this_update), time::truncated(next_update));
    Ok(CrlTbs { der, key_type, number, this_update, next_update })
}

impl CrlTbs {
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    pub fn key_type(&self) -> AuthorityKeyType {
        self.key_type
    }

    /// Puts the signature under the bytes. Only `keys::Signer` calls it, with the signature that the issuer's key made
    /// over exactly [`CrlTbs::der`].
    pub(crate) fn seal(self, signature: &[u8]) -> Result<SignedCrl, X509Error> {
        let outer = algorithm::identifier(self.key_type)?;
        let der = write::sequence(&[&self.der, &outer, &write::bit_string(signature)]);
        Ok(SignedCrl { der, number: self.number, this_update: self.this_update, next_update: self.next_update })
    }
}

impl SignedCrl {
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn this_update(&self) -> DateTime<Utc> {
        self.this_update
    }

    pub fn next_update(&self) -> DateTime<Utc> {
        self.next_update
    }

    pub fn into_der(self) -> Vec<u8> {
        self.der
    }
}

/// What stands in a CRL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlFacts {
    /// The issuer in DER.
    pub issuer: Vec<u8>,
    pub aki: Option<Vec<u8>>,
    pub number: u64,
    pub this_update: DateTime<Utc>,
    pub next_update: DateTime<Utc>,
    /// In the order of the CRL; an entry without a reason is `unspecified`.
    pub entries: Vec<RevokedEntry>,
}

/// Reads a complete CRL. The signature is not verified: [`super::signature::verify_document`] does that.
pub fn read(der: &[u8]) -> Result<CrlFacts, X509Error> {
    let signed = Signed::read(der)?;
    let mut fields = signed.content.contents();
    if fields.expect(INTEGER, "the version")?.small_unsigned("the version")? != 1 {
        return Err(X509Error::Content("the CRL's version is not 2".into()));
    }
    if fields.expect(SEQUENCE, "signature")?.whole != signed.algorithm.whole {
        return Err(X509Error::Signature("the algorithms inside and outside of the CRL differ".into()));
    }
    let issuer = fields.expect(SEQUENCE, "issuer")?.whole.to_vec();
    let this_update = time::read(&fields.read()?, "thisUpdate")?;
    let next_update = time::read(&fields.read()?, "nextUpdate")?;
    let entries = match fields.optional(SEQUENCE)? {
        Some(list) => read_entries(list.contents())?,
        None => Vec::new(),
    };
    let extensions = fields.expect(EXPLICIT_0, "crlExtensions")?;
    fields.finish("crlExtensions")?;
    let extensions = extension::read_all(&der::single(extensions.value, SEQUENCE, "crlExtensions")?)?;
    let number = find(&extensions, oid::CRL_NUMBER).ok_or(DerError::Missing { what: "cRLNumber" })?;
    let number = der::single(number.value, INTEGER, "cRLNumber")?.small_unsigned("cRLNumber")?;
    let aki = parsed::authority_key_identifier(&extensions)?.map(<[u8]>::to_vec);
    Ok(CrlFacts { issuer, aki, number, this_update, next_update, entries })
}

fn entry_for_encoder(entry: RevokedEntry) -> Result<RevokedCertParams, X509Error> {
    Ok(RevokedCertParams {
        serial_number: entry.serial.as_bytes().to_vec().into(),
        revocation_time: time::for_encoder(entry.revoked_on)?,
        reason_code: reason_for_encoder(entry.reason),
        invalidity_date: entry.invalidity_date.map(time::for_encoder).transpose()?,
    })
}

fn reason_for_encoder(reason: RevocationReason) -> Option<rcgen::RevocationReason> {
    Some(match reason {
        RevocationReason::Unspecified => return None,
        RevocationReason::KeyCompromise => rcgen::RevocationReason::KeyCompromise,
        RevocationReason::CaCompromise => rcgen::RevocationReason::CaCompromise,
        RevocationReason::AffiliationChanged => rcgen::RevocationReason::AffiliationChanged,
        RevocationReason::Superseded => rcgen::RevocationReason::Superseded,
        RevocationReason::CessationOfOperation => rcgen::RevocationReason::CessationOfOperation,
        RevocationReason::CertificateHold => rcgen::RevocationReason::CertificateHold,
        RevocationReason::PrivilegeWithdrawn => rcgen::RevocationReason::PrivilegeWithdrawn,
        RevocationReason::AaCompromise => rcgen::RevocationReason::AaCompromise,
    })
}

/// revokedCertificates is absent when it would be empty (5.1.2.6).
fn splice_issuer(encoded: &[u8], issuer: &[u8], has_entries: bool) -> Result<Vec<u8>, X509Error> {
    const TIME: &[u8] = &[UTC_TIME, GENERALIZED_TIME];
    let kept = |what, tags| Field { what, tags, replacement: None };
    let mut fields = vec![
        kept("version", &[INTEGER]),
        kept("signature", &[SEQUENCE]),
        Field { what: "issuer", tags: &[SEQUENCE], replacement: Some(issuer) },
        kept("thisUpdate", TIME),
        kept("nextUpdate", TIME),
    ];
    if has_entries {
        fields.push(kept("revokedCertificates", &[SEQUENCE]));
    }
    fields.push(kept("crlExtensions", &[EXPLICIT_0]));
    capture::splice(encoded, &fields)
}

fn read_entries(mut reader: Reader<'_>) -> Result<Vec<RevokedEntry>, DerError> {
    let mut entries = Vec::new();
    while !reader.is_empty() {
        entries.push(read_entry(&reader.expect(SEQUENCE, "a revoked certificate")?)?);
    }
    Ok(entries)
}

fn read_entry(element: &Tlv<'_>) -> Result<RevokedEntry, DerError> {
    let mut fields = element.contents();
    let serial = fields.expect(INTEGER, "userCertificate")?.unsigned_integer("userCertificate")?;
    let serial = SerialNumber::from_be_bytes(serial).ok_or(DerError::Value { what: "userCertificate" })?;
    let revoked_on = time::read(&fields.read()?, "revocationDate")?;
    let extensions = match fields.optional(SEQUENCE)? {
        Some(sequence) => extension::read_all(&sequence)?,
        None => Vec::new(),
    };
    fields.finish("crlEntryExtensions")?;
    let reason = find(&extensions, oid::REASON_CODE).map_or(Ok(RevocationReason::Unspecified), read_reason)?;
    let invalidity_date = match find(&extensions, oid::INVALIDITY_DATE) {
        Some(date) => Some(time::read(&der::single(date.value, GENERALIZED_TIME, "invalidityDate")?, "invalidityDate")?),
        None => None,
    };
    Ok(RevokedEntry { serial, revoked_on, reason, invalidity_date })
}

fn read_reason(extension: &Extension<'_>) -> Result<RevocationReason, DerError> {
    let malformed = DerError::Value { what: "reasonCode" };
    let code = der::single(extension.value, ENUMERATED, "reasonCode")?.small_unsigned("reasonCode")?;
    let code = i16::try_from(code).map_err(|_| malformed.clone())?;
    RevocationReason::from_code(code).ok_or(malformed)
}

fn find<'e, 'a>(extensions: &'e [Extension<'a>], oid: &str) -> Option<&'e Extension<'a>> {
    extensions.iter().find(|extension| extension.oid == oid)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use x509_parser::prelude::{FromDer, TbsCertList};

    use super::super::testing;
    use super::*;

    const REASONS: [RevocationReason; 9] = [
        RevocationReason::Unspecified,
        RevocationReason::KeyCompromise,
        RevocationReason::CaCompromise,
        RevocationReason::AffiliationChanged,
        RevocationReason::Superseded,
        RevocationReason::CessationOfOperation,
        RevocationReason::CertificateHold,
        RevocationReason::PrivilegeWithdrawn,
        RevocationReason::AaCompromise,
    ];

    fn plan(entries: Vec<RevokedEntry>) -> CrlPlan {
        let issuer = testing::issuer();
        CrlPlan {
            issuer_subject: issuer.subject,
            issuer_ski: issuer.ski,
            key_type: AuthorityKeyType::P256,
            number: 300,
            this_update: testing::noon() + TimeDelta::milliseconds(250),
            next_update: testing::noon() + TimeDelta::days(7),
            entries,
        }
    }

    fn entries() -> Vec<RevokedEntry> {
        let entry = |(index, reason): (usize, RevocationReason)| RevokedEntry {
            serial: SerialNumber::from_be_bytes(&[0x80 + index as u8; 19]).unwrap(),
            revoked_on: testing::noon() - TimeDelta::seconds(index as i64),
            reason,
            invalidity_date: (index % 2 == 1).then(|| testing::noon() - TimeDelta::days(30)),
        };
        REASONS.into_iter().enumerate().map(entry).collect()
    }

    #[test]
    fn a_crl_reads_back_as_planned() {
        for entries in [Vec::new(), entries()] {
            let plan = plan(entries.clone());
            let crl = build(plan.clone()).unwrap().seal(b"signature").unwrap();
            let facts = read(crl.der()).unwrap();
            assert_eq!(facts.issuer, plan.issuer_subject);
            assert_eq!(facts.aki, Some(plan.issuer_ski));
            assert_eq!((facts.number, facts.this_update, facts.next_update), (300, testing::noon(), plan.next_update));
            assert_eq!((crl.number(), crl.this_update()), (300, testing::noon()));
            assert_eq!(facts.entries, entries);
        }
    }

    #[test]
    fn another_reader_agrees() {
        let tbs = build(plan(entries())).unwrap();
        let (rest, parsed) = TbsCertList::from_der(tbs.der()).unwrap();
        assert!(rest.is_empty());
        assert_eq!(parsed.issuer.as_raw(), testing::issuer().subject);
        let codes: Vec<u8> = parsed.revoked_certificates.iter().map(|entry| entry.reason_code().map_or(0, |(_, c)| c.0)).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 9, 10]);
        assert_eq!(parsed.revoked_certificates[0].extensions().len(), 0, "unspecified is left out");
    }

    #[test]
    fn a_crl_needs_a_number_and_a_future() {
        assert!(build(CrlPlan { number: 0, ..plan(Vec::new()) }).is_err());
        assert!(build(CrlPlan { next_update: testing::noon() - TimeDelta::days(1), ..plan(Vec::new()) }).is_err());
        let largest = build(CrlPlan { number: u64::MAX, ..plan(Vec::new()) }).unwrap().seal(b"").unwrap();
        assert_eq!(read(largest.der()).unwrap().number, u64::MAX);
    }

    #[test]
    fn what_is_no_crl_is_malformed() {
        let crl = build(plan(entries())).unwrap().seal(b"signature").unwrap().into_der();
        for length in 0..crl.len() {
            assert!(read(&crl[..length]).is_err());
        }
        assert!(read(&[crl.as_slice(), &[0]].concat()).is_err());
    }
}
