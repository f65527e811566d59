//! What is written is read back, by us and by another reader.

use chrono::TimeDelta;
use proptest::prelude::*;
use x509_parser::prelude::{FromDer, TbsCertList};

use crate::domain::reason::RevocationReason;

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

fn list(entries: &[RevokedEntry]) -> EntryList {
    let mut list = EntryListBuilder::default();
    entries.iter().for_each(|entry| list.push(entry).unwrap());
    list.finish()
}

fn plan() -> CrlPlan {
    let issuer = testing::issuer();
    CrlPlan {
        issuer_subject: issuer.subject,
        issuer_ski: issuer.ski,
        key_type: AuthorityKeyType::P256,
        number: 300,
        this_update: testing::noon() + TimeDelta::milliseconds(250),
        next_update: testing::noon() + TimeDelta::days(7),
        kind: CrlKind::Complete { freshest: None },
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
        let plan = plan();
        let crl = build(plan.clone(), list(&entries)).unwrap().seal(b"signature").unwrap();
        let facts = read(&crl.der()).unwrap();
        assert_eq!(facts.issuer, plan.issuer_subject);
        assert_eq!(facts.aki, Some(plan.issuer_ski));
        assert_eq!((facts.number, facts.this_update, facts.next_update), (300, testing::noon(), plan.next_update));
        assert_eq!((crl.number(), crl.this_update()), (300, testing::noon()));
        assert_eq!(facts.entries, entries);
    }
}

#[test]
fn each_kind_carries_its_own_extension() {
    let sealed =
        |kind: CrlKind, entries| build(CrlPlan { kind, ..plan() }, entries).unwrap().seal(b"signature").unwrap();
    let url = "http://pki.test/pki/1/crl/3".to_owned();
    let complete = read(&sealed(CrlKind::Complete { freshest: Some(url.clone()) }, list(&entries())).der()).unwrap();
    assert_eq!((complete.freshest, complete.base, complete.distribution_point), (Some(url.clone()), None, None));
    let shard = read(&sealed(CrlKind::Shard { distribution_point: url.clone() }, list(&entries())).der()).unwrap();
    assert_eq!((shard.freshest, shard.base, shard.distribution_point), (None, None, Some(url)));

    let changes: Changes =
        entries().into_iter().map(|e| (e.serial.clone(), (e.reason.code() % 2 == 0).then_some(e))).collect();
    let changed = delta_entries(&changes, testing::noon()).unwrap();
    let delta = sealed(CrlKind::Delta { base: 128 }, changed);
    let facts = read(&delta.der()).unwrap();
    assert_eq!(facts.base, Some(128));
    let (kept, left): (Vec<_>, Vec<_>) = changes.into_iter().partition(|(_, change)| change.is_some());
    assert_eq!(facts.entries, kept.into_iter().filter_map(|(_, entry)| entry).collect::<Vec<_>>());
    assert_eq!(facts.removed, left.into_iter().map(|(serial, _)| serial).collect::<Vec<_>>());
}

#[test]
fn another_reader_agrees() {
    let tbs = build(plan(), list(&entries())).unwrap();
    let tbs_der = tbs.pieces().collect::<Vec<_>>().concat();
    assert_eq!(tbs_der.len(), tbs.length());
    let (rest, parsed) = TbsCertList::from_der(&tbs_der).unwrap();
    assert!(rest.is_empty());
    assert_eq!(parsed.issuer.as_raw(), testing::issuer().subject);
    let codes: Vec<u8> =
        parsed.revoked_certificates.iter().map(|entry| entry.reason_code().map_or(0, |(_, c)| c.0)).collect();
    assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 9, 10]);
    assert_eq!(parsed.revoked_certificates[0].extensions().len(), 0, "unspecified is left out");
}

#[test]
fn a_crl_needs_a_number_and_a_future() {
    assert!(build(CrlPlan { number: 0, ..plan() }, EntryList::default()).is_err());
    assert!(
        build(CrlPlan { next_update: testing::noon() - TimeDelta::days(1), ..plan() }, EntryList::default()).is_err()
    );
    let largest = build(CrlPlan { number: u64::MAX, ..plan() }, EntryList::default()).unwrap().seal(b"").unwrap();
    assert_eq!(read(&largest.der()).unwrap().number, u64::MAX);
}

proptest! {
    #[test]
    fn no_mutation_brings_the_reader_down(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut crl = build(plan(), list(&entries())).unwrap().seal(b"signature").unwrap().der();
        for (place, octet) in &changes {
            let place = place.index(crl.len());
            crl[place] = *octet;
        }
        let _ = read(&crl);
    }
}

#[test]
fn what_is_no_crl_is_malformed() {
    let crl = build(plan(), list(&entries())).unwrap().seal(b"signature").unwrap().der();
    for length in 0..crl.len() {
        assert!(read(&crl[..length]).is_err());
    }
    assert!(read(&[crl.as_slice(), &[0]].concat()).is_err());
}
