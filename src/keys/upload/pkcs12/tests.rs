use proptest::prelude::*;

use super::*;
use crate::keys::client_key::{ClientKey, ClientKeyKind};
use crate::keys::private_key::derivation::MAX_ROUNDS;
use crate::x509::der::write;

fn identifier(dotted: &str, parameters: &[u8]) -> Vec<u8> {
    write::sequence(&[&write::object_identifier(dotted).unwrap(), parameters])
}

fn explicit(contents: &[u8]) -> Vec<u8> {
    write::element(context_constructed(0), contents)
}

fn bag(kind: &str, contents: &[u8]) -> Vec<u8> {
    identifier(kind, &explicit(contents))
}

fn file(parts: &[Vec<u8>], mac: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let safe = write::sequence(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let mac = mac(&safe);
    let contents = identifier(DATA, &explicit(&write::octet_string(&safe)));
    write::sequence(&[&[INTEGER, 1, 3], &contents, &mac])
}

fn without_mac(_content: &[u8]) -> Vec<u8> {
    Vec::new()
}

fn plain_part(bags: &[Vec<u8>]) -> Vec<u8> {
    let bags = write::sequence(&bags.iter().map(Vec::as_slice).collect::<Vec<_>>());
    identifier(DATA, &explicit(&write::octet_string(&bags)))
}

fn opened(file: &[u8]) -> Result<Contents, KeyError> {
    open(file, Some(&"secret".into()), &mut Work::default())
}

fn refusal(file: &[u8]) -> String {
    opened(file).err().unwrap().to_string()
}

fn number(number: u64) -> Vec<u8> {
    write::unsigned_integer(&number.to_be_bytes())
}

fn mac_data(algorithm: &[u8], digest: &[u8], rounds: u64) -> Vec<u8> {
    let info = write::sequence(&[algorithm, &write::octet_string(digest)]);
    write::sequence(&[&info, &write::octet_string(b"salt"), &number(rounds)])
}

#[test]
fn bags_in_the_clear_and_nested_ones_are_read() {
    let key = ClientKey::generate(ClientKeyKind::P256).unwrap();
    let nested = write::sequence(&[&bag(KEY_BAG, key.pkcs8_der())]);
    let certificate = bag(
        CERTIFICATE_BAG,
        &write::sequence(&[
            &write::object_identifier(X509_CERTIFICATE).unwrap(),
            &explicit(&write::octet_string(b"der")),
        ]),
    );
    let contents = opened(&file(&[plain_part(&[certificate, bag(SAFE_CONTENTS_BAG, &nested)])], without_mac)).unwrap();
    assert_eq!(contents.certificates, [b"der"]);
    assert_eq!(contents.keys[0].as_ref().ok().unwrap().spki(), key.spki());
    assert!(!contents.is_protected);
}

/// RFC 9579: the MAC that OpenSSL 3.4 and newer programs can write.
#[test]
fn pbmac1_is_verified() {
    let mac = |content: &[u8]| {
        let rounds = std::num::NonZeroU32::new(100).unwrap();
        let mut key = [0; 32];
        aws_lc_rs::pbkdf2::derive(aws_lc_rs::pbkdf2::PBKDF2_HMAC_SHA256, rounds, b"salt", b"secret", &mut key);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, &key), content);
        let function = identifier("1.2.840.113549.2.9", &write::null());
        let salt = write::octet_string(b"salt");
        let parameters = write::sequence(&[&salt, &number(100), &number(32), &function]);
        let derivation = identifier("1.2.840.113549.1.5.12", &parameters);
        let scheme = identifier("1.2.840.113549.2.11", &write::null());
        mac_data(&identifier(PBMAC1, &write::sequence(&[&derivation, &scheme])), tag.as_ref(), 1)
    };
    let file = file(&[plain_part(&[])], mac);
    assert!(opened(&file).unwrap().is_protected);
    let wrong = open(&file, Some(&"other".into()), &mut Work::default());
    assert!(matches!(wrong, Err(KeyError::WrongPassphrase)));
}

#[test]
fn bombs_in_the_mac_and_in_bags_are_refused() {
    let sha1 = identifier("1.3.14.3.2.26", &write::null());
    let mac = |_: &[u8]| mac_data(&sha1, &[0; 20], MAX_ROUNDS + 1);
    assert!(refusal(&file(&[], mac)).contains("2000001 rounds"));
    let endless =
        identifier("1.2.840.113549.1.12.1.3", &write::sequence(&[&write::octet_string(b"s"), &number(u64::MAX)]));
    let key = write::sequence(&[&endless, &write::octet_string(&[0; 16])]);
    assert!(refusal(&file(&[plain_part(&[bag(SHROUDED_KEY_BAG, &key)])], without_mac)).contains("rounds"));
    let data = identifier(DATA, &[&endless[..], &write::element(context(0), &[0; 16])].concat());
    let encrypted = write::sequence(&[&[INTEGER, 1, 0], &data]);
    assert!(refusal(&file(&[identifier(ENCRYPTED_DATA, &explicit(&encrypted))], without_mac)).contains("rounds"));
    // Each entry alone is within the bounds.
    let dear = identifier("1.2.840.113549.1.12.1.3", &write::sequence(&[&write::octet_string(b"s"), &number(1)]));
    let key = write::sequence(&[&dear, &write::octet_string(&[0; 16])]);
    let many = vec![bag(KEY_BAG, &key); MAX_BAGS + 1];
    assert!(refusal(&file(&[plain_part(&many)], without_mac)).contains("more than 200 entries"));
    assert!(refusal(&file(&vec![plain_part(&[]); MAX_BAGS + 1], without_mac)).contains("more than 200 entries"));
}

#[test]
fn nesting_and_endless_lengths_end() {
    let mut nested = write::sequence(&[]);
    for _ in 0..10 {
        nested = write::sequence(&[&bag(SAFE_CONTENTS_BAG, &nested)]);
    }
    let part = identifier(DATA, &explicit(&write::octet_string(&nested)));
    assert!(refusal(&file(&[part], without_mac)).contains("nested too deep"));
    assert!(refusal(&[0x30, 0x80].repeat(MAX_LENGTH / 2)).contains("not a PKCS#12 file"));
    assert!(refusal(&[0x24, 0x80].repeat(MAX_LENGTH / 2)).contains("not a PKCS#12 file"));
    assert!(refusal(&vec![0x30; MAX_LENGTH + 1]).contains("256 KiB"));
}

#[test]
fn other_files_are_told_apart() {
    assert!(refusal(include_bytes!("../fixtures/keytool.jks")).contains("JKS"));
    assert!(refusal(include_bytes!("../fixtures/device.crt.pem")).contains("it is PEM"));
    assert!(refusal(b"MIIJ").contains("base64 inside base64"));
    assert!(refusal(b"").contains("not a PKCS#12 file"));
    assert!(refusal(include_bytes!("../fixtures/rc4.p12")).contains("passphrase is wrong"));
    let rc4 = open(include_bytes!("../fixtures/rc4.p12"), Some(&"correct".into()), &mut Work::default());
    assert!(rc4.err().unwrap().to_string().contains("RC4"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_bring_the_reader_down(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = opened(&bytes);
        let _ = opened(&file(std::slice::from_ref(&bytes), without_mac));
        let _ = opened(&file(&[plain_part(&[bytes])], without_mac));
    }

    #[test]
    fn no_change_of_a_file_does(changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4)) {
        for original in [&include_bytes!("../fixtures/plain-nomac.p12")[..], include_bytes!("../fixtures/ber.p12")] {
            let mut bytes = original.to_vec();
            for (position, octet) in &changes {
                bytes[position % original.len()] = *octet;
            }
            let _ = open(&bytes, Some(&"correct".into()), &mut Work::default());
        }
    }
}
