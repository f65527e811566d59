//! What a token may do, and where.

use std::collections::BTreeSet;
use std::fmt;

use super::id::{AccountId, ZoneId};

/// One permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    ReadCertificates,
    IssueCertificates,
    RevokeCertificates,
    ReadAuthorities,
    WriteAuthorities,
    ReadIdentities,
    WriteIdentities,
    UseIdentities,
    ReadZones,
    WriteZones,
    WriteTokens,
    ReadAudit,
}

impl Permission {
    pub const ALL: [Self; 12] = [
        Self::ReadCertificates,
        Self::IssueCertificates,
        Self::RevokeCertificates,
        Self::ReadAuthorities,
        Self::WriteAuthorities,
        Self::ReadIdentities,
        Self::WriteIdentities,
        Self::UseIdentities,
        Self::ReadZones,
        Self::WriteZones,
        Self::WriteTokens,
        Self::ReadAudit,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadCertificates => "client_certificates:read",
            Self::IssueCertificates => "client_certificates:issue",
            Self::RevokeCertificates => "client_certificates:revoke",
            Self::ReadAuthorities => "authorities:read",
            Self::WriteAuthorities => "authorities:write",
            Self::ReadIdentities => "identities:read",
            Self::WriteIdentities => "identities:write",
            Self::UseIdentities => "identities:use",
            Self::ReadZones => "zones:read",
            Self::WriteZones => "zones:write",
            Self::WriteTokens => "tokens:write",
            Self::ReadAudit => "audit:read",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.as_str() == text)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The permissions of a token and what they reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    pub account: AccountId,
    pub permissions: BTreeSet<Permission>,
    /// Named zones, or every zone of the account.
    pub reach: Reach,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    Account,
    Zones(BTreeSet<ZoneId>),
}

impl Grants {
    /// Whether the permission holds in a zone of the given account.
    pub fn allow_in_zone(&self, permission: Permission, account: AccountId, zone: ZoneId) -> bool {
        let reaches_zone = match &self.reach {
            Reach::Account => true,
            Reach::Zones(zones) => zones.contains(&zone),
        };
        self.account == account && reaches_zone && self.permissions.contains(&permission)
    }

    /// Whether the permission holds for what belongs to the account as a whole, such as its tokens.
    pub fn allow_in_account(&self, permission: Permission, account: AccountId) -> bool {
        self.account == account && self.reach == Reach::Account && self.permissions.contains(&permission)
    }

    /// Whether everything that `other` allows is allowed here: nobody hands on more than they have.
    pub fn cover(&self, other: &Self) -> bool {
        let reach_is_covered = match (&self.reach, &other.reach) {
            (Reach::Account, _) => true,
            (Reach::Zones(_), Reach::Account) => false,
            (Reach::Zones(own), Reach::Zones(asked)) => asked.is_subset(own),
        };
        self.account == other.account && reach_is_covered && other.permissions.is_subset(&self.permissions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "00000000000000000000000000000001";
    const ZONE: &str = "00000000000000000000000000000002";
    const OTHER: &str = "00000000000000000000000000000003";

    fn grants(permissions: &[Permission], zones: Option<&[&str]>) -> Grants {
        let reach = match zones {
            None => Reach::Account,
            Some(zones) => Reach::Zones(zones.iter().map(|zone| ZoneId::parse(zone).unwrap()).collect()),
        };
        let account = AccountId::parse(ACCOUNT).unwrap();
        Grants { account, permissions: permissions.iter().copied().collect(), reach }
    }

    #[test]
    fn a_zone_token_reaches_its_zones_only() {
        let account = AccountId::parse(ACCOUNT).unwrap();
        let token = grants(&[Permission::ReadCertificates, Permission::WriteTokens], Some(&[ZONE]));
        assert!(token.allow_in_zone(Permission::ReadCertificates, account, ZoneId::parse(ZONE).unwrap()));
        assert!(!token.allow_in_zone(Permission::ReadCertificates, account, ZoneId::parse(OTHER).unwrap()));
        assert!(!token.allow_in_zone(Permission::IssueCertificates, account, ZoneId::parse(ZONE).unwrap()));
        assert!(!token.allow_in_zone(
            Permission::ReadCertificates,
            AccountId::parse(OTHER).unwrap(),
            ZoneId::parse(ZONE).unwrap()
        ));
        assert!(!token.allow_in_account(Permission::WriteTokens, account));
    }

    #[test]
    fn nobody_hands_on_more_than_they_have() {
        let all = grants(&Permission::ALL, None);
        let one_zone = grants(&[Permission::ReadCertificates], Some(&[ZONE]));
        assert!(all.cover(&one_zone));
        assert!(!one_zone.cover(&all));
        assert!(!one_zone.cover(&grants(&[Permission::ReadCertificates], Some(&[ZONE, OTHER]))));
        assert!(!one_zone.cover(&grants(&[Permission::IssueCertificates], Some(&[ZONE]))));
    }

    #[test]
    fn words_lead_back_to_permissions() {
        for permission in Permission::ALL {
            assert_eq!(Permission::parse(permission.as_str()), Some(permission));
        }
    }
}
