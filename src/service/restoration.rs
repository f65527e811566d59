//! Going on from a restored backup.
//!
//! A backup does not know what happened after it was made: CRLs were published and events were numbered since. Relying
//! parties do not take a CRL whose number is smaller than that of one they have (RFC 5280, 5.2.3), and whoever listens
//! asks for events after the last number that they saw. So both numbers leap forward, further than they can have come.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::audit::{Action, Actor};
use crate::domain::authority::{AuthorityState, CrlScope};
use crate::domain::id::AuthorityId;

use super::{Service, ServiceError};

/// More publications and more events than there are in a second.
const NUMBERS_A_SECOND: i64 = 1_000;
/// For clocks that do not tell the same time, and for the time before the newest record.
const SMALLEST_LEAP: i64 = 1_000_000;

/// What was found and done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    pub certificates: i64,
    /// Changes of status that the next publication carries out.
    pub waiting: i64,
    /// What happened later is not in the backup.
    pub newest_record: DateTime<Utc>,
    /// By how much numbers went forward.
    pub leap: i64,
    pub authorities: Vec<RecoveredAuthority>,
}

/// An authority whose key opens and whose last CRL verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredAuthority {
    pub id: AuthorityId,
    pub name: String,
    /// The number of its last CRL in the backup.
    pub crl_number: i64,
    /// The next one gets a larger number than this.
    pub next_after: i64,
}

impl Service {
    /// Verifies a database that was restored, and makes it fit to be served: numbers go forward, leases are void, and every
    /// CRL is signed anew by the first worker.
    pub async fn recover(&self) -> Result<Recovery, ServiceError> {
        if let Some(damage) = self.store.find_damage().await? {
            return Err(ServiceError::Internal(format!("the restored database contradicts itself: {damage}")));
        }
        let holdings = self.store.holdings().await?;
        let leap = leap(holdings.newest_record, self.clock.now());
        let authorities = self.verify_authorities(leap).await?;
        let no_account = || ServiceError::Internal("the restored database has no operator's account".into());
        let operator = self.store.operator_account().await?.ok_or_else(no_account)?;
        let subject = operator.id.to_string();
        let mut event = self.event(Actor::system(), operator.id, None, Action::RestoreInstallation, subject);
        event.detail = format!(
            "restored as of {}; the numbers of CRLs and events went forward by {leap}",
            holdings.newest_record.format("%Y-%m-%dT%H:%M:%SZ")
        );
        self.store.leap(leap, event).await?;
        self.store.finish_restoration().await?;
        Ok(Recovery {
            certificates: holdings.certificates,
            waiting: holdings.waiting,
            newest_record: holdings.newest_record,
            leap,
            authorities,
        })
    }

    /// Opens the key and verifies the last CRL of each authority that still signs.
    async fn verify_authorities(&self, leap: i64) -> Result<Vec<RecoveredAuthority>, ServiceError> {
        let mut verified = Vec::new();
        for publication in self.store.publications().await? {
            let missing = || ServiceError::Internal(format!("authority {} is missing", publication.authority));
            let authority = self.store.authority(publication.authority).await?.ok_or_else(missing)?;
            if authority.state == AuthorityState::Disabled {
                continue;
            }
            let of = |error: ServiceError| ServiceError::Internal(format!("authority {}: {error}", authority.id));
            self.keyring.signer(&self.store, &authority).await.map_err(of)?;
            let crl = self.public_crl(Some(authority.id), CrlScope::Complete).await.map_err(of)?;
            if crl.number > publication.number {
                return Err(of(ServiceError::Internal(format!("its last CRL has the number {}", crl.number))));
            }
            verified.push(RecoveredAuthority {
                id: authority.id,
                name: authority.name.clone(),
                crl_number: crl.number,
                next_after: publication.number.saturating_add(leap),
            });
        }
        Ok(verified)
    }
}

/// Grows with the time since the backup: also a second restoration from the same one leaps over what the first gave out.
fn leap(newest_record: DateTime<Utc>, now: DateTime<Utc>) -> i64 {
    let lost = (now - newest_record).max(TimeDelta::zero());
    SMALLEST_LEAP.saturating_add(lost.num_seconds().saturating_mul(NUMBERS_A_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_restoration_of_the_same_backup_leaps_over_the_one_before() {
        let backup = DateTime::UNIX_EPOCH;
        let first = leap(backup, backup + TimeDelta::hours(1));
        let second = leap(backup, backup + TimeDelta::hours(2));
        assert_eq!(first, 1_000_000 + 3_600_000);
        assert!(second - first >= 3600 * NUMBERS_A_SECOND);
        // A clock that goes behind never makes numbers go back.
        assert_eq!(leap(backup, backup - TimeDelta::days(1)), SMALLEST_LEAP);
        // A hundred years leave room for more in 64 bits.
        assert!(leap(backup, backup + TimeDelta::days(36_500)) < i64::MAX / 1_000_000);
    }
}
