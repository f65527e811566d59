//! Reasons for a revocation, in the words of people who have one.

use crate::domain::reason::RevocationReason;

use super::show::Plain;

/// A reason that can be chosen.
pub struct Reason {
    pub reason: RevocationReason,
    pub label: &'static str,
    pub hint: &'static str,
}

/// In the order in which people look for them. Those that are about a CA itself are not for its certificates.
pub const REASONS: [Reason; 7] = [
    Reason {
        reason: RevocationReason::CertificateHold,
        label: "Put on hold",
        hint: "For now: a device is missing, somebody is away, something looks odd. This alone can be taken back.",
    },
    Reason {
        reason: RevocationReason::KeyCompromise,
        label: "The private key may be in wrong hands",
        hint: "Final. Every other certificate of this account with the same key is revoked too, and the key is never certified again.",
    },
    Reason { reason: RevocationReason::Superseded, label: "Replaced by a newer certificate", hint: "Final." },
    Reason {
        reason: RevocationReason::CessationOfOperation,
        label: "No longer in use",
        hint: "Final. The device is retired, the service is shut down.",
    },
    Reason {
        reason: RevocationReason::AffiliationChanged,
        label: "It says something that is no longer true",
        hint: "Final. A name, an organization or another detail has changed.",
    },
    Reason {
        reason: RevocationReason::PrivilegeWithdrawn,
        label: "Its holder must not have access any more",
        hint: "Final.",
    },
    Reason {
        reason: RevocationReason::Unspecified,
        label: "Another reason",
        hint: "Final. The CRL says nothing about why.",
    },
];

/// A reason in a few words, inside a sentence.
pub fn words(reason: impl Plain<RevocationReason>) -> &'static str {
    match reason.plain() {
        RevocationReason::CertificateHold => "on hold",
        RevocationReason::KeyCompromise => "the key may be in wrong hands",
        RevocationReason::CaCompromise => "a CA was compromised",
        RevocationReason::Superseded => "replaced by a newer certificate",
        RevocationReason::CessationOfOperation => "no longer in use",
        RevocationReason::AffiliationChanged => "it says something that is no longer true",
        RevocationReason::PrivilegeWithdrawn => "its holder must not have access any more",
        RevocationReason::AaCompromise => "an attribute authority was compromised",
        RevocationReason::Unspecified => "no reason given",
    }
}
