//! Managed CAs. The private key is deliberately not here: it lives, sealed, one layer below the service.

use chrono::{DateTime, Utc};

use super::id::{AccountId, AuthorityId, ZoneId};
use super::key::AuthorityKeyType;
use super::serial::SerialNumber;

/// A managed CA as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    pub id: AuthorityId,
    pub account: AccountId,
    /// The zone it signs for; a root signs for none.
    pub zone: Option<ZoneId>,
    /// The authority that signed it; a root has none.
    pub parent: Option<AuthorityId>,
    pub name: String,
    pub state: AuthorityState,
    pub key_type: AuthorityKeyType,
    pub serial: SerialNumber,
    /// Its certificate in DER.
    pub certificate: Vec<u8>,
    pub ski: Vec<u8>,
    pub not_before: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
    /// The parts its CRL is also published in; none for a small one.
    pub shards: Option<Shards>,
}

/// How an authority's certificates are spread over CRLs that are small enough for small clients. Fixed when the authority is
/// made: each certificate carries the address of its shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shards {
    /// From 2 to [`Shards::MOST`].
    pub count: i32,
    /// What the addresses of the shards begin with: shard 3 is at `{url}/3`.
    pub url: String,
}

impl Shards {
    pub const MOST: i32 = 1024;

    /// Where a shard is published: the distribution point of its certificates and of its CRL, letter for letter
    /// (RFC 5280, 6.3.3 (b) (2)).
    pub fn url_of(&self, shard: i32) -> String {
        format!("{}/{shard}", self.url)
    }
}

impl Authority {
    pub fn is_root(&self) -> bool {
        self.parent.is_none()
    }

    /// The shard of a certificate: the low bits of its serial number; 0 where there are none.
    pub fn shard_of(&self, serial: &SerialNumber) -> i32 {
        let low =
            serial.as_bytes().iter().rev().take(4).rev().fold(0_u32, |number, octet| number << 8 | u32::from(*octet));
        let count = self.shards.as_ref().and_then(|shards| u32::try_from(shards.count).ok()).filter(|count| *count > 0);
        count.map_or(0, |count| i32::try_from(low % count).unwrap_or_default())
    }

    /// How many lists its revocations are kept in.
    pub fn shard_count(&self) -> i32 {
        self.shards.as_ref().map_or(1, |shards| shards.count.max(1))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorityState {
    /// Signs certificates and CRLs.
    Active,
    /// Signs CRLs only, as long as its certificates live.
    Retired,
    /// Signs nothing.
    Disabled,
}

impl AuthorityState {
    const ALL: [(Self, i16, &'static str); 3] =
        [(Self::Active, 0, "active"), (Self::Retired, 1, "retired"), (Self::Disabled, 2, "disabled")];

    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|entry| entry.0 == self).map_or("disabled", |entry| entry.2)
    }

    pub fn code(self) -> i16 {
        Self::ALL.iter().find(|entry| entry.0 == self).map_or(2, |entry| entry.1)
    }

    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.iter().find(|entry| entry.1 == code).map(|entry| entry.0)
    }
}

/// What a CRL covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CrlScope {
    /// Every revocation of the authority.
    Complete,
    /// What changed since the base (RFC 5280, 5.2.4).
    Delta,
    /// One part of the complete one, with an issuingDistributionPoint.
    Shard(i32),
}

impl CrlScope {
    pub fn code(self) -> i32 {
        match self {
            Self::Complete => -1,
            Self::Delta => -2,
            Self::Shard(shard) => shard,
        }
    }

    pub fn from_code(code: i32) -> Option<Self> {
        match code {
            -1 => Some(Self::Complete),
            -2 => Some(Self::Delta),
            shard if (0..Shards::MOST).contains(&shard) => Some(Self::Shard(shard)),
            _ => None,
        }
    }
}

/// A published CRL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crl {
    pub authority: AuthorityId,
    pub scope: CrlScope,
    /// The CRL number (RFC 5280, 5.2.3): strictly growing per authority, from 1.
    pub number: i64,
    pub this_update: DateTime<Utc>,
    pub next_update: DateTime<Utc>,
    /// The address in its issuingDistributionPoint; a shard has one.
    pub distribution_point: Option<String>,
    pub body: CrlBody,
}

/// A CRL's bytes as they are kept. The entries of a long list stand elsewhere already, one by one, and are not repeated
/// with each CRL: the CRL is `head`, the entries, `tail`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CrlBody {
    Whole(Vec<u8>),
    Around { head: Vec<u8>, tail: Vec<u8>, entries_length: i64 },
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn certificates_spread_over_the_shards_by_the_end_of_their_serial() {
        let mut authority = Authority {
            id: AuthorityId::new(Uuid::nil()),
            account: AccountId::new(Uuid::nil()),
            zone: None,
            parent: None,
            name: String::new(),
            state: AuthorityState::Active,
            key_type: AuthorityKeyType::P256,
            serial: SerialNumber::from_be_bytes(&[1]).unwrap(),
            certificate: Vec::new(),
            ski: Vec::new(),
            not_before: DateTime::UNIX_EPOCH,
            not_after: DateTime::UNIX_EPOCH,
            shards: None,
        };
        let serial = |octets: &[u8]| SerialNumber::from_be_bytes(octets).unwrap();
        assert_eq!(authority.shard_of(&serial(&[255; 20])), 0);
        authority.shards = Some(Shards { count: 64, url: "http://pki.test/crl".into() });
        assert_eq!(authority.shard_of(&serial(&[7])), 7);
        assert_eq!(authority.shard_of(&serial(&[9, 9, 9, 9, 9, 0, 0, 0, 65])), 1);
        authority.shards = Some(Shards { count: 1000, url: "http://pki.test/crl".into() });
        assert_eq!(authority.shard_of(&serial(&[1, 0xff, 0xff, 0xff, 0xff])), (u32::MAX % 1000) as i32);
    }

    #[test]
    fn scopes_lead_back_from_their_codes() {
        for scope in [CrlScope::Complete, CrlScope::Delta, CrlScope::Shard(0), CrlScope::Shard(1023)] {
            assert_eq!(CrlScope::from_code(scope.code()), Some(scope));
        }
        assert_eq!(CrlScope::from_code(1024), None);
        assert_eq!(CrlScope::from_code(-3), None);
    }
}
