//! CA certificates: those by which servers are judged, and those that are uploaded for their own sake.

use chrono::{DateTime, Utc};

use crate::domain::violation::Violation;
use crate::x509::chain;
use crate::x509::foreign_certificate::ForeignCertificate;
use crate::x509::pem::bundle;

use super::parts::MAX_CERTIFICATES;
use super::{checks, sniff};

/// Reads CA certificates, in the order they stand, and what is odd about them. Every one must be a CA.
pub fn read_authorities(
    pem: &str,
    now: DateTime<Utc>,
    pointer: &str,
) -> Result<(Vec<ForeignCertificate>, Vec<String>), Vec<Violation>> {
    let one = |message: String| vec![Violation::new(pointer, message)];
    let blocks = bundle::read(pem).map_err(one)?;
    if blocks.is_empty() {
        return Err(one(sniff::without_pem(pem)));
    }
    let mut faults = Vec::new();
    let mut messages = Vec::new();
    let mut certificates = Vec::new();
    for block in &blocks {
        match block.label.as_str() {
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => {
                match ForeignCertificate::from_der(sniff::certificate_alone(block)) {
                    Ok(certificate) => certificates.push(certificate),
                    Err(fault) => faults.push(format!("a certificate cannot be read: {fault}")),
                }
            }
            label if label.ends_with("PRIVATE KEY") => faults.push(
                "there is a private key among the CA certificates; it has no place here, and who holds a CA's key can issue in its name".into(),
            ),
            label => match sniff::other_block(label) {
                sniff::Other::Fault { message, .. } => faults.push(message),
                sniff::Other::LeftOut(message) => messages.push(message),
            },
        }
    }
    let certificates = chain::without_duplicates(certificates, &mut messages);
    if certificates.is_empty() && faults.is_empty() {
        faults.push("there is no CA certificate; send it in PEM, -----BEGIN CERTIFICATE-----".into());
    }
    if certificates.len() > MAX_CERTIFICATES {
        faults.push(format!("there are more than {MAX_CERTIFICATES} certificates"));
    }
    for certificate in certificates.iter().take(MAX_CERTIFICATES) {
        judge(certificate, now, &mut faults, &mut messages);
    }
    if faults.is_empty() {
        return Ok((certificates, messages));
    }
    Err(faults.into_iter().map(|fault| Violation::new(pointer, fault)).collect())
}

fn judge(certificate: &ForeignCertificate, now: DateTime<Utc>, faults: &mut Vec<String>, messages: &mut Vec<String>) {
    let label = certificate.label();
    // Version 1 has no extensions in which to say it; old roots are of that kind.
    let is_old_root = certificate.version == 1 && certificate.is_self_issued;
    if is_old_root {
        messages.push(format!(
            "{label} is a certificate of version 1, which cannot say that it is a CA; it is taken for one"
        ));
    } else if !certificate.is_ca {
        faults.push(format!("{label} is no CA certificate: basicConstraints with CA:TRUE is missing"));
    } else if certificate.key_usage.is_some_and(|usage| !usage.key_cert_sign) {
        messages
            .push(format!("the keyUsage of {label} lacks keyCertSign; strict programs accept nothing that it issued"));
    }
    if certificate.not_after < now {
        messages.push(format!("{label} has expired on {}", checks::date(certificate.not_after)));
    } else if now < certificate.not_before {
        messages.push(format!("{label} is not valid before {}", checks::date(certificate.not_before)));
    }
}
