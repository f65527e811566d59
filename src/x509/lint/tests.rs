use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::key::AuthorityKeyType;
use crate::domain::name::{AttributeType, Name};
use crate::domain::plan::{ExtendedKeyUsage, Issuer, KeyUsage, PlanKind, RequestedExtension, RevocationPointers};
use crate::domain::serial::SerialNumber;
use crate::domain::subject_alternative_name::SubjectAlternativeName;

use super::super::der::{SET, write};
use super::super::{name, oid, tbs, testing};
use super::*;

fn violations(tbs: Tbs) -> Vec<Violation> {
    lint(tbs).err().unwrap_or_default()
}

/// Lints what was built from one plan as if it came from another.
fn against(plan: &Plan, change: impl FnOnce(&mut Plan)) -> Vec<Violation> {
    let mut changed = plan.clone();
    change(&mut changed);
    violations(Tbs { der: tbs::build(plan.clone()).unwrap().der, plan: changed })
}

fn planned(change: impl FnOnce(&mut Plan)) -> Vec<Violation> {
    let mut plan = testing::client_plan();
    change(&mut plan);
    violations(tbs::build(plan.clone()).unwrap())
}

fn finds(violations: &[Violation], pointer: &str, words: &str) {
    let found = violations.iter().any(|violation| violation.pointer == pointer && violation.message.contains(words));
    assert!(found, "{words:?} is not in {violations:?}");
}

/// Replaces octets of the TBS, which keep their number, and lints it against its own plan.
fn edited(plan: Plan, from: &[u8], to: &[u8]) -> Vec<Violation> {
    let mut der = tbs::build(plan.clone()).unwrap().der;
    let place = der.windows(from.len()).position(|window| window == from).expect("the octets are there");
    der[place..place + from.len()].copy_from_slice(to);
    violations(Tbs { der, plan })
}

fn name_of(kind: &str, tag: u8, value: &[u8]) -> Name {
    let attribute = write::sequence(&[&write::object_identifier(kind).unwrap(), &write::element(tag, value)]);
    name::read(&write::sequence(&[&write::element(SET, &attribute)])).unwrap()
}

#[test]
fn every_kind_of_plan_passes() {
    for plan in [
        testing::client_plan(),
        testing::short_lived_plan(),
        testing::authority_plan(),
        testing::root_plan(),
        testing::responder_plan(),
    ] {
        let kind = format!("{:?}", plan.kind);
        assert_eq!(violations(tbs::build(plan.clone()).unwrap()), [], "{kind}");
    }
}

#[test]
fn every_type_of_key_and_issuer_passes() {
    for (key, _) in testing::keys() {
        for key_type in AuthorityKeyType::ALL {
            let found = planned(|plan| {
                plan.public_key = super::super::public_key::check(&key.spki).unwrap();
                plan.issuer.key_type = key_type;
            });
            assert_eq!(found, []);
        }
    }
}

#[test]
fn an_empty_subject_makes_the_names_critical() {
    assert_eq!(planned(|plan| plan.subject = name::build(&[]).unwrap()), []);
    let nobody = planned(|plan| {
        plan.subject = name::build(&[]).unwrap();
        if let PlanKind::Client { subject_alternative_names, .. } = &mut plan.kind {
            subject_alternative_names.clear();
        }
    });
    finds(&nobody, "/csr", "must name its holder");
}

#[test]
fn fields_that_differ_from_the_plan_are_found() {
    let plan = testing::client_plan();
    let other_name = name::build(&[(AttributeType::CommonName, "other".into())]).unwrap();
    let other_key = super::super::public_key::check(&testing::keys()[1].0.spki).unwrap();
    finds(
        &against(&plan, |p| p.serial = SerialNumber::from_be_bytes(&[9]).unwrap()),
        "",
        "serial number is not the planned",
    );
    finds(&against(&plan, |p| p.issuer.subject = other_name.der.clone()), "", "issuer is not");
    finds(&against(&plan, |p| p.subject = other_name.clone()), "", "subject is not the planned");
    finds(&against(&plan, |p| p.public_key = other_key), "", "public key is not the planned");
    finds(&against(&plan, |p| p.not_before -= TimeDelta::seconds(1)), "", "notBefore is not the planned");
    finds(&against(&plan, |p| p.not_after += TimeDelta::seconds(1)), "", "notAfter is not the planned");
    finds(&against(&plan, |p| p.issuer.key_type = AuthorityKeyType::P384), "", "signature algorithm");
    finds(&against(&plan, |p| p.issuer.ski = vec![1; 20]), "", "authorityKeyIdentifier");
    finds(&against(&plan, |p| p.issuer.crl_url.push('x')), "", "cRLDistributionPoints is not");
    finds(&against(&plan, |p| p.issuer.certificate_url.push('x')), "", "authorityInfoAccess does not");
    finds(&against(&plan, |p| p.issuer.ocsp_url = None), "", "authorityInfoAccess does not");
    finds(&against(&plan, |p| p.kind = testing::authority_plan().kind), "", "basicConstraints are not the planned");
}

#[test]
fn extensions_that_differ_from_the_plan_are_found() {
    type Edit =
        fn(&mut Vec<SubjectAlternativeName>, &mut Vec<KeyUsage>, &mut Vec<ExtendedKeyUsage>, &mut RevocationPointers);
    let cases: [(Edit, &str); 7] = [
        (|names, _, _, _| names.truncate(1), "subjectAltName is not the planned one"),
        (|names, _, _, _| names.clear(), "subjectAltName does not belong there"),
        (|_, usage, _, _| usage.truncate(1), "keyUsage is not the planned one"),
        (|_, usage, _, _| usage.clear(), "keyUsage does not belong there"),
        (|_, _, purposes, _| purposes.push(ExtendedKeyUsage::ServerAuth), "extendedKeyUsage is not the planned one"),
        (|_, _, purposes, _| purposes.clear(), "extendedKeyUsage does not belong there"),
        (|_, _, _, revocation| *revocation = RevocationPointers::NotAvailable, "noRevAvail is missing"),
    ];
    for (edit, words) in cases {
        let found = against(&testing::client_plan(), |plan| {
            if let PlanKind::Client { subject_alternative_names, key_usage, extended_key_usage, revocation, .. } =
                &mut plan.kind
            {
                edit(subject_alternative_names, key_usage, extended_key_usage, revocation);
            }
        });
        finds(&found, "", words);
    }
}

#[test]
fn validity_must_be_positive_and_within_the_issuers() {
    finds(&planned(|p| p.not_after = p.not_before), "", "not after notBefore");
    finds(&planned(|p| p.issuer.not_after = p.not_after - TimeDelta::seconds(1)), "", "beyond the issuer's own");
}

#[test]
fn times_change_their_encoding_in_2050() {
    let moment = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let found = planned(|plan| {
        plan.not_before = moment("2049-12-31T23:59:59Z");
        plan.not_after = moment("2050-01-01T00:00:00Z");
        plan.issuer.not_after = moment("2060-01-01T00:00:00Z");
    });
    assert_eq!(found, []);
}

#[test]
fn edited_bytes_are_found() {
    let client = testing::client_plan;
    let constraints = [0x06, 0x03, 0x55, 0x1d, 0x13, 0x01, 0x01, 0xff];
    let version = [0xa0, 0x03, 0x02, 0x01, 0x02];
    finds(&edited(client(), &version, &[0xa0, 0x03, 0x02, 0x01, 0x01]), "", "version is not 3");
    finds(&edited(client(), &constraints, &[0x06, 0x03, 0x55, 0x1d, 0x13, 0x01, 0x01, 0x00]), "", "malformed");
    // keyUsage: digitalSignature and keyEncipherment become keyCertSign as well.
    finds(&edited(client(), &[0x03, 0x02, 0x05, 0xa0], &[0x03, 0x02, 0x02, 0xa4]), "", "keyUsage is not the planned");
    // subjectKeyIdentifier becomes a second authorityKeyIdentifier.
    let duplicate = edited(client(), &[0x06, 0x03, 0x55, 0x1d, 0x0e], &[0x06, 0x03, 0x55, 0x1d, 0x23]);
    finds(&duplicate, "", "authorityKeyIdentifier stands more than once");
    finds(&duplicate, "", "subjectKeyIdentifier is missing");
    let serial = [&[0x02, 0x14][..], &[0x7f; 20]].concat();
    let negative = [&[0x02, 0x14, 0xff][..], &[0x7f; 19]].concat();
    finds(&edited(client(), &serial, &negative), "", "not positive");
    let nonsense = Tbs { der: vec![0x30, 0x00], plan: client() };
    finds(&violations(nonsense), "", "malformed");
}

#[test]
fn no_rev_avail_stands_alone_and_on_no_ca() {
    // The distribution points' OID becomes that of noRevAvail, beside the OCSP pointer.
    let found = edited(testing::client_plan(), &[0x06, 0x03, 0x55, 0x1d, 0x1f], &[0x06, 0x03, 0x55, 0x1d, 0x38]);
    finds(&found, "", "noRevAvail is not NULL");
    finds(&found, "", "beside a pointer");
    let found = edited(testing::authority_plan(), &[0x06, 0x03, 0x55, 0x1d, 0x1f], &[0x06, 0x03, 0x55, 0x1d, 0x38]);
    finds(&found, "", "a CA certificate has noRevAvail");
}

#[test]
fn responders_are_marked_as_such_and_nobody_else_is() {
    let responder = testing::responder_plan;
    finds(&against(&responder(), |p| p.kind = testing::client_plan().kind), "", "ocspNoCheck does not belong there");
    finds(&against(&testing::client_plan(), |p| p.kind = responder().kind), "", "ocspNoCheck is missing");
    finds(&against(&responder(), |p| p.kind = testing::authority_plan().kind), "", "extendedKeyUsage");
    // OCSPSigning becomes clientAuth.
    let purpose = [0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03];
    let (signing, client) = ([&purpose[..], &[0x09]].concat(), [&purpose[..], &[0x02]].concat());
    finds(&edited(responder(), &signing, &client), "", "extendedKeyUsage is not the planned one");
    finds(&edited(responder(), &[0x04, 0x02, 0x05, 0x00], &[0x04, 0x02, 0x04, 0x00]), "", "ocspNoCheck is not NULL");
    let mut nameless = responder();
    nameless.subject = name::build(&[]).unwrap();
    finds(&violations(tbs::build(nameless).unwrap()), "", "subject is empty");
}

#[test]
fn an_issuing_authority_points_to_the_responder_above_it() {
    let plan = testing::authority_plan();
    finds(&against(&plan, |p| p.issuer.ocsp_url = None), "", "authorityInfoAccess does not");
    assert_eq!(
        violations(tbs::build(Plan { issuer: Issuer { ocsp_url: None, ..plan.issuer.clone() }, ..plan }).unwrap()),
        []
    );
}

#[test]
fn pointers_are_web_addresses() {
    for wrong in ["ldap://ca.example/crl", "http://", "http:///crl", "crl", "http://ca.example/a b"] {
        finds(&planned(|plan| plan.issuer.crl_url = wrong.into()), "", "not an http or https address");
    }
}

#[test]
fn names_keep_their_bounds_and_types() {
    const PRINTABLE: u8 = 0x13;
    const UTF8: u8 = 0x0c;
    const IA5: u8 = 0x16;
    for (kind, tag, value, words) in [
        ("2.5.4.3", UTF8, "ü".repeat(65), "CN has 65 characters; it may have at most 64"),
        ("2.5.4.6", UTF8, "PT".into(), "C must be encoded as PrintableString"),
        ("2.5.4.3", IA5, "x".into(), "CN must be encoded as UTF8String"),
        ("2.5.4.3", 0x1c, "\0\0\0x".into(), "holds a UniversalString"),
        ("2.5.4.17", UTF8, "1".repeat(41), "postalCode has 41 characters"),
        ("2.5.4.46", UTF8, "x".into(), "dnQualifier must be encoded as PrintableString"),
        ("0.9.2342.19200300.100.1.25", IA5, "exa mple".into(), "DC must be one label"),
        ("1.2.840.113549.1.9.1", IA5, "nobody".into(), "not an e-mail address"),
        ("2.5.4.6", PRINTABLE, "P1".into(), "country code of two letters"),
        ("2.5.4.6", PRINTABLE, "PRT".into(), "C has 3 characters"),
        ("2.5.4.5", UTF8, "1".into(), "serialNumber must be encoded as PrintableString"),
        ("1.2.840.113549.1.9.1", UTF8, "a@example.com".into(), "emailAddress must be encoded as IA5String"),
        ("0.9.2342.19200300.100.1.25", PRINTABLE, "example".into(), "DC must be encoded as IA5String"),
    ] {
        finds(&planned(|plan| plan.subject = name_of(kind, tag, value.as_bytes())), "/csr", words);
    }
    assert_eq!(planned(|plan| plan.subject = name_of("2.5.4.3", UTF8, "ü".repeat(64).as_bytes())), []);
    assert_eq!(planned(|plan| plan.subject = name_of("1.2.3.4", UTF8, "x".repeat(300).as_bytes())), []);
}

#[test]
fn authorities_have_names_and_roots_are_their_own_issuers() {
    let mut plan = testing::authority_plan();
    plan.subject = name::build(&[]).unwrap();
    finds(&violations(tbs::build(plan.clone()).unwrap()), "", "an authority's subject is empty");
    let mut plan = testing::root_plan();
    plan.issuer.subject = testing::issuer().subject;
    finds(&violations(tbs::build(plan.clone()).unwrap()), "", "subject is not its issuer");
    let mut plan = testing::root_plan();
    plan.issuer.ski = vec![1; 20];
    finds(&violations(tbs::build(plan.clone()).unwrap()), "", "key is not its issuer's");
}

#[test]
fn kept_extensions_are_carried_byte_for_byte() {
    let kept = |oid: &str, value: &[u8]| RequestedExtension {
        oid: oid.into(),
        name: oid.into(),
        critical: false,
        value: value.to_vec(),
    };
    let with = |extension: RequestedExtension| {
        planned(|plan| {
            if let PlanKind::Client { kept_extensions, .. } = &mut plan.kind {
                kept_extensions.push(extension);
            }
        })
    };
    assert_eq!(with(kept("1.3.6.1.5.5.7.1.24", &[0x30, 0x03, 0x02, 0x01, 0x05])), []);
    finds(&with(kept("1.2.3.4", b"\x30\x05")), "/csr", "does not hold DER");
    finds(&with(kept(oid::KEY_USAGE, &[0x03, 0x02, 0x02, 0x04])), "", "keyUsage stands more than once");
}
