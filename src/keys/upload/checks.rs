//! Whether certificates can be presented in TLS, and what is odd about them.

use chrono::{DateTime, TimeDelta, Utc};

use crate::x509::foreign_certificate::{ANY_PURPOSE, CLIENT_AUTH, ForeignCertificate};
use crate::x509::public_key;

use super::parts::Parts;

const SOON_DAYS: i64 = 30;

/// Judges the certificate that is presented.
pub fn leaf(leaf: &ForeignCertificate, now: DateTime<Utc>, pointer: &str, parts: &mut Parts) {
    let label = leaf.label();
    if leaf.is_ca {
        let hint = if leaf.is_self_issued {
            "; openssl req -x509 makes CA certificates unless it gets -addext basicConstraints=critical,CA:FALSE"
        } else {
            ""
        };
        parts.fault(pointer, format!("the certificate of the private key ({label}) is a CA certificate, with which no client should log in; send the client's own{hint}"));
    }
    if leaf.not_after < now {
        parts.fault(pointer, format!("the certificate ({label}) has expired on {}", date(leaf.not_after)));
    } else if leaf.not_after < now + TimeDelta::days(SOON_DAYS) {
        parts.messages.push(format!("the certificate ({label}) expires soon, on {}", date(leaf.not_after)));
    }
    if now < leaf.not_before {
        parts.messages.push(format!("the certificate ({label}) is not valid before {}", date(leaf.not_before)));
    }
    if let Some(purposes) = &leaf.extended_key_usage
        && !purposes.iter().any(|purpose| purpose == CLIENT_AUTH || purpose == ANY_PURPOSE)
    {
        parts.fault(
            pointer,
            format!("the certificate ({label}) is not for clients: its extendedKeyUsage lacks clientAuth"),
        );
    }
    if leaf.key_usage.is_some_and(|usage| !usage.digital_signature) {
        parts.messages.push(format!(
            "the keyUsage of the certificate ({label}) lacks digitalSignature; strict servers refuse it"
        ));
    }
    weak_signature(leaf, parts);
    weak_key(leaf, parts);
}

/// Tells what is odd above the leaf. Nothing of it is a fault: the servers judge chains, and some have their own.
pub fn intermediates(above: &[ForeignCertificate], now: DateTime<Utc>, parts: &mut Parts) {
    for certificate in above {
        let label = certificate.label();
        if certificate.not_after < now {
            parts.messages.push(format!("the CA certificate {label} has expired on {}", date(certificate.not_after)));
        }
        if !certificate.is_ca && certificate.version == 3 {
            parts
                .messages
                .push(format!("the certificate {label} stands as an issuer in the chain, but is no CA certificate"));
        }
        // Nobody looks at the signature of a root.
        if !certificate.is_self_issued {
            weak_signature(certificate, parts);
        }
    }
}

/// Why a key fits none of the certificates.
pub fn wrong_key(likely: &ForeignCertificate, count: usize, spki: &[u8]) -> String {
    let key_type = public_key::identify(spki).map_or_else(|_| "unknown".into(), |(key_type, _)| key_type.to_string());
    let which = if count == 1 { "the certificate".into() } else { format!("any of the {count} certificates") };
    format!(
        "the private key (type {key_type}) does not belong to {which}; the one of {} has a key of the type {}",
        likely.label(),
        likely.key_type
    )
}

pub fn date(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn weak_signature(certificate: &ForeignCertificate, parts: &mut Parts) {
    if certificate.has_weak_signature() {
        parts.messages.push(format!(
            "the certificate {} is signed with {}, which many servers refuse; ask its issuer for a newer one",
            certificate.label(),
            certificate.signature
        ));
    }
}

/// Others issued it and servers may take it, so a weak key is told and not refused.
fn weak_key(leaf: &ForeignCertificate, parts: &mut Parts) {
    if !leaf.key_type.starts_with("rsa") {
        return;
    }
    for fault in public_key::check(&leaf.spki).err().unwrap_or_default() {
        parts.messages.push(format!("the key of the certificate ({}) is weak: {fault}", leaf.label()));
    }
}
