use proptest::prelude::*;

use crate::domain::name::{AttributeType, StringEncoding};
use crate::domain::subject_alternative_name::SubjectAlternativeName;

use super::super::der::{SET, write};
use super::super::{extension, general_name, oid, testing};
use super::*;

fn messages(pem: &str) -> Vec<String> {
    let violations = parse(pem).unwrap_err();
    assert!(violations.iter().all(|violation| violation.pointer == "/csr"));
    violations.into_iter().map(|violation| violation.message).collect()
}

fn refused(pem: &str, words: &str) {
    let messages = messages(pem);
    assert!(messages.iter().any(|message| message.contains(words)), "{words:?} is not in {messages:?}");
}

fn subject() -> Vec<u8> {
    name::build(&[(AttributeType::CommonName, "x".into())]).unwrap().der
}

fn extension_request(extensions: &[&[u8]]) -> Vec<u8> {
    let kind = write::object_identifier(oid::EXTENSION_REQUEST).unwrap();
    write::sequence(&[&kind, &write::element(SET, &write::sequence(extensions))])
}

fn alternative_name(name: &str) -> Vec<u8> {
    let names = general_name::write(&[SubjectAlternativeName::Dns(name.into())]);
    extension::write(oid::SUBJECT_ALT_NAME, false, &names).unwrap()
}

/// A request that is signed properly whatever it holds.
fn with_attributes(attributes: &[u8]) -> String {
    testing::sign_request(&testing::request_info(&subject(), attributes))
}

#[test]
fn every_key_with_every_digest_of_openssl_is_read_and_verified() {
    for (fixture, pem, key_type) in testing::ACCEPTED {
        let request = parse(pem).unwrap_or_else(|violations| panic!("{fixture}: {violations:?}"));
        assert_eq!(request.public_key.key_type, key_type, "{fixture}");
        assert_eq!(request.subject.to_string(), testing::accepted_subject());
        assert_eq!(request.pem, pem);
    }
}

#[test]
fn weak_and_foreign_algorithms_are_refused_by_name() {
    for (_, pem, words) in testing::REFUSED {
        refused(pem, words);
    }
}

#[test]
fn the_request_of_the_wire_contract_gives_its_key_identifier() {
    let request = parse(testing::CONTRACT_REQUEST).unwrap();
    assert_eq!(hex::encode(request.public_key.ski), "ee6559d74a51e399760a5ac3d75349640efafd58");
    assert_eq!(request.subject.joined(AttributeType::OrganizationalUnit), "Field devices");
    assert_eq!(request.pem, testing::CONTRACT_REQUEST);
}

#[test]
fn multi_valued_and_repeated_attributes_are_carried_with_all_names_told() {
    let request = parse(testing::MULTI_VALUED).unwrap();
    assert_eq!(request.subject.to_string(), "DC=test, DC=example, CN=b+OU=a, CN=Gerät");
    assert_eq!(request.subject.attributes[0].encoding, StringEncoding::Ia5);
    let names: Vec<String> = request.subject_alternative_names.iter().map(ToString::to_string).collect();
    let expected =
        ["dns:a.example", "email:a@example.com", "uri:spiffe://example.org/a", "ip:192.0.2.1", "ip:2001:db8::1"];
    assert_eq!(names, expected);
    assert_eq!(request.unsupported_names, ["directoryName", "registeredID", "otherName"]);
}

#[test]
fn a_wish_to_be_a_ca_and_other_extensions_are_told() {
    let request = parse(testing::ASKS_FOR_CA).unwrap();
    assert!(request.asks_for_ca);
    let told: Vec<_> =
        request.extensions.iter().map(|extension| (extension.name.as_str(), extension.critical)).collect();
    assert_eq!(told, [("basicConstraints", true), ("keyUsage", true), ("1.2.3.4", true)]);
    assert_eq!(request.extensions[2].value, [0x05, 0x00]);
}

#[test]
fn an_empty_subject_is_read_as_such() {
    let request = parse(testing::EMPTY_SUBJECT).unwrap();
    assert!(request.subject.is_empty());
    assert_eq!(request.subject.der, [0x30, 0x00]);
}

#[test]
fn attributes_may_be_missing_and_foreign_ones_are_passed_over() {
    let bare = write::sequence(&[&[2, 1, 0], &subject(), &testing::ed25519_spki()]);
    assert!(parse(&testing::sign_request(&bare)).is_ok());
    let password = write::sequence(&[
        &write::object_identifier("1.2.840.113549.1.9.7").unwrap(),
        &write::element(SET, &write::element(0x0c, b"secret")),
    ]);
    let request =
        parse(&with_attributes(&[password, extension_request(&[&alternative_name("a.example")])].concat())).unwrap();
    assert_eq!(request.subject_alternative_names.len(), 1);
}

#[test]
fn what_readers_could_take_in_two_ways_is_refused() {
    let (first, second) = (alternative_name("a.example"), alternative_name("b.example"));
    refused(&with_attributes(&extension_request(&[&first, &second])), "subjectAltName is requested more than once");
    let twice = [extension_request(&[&first]), extension_request(&[&second])].concat();
    refused(&with_attributes(&twice), "more than one extensionRequest");
    let kind = write::object_identifier(oid::EXTENSION_REQUEST).unwrap();
    let two_values = [write::sequence(&[&first]), write::sequence(&[&second])].concat();
    let attribute = write::sequence(&[&kind, &write::element(SET, &two_values)]);
    refused(&with_attributes(&attribute), "bytes after the extensionRequest");
    refused(&with_attributes(&write::sequence(&[&kind, &write::element(SET, &[])])), "the extensionRequest is missing");
}

#[test]
fn names_with_control_characters_are_refused() {
    let value = write::element(0x0c, b"good.example\0.evil.example");
    let attribute = write::sequence(&[&write::object_identifier("2.5.4.3").unwrap(), &value]);
    let subject = write::sequence(&[&write::element(SET, &attribute)]);
    let with_both = testing::request_info(&subject, &extension_request(&[&alternative_name("a\0.example")]));
    let messages = messages(&testing::sign_request(&with_both));
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages[0].contains("CN holds the control character U+0000"));
}

#[test]
fn ten_thousand_names_are_too_many() {
    let names = vec![SubjectAlternativeName::Dns("a.b".into()); 1001];
    let extension = extension::write(oid::SUBJECT_ALT_NAME, false, &general_name::write(&names)).unwrap();
    refused(&with_attributes(&extension_request(&[&extension])), "more than 1000 names");
    let names = vec![SubjectAlternativeName::Dns("device.example".into()); 10_000];
    let extension = extension::write(oid::SUBJECT_ALT_NAME, false, &general_name::write(&names)).unwrap();
    refused(&with_attributes(&extension_request(&[&extension])), "longer than 64 KiB");
}

#[test]
fn other_structures_are_malformed() {
    let good = pem::read_request(testing::CONTRACT_REQUEST).unwrap().der;
    let encode = |der: &[u8]| pem::encode("CERTIFICATE REQUEST", der);
    refused(&encode(&good[..good.len() - 1]), "ends in the middle");
    refused(&encode(&[good.as_slice(), &[0]].concat()), "bytes after the signed structure");
    refused(&encode(b"\x30\x80\x00\x00"), "not in the one form");
    let version_2 = write::sequence(&[&[2, 1, 1], &subject(), &testing::ed25519_spki()]);
    refused(&testing::sign_request(&version_2), "version must be 1");
    let trailing = write::sequence(&[&[2, 1, 0], &subject(), &testing::ed25519_spki(), &[0xa0, 0], &[5, 0]]);
    refused(&testing::sign_request(&trailing), "bytes after the attributes");
    refused(testing::CONTRACT_CERTIFICATE, "this is a certificate, not a certificate signing request");
}

#[test]
fn a_changed_request_does_not_verify() {
    let mut der = pem::read_request(testing::CONTRACT_REQUEST).unwrap().der;
    let place = der.windows(6).position(|window| window == b"device").unwrap();
    der[place] = b'D';
    refused(&pem::encode("CERTIFICATE REQUEST", &der), "the signature does not verify with the public key");
}

#[test]
fn a_signature_of_another_kind_than_the_key_is_refused() {
    let info = testing::request_info(&subject(), &[]);
    let identifier = super::super::algorithm::without_parameters(oid::ECDSA_WITH_SHA256).unwrap();
    let der = write::sequence(&[&info, &identifier, &write::bit_string(&[0x30, 0x00])]);
    refused(&pem::encode("CERTIFICATE REQUEST", &der), "which a key of type ed25519 cannot make");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happens to a request, the answer is a list of violations or a request: never a panic.
    #[test]
    fn no_mutation_brings_the_reader_down(
        fixture in 0usize..testing::ACCEPTED.len(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut der = pem::read_request(testing::ACCEPTED[fixture].1).unwrap().der;
        for (place, octet) in &changes {
            let place = place.index(der.len());
            der[place] = *octet;
        }
        if let Some(cut) = cut {
            der.truncate(cut.index(der.len()).max(1));
        }
        let _ = parse(&pem::encode("CERTIFICATE REQUEST", &der));
    }

    /// Signed afterwards, so that the deeper checks are reached too.
    #[test]
    fn no_mutation_of_signed_content_brings_the_reader_down(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let extensions = extension_request(&[&alternative_name("device.example")]);
        let mut info = testing::request_info(&subject(), &extensions);
        for (place, octet) in &changes {
            let place = place.index(info.len());
            info[place] = *octet;
        }
        let _ = parse(&testing::sign_request(&info));
    }

    #[test]
    fn no_octets_bring_the_reader_down(der in proptest::collection::vec(any::<u8>(), 1..400)) {
        let _ = parse(&pem::encode("CERTIFICATE REQUEST", &der));
    }
}
