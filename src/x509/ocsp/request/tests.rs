use proptest::prelude::*;

use super::super::super::der::{NULL, write};
use super::*;

const SHA1_NULL: &[u8] = CertIdForm::ALL[1].1;

fn cert_id_with(algorithm: &[u8], serial: &[u8]) -> Vec<u8> {
    let (name, key) = (write::octet_string(&[1; 20]), write::octet_string(&[2; 20]));
    write::sequence(&[algorithm, &name, &key, &write::element(INTEGER, serial)])
}

fn asking(cert_id: &[u8]) -> Vec<u8> {
    write::sequence(&[cert_id])
}

/// A request from the parts of tbsRequest.
fn request(parts: &[&[u8]]) -> Vec<u8> {
    write::sequence(&[&write::sequence(parts)])
}

fn ordinary() -> Vec<u8> {
    request(&[&write::sequence(&[&asking(&cert_id_with(SHA1_NULL, &[5]))])])
}

fn with_extensions(extensions: &[&[u8]]) -> Vec<u8> {
    let list = write::sequence(&[&asking(&cert_id_with(SHA1_NULL, &[5]))]);
    request(&[&list, &write::element(context_constructed(2), &write::sequence(extensions))])
}

fn nonce_of(octets: &[u8], critical: bool) -> Vec<u8> {
    extension::write(oid::OCSP_NONCE, critical, &write::octet_string(octets)).unwrap()
}

#[test]
fn every_form_of_a_cert_id_is_told_apart_and_kept_byte_for_byte() {
    for (form, algorithm) in CertIdForm::ALL {
        let cert_id = cert_id_with(algorithm, &[0, 0x80]);
        let der = request(&[&write::sequence(&[&asking(&cert_id)])]);
        let read = read(&der).unwrap();
        assert_eq!(read.nonce, None);
        let [only] = read.certificates.as_slice() else { panic!("{read:?}") };
        assert_eq!((only.der, only.form), (cert_id.as_slice(), Some(form)));
        assert_eq!(only.serial, SerialNumber::from_be_bytes(&[0x80]));
        assert_eq!((only.issuer_name_hash, only.issuer_key_hash), (&[1; 20][..], &[2; 20][..]));
    }
}

#[test]
fn other_hashes_and_impossible_serials_are_still_requests() {
    let sha384 = write::sequence(&[&write::object_identifier(oid::SHA384).unwrap(), &write::null()]);
    let der = request(&[&write::sequence(&[&asking(&cert_id_with(&sha384, &[1]))])]);
    assert_eq!(read(&der).unwrap().certificates[0].form, None);
    for impossible in [&[0][..], &[0x80], &[0x7f; 21]] {
        let der = request(&[&write::sequence(&[&asking(&cert_id_with(SHA1_NULL, impossible))])]);
        assert_eq!(read(&der).unwrap().certificates[0].serial, None, "{impossible:?}");
    }
}

#[test]
fn nonces_have_1_to_128_octets() {
    for (length, is_taken) in [(0, false), (1, true), (16, true), (32, true), (128, true), (129, false)] {
        for critical in [false, true] {
            let octets = vec![7; length];
            let der = with_extensions(&[&nonce_of(&octets, critical)]);
            assert_eq!(read(&der).ok().and_then(|read| read.nonce), is_taken.then_some(octets.as_slice()), "{length}");
            assert_eq!(read(&der).is_ok(), is_taken, "{length}");
        }
    }
    let bare = extension::write(oid::OCSP_NONCE, false, &[7; 16]).unwrap();
    assert!(read(&with_extensions(&[&bare])).is_err(), "the value is itself an OCTET STRING");
}

#[test]
fn unknown_extensions_are_passed_over_unless_critical() {
    let unknown = |critical| extension::write("1.2.3.4", critical, &write::null()).unwrap();
    assert!(read(&with_extensions(&[&unknown(false), &nonce_of(&[1], false)])).unwrap().nonce.is_some());
    assert!(read(&with_extensions(&[&unknown(true)])).is_err());
    assert!(read(&with_extensions(&[&nonce_of(&[1], false), &nonce_of(&[2], false)])).is_err(), "two nonces");
    for (critical, is_taken) in [(false, true), (true, false)] {
        let single = write::element(EXPLICIT_0, &write::sequence(&[&unknown(critical)]));
        let asked = write::sequence(&[&cert_id_with(SHA1_NULL, &[5]), &single]);
        assert_eq!(read(&request(&[&write::sequence(&[&asked])])).is_ok(), is_taken);
    }
    let many: Vec<Vec<u8>> =
        (0..20).map(|arc| extension::write(&format!("1.2.3.{arc}"), false, b"").unwrap()).collect();
    assert!(read(&with_extensions(&many.iter().map(Vec::as_slice).collect::<Vec<_>>())).is_err());
}

#[test]
fn a_name_and_a_signature_are_passed_over() {
    let name = write::element(context_constructed(1), &write::element(context_constructed(4), &write::sequence(&[])));
    let list = write::sequence(&[&asking(&cert_id_with(SHA1_NULL, &[5]))]);
    let algorithm = write::sequence(&[&write::object_identifier(oid::ED25519).unwrap()]);
    let signature = write::sequence(&[&algorithm, &write::bit_string(b"signature")]);
    let signature = write::element(EXPLICIT_0, &signature);
    let der = write::sequence(&[&write::sequence(&[&name, &list]), &signature]);
    assert_eq!(read(&der).unwrap().certificates.len(), 1);
    let broken = write::element(EXPLICIT_0, &write::sequence(&[&algorithm]));
    assert!(read(&write::sequence(&[&write::sequence(&[&list]), &broken])).is_err());
}

#[test]
fn at_most_twenty_certificates_are_asked_about() {
    let one = asking(&cert_id_with(SHA1_NULL, &[5]));
    let asked = |count: usize| request(&[&write::sequence(&vec![one.as_slice(); count])]);
    assert_eq!(read(&asked(20)).unwrap().certificates.len(), 20);
    for count in [0, 21, 1000] {
        assert!(read(&asked(count)).is_err(), "{count}");
    }
}

#[test]
fn what_is_no_request_is_refused() {
    let ordinary = ordinary();
    assert!(read(&ordinary).is_ok());
    for length in 0..ordinary.len() {
        assert!(read(&ordinary[..length]).is_err(), "{length}");
    }
    assert!(read(&[ordinary.as_slice(), &[0]].concat()).is_err(), "trailing octets");
    let list = write::sequence(&[&asking(&cert_id_with(SHA1_NULL, &[5]))]);
    for version in [0, 1] {
        let version = write::element(EXPLICIT_0, &[INTEGER, 1, version]);
        assert!(read(&request(&[&version, &list])).is_err());
    }
    for serial in [&[][..], &[0, 1], &[0xff, 0x80]] {
        let der = request(&[&write::sequence(&[&asking(&cert_id_with(SHA1_NULL, serial))])]);
        assert!(read(&der).is_err(), "{serial:?}");
    }
    assert!(read(&request(&[&list, &[NULL, 0]])).is_err());
    assert!(read(&vec![0x30; MAX_REQUEST + 1]).is_err());
    assert!(read(&[0x30, 0x80].repeat(1000)).is_err());
}

proptest! {
    #[test]
    fn no_mutation_brings_the_reader_down(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut der = with_extensions(&[&nonce_of(&[9; 32], false)]);
        for (place, octet) in &changes {
            let place = place.index(der.len());
            der[place] = *octet;
        }
        if let Ok(request) = read(&der) {
            prop_assert!((1..=MAX_CERTIFICATES).contains(&request.certificates.len()));
            prop_assert!(request.nonce.is_none_or(|nonce| NONCE_OCTETS.contains(&nonce.len())));
        }
    }

    #[test]
    fn neither_do_any_octets(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&octets);
    }
}
