use proptest::prelude::*;

use super::super::der::write;
use super::super::testing;
use super::*;

fn read(pem: &str) -> ForeignCertificate {
    ForeignCertificate::from_der(&pem::decode_all("CERTIFICATE", pem).unwrap()[0]).unwrap()
}

#[test]
fn a_certificate_is_shown_as_people_know_it() {
    let certificate = read(include_str!("../../keys/upload/fixtures/device.crt.pem"));
    assert_eq!(certificate.subject, "CN=device,O=Example Inc.,ST=California,C=US");
    assert_eq!(certificate.issuer, "CN=Example Intermediate,O=Example Inc.,C=US");
    assert_eq!((certificate.common_name.as_str(), certificate.version), ("device", 3));
    assert_eq!((certificate.serial_decimal().as_str(), certificate.serial_hex().as_str()), ("1715004", "1a2b3c"));
    assert_eq!((certificate.signature.as_str(), certificate.key_type.as_str()), ("ECDSAWithSHA256", "p256"));
    assert_eq!(certificate.extended_key_usage.as_deref(), Some(&[CLIENT_AUTH.to_owned()][..]));
    assert_eq!(certificate.key_usage, Some(KeyUsageBits { digital_signature: true, key_cert_sign: false }));
    let names = ["dns:device.example", "email:a@example.com", "ip:192.0.2.1", "uri:urn:x"];
    assert_eq!(certificate.subject_alternative_names, names);
    assert!(!certificate.is_ca && !certificate.is_self_issued && !certificate.has_weak_signature());
    assert_eq!(certificate.ski.as_ref().map(Vec::len), Some(20));
    assert!(certificate.aki.is_some());
    assert_eq!(read(&certificate.to_pem()), certificate);
}

#[test]
fn signatures_have_the_names_of_the_wire_contract() {
    let pkcs1 = read(include_str!("../../keys/upload/fixtures/pkcs1.crt.pem"));
    let pss = read(include_str!("../../keys/upload/fixtures/pss.crt.pem"));
    assert_eq!((pkcs1.signature.as_str(), pss.signature.as_str()), ("SHA256WithRSA", "SHA256WithRSAPSS"));
    assert_eq!((pkcs1.is_signed_by(&pss), pss.is_signed_by(&pkcs1)), (Some(true), Some(true)));
    assert_eq!(pkcs1.key_type, "rsa2048");
    let weak = read(include_str!("../../keys/upload/fixtures/sha1.crt.pem"));
    assert_eq!(weak.signature, "ECDSAWithSHA1");
    assert!(weak.has_weak_signature());
}

#[test]
fn issuers_are_known_by_their_signature() {
    let leaf = read(include_str!("../../keys/upload/fixtures/device.crt.pem"));
    let chain = pem::decode_all("CERTIFICATE", include_str!("../../keys/upload/fixtures/chain.pem")).unwrap();
    let [intermediate, root] = [0, 1].map(|index| ForeignCertificate::from_der(&chain[index]).unwrap());
    assert_eq!(leaf.is_signed_by(&intermediate), Some(true));
    assert_eq!(leaf.is_signed_by(&root), Some(false));
    assert_eq!(root.is_signed_by(&root), Some(true));
    assert!(root.is_ca && root.is_self_issued && intermediate.is_ca);
}

#[test]
fn serial_numbers_of_every_sign_are_shown() {
    let mut certificate = read(testing::CONTRACT_CERTIFICATE);
    for (serial, decimal, hex) in
        [(&[0u8][..], "0", "00"), (&[0, 0x80], "128", "80"), (&[0xff], "-1", "ff"), (&[0x01, 0x00], "256", "0100")]
    {
        certificate.serial = serial.to_vec();
        assert_eq!((certificate.serial_decimal().as_str(), certificate.serial_hex().as_str()), (decimal, hex));
    }
}

#[test]
fn one_key_in_two_encodings_is_the_same() {
    let key = |algorithm: &str, parameters: &[u8], bits: &[u8]| {
        let algorithm = write::object_identifier(algorithm).unwrap();
        write::sequence(&[&write::sequence(&[&algorithm, parameters]), &write::bit_string(bits)])
    };
    let curve = write::object_identifier(oid::CURVE_P256).unwrap();
    let point = [&[4][..], &[1; 32], &[3; 32]].concat();
    let full = key(oid::EC_PUBLIC_KEY, &curve, &point);
    assert!(is_same_key(&full, &key(oid::EC_PUBLIC_KEY, &curve, &[&[3][..], &[1; 32]].concat())));
    assert!(!is_same_key(&full, &key(oid::EC_PUBLIC_KEY, &curve, &[&[2][..], &[1; 32]].concat())));
    assert!(!is_same_key(&full, &key(oid::EC_PUBLIC_KEY, &curve, &[4; 65])));
    assert!(is_same_key(&key(oid::RSA_ENCRYPTION, &write::null(), b"n"), &key(oid::RSASSA_PSS, &[], b"n")));
    assert!(!is_same_key(&key(oid::ED25519, &[], b"n"), &key(oid::RSASSA_PSS, &[], b"n")));
    assert!(!is_same_key(b"", b"x"));
}

#[test]
fn what_is_no_certificate_is_refused() {
    let der = read(testing::CONTRACT_CERTIFICATE).der;
    assert!(ForeignCertificate::from_der(b"").is_err());
    assert!(ForeignCertificate::from_der(&[der.as_slice(), &[0]].concat()).unwrap_err().contains("bytes after"));
    assert!(ForeignCertificate::from_der(&vec![0x30; MAX_LENGTH + 1]).unwrap_err().contains("64 KiB"));
}

proptest! {
    #[test]
    fn no_bytes_bring_the_reader_down(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = ForeignCertificate::from_der(&bytes);
    }

    #[test]
    fn no_change_of_a_certificate_does(changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..6)) {
        let mut der = read(include_str!("../../keys/upload/fixtures/device.crt.pem")).der;
        let length = der.len();
        for (position, octet) in changes {
            der[position % length] = octet;
        }
        if let Ok(certificate) = ForeignCertificate::from_der(&der) {
            let _ = (certificate.label(), certificate.serial_decimal(), certificate.is_signed_by(&certificate));
        }
    }
}
