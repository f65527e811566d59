//! Certificates in the order in which they go out in a TLS handshake: the key's own first, then whoever issued the one
//! before (RFC 8446, 4.4.2).
//!
//! Deliberately not here: trust. Whether a chain is good is for those to say to whom it is shown.

use chrono::{DateTime, Utc};

use super::foreign_certificate::{ForeignCertificate, is_same_key};

/// Twice as many as any chain in use has. It bounds how many signatures one upload makes us verify.
const MAX_LENGTH: usize = 10;

/// A chain, and what was sent beside it.
pub struct Ordered {
    /// The leaf first, then upwards as far as the certificates that were sent go; a root that was sent stays.
    pub chain: Vec<ForeignCertificate>,
    /// In the order they were sent.
    pub left_out: Vec<ForeignCertificate>,
    /// What is odd, in words for the caller.
    pub messages: Vec<String>,
}

/// Finds the certificate of the key and everything above it. `None` when no certificate has this key.
pub fn order(
    certificates: Vec<ForeignCertificate>,
    leaf_spki: &[u8],
    trusted: &[ForeignCertificate],
    now: DateTime<Utc>,
) -> Option<Ordered> {
    let mut messages = Vec::new();
    let mut pool = without_duplicates(certificates, &mut messages);
    let leaf = take_leaf(&mut pool, leaf_spki, now, &mut messages)?;
    let mut chain = vec![leaf];
    while chain.len() < MAX_LENGTH
        && let Some(issuer) = chain.last().and_then(|last| take_issuer(&mut pool, last, now))
    {
        chain.push(issuer);
    }
    tell_of_the_end(&chain, trusted, &mut messages);
    if !pool.is_empty() {
        let subjects: Vec<String> = pool.iter().map(ForeignCertificate::label).collect();
        messages.push(format!("left out, because the chain does not need them: {}", subjects.join("; ")));
    }
    Some(Ordered { chain, left_out: pool, messages })
}

/// The certificates in their order, each once.
pub fn without_duplicates(
    certificates: Vec<ForeignCertificate>,
    messages: &mut Vec<String>,
) -> Vec<ForeignCertificate> {
    let mut unique: Vec<ForeignCertificate> = Vec::with_capacity(certificates.len());
    for certificate in certificates {
        if unique.iter().any(|kept| kept.der == certificate.der) {
            messages.push(format!("sent more than once: {}", certificate.label()));
        } else {
            unique.push(certificate);
        }
    }
    unique
}

/// Of several certificates for one key (a renewal beside what it renews) the one that lasts longest.
fn take_leaf(
    pool: &mut Vec<ForeignCertificate>,
    spki: &[u8],
    now: DateTime<Utc>,
    messages: &mut Vec<String>,
) -> Option<ForeignCertificate> {
    let matching: Vec<usize> =
        pool.iter().enumerate().filter(|(_, one)| is_same_key(&one.spki, spki)).map(|(index, _)| index).collect();
    let preference = |index: &usize| {
        pool.get(*index).map(|one| (!one.is_ca, one.not_before <= now && now <= one.not_after, one.not_after))
    };
    let best = matching.iter().copied().max_by_key(preference)?;
    let leaf = pool.remove(best);
    if matching.len() > 1 {
        messages.push(format!(
            "{} certificates belong to the private key; the one that is used has the serial number {} and expires on {}",
            matching.len(),
            leaf.serial_hex(),
            leaf.not_after.format("%Y-%m-%d")
        ));
    }
    Some(leaf)
}

/// The likeliest issuer among those whose name fits and whose key does not contradict the signature.
fn take_issuer(
    pool: &mut Vec<ForeignCertificate>,
    subject: &ForeignCertificate,
    now: DateTime<Utc>,
) -> Option<ForeignCertificate> {
    if subject.is_self_issued && subject.is_signed_by(subject) != Some(false) {
        return None;
    }
    let likelihood = |issuer: &ForeignCertificate| {
        let is_named = has_name_of_issuer(issuer, subject);
        let signed = if is_named { subject.is_signed_by(issuer) } else { Some(false) };
        let identifiers = subject.aki.as_ref().zip(issuer.ski.as_ref()).map(|(authority, own)| authority == own);
        (signed != Some(false)).then(|| {
            (
                signed.is_some(),
                identifiers.unwrap_or(signed.is_some()),
                issuer.is_ca,
                now <= issuer.not_after,
                issuer.not_after,
            )
        })
    };
    let candidates = pool.iter().enumerate();
    let (best, _) =
        candidates.filter_map(|(index, one)| Some((index, likelihood(one)?))).max_by_key(|entry| entry.1)?;
    Some(pool.remove(best))
}

/// RFC 5280, 7.1 compares names without regard to case and string type; only then do chains hold that were renewed
/// with another string type.
fn has_name_of_issuer(issuer: &ForeignCertificate, subject: &ForeignCertificate) -> bool {
    issuer.subject_der == subject.issuer_der
        || (!issuer.subject.is_empty() && issuer.subject.to_lowercase() == subject.issuer.to_lowercase())
}

fn tell_of_the_end(chain: &[ForeignCertificate], trusted: &[ForeignCertificate], messages: &mut Vec<String>) {
    match chain {
        // A leaf right below a CA that its servers know needs nothing between.
        [leaf] if trusted.iter().any(|root| root.is_self_issued && has_name_of_issuer(root, leaf)) => {}
        [leaf] if !leaf.is_self_issued => messages.push(format!(
            "the certificate of its issuer ({}) was not sent; servers that know only the root above it will refuse this certificate, so add the intermediate certificates if there are any",
            leaf.issuer
        )),
        [_, .., last] if last.is_self_issued => messages.push(format!(
            "the chain includes its root ({}); that does no harm, but servers have their own copy",
            last.label()
        )),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
