use proptest::prelude::*;

use super::super::derivation::{MAX_ROUNDS, MAX_SCRYPT_WORK};
use super::*;
use crate::x509::der::write;

fn number(number: u64) -> Vec<u8> {
    write::unsigned_integer(&number.to_be_bytes())
}

fn identifier(dotted: &str, parameters: &[u8]) -> Vec<u8> {
    write::sequence(&[&write::object_identifier(dotted).unwrap(), parameters])
}

/// An AlgorithmIdentifier of PBES2 with AES-256.
fn pbes2_with(derivation: &[u8]) -> Vec<u8> {
    let cipher = identifier("2.16.840.1.101.3.4.1.42", &write::octet_string(&[7; 16]));
    identifier(PBES2, &write::sequence(&[derivation, &cipher]))
}

fn pbkdf2_with(rounds: u64) -> Vec<u8> {
    let function = identifier("1.2.840.113549.2.9", &write::null());
    identifier(PBKDF2, &write::sequence(&[&write::octet_string(b"salt"), &number(rounds), &function]))
}

fn scrypt_with(cost: u64, block_size: u64, parallelization: u64) -> Vec<u8> {
    let salt = write::octet_string(b"salt");
    let parameters = [number(cost), number(block_size), number(parallelization)];
    identifier(SCRYPT, &write::sequence(&[&salt, &parameters[0], &parameters[1], &parameters[2]]))
}

fn old_with(scheme: &str, rounds: u64) -> Vec<u8> {
    identifier(scheme, &write::sequence(&[&write::octet_string(b"saltsalt"), &number(rounds)]))
}

fn attempt(algorithm: &[u8], work: &mut Work) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let algorithm = der::single(algorithm, SEQUENCE, "").unwrap();
    decrypt(&algorithm, &[7; 32], &Password::new(&"secret".into()), work)
}

/// Any one of them done would take minutes.
#[test]
fn bombs_are_refused_before_any_work_is_done() {
    for algorithm in [
        pbes2_with(&pbkdf2_with(MAX_ROUNDS + 1)),
        pbes2_with(&pbkdf2_with(u64::MAX)),
        pbes2_with(&scrypt_with(1 << 17, 8, 1)),
        pbes2_with(&scrypt_with(1 << 14, 8, 1 << 20)),
        pbes2_with(&scrypt_with(2, 1, MAX_SCRYPT_WORK)),
        pbes2_with(&scrypt_with(1 << 63, u64::MAX, u64::MAX)),
        pbes2_with(&scrypt_with(2, u64::from(u32::MAX), 1)),
        old_with(PKCS12_TRIPLE_DES, MAX_ROUNDS + 1),
        old_with(PKCS12_RC2_40, u64::MAX),
        old_with(PBES1_MD5_DES, MAX_ROUNDS + 1),
        old_with(PBES1_SHA1_DES, u64::from(u32::MAX) + 2),
    ] {
        let result = attempt(&algorithm, &mut Work::default());
        assert!(matches!(result, Err(KeyError::TooCostly(_))), "{algorithm:02x?}");
    }
}

#[test]
fn the_work_of_one_upload_is_bounded_together() {
    let mut work = Work::default();
    // Each triple DES key of PKCS#12 takes two hashes, and its initial vector one more.
    let algorithm = old_with(PKCS12_TRIPLE_DES, 150_000);
    let done = (0..100).take_while(|_| !matches!(attempt(&algorithm, &mut work), Err(KeyError::TooCostly(_)))).count();
    assert_eq!(done, 11);
}

#[test]
fn parameters_that_mean_nothing_are_refused() {
    for algorithm in [
        pbes2_with(&pbkdf2_with(0)),
        pbes2_with(&scrypt_with(0, 8, 1)),
        pbes2_with(&scrypt_with(3, 8, 1)),
        pbes2_with(&scrypt_with(1, 8, 1)),
        pbes2_with(&scrypt_with(16, 0, 1)),
        pbes2_with(&scrypt_with(16, 8, 0)),
        old_with(PKCS12_RC2_128, 0),
        identifier(PBES2, &write::sequence(&[])),
        identifier(PBES2, &[]),
        write::sequence(&[]),
    ] {
        let result = attempt(&algorithm, &mut Work::default());
        assert!(matches!(result, Err(KeyError::Rejected(_))), "{algorithm:02x?}");
    }
}

#[test]
fn encryptions_that_are_not_read_are_named() {
    for (algorithm, name) in [
        (old_with("1.2.840.113549.1.12.1.1", 1), "RC4"),
        (old_with("1.2.3.4", 1), "1.2.3.4"),
        (pbes2_with(&identifier("1.2.3.5", &[])), "1.2.3.5"),
    ] {
        let message = attempt(&algorithm, &mut Work::default()).unwrap_err().to_string();
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn what_others_encrypted_by_hand_decrypts() {
    // RFC 7914, 12: PBKDF2-HMAC-SHA256 of "passwd" and "salt", one round, 64 octets.
    let derivation = identifier(
        PBKDF2,
        &write::sequence(&[
            &write::octet_string(b"salt"),
            &number(1),
            &number(64),
            &identifier("1.2.840.113549.2.9", &write::null()),
        ]),
    );
    let derivation = der::single(&derivation, SEQUENCE, "").unwrap();
    let key = derive(&derivation, None, b"passwd", &mut Work::default()).unwrap();
    assert!(hex::encode(&*key).starts_with("55ac046e56e3089fec1691c22544b605"));
    assert!(derive(&derivation, Some(32), b"passwd", &mut Work::default()).is_err());
    // RFC 7914, 12: scrypt("", "", 16, 1, 1).
    let parameters = ScryptParameters { cost: 16, block_size: 1, parallelization: 1 };
    let key = derivation::scrypt(&parameters, b"", b"", 64, &mut Work::default()).unwrap();
    assert!(hex::encode(&*key).starts_with("77d6576238657b203b19ca42c18a0497"));
}

proptest! {
    #[test]
    fn no_bytes_bring_it_down(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(key) = EncryptedKey::read(&bytes) {
            let _ = key.decrypt(&Password::new(&"secret".into()), &mut Work::default());
        }
        let algorithm = write::sequence(&[&bytes]);
        let _ = attempt(&algorithm, &mut Work::default());
    }
}
