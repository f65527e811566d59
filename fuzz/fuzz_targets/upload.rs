//! Certificates and private keys that callers upload: PEM in all its forms, and PKCS#12.
#![no_main]

use chrono::DateTime;
use countersign::keys::upload::{self, Upload};
use libfuzzer_sys::fuzz_target;
use secrecy::SecretString;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let passphrase = SecretString::from("correct");
    let upload = Upload {
        certificates: Some(&text),
        pkcs12: Some(bytes),
        passphrase: Some(&passphrase),
        trusted_ca: Some(&text),
        ..Upload::default()
    };
    let _ = upload::read(&upload, DateTime::UNIX_EPOCH);
});
