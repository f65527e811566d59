//! Certificates that end soon: an event at 30, 14, 7 and 1 days, each once. Of a certificate that is due for several
//! notices at once, after a pause of the service or when it is first told of at all, only the nearest is given.

use chrono::TimeDelta;

use crate::domain::identity::EXPIRY_NOTICES;
use crate::store::ExpiryNotice;

use super::{Service, ServiceError};

/// How many certificates are told of in one transaction.
const BATCH: i64 = 500;
/// How many transactions one round takes at most: others write too.
const BATCHES: usize = 20;
/// How long events are kept.
const KEPT: TimeDelta = TimeDelta::days(30);
/// How many events are forgotten in one transaction.
const FORGOTTEN_AT_ONCE: usize = 5000;

impl Service {
    /// Gives the notices that are due; `true` when the round ended before all were given.
    pub async fn tell_of_ending_certificates(&self) -> Result<bool, ServiceError> {
        let now = self.clock.now();
        let mut batches = 0;
        for notice in notices() {
            for (account, zone) in self.store.zones_with_ending_certificates(notice, now).await? {
                loop {
                    if batches >= BATCHES {
                        return Ok(true);
                    }
                    batches += 1;
                    if !self.store.tell_of_ending_certificates(account, zone, notice, now, BATCH).await? {
                        break;
                    }
                }
            }
        }
        Ok(false)
    }

    /// Forgets events that are older than 30 days; `true` when there may be more of them.
    pub async fn forget_old_events(&self) -> Result<bool, ServiceError> {
        let limit = i64::try_from(FORGOTTEN_AT_ONCE).unwrap_or(i64::MAX);
        let forgotten = self.store.forget_events(self.clock.now() - KEPT, limit).await?;
        Ok(forgotten >= FORGOTTEN_AT_ONCE)
    }
}

/// Each notice with the next nearer one, the nearest first: who is told of the last day needs no word of the last month.
fn notices() -> impl Iterator<Item = ExpiryNotice> {
    let nearer = std::iter::once(0).chain(EXPIRY_NOTICES.into_iter().rev());
    let notices = EXPIRY_NOTICES.into_iter().rev().zip(nearer);
    notices.map(|(within_days, nearer_days)| ExpiryNotice { within_days, nearer_days })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_notice_ends_where_the_nearer_one_begins() {
        let days: Vec<_> = notices().map(|notice| (notice.within_days, notice.nearer_days)).collect();
        assert_eq!(days, [(1, 0), (7, 1), (14, 7), (30, 14)]);
    }
}
