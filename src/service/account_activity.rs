//! How much happened in several zones together: the sum of what is counted in each.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;

use super::access::{ReadCertificates, ZonePermit};
use super::activity::{Activity, Day};
use super::{Service, ServiceError};

impl Service {
    /// What happened in these zones lately; `None` while one of them is counted for the first time. They are counted beside
    /// one another: who asks for many waits no longer than who asks for one.
    pub async fn activity_of(
        self: &Arc<Self>,
        permits: &[ZonePermit<ReadCertificates>],
    ) -> Result<Option<Activity>, ServiceError> {
        let counted = join_all(permits.iter().map(|permit| self.activity(permit))).await;
        let counted = counted.into_iter().collect::<Result<Option<Vec<Arc<Activity>>>, ServiceError>>();
        Ok(counted?.and_then(|counted| sum(&counted)))
    }
}

/// Day by day, over the days of the one that was counted last: a zone that was counted before midnight has one day less to add.
/// What is told of its age is that of the oldest.
fn sum(counted: &[Arc<Activity>]) -> Option<Activity> {
    let newest = counted.iter().max_by_key(|activity| activity.counted_on)?;
    let mut days: BTreeMap<DateTime<Utc>, Day> =
        newest.days.iter().map(|day| (day.start, Day { issued: 0, revoked: 0, ..*day })).collect();
    let mut ends: BTreeMap<DateTime<Utc>, i64> = newest.ends.iter().map(|(start, _)| (*start, 0)).collect();
    for activity in counted {
        for day in &activity.days {
            if let Some(sum) = days.get_mut(&day.start) {
                sum.issued += day.issued;
                sum.revoked += day.revoked;
            }
        }
        for (start, count) in &activity.ends {
            if let Some(sum) = ends.get_mut(start) {
                *sum += count;
            }
        }
    }
    let counted_on = counted.iter().map(|activity| activity.counted_on).min()?;
    Some(Activity { days: days.into_values().collect(), ends: ends.into_iter().collect(), counted_on })
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    const DAY: TimeDelta = TimeDelta::days(1);

    fn activity(first: DateTime<Utc>, issued: [i64; 3], ends: [i64; 2]) -> Arc<Activity> {
        let starts = (0..3).map(|index| first + DAY * index);
        let today = first + DAY * 2;
        Arc::new(Activity {
            days: starts.zip(issued).map(|(start, issued)| Day { start, issued, revoked: 1 }).collect(),
            ends: vec![(today, ends[0]), (today + DAY, ends[1])],
            counted_on: today,
        })
    }

    #[test]
    fn days_are_added_to_the_same_days_also_about_midnight() {
        let first = DateTime::UNIX_EPOCH;
        let summed = sum(&[activity(first, [1, 2, 4], [1, 2]), activity(first + DAY, [10, 20, 40], [10, 20])]).unwrap();
        let days: Vec<(i64, i64)> = summed.days.iter().map(|day| (day.issued, day.revoked)).collect();
        assert_eq!(days, [(12, 2), (24, 2), (40, 1)]);
        assert_eq!(summed.ends, [(first + DAY * 3, 12), (first + DAY * 4, 20)]);
        assert_eq!((summed.days[0].start, summed.counted_on), (first + DAY, first + DAY * 2));
        assert!(sum(&[]).is_none());
    }
}
