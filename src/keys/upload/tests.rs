//! The files in `fixtures/` are from OpenSSL 3.0 and keytool of Java 17: one key on P-256 in all its forms, certificates
//! for it under a root and an intermediate, and key stores of them. The passphrases are `correct`, `changeit` for
//! keytool, and `Grüße` with and without more. The BER files are OpenSSL's, written anew with indefinite lengths.

use proptest::prelude::*;

use super::*;

const CERTIFICATE: &str = include_str!("fixtures/device.crt.pem");
const CHAIN: &str = include_str!("fixtures/chain.pem");
const KEY: &str = include_str!("fixtures/p256.key.pem");

macro_rules! fixtures {
    ($read:ident: $($name:literal),* $(,)?) => {
        [$(($name, &$read!(concat!("fixtures/", $name))[..])),*]
    };
}

fn now() -> DateTime<Utc> {
    "2027-01-01T00:00:00Z".parse().unwrap()
}

fn pem<'a>(certificates: &'a str, private_key: &'a str) -> Upload<'a> {
    Upload { certificates: Some(certificates), private_key: Some(private_key), ..Upload::default() }
}

fn names(chain: &[ForeignCertificate]) -> Vec<&str> {
    chain.iter().map(|certificate| certificate.common_name.as_str()).collect()
}

/// The pointers and the messages of the faults.
fn faults(upload: &Upload<'_>) -> Vec<(String, String)> {
    let faults = read(upload, now()).err().unwrap();
    faults.into_iter().map(|fault| (fault.pointer, fault.message)).collect()
}

fn one_fault(upload: &Upload<'_>, pointer: &str, words: &str) {
    let faults = faults(upload);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].0 == pointer && faults[0].1.contains(words), "{faults:?}");
}

fn accepted(upload: &Upload<'_>, about: &str) -> ReadIdentity {
    let read = read(upload, now());
    read.unwrap_or_else(|faults| panic!("{about}: {faults:?}"))
}

#[test]
fn pem_is_read_in_every_arrangement() {
    let together = [KEY, CHAIN, CERTIFICATE].concat();
    let texts = [
        (pem(CERTIFICATE, KEY), 1),
        (pem(&together, ""), 3),
        (pem(" \n", &together), 3),
        (pem(KEY, CERTIFICATE), 1),
        (pem(&together, KEY), 3),
        (pem(&together.replace('\n', "\r\n"), ""), 3),
        (pem(&together.replace('\n', "\n    "), ""), 3),
        (pem(&together.replace('\n', "\\n"), ""), 3),
        (pem(&CERTIFICATE.replace(" CERTIFICATE", " X509 CERTIFICATE"), KEY), 1),
        (pem(include_str!("fixtures/bag-attributes.pem"), ""), 3),
        (pem(include_str!("fixtures/trusted.pem"), ""), 1),
    ]
    .map(|(upload, length)| (upload.certificates.map(str::to_owned), upload.private_key.map(str::to_owned), length));
    for (certificates, private_key, length) in &texts {
        let upload =
            Upload { certificates: certificates.as_deref(), private_key: private_key.as_deref(), ..Upload::default() };
        let read = accepted(&upload, certificates.as_deref().unwrap());
        assert_eq!(names(&read.chain), ["device", "Example Intermediate", "Example Root"][..*length]);
        assert_eq!(read.private_key.spki(), read.chain[0].spki);
        assert!(brings_a_key(&upload));
    }
}

#[test]
fn keys_are_read_in_every_form() {
    let with_p256 = fixtures![include_str: "p256.key.pem", "p256.sec1.key.pem", "p256.nopublic.key.pem"];
    for (name, key) in with_p256 {
        assert_eq!(accepted(&pem(CERTIFICATE, key), name).private_key.key_type(), "p256");
    }
    let rsa = pem(include_str!("fixtures/rsa.crt.pem"), include_str!("fixtures/rsa.pkcs1.key.pem"));
    assert_eq!(accepted(&rsa, "rsa").private_key.key_type(), "rsa2048");
    // The curve stands in a block of its own.
    accepted(&pem(include_str!("fixtures/parameters.pem"), ""), "parameters");
}

#[test]
fn encrypted_keys_are_read_with_their_passphrase() {
    let passphrase = SecretString::from("correct");
    let wrong = SecretString::from("incorrect\n");
    for (name, key) in fixtures![include_str:
        "pbes2-aes128.key.pem", "pbes2-des3.key.pem", "pbes2-sha1.key.pem", "pbes2-sha512.key.pem", "scrypt.key.pem",
        "pbe-md5-des.key.pem", "pbe-sha1-des.key.pem", "pbe-sha1-3des.key.pem", "pbe-sha1-2des.key.pem",
        "pbe-sha1-rc2-40.key.pem", "pbe-sha1-rc2-128.key.pem",
        "old-aes128.key.pem", "old-aes192.key.pem", "old-aes256.key.pem", "old-des3.key.pem",
    ] {
        let upload = Upload { passphrase: Some(&passphrase), ..pem(CERTIFICATE, key) };
        let read = accepted(&upload, name);
        assert_eq!(read.private_key.key_type(), "p256");
        let is_old = name.starts_with("pbe-") || name.starts_with("old-");
        assert_eq!(read.messages.iter().any(|message| message.contains("easily broken")), is_old, "{name}");
        one_fault(
            &Upload { passphrase: None, ..upload },
            PASSPHRASE,
            "the private key is encrypted; send its passphrase",
        );
        one_fault(
            &Upload { passphrase: Some(&wrong), ..upload },
            PASSPHRASE,
            "does not open the private key (it ends with",
        );
    }
    let umlaut = SecretString::from("Grüße");
    accepted(
        &Upload { passphrase: Some(&umlaut), ..pem(CERTIFICATE, include_str!("fixtures/umlaut.key.pem")) },
        "umlaut",
    );
    let des = Upload { passphrase: Some(&passphrase), ..pem(CERTIFICATE, include_str!("fixtures/old-des.key.pem")) };
    one_fault(&des, PRIVATE_KEY, "DES-CBC in the old PEM format, which is not supported");
}

#[test]
fn pkcs12_is_read_from_everywhere() {
    for (name, file) in fixtures![include_bytes:
        "modern.p12", "legacy.p12", "rc2-128.p12", "nomac.p12", "mac-sha512.p12", "ber.p12", "ber-mac.p12",
        "plain-nomac.p12", "empty.p12", "empty-legacy.p12", "umlaut.p12", "umlaut-legacy.p12", "umlaut-old.p12",
        "keytool.p12", "keytool-old.p12",
    ] {
        let passphrase = SecretString::from(match name {
            "umlaut.p12" => "Grüße€😀",
            "umlaut-legacy.p12" | "umlaut-old.p12" => "Grüße",
            "keytool.p12" | "keytool-old.p12" => "changeit",
            "plain-nomac.p12" | "empty.p12" | "empty-legacy.p12" => "",
            _ => "correct",
        });
        let upload = Upload { pkcs12: Some(file), passphrase: Some(&passphrase), ..Upload::default() };
        let read = accepted(&upload, name);
        assert_eq!(read.private_key.spki(), read.chain[0].spki);
        let is_old = name.contains("legacy") || name.contains("old") || name.starts_with("rc2");
        assert_eq!(read.messages.iter().any(|message| message.contains("RC2 or triple DES")), is_old, "{name}");
        assert!(brings_a_key(&upload));
        let without = Upload { passphrase: None, ..upload };
        match name {
            "plain-nomac.p12" | "empty.p12" | "empty-legacy.p12" => drop(accepted(&without, name)),
            _ => {
                one_fault(&without, PASSPHRASE, "the PKCS#12 file is encrypted; send its passphrase");
                let wrong = SecretString::from("falsch ü");
                let wrong = Upload { passphrase: Some(&wrong), ..upload };
                one_fault(&wrong, PASSPHRASE, "the passphrase does not open the PKCS#12 file");
            }
        }
    }
}

#[test]
fn what_is_missing_or_in_the_wrong_place_is_named() {
    let broken = CERTIFICATE.replace("-----END CERTIFICATE-----", "");
    let bare: String = CERTIFICATE.lines().filter(|line| !line.starts_with("-----")).collect();
    for (upload, pointer, words) in [
        (pem(CERTIFICATE, ""), PRIVATE_KEY, "there is no private key"),
        (pem("", KEY), CERTIFICATES, "there is no certificate"),
        (pem(include_str!("fixtures/device.csr.pem"), KEY), CERTIFICATES, "certificate signing request"),
        (pem("-----BEGIN PUBLIC KEY-----\nYWJj\n-----END PUBLIC KEY-----", KEY), CERTIFICATES, "there is a public key"),
        (pem("-----BEGIN PKCS7-----\nYWJj\n-----END PKCS7-----", KEY), CERTIFICATES, "-print_certs"),
        (pem("-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----", KEY), CERTIFICATES, "not an X.509"),
        (pem(&KEY.replace("PRIVATE KEY", "CERTIFICATE"), KEY), CERTIFICATES, "what stands in it is a PRIVATE KEY"),
        (pem("0\u{fffd}\u{3}\0", KEY), CERTIFICATES, "it is binary"),
        (pem(&bare, KEY), CERTIFICATES, "put -----BEGIN CERTIFICATE----- before"),
        (pem("hello", KEY), CERTIFICATES, "no PEM block"),
        (pem(&broken, KEY), CERTIFICATES, "-----END CERTIFICATE----- is missing"),
        (pem(CERTIFICATE, "PuTTY-User-Key-File-3: x"), PRIVATE_KEY, "PuTTYgen"),
        (
            pem(CERTIFICATE, "-----BEGIN OPENSSH PRIVATE KEY-----\nYWJj\n-----END OPENSSH PRIVATE KEY-----"),
            PRIVATE_KEY,
            "ssh-keygen",
        ),
        (pem(CERTIFICATE, include_str!("fixtures/secp256k1.key.pem")), PRIVATE_KEY, "secp256k1"),
        (pem(CERTIFICATE, include_str!("fixtures/ed448.key.pem")), PRIVATE_KEY, "Ed448"),
        (
            pem(CERTIFICATE, include_str!("fixtures/rsa.pkcs1.key.pem")),
            PRIVATE_KEY,
            "does not belong to the certificate",
        ),
        (pem(include_str!("fixtures/server.crt.pem"), KEY), CERTIFICATES, "lacks clientAuth"),
        (pem(include_str!("fixtures/isca.crt.pem"), KEY), CERTIFICATES, "is a CA certificate"),
        (pem(&CERTIFICATE.repeat(101), KEY), CERTIFICATES, "more than 100 certificates"),
    ] {
        one_fault(&upload, pointer, words);
    }
    let two = [KEY, include_str!("fixtures/rsa.pkcs1.key.pem")].concat();
    one_fault(&pem(CERTIFICATE, &two), PRIVATE_KEY, "two different private keys");
}

#[test]
fn all_faults_are_told_at_once() {
    let upload = Upload {
        trusted_ca: Some(CERTIFICATE),
        ..pem(include_str!("fixtures/server.crt.pem"), include_str!("fixtures/scrypt.key.pem"))
    };
    let pointers: Vec<String> = faults(&upload).into_iter().map(|fault| fault.0).collect();
    assert_eq!(pointers, [PASSPHRASE, TRUSTED_CA, CERTIFICATES]);
    assert_eq!(faults(&Upload::default()).len(), 2);
}

#[test]
fn what_is_odd_and_usable_is_told() {
    let passphrase = SecretString::from("unneeded");
    for (upload, words) in [
        (pem(CERTIFICATE, KEY), "its issuer (CN=Example Intermediate,O=Example Inc.,C=US) was not sent"),
        (pem(include_str!("fixtures/sha1.crt.pem"), KEY), "ECDSAWithSHA1"),
        (pem(include_str!("fixtures/kex.crt.pem"), KEY), "lacks digitalSignature"),
        (Upload { passphrase: Some(&passphrase), ..pem(CERTIFICATE, KEY) }, "nothing was encrypted"),
        (pem(&[CERTIFICATE, include_str!("fixtures/renewed.crt.pem")].concat(), KEY), "2 certificates belong"),
        (pem(&[CERTIFICATE, include_str!("fixtures/rsa.crt.pem")].concat(), KEY), "left out"),
    ] {
        let read = accepted(&upload, words);
        assert!(read.messages.iter().any(|message| message.contains(words)), "{:?}", read.messages);
    }
    let fine = accepted(&pem(include_str!("fixtures/anyeku.crt.pem"), KEY), "anyExtendedKeyUsage");
    assert_eq!(fine.messages.len(), 1, "{:?}", fine.messages);
}

#[test]
fn times_decide() {
    let at = |time: &str| read(&pem(CERTIFICATE, KEY), time.parse().unwrap());
    let expired = at("2200-01-01T00:00:00Z").err().unwrap();
    assert!(expired[0].message.contains("has expired on 2126-10-28"), "{expired:?}");
    let told = |time| at(time).ok().unwrap().messages.join("\n");
    assert!(told("2126-10-01T00:00:00Z").contains("expires soon, on 2126-10-28"));
    assert!(told("2020-01-01T00:00:00Z").contains("is not valid before 2026-11-21"));
    assert!(!told("2027-01-01T00:00:00Z").contains("valid"));
}

#[test]
fn newer_certificates_are_read_for_a_key_that_is_stored() {
    let key = accepted(&pem(CERTIFICATE, KEY), "first").private_key;
    let renewed = [include_str!("fixtures/renewed.crt.pem"), CHAIN].concat();
    let upload = Upload { certificates: Some(&renewed), trusted_ca: Some(CHAIN), ..Upload::default() };
    assert!(!brings_a_key(&upload));
    let read = read_for_key(&upload, key.spki(), now()).ok().unwrap();
    assert_eq!((read.chain.len(), read.trusted_ca.len()), (3, 2));
    let refused = |upload: &Upload<'_>| read_for_key(upload, key.spki(), now()).err().unwrap().remove(0);
    let other = Upload { certificates: Some(include_str!("fixtures/rsa.crt.pem")), ..Upload::default() };
    assert!(refused(&other).message.contains("does not belong to the certificate"));
    assert!(refused(&pem(CERTIFICATE, KEY)).message.contains("leave it out"));
}

#[test]
fn authorities_are_read_and_must_be_authorities() {
    let (authorities, messages) = read_authorities(CHAIN, now(), TRUSTED_CA).unwrap();
    assert_eq!(names(&authorities), ["Example Intermediate", "Example Root"]);
    assert!(messages.is_empty());
    let (once, messages) = read_authorities(&CHAIN.repeat(2), now(), TRUSTED_CA).unwrap();
    assert_eq!((once.len(), messages.len()), (2, 2));
    for (text, words) in [
        (CERTIFICATE.to_owned(), "is no CA certificate"),
        ([CHAIN, KEY].concat(), "private key among the CA certificates"),
        (include_str!("fixtures/device.csr.pem").to_owned(), "signing request"),
        ("hello".into(), "no PEM block"),
    ] {
        let faults = read_authorities(&text, now(), "/certificates").unwrap_err();
        assert_eq!(faults[0].pointer, "/certificates");
        assert!(faults[0].message.contains(words), "{faults:?}");
    }
    let expired = read_authorities(CHAIN, "2200-01-01T00:00:00Z".parse().unwrap(), TRUSTED_CA).unwrap().1;
    assert!(expired[0].contains("has expired"));
}

#[test]
fn no_fault_repeats_a_passphrase_or_a_key() {
    let passphrase = SecretString::from("hunter2-hunter2");
    let key_line = KEY.lines().nth(1).unwrap();
    for key in [include_str!("fixtures/scrypt.key.pem"), include_str!("fixtures/old-aes256.key.pem"), key_line] {
        let upload = Upload { passphrase: Some(&passphrase), ..pem(CERTIFICATE, key) };
        let told = format!("{:?}", faults(&upload));
        assert!(!told.contains("hunter2") && !told.contains(&key_line[..20]), "{told}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_upload_brings_it_down(
        text in "\\PC{0,200}",
        label in prop_oneof![
            Just("CERTIFICATE"), Just("RSA PRIVATE KEY"), Just("EC PRIVATE KEY"), Just("ENCRYPTED PRIVATE KEY"),
            Just("PRIVATE KEY"), Just("TRUSTED CERTIFICATE"), Just("EC PARAMETERS"),
        ],
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        is_old in any::<bool>(),
    ) {
        let headers = if is_old { "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00112233445566778899aabbccddeeff\n\n" } else { "" };
        let block = crate::x509::pem::encode(label, &bytes).replacen("-----\n", &format!("-----\n{headers}"), 1);
        let passphrase = SecretString::from("x");
        let upload = Upload {
            certificates: Some(&text), private_key: Some(&block), pkcs12: Some(&bytes),
            passphrase: Some(&passphrase), trusted_ca: Some(&block),
        };
        prop_assert!(read(&upload, now()).is_err());
        let _ = brings_a_key(&upload);
    }
}
