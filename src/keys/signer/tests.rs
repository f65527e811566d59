use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::name::AttributeType;
use crate::domain::plan::{ExtendedKeyUsage, Issuer, KeyUsage, Plan, RevocationPointers};
use crate::domain::reason::RevocationReason;
use crate::domain::serial::SerialNumber;
use crate::keys::client_key::{ClientKey, ClientKeyKind};
use crate::x509::crl::{self, CrlKind, CrlPlan, EntryList, EntryListBuilder, RevokedEntry};
use crate::x509::signature::verify_document;
use crate::x509::{certificate, csr, lint, name, tbs};

use super::*;

fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_176_000, 0).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

fn linted(plan: &Plan) -> LintedTbs {
    lint::lint(tbs::build(plan.clone()).unwrap()).unwrap_or_else(|violations| panic!("{violations:?}"))
}

fn root_plan(signer: &Signer) -> Plan {
    let subject = name::build(&[(AttributeType::CommonName, "Root".into())]).unwrap();
    Plan {
        profile: "root".into(),
        issuer: Issuer {
            subject: subject.der.clone(),
            ski: signer.public_key().ski.to_vec(),
            key_type: signer.key_type(),
            not_after: noon() + TimeDelta::days(10_957),
            crl_url: "http://ca.example/crl".into(),
            certificate_url: "http://ca.example/ca.cer".into(),
            ocsp_url: None,
        },
        serial: SerialNumber::from_random([0x55; 20]).unwrap(),
        subject,
        public_key: signer.public_key(),
        not_before: noon(),
        not_after: noon() + TimeDelta::days(10_957),
        kind: PlanKind::Authority { path_length: None, self_signed: true },
        messages: Vec::new(),
    }
}

fn client_plan(root: &Plan) -> Plan {
    let key = ClientKey::generate(ClientKeyKind::P256).unwrap();
    let request = key.certification_request(&[(AttributeType::CommonName, "device".into())], &[]).unwrap();
    let request = csr::parse(&request).unwrap();
    Plan {
        subject: request.subject,
        public_key: request.public_key,
        not_after: noon() + TimeDelta::days(30),
        kind: PlanKind::Client {
            subject_alternative_names: Vec::new(),
            key_usage: vec![KeyUsage::DigitalSignature],
            extended_key_usage: vec![ExtendedKeyUsage::ClientAuth],
            revocation: RevocationPointers::Published,
            kept_extensions: Vec::new(),
        },
        ..root.clone()
    }
}

#[test]
fn every_kind_of_key_signs_certificates_and_crls_that_verify() {
    let runtime = runtime();
    for key_type in AuthorityKeyType::ALL.into_iter().filter(|kind| *kind != AuthorityKeyType::Rsa4096) {
        let (signer, pkcs8) = Signer::generate(key_type).unwrap();
        let root = root_plan(&signer);
        let root_certificate = runtime.block_on(signer.sign_certificate(linted(&root))).unwrap();
        verify_document(root_certificate.der(), &signer.public_key().spki).unwrap();

        let loaded = Signer::from_pkcs8(key_type, &pkcs8).unwrap();
        assert_eq!(loaded.public_key(), signer.public_key());
        let client = runtime.block_on(loaded.sign_certificate(linted(&client_plan(&root)))).unwrap();
        verify_document(client.der(), &signer.public_key().spki).unwrap();
        let facts = certificate::read(client.der()).unwrap();
        assert_eq!(facts.issuer, certificate::read(root_certificate.der()).unwrap().subject);
        assert_eq!(facts.fingerprint_sha256, client.fingerprint_sha256());

        let plan = CrlPlan {
            issuer_subject: root.issuer.subject.clone(),
            issuer_ski: root.issuer.ski.clone(),
            key_type,
            number: 1,
            this_update: noon(),
            next_update: noon() + TimeDelta::days(7),
            kind: CrlKind::Complete { freshest: None },
        };
        let crl = runtime.block_on(signer.sign_crl(crl::build(plan, EntryList::default()).unwrap())).unwrap();
        verify_document(&crl.der(), &signer.public_key().spki).unwrap();
    }
}

#[test]
fn a_long_crl_is_signed_like_a_short_one() {
    for key_type in
        [AuthorityKeyType::P256, AuthorityKeyType::P384, AuthorityKeyType::Rsa2048, AuthorityKeyType::Ed25519]
    {
        sign_a_long_crl(key_type);
    }
}

fn sign_a_long_crl(key_type: AuthorityKeyType) {
    let (signer, _) = Signer::generate(key_type).unwrap();
    let root = root_plan(&signer);
    let entry = |number: u32| RevokedEntry {
        serial: SerialNumber::from_be_bytes(&(number + 1).to_be_bytes()).unwrap(),
        revoked_on: noon(),
        reason: RevocationReason::KeyCompromise,
        invalidity_date: None,
    };
    let plan = CrlPlan {
        issuer_subject: root.issuer.subject,
        issuer_ski: root.issuer.ski,
        key_type,
        number: 2,
        this_update: noon(),
        next_update: noon() + TimeDelta::days(7),
        kind: CrlKind::Complete { freshest: None },
    };
    let mut entries = EntryListBuilder::default();
    (0..40_000).for_each(|number| entries.push(&entry(number)).unwrap());
    let crl = runtime().block_on(signer.sign_crl(crl::build(plan, entries.finish()).unwrap())).unwrap();
    assert!(crl.der().len() > LONG_MESSAGE);
    verify_document(&crl.der(), &signer.public_key().spki).unwrap();
    assert_eq!(crl::read(&crl.der()).unwrap().entries.len(), 40_000);
}

#[test]
fn another_keys_signature_does_not_verify() {
    let (signer, _) = Signer::generate(AuthorityKeyType::P256).unwrap();
    let (other, _) = Signer::generate(AuthorityKeyType::P256).unwrap();
    let signed = runtime().block_on(signer.sign_certificate(linted(&root_plan(&signer)))).unwrap();
    assert!(verify_document(signed.der(), &other.public_key().spki).is_err());
}

#[test]
fn what_is_planned_for_another_key_is_not_signed() {
    let (signer, _) = Signer::generate(AuthorityKeyType::P256).unwrap();
    let (other, _) = Signer::generate(AuthorityKeyType::P256).unwrap();
    let (ed25519, _) = Signer::generate(AuthorityKeyType::Ed25519).unwrap();
    let runtime = runtime();
    for wrong in [&other, &ed25519] {
        let refused = runtime.block_on(wrong.sign_certificate(linted(&root_plan(&signer))));
        assert!(matches!(refused, Err(KeyError::Mismatch(_))));
    }
}

#[test]
fn keys_of_another_type_are_not_loaded() {
    let (_, p256) = Signer::generate(AuthorityKeyType::P256).unwrap();
    let (_, rsa) = Signer::generate(AuthorityKeyType::Rsa2048).unwrap();
    for (key_type, pkcs8) in [
        (AuthorityKeyType::P384, &p256),
        (AuthorityKeyType::Ed25519, &p256),
        (AuthorityKeyType::Rsa2048, &p256),
        (AuthorityKeyType::Rsa3072, &rsa),
        (AuthorityKeyType::P256, &rsa),
    ] {
        assert!(matches!(Signer::from_pkcs8(key_type, pkcs8), Err(KeyError::Rejected(_))), "{key_type}");
    }
    assert!(Signer::from_pkcs8(AuthorityKeyType::P256, b"").is_err());
}
