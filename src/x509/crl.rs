//! Certificate revocation lists (RFC 5280, 5): complete ones, written and read.

mod entries;

use chrono::{DateTime, Utc};
use rcgen::{CertificateRevocationListParams, KeyIdMethod};

use crate::domain::key::AuthorityKeyType;
use crate::domain::reason::RevocationReason;
use crate::domain::serial::SerialNumber;

use super::capture::{self, Field};
use super::der::{self, DerError, EXPLICIT_0, GENERALIZED_TIME, INTEGER, SEQUENCE, UTC_TIME, write};
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
        revoked_certs: Vec::new(),
        // The encoder takes the CRL's key identifier from here, not from the issuer.
        key_identifier_method: KeyIdMethod::PreSpecified(issuer_ski.clone()),
    };
    let encoded = capture::crl(&params, &issuer_ski, key_type)?;
    let revoked = entries::write(entries)?;
    let der = splice(&encoded, &issuer_subject, &revoked)?;
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
        Some(list) => entries::read(list.contents())?,
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

/// The encoder writes a CRL without entries; issuer and entries are put in as DER. revokedCertificates is absent when
/// it would be empty (5.1.2.6).
fn splice(encoded: &[u8], issuer: &[u8], revoked: &[u8]) -> Result<Vec<u8>, X509Error> {
    const TIME: &[u8] = &[UTC_TIME, GENERALIZED_TIME];
    let list_header = if revoked.is_empty() { Vec::new() } else { write::header(SEQUENCE, revoked.len()) };
    capture::splice(
        encoded,
        &[
            Field::Kept("version", &[INTEGER]),
            Field::Kept("signature", &[SEQUENCE]),
            Field::Replaced("issuer", issuer),
            Field::Kept("thisUpdate", TIME),
            Field::Kept("nextUpdate", TIME),
            Field::Inserted(&list_header),
            Field::Inserted(revoked),
            Field::Kept("crlExtensions", &[EXPLICIT_0]),
        ],
    )
}

fn find<'e, 'a>(extensions: &'e [Extension<'a>], oid: &str) -> Option<&'e Extension<'a>> {
    extensions.iter().find(|extension| extension.oid == oid)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;
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
        let entry = |(index, reason): (u8, RevocationReason)| RevokedEntry {
            serial: SerialNumber::from_be_bytes(&[0x80 + index; 19]).unwrap(),
            revoked_on: testing::noon() - TimeDelta::seconds(index.into()),
            reason,
            invalidity_date: (index % 2 == 1).then(|| testing::noon() - TimeDelta::days(30)),
        };
        (0..).zip(REASONS).map(entry).collect()
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
        let codes: Vec<u8> =
            parsed.revoked_certificates.iter().map(|entry| entry.reason_code().map_or(0, |(_, c)| c.0)).collect();
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

    proptest! {
        #[test]
        fn no_mutation_brings_the_reader_down(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let mut crl = build(plan(entries())).unwrap().seal(b"signature").unwrap().into_der();
            for (place, octet) in &changes {
                let place = place.index(crl.len());
                crl[place] = *octet;
            }
            let _ = read(&crl);
        }
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
