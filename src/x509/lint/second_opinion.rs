//! A second reader that shares nothing with ours: x509-parser. What it reads must be what was planned, so that a
//! misunderstanding of our own encoder and reader alike does not get signed.

use x509_parser::certificate::TbsCertificate;
use x509_parser::prelude::{FromDer, X509Extension};

use crate::domain::plan::Plan;

/// What the other reader sees differently; nothing when it agrees.
pub(super) fn disagreements(der: &[u8], plan: &Plan) -> Vec<&'static str> {
    let Ok((rest, tbs)) = TbsCertificate::from_der(der) else { return vec!["the whole"] };
    let times = (tbs.validity.not_before.timestamp(), tbs.validity.not_after.timestamp());
    let checks = [
        ("the end", rest.is_empty()),
        ("the serial number", strip_sign(tbs.raw_serial()) == plan.serial.as_bytes()),
        ("the issuer", tbs.issuer.as_raw() == plan.issuer.subject),
        ("the subject", tbs.subject.as_raw() == plan.subject.der),
        ("the public key", tbs.subject_pki.raw == plan.public_key.spki),
        ("the validity", times == (plan.not_before.timestamp(), plan.not_after.timestamp())),
        ("the extensions", stand_once(tbs.extensions())),
    ];
    checks.into_iter().filter(|(_, agrees)| !agrees).map(|(what, _)| what).collect()
}

fn stand_once(extensions: &[X509Extension<'_>]) -> bool {
    let repeats = |(index, extension): (usize, &X509Extension<'_>)| {
        extensions.iter().take(index).any(|earlier| earlier.oid == extension.oid)
    };
    !extensions.iter().enumerate().any(repeats)
}

/// DER puts a zero octet before a magnitude whose top bit is set.
fn strip_sign(serial: &[u8]) -> &[u8] {
    match serial {
        [0, magnitude @ ..] if !magnitude.is_empty() => magnitude,
        other => other,
    }
}
