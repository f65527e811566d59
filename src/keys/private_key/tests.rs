use proptest::prelude::*;

use super::*;
use crate::keys::client_key::{ClientKey, ClientKeyKind};

fn algorithm(dotted: &str, parameters: &[u8]) -> Vec<u8> {
    write::sequence(&[&write::object_identifier(dotted).unwrap(), parameters])
}

fn refusal(read: Result<PrivateKey, KeyError>) -> String {
    read.err().unwrap().to_string()
}

#[test]
fn keys_of_every_usable_kind_are_read_and_kept_in_one_form() {
    for kind in ClientKeyKind::ALL.into_iter().filter(|kind| *kind != ClientKeyKind::Rsa4096) {
        let made = ClientKey::generate(kind).unwrap();
        let read = PrivateKey::from_pkcs8(made.pkcs8_der()).unwrap();
        assert_eq!((read.key_type(), read.spki()), (kind.as_str(), made.spki()));
        assert_eq!(PrivateKey::from_pkcs8(read.pkcs8_der()).unwrap().pkcs8_der(), read.pkcs8_der());
    }
}

#[test]
fn version_2_and_attributes_are_left_out() {
    let pair = Ed25519KeyPair::generate().unwrap();
    let read = PrivateKey::from_pkcs8(pair.to_pkcs8().unwrap().as_ref()).unwrap();
    assert_eq!(read.pkcs8_der(), pair.to_pkcs8v1().unwrap().as_ref());
    let (identifier, key) = split(read.pkcs8_der()).unwrap();
    let with_attributes =
        write::sequence(&[&[INTEGER, 1, 0], identifier.whole, &write::octet_string(key), &[0xa0, 2, 0x31, 0]]);
    assert_eq!(PrivateKey::from_pkcs8(&with_attributes).unwrap().pkcs8_der(), read.pkcs8_der());
}

#[test]
fn a_curve_is_found_in_the_key_beside_it_or_by_trying() {
    let made = ClientKey::generate(ClientKeyKind::P384).unwrap();
    let sec1 = split(made.pkcs8_der()).unwrap().1;
    assert_eq!(PrivateKey::from_sec1(sec1, None).unwrap().spki(), made.spki());
    let curve = write::object_identifier(oid::CURVE_P384).unwrap();
    assert_eq!(PrivateKey::from_sec1(sec1, Some(&curve)).unwrap().spki(), made.spki());
    let wrong = write::object_identifier(oid::CURVE_P256).unwrap();
    assert!(refusal(PrivateKey::from_sec1(sec1, Some(&wrong))).contains("no key on any curve"));
}

#[test]
fn kinds_that_tls_cannot_use_are_named() {
    for (identifier, words) in [
        (algorithm("1.3.101.110", &[]), "X25519"),
        (algorithm("1.3.101.113", &[]), "Ed448"),
        (algorithm("1.2.840.10040.4.1", &[]), "DSA"),
        (algorithm(oid::RSASSA_PSS, &[]), "RSASSA-PSS only"),
        (algorithm(oid::EC_PUBLIC_KEY, &write::object_identifier("1.3.132.0.10").unwrap()), "secp256k1"),
        (algorithm(oid::EC_PUBLIC_KEY, &[]), "malformed"),
        (algorithm(oid::RSA_ENCRYPTION, &write::null()), "malformed"),
        (algorithm(oid::ED25519, &[]), "malformed"),
    ] {
        let message = refusal(PrivateKey::from_pkcs8(&document(&identifier, &[4, 1, 7])));
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn rsa_keys_are_bounded_before_they_are_checked() {
    for (bits, words) in [(1024usize, "1024 bits"), (8200, "8200 bits"), (2048, "do not fit together")] {
        let mut modulus = vec![0xff; bits / 8];
        modulus[0] = 0x80;
        let number = write::unsigned_integer(&modulus);
        let key = write::sequence(&[&[&[INTEGER, 1, 0][..]], [&number[..]; 8].as_slice()].concat());
        let message = refusal(PrivateKey::from_pkcs1(&key));
        assert!(message.contains(words), "{message}");
    }
}

proptest! {
    #[test]
    fn no_bytes_bring_the_readers_down(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = (PrivateKey::from_pkcs8(&bytes), PrivateKey::from_pkcs1(&bytes), PrivateKey::from_sec1(&bytes, None));
    }

    #[test]
    fn no_change_of_a_key_does(position in any::<usize>(), octet in any::<u8>()) {
        let mut der = Ed25519KeyPair::generate().unwrap().to_pkcs8().unwrap().as_ref().to_vec();
        let length = der.len();
        der[position % length] = octet;
        let _ = PrivateKey::from_pkcs8(&der);
    }
}
