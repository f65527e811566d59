//! The signature of what webhooks are told, by which a receiver knows that it comes from here and is not an old one.

use aws_lc_rs::hmac;
use secrecy::{ExposeSecret, SecretString};

/// The value of `Countersign-Signature`: `t=TIME,v1=HEX`, where HEX is the HMAC-SHA-256 (RFC 2104) of `TIME.BODY` under the
/// secret as it is written, `whsec_` and all. TIME is in Unix seconds.
pub fn sign(secret: &SecretString, unix_seconds: i64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(unix_seconds.to_string().as_bytes());
    context.update(b".");
    context.update(body);
    format!("t={unix_seconds},v1={}", hex::encode(context.sign()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By `printf '1800000000.{}' | openssl dgst -sha256 -hmac whsec_test`.
    #[test]
    fn the_signature_is_what_others_compute() {
        let signature = sign(&SecretString::from("whsec_test"), 1_800_000_000, b"{}");
        assert_eq!(signature, "t=1800000000,v1=482e6337ac5272392d375c6fdc4d52a7e615dc2facedab0ffe155ddfd6a56e66");
    }

    #[test]
    fn every_part_is_signed() {
        let sign = |secret: &str, time, body: &[u8]| sign(&SecretString::from(secret), time, body);
        let original = sign("whsec_a", 1, b"23");
        let value = |signature: &str| signature.split_once(",v1=").unwrap().1.to_owned();
        for other in [sign("whsec_b", 1, b"23"), sign("whsec_a", 12, b"3"), sign("whsec_a", 1, b"24")] {
            assert_ne!(value(&original), value(&other));
        }
    }
}
