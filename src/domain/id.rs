//! Identifiers: one type for each noun, so that a zone's id can never stand where a certificate's belongs.
//!
//! All are 16 bytes. Accounts, zones and tokens are written as 32 lower-case hex digits, everything else as a
//! lower-case dashed UUID (wire contract, section 8, row 1).

use std::fmt;

use chrono::{DateTime, Utc};
use uuid::Uuid;

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $written:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Takes an identifier that was made elsewhere (the store, a generator).
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The 16 bytes as they are stored.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Reads the written form exactly; any other string is `None`, which callers treat as unknown.
            pub fn parse(text: &str) -> Option<Self> {
                parse::$written(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write::$written(&self.0, formatter)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        }
    };
}

identifier!(
    /// A tenant: owns zones, identities and tokens.
    AccountId,
    hex
);
identifier!(
    /// A namespace of certificates with its own issuing authority.
    ZoneId,
    hex
);
identifier!(
    /// An API token; never its secret value.
    TokenId,
    hex
);
identifier!(
    /// A session of the console; never the value of its cookie.
    SessionId,
    dashed
);
identifier!(
    /// A managed CA.
    AuthorityId,
    dashed
);
identifier!(
    /// A client certificate that one of our authorities signed.
    CertificateId,
    dashed
);
identifier!(
    /// A client certificate that somebody else issued to us, with its key; or a bundle of CAs to trust.
    IdentityId,
    dashed
);
identifier!(
    /// A call that is made at intervals to see whether somebody's API works.
    CheckId,
    dashed
);
identifier!(
    /// One run of a check.
    RunId,
    dashed
);
identifier!(
    /// One entry of the audit log.
    AuditEventId,
    dashed
);

identifier!(
    /// A change asked of many certificates at once.
    JobId,
    dashed
);
identifier!(
    /// Somebody who is told of events.
    WebhookId,
    dashed
);
identifier!(
    /// One attempt to tell a webhook.
    DeliveryId,
    dashed
);

mod parse {
    use super::Uuid;

    pub fn hex(text: &str) -> Option<Uuid> {
        let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == 32 && text.bytes().all(lower_hex)).then(|| Uuid::try_parse(text).ok())?
    }

    pub fn dashed(text: &str) -> Option<Uuid> {
        let dashed = text.len() == 36 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
        dashed.then(|| Uuid::try_parse(text).ok())?
    }
}

mod write {
    use super::{Uuid, fmt};

    pub fn hex(uuid: &Uuid, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&uuid.simple(), formatter)
    }

    pub fn dashed(uuid: &Uuid, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&uuid.hyphenated(), formatter)
    }
}

impl CertificateId {
    /// When it was made, to the millisecond: certificates have ids of version 7 (RFC 9562, 5.7).
    pub fn made_on(&self) -> DateTime<Utc> {
        let [first, second, third, fourth, fifth, sixth, ..] = *self.as_bytes();
        let millis = i64::from_be_bytes([0, 0, first, second, third, fourth, fifth, sixth]);
        DateTime::from_timestamp_millis(millis).unwrap_or(DateTime::UNIX_EPOCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_hex_and_certificates_are_dashed() {
        let hex = "023e105f4ecef8ad9ca31a8372d0c353";
        let dashed = "0d89c70d-ad9f-4843-b99f-6cc0252067e9";
        assert_eq!(ZoneId::parse(hex).unwrap().to_string(), hex);
        assert_eq!(CertificateId::parse(dashed).unwrap().to_string(), dashed);
        assert!(ZoneId::parse(dashed).is_none());
        assert!(CertificateId::parse(&dashed.to_uppercase()).is_none());
        assert!(CertificateId::parse(hex).is_none());
    }

    #[test]
    fn strings_of_another_shape_are_unknown() {
        for text in ["", "023E105F4ECEF8AD9CA31A8372D0C353", "x", "023e105f4ecef8ad9ca31a8372d0c35", "../../etc"] {
            assert!(ZoneId::parse(text).is_none(), "{text}");
        }
    }
}
