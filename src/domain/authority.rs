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
    /// In how many shards its CRL is also published; 0 is none.
    pub crl_shards: i32,
}

impl Authority {
    pub fn is_root(&self) -> bool {
        self.parent.is_none()
    }

    /// The shard in which a certificate's revocation stands: its serial number, as far as 32 bits tell it apart. Random
    /// serials spread evenly.
    pub fn shard_of(&self, serial: &SerialNumber) -> i32 {
        let Some(shards) = u32::try_from(self.crl_shards).ok().filter(|shards| *shards > 0) else { return 0 };
        let last = serial.as_bytes().iter().rev().take(4).rev();
        let number = last.fold(0u32, |number, octet| (number << 8) | u32::from(*octet));
        i32::try_from(number % shards).unwrap_or_default()
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

/// A published CRL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crl {
    pub authority: AuthorityId,
    /// The CRL number (RFC 5280, 5.2.3): strictly growing per authority, from 1.
    pub number: i64,
    pub this_update: DateTime<Utc>,
    pub next_update: DateTime<Utc>,
    pub der: Vec<u8>,
}
