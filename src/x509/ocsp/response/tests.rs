use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use proptest::prelude::*;

use super::super::super::{lint, oid, public_key, tbs, testing};
use super::super::reading::{self, OcspFacts};
use super::*;

const CERT_ID: &[u8] = &[
    0x30, 0x14, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x01, 1, 0x04, 0x01, 2, 0x02,
    0x01, 5,
];

/// Signs as the layer above would, with a certificate over the same key.
fn signed(answers: Vec<SingleAnswer<'_>>, nonce: Option<&[u8]>) -> Vec<u8> {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let curve = write::sequence(&[
        &write::object_identifier(oid::EC_PUBLIC_KEY).unwrap(),
        &write::object_identifier(oid::CURVE_P256).unwrap(),
    ]);
    let spki = write::sequence(&[&curve, &write::bit_string(key.public_key().as_ref())]);
    let mut plan = testing::responder_plan();
    plan.public_key = public_key::check(&spki).unwrap();
    let Ok(linted) = lint::lint(tbs::build(plan.clone()).unwrap()) else { panic!("the plan passes") };
    let certificate = linted.seal(b"signature").unwrap();
    let ocsp = OcspPlan {
        responder_key: plan.public_key.ski,
        key_type: AuthorityKeyType::P256,
        responder_certificate: certificate.der(),
        produced_at: testing::noon(),
        answers,
        nonce,
    };
    let tbs = build(&ocsp).unwrap();
    let signature = key.sign(&SystemRandom::new(), tbs.der()).unwrap();
    tbs.seal(signature.as_ref()).unwrap().into_der()
}

fn answer(status: CertStatus) -> SingleAnswer<'static> {
    let this_update = testing::noon();
    SingleAnswer { cert_id: CERT_ID, status, this_update, next_update: this_update + chrono::TimeDelta::minutes(5) }
}

fn revoked(reason: RevocationReason, invalid_for: Option<i64>) -> CertStatus {
    let invalidity_date = invalid_for.map(|days| testing::noon() - chrono::TimeDelta::days(days));
    CertStatus::Revoked(Revocation {
        revoked_on: testing::noon() - chrono::TimeDelta::days(1),
        reason,
        invalidity_date,
    })
}

fn read(der: &[u8]) -> OcspFacts {
    reading::read(der).unwrap()
}

#[test]
fn what_is_written_is_read_back() {
    let statuses = [
        CertStatus::Good,
        CertStatus::Unknown,
        revoked(RevocationReason::Unspecified, None),
        revoked(RevocationReason::KeyCompromise, Some(3)),
        revoked(RevocationReason::CertificateHold, None),
    ];
    let facts = read(&signed(statuses.iter().cloned().map(answer).collect(), Some(&[3; 32])));
    assert_eq!(facts.produced_at, testing::noon());
    assert_eq!(facts.nonce, Some(vec![3; 32]));
    assert_eq!(
        facts.answers.iter().map(|answer| &answer.status).collect::<Vec<_>>(),
        statuses.iter().collect::<Vec<_>>()
    );
    assert!(facts.answers.iter().all(|answer| answer.cert_id == CERT_ID));
    assert!(
        facts.answers.iter().all(|answer| answer.next_update - answer.this_update == chrono::TimeDelta::minutes(5))
    );
    assert_eq!(read(&signed(vec![answer(CertStatus::Good)], None)).nonce, None);
}

#[test]
fn refusals_are_five_octets() {
    assert_eq!(Refusal::MalformedRequest.der(), [0x30, 3, 0x0a, 1, 1]);
    assert_eq!(Refusal::InternalError.der(), [0x30, 3, 0x0a, 1, 2]);
    assert_eq!(Refusal::TryLater.der(), [0x30, 3, 0x0a, 1, 3]);
    assert_eq!(Refusal::Unauthorized.der(), [0x30, 3, 0x0a, 1, 6]);
    assert!(reading::read(Refusal::TryLater.der()).is_err());
}

proptest! {
    #[test]
    fn no_mutation_brings_the_reader_down_or_passes_for_signed(place in any::<prop::sample::Index>(), octet: u8) {
        let good = signed(vec![answer(revoked(RevocationReason::KeyCompromise, Some(3)))], Some(&[3; 32]));
        let mut der = good.clone();
        let place = place.index(der.len());
        der[place] = octet;
        if let (Ok(changed), Ok(facts)) = (reading::read(&der), reading::read(&good)) {
            prop_assert_eq!(changed.answers, facts.answers);
        }
    }
}
