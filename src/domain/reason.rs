//! Why a certificate is revoked (RFC 5280, 5.3.1).

use std::fmt;

/// A reason for revocation. `certificateHold` alone can be lifted; every other is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RevocationReason {
    Unspecified,
    KeyCompromise,
    CaCompromise,
    AffiliationChanged,
    Superseded,
    CessationOfOperation,
    CertificateHold,
    PrivilegeWithdrawn,
    AaCompromise,
}

/// Reason, CRLReason number, name in RFC 5280. (7 is unused there; 8, removeFromCRL, is no reason to revoke.)
const REASONS: [(RevocationReason, i16, &str); 9] = [
    (RevocationReason::Unspecified, 0, "unspecified"),
    (RevocationReason::KeyCompromise, 1, "keyCompromise"),
    (RevocationReason::CaCompromise, 2, "cACompromise"),
    (RevocationReason::AffiliationChanged, 3, "affiliationChanged"),
    (RevocationReason::Superseded, 4, "superseded"),
    (RevocationReason::CessationOfOperation, 5, "cessationOfOperation"),
    (RevocationReason::CertificateHold, 6, "certificateHold"),
    (RevocationReason::PrivilegeWithdrawn, 9, "privilegeWithdrawn"),
    (RevocationReason::AaCompromise, 10, "aACompromise"),
];

impl RevocationReason {
    /// What the holder of a certificate can know; the others are for those who run the authority to say.
    pub const OF_HOLDERS: [Self; 6] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::CertificateHold,
    ];

    pub fn names() -> impl Iterator<Item = &'static str> {
        REASONS.iter().map(|entry| entry.2)
    }

    /// Reads the RFC's name, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        REASONS.iter().find(|entry| entry.2.eq_ignore_ascii_case(text)).map(|entry| entry.0)
    }

    pub fn from_code(code: i16) -> Option<Self> {
        REASONS.iter().find(|entry| entry.1 == code).map(|entry| entry.0)
    }

    /// The CRLReason number.
    pub fn code(self) -> i16 {
        REASONS.iter().find(|entry| entry.0 == self).map_or(0, |entry| entry.1)
    }

    pub fn as_str(self) -> &'static str {
        REASONS.iter().find(|entry| entry.0 == self).map_or("unspecified", |entry| entry.2)
    }

    /// Whether the revocation can be lifted again.
    pub fn is_hold(self) -> bool {
        self == Self::CertificateHold
    }
}

impl fmt::Display for RevocationReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_lead_back_to_the_reason() {
        for (reason, code, name) in REASONS {
            assert_eq!(RevocationReason::from_code(code), Some(reason));
            assert_eq!(RevocationReason::parse(&name.to_uppercase()), Some(reason));
            assert_eq!((reason.code(), reason.as_str()), (code, name));
        }
        assert_eq!(RevocationReason::parse("removeFromCRL"), None);
    }
}
