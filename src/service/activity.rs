//! How much happened in a zone, day by day, and when its certificates end: for people to look at.
//!
//! At a million certificates counting takes a moment, so nobody's page waits for it: it is done beside, by one at a time for
//! each zone, and kept for so long that it never takes more than a fiftieth of a core. Days that are over are counted once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::id::ZoneId;

use super::access::{ReadCertificates, ZonePermit};
use super::{Service, ServiceError};

/// How far back, and how far ahead.
const DAYS_BACK: i64 = 30;
const DAYS_AHEAD: i64 = 91;
/// How long a page waits for a count that was just begun, where there is none before, and where there is.
const PATIENCE: Duration = Duration::from_millis(25);
const PATIENCE_FOR_NEWS: Duration = Duration::from_millis(10);
/// What was counted is shown for so many times as long as it took.
const REST: u32 = 50;
const SHORTEST_REST: TimeDelta = TimeDelta::seconds(1);
/// A day's issuances may still be on their way into the store for so long after it.
const SETTLED_AFTER: TimeDelta = TimeDelta::minutes(10);
/// More zones than anybody looks at in an hour.
const MAX_KEPT: usize = 1000;

/// What was counted, by UTC days.
#[derive(Clone, Debug)]
pub struct Activity {
    /// The last 30 days, today last.
    pub days: Vec<Day>,
    /// The next 91 days, today first: how many certificates end, whatever their status.
    pub ends: Vec<(DateTime<Utc>, i64)>,
    pub counted_on: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    pub start: DateTime<Utc>,
    pub issued: i64,
    pub revoked: i64,
}

#[derive(Default)]
pub(super) struct Activities(Mutex<HashMap<ZoneId, Kept>>);

/// The right to count the activity of a zone, which one has at a time. It ends with the value, also where counting panics.
struct Counting {
    activities: Arc<Activities>,
    zone: ZoneId,
    /// What is known of days that are over.
    issued: BTreeMap<i64, i64>,
}

#[derive(Default)]
struct Kept {
    latest: Option<Arc<Activity>>,
    fresh_until: Option<DateTime<Utc>>,
    is_counting: bool,
    /// Issuances of days that are over, by days since 1970.
    issued: BTreeMap<i64, i64>,
}

impl Service {
    /// What happened in the zone lately. It may be a little old; `None` while it is counted for the first time.
    pub async fn activity(
        self: &Arc<Self>,
        permit: &ZonePermit<ReadCertificates>,
    ) -> Result<Option<Arc<Activity>>, ServiceError> {
        let (zone, now) = (permit.zone(), self.clock.now());
        let Some(mut counting) = self.activities.begin(zone, now) else { return Ok(self.activities.latest(zone)) };
        let (service, account) = (Arc::clone(self), permit.account());
        let counting = tokio::spawn(async move {
            // It reads through a whole zone, as other surveys do.
            let turn = service.surveys.take(account).await;
            let started = Instant::now();
            let issued = std::mem::take(&mut counting.issued);
            let counted = match &turn {
                Ok(_) => service.count_activity(zone, issued, now).await,
                Err(error) => Err(ServiceError::Unavailable(error.to_string())),
            };
            if let Err(error) = &counted {
                tracing::warn!(%error, %zone, "the activity of a zone could not be counted");
            }
            counting.end(counted.ok(), now, started.elapsed());
        });
        let patience = if self.activities.latest(zone).is_some() { PATIENCE_FOR_NEWS } else { PATIENCE };
        let _ = tokio::time::timeout(patience, counting).await;
        Ok(self.activities.latest(zone))
    }

    async fn count_activity(
        &self,
        zone: ZoneId,
        mut issued: BTreeMap<i64, i64>,
        now: DateTime<Utc>,
    ) -> Result<(Activity, BTreeMap<i64, i64>), ServiceError> {
        let today = day_of(now);
        let first = today - DAYS_BACK + 1;
        issued.retain(|day, _| *day >= first);
        let revoked = self.store.count_revoked(zone, start_of(first)).await?;
        let mut days = Vec::new();
        for day in first..=today {
            let made = match issued.get(&day) {
                Some(made) => *made,
                None => self.store.count_made(zone, start_of(day), start_of(day + 1)).await?,
            };
            if start_of(day + 1) + SETTLED_AFTER < now {
                issued.insert(day, made);
            }
            let revoked = revoked.get(&day).copied().unwrap_or_default();
            days.push(Day { start: start_of(day), issued: made, revoked });
        }
        let ends = self.store.count_ends(zone, now, start_of(today + DAYS_AHEAD)).await?;
        let ends = (today..today + DAYS_AHEAD).map(|day| (start_of(day), ends.get(&day).copied().unwrap_or_default()));
        Ok((Activity { days, ends: ends.collect(), counted_on: now }, issued))
    }
}

impl Activities {
    fn latest(&self, zone: ZoneId) -> Option<Arc<Activity>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&zone).and_then(|kept| kept.latest.clone())
    }

    /// The right to count; none while somebody does, or what is there is fresh.
    fn begin(self: &Arc<Self>, zone: ZoneId, now: DateTime<Utc>) -> Option<Counting> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_KEPT && !all.contains_key(&zone) {
            all.retain(|_, kept| kept.is_counting);
        }
        let kept = all.entry(zone).or_default();
        // A clock that was set back makes what is kept look fresh for long: both ends are checked.
        let counted_on = kept.latest.as_ref().map(|latest| latest.counted_on);
        let is_fresh = kept.fresh_until.is_some_and(|until| now < until) && counted_on.is_some_and(|on| on <= now);
        if kept.is_counting || is_fresh {
            return None;
        }
        kept.is_counting = true;
        Some(Counting { activities: Arc::clone(self), zone, issued: kept.issued.clone() })
    }
}

impl Counting {
    fn end(self, counted: Option<(Activity, BTreeMap<i64, i64>)>, now: DateTime<Utc>, took: Duration) {
        let mut all = self.activities.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = all.entry(self.zone).or_default();
        let rest = TimeDelta::from_std(took * REST).unwrap_or(TimeDelta::hours(1));
        kept.fresh_until = Some(now + rest.max(SHORTEST_REST));
        if let Some((activity, issued)) = counted {
            kept.latest = Some(Arc::new(activity));
            kept.issued = issued;
        }
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        let mut all = self.activities.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = all.get_mut(&self.zone) {
            kept.is_counting = false;
        }
    }
}

fn day_of(time: DateTime<Utc>) -> i64 {
    time.timestamp().div_euclid(86_400)
}

fn start_of(day: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(day * 86_400, 0).unwrap_or(DateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn one_counts_at_a_time_and_one_that_panics_holds_up_nobody() {
        let activities = Arc::new(Activities::default());
        let [zone, other] = [1, 2].map(|number| ZoneId::new(Uuid::from_u128(number)));
        let now = start_of(20_000);
        let counting = activities.begin(zone, now).unwrap();
        assert!(activities.begin(zone, now).is_none());
        assert!(activities.begin(other, now).is_some());
        let failed = std::thread::spawn(move || {
            let _counting = counting;
            panic!("a count that fails");
        });
        assert!(failed.join().is_err());
        let counting = activities.begin(zone, now).unwrap();
        let activity = Activity { days: Vec::new(), ends: Vec::new(), counted_on: now };
        counting.end(Some((activity, BTreeMap::from([(1, 2)]))), now, Duration::from_secs(1));
        assert!(activities.latest(zone).is_some());
        assert!(activities.begin(zone, now + TimeDelta::seconds(49)).is_none(), "it is fresh");
        let counting = activities.begin(zone, now + TimeDelta::seconds(50)).unwrap();
        assert_eq!(counting.issued, BTreeMap::from([(1, 2)]));
    }
}
