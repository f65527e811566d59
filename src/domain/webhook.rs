//! Webhooks: who is told of a zone's events by an HTTPS POST, and when it is tried again.

use chrono::{DateTime, TimeDelta, Utc};

use super::event_stream::Kinds;
use super::id::{AccountId, DeliveryId, WebhookId, ZoneId};
use super::text::timestamp;

pub const MAX_NAME_LENGTH: usize = 120;
/// How many webhooks a zone may have.
pub const MAX_WEBHOOKS: i64 = 20;
/// How many events one delivery holds at most.
pub const MAX_EVENTS: i64 = 100;
/// How many deliveries of each webhook are kept.
pub const KEPT_DELIVERIES: i64 = 500;
/// A webhook that has failed for so long is switched off: its receiver is told of nothing in silence no more.
pub const GIVE_UP_AFTER: TimeDelta = TimeDelta::hours(72);
/// 410: the receiver says that it is gone for good (RFC 9110, 15.5.11).
pub const GONE: u16 = 410;
pub const LONGEST_PAUSE: TimeDelta = TimeDelta::minutes(15);

#[derive(Clone, Debug)]
pub struct Webhook {
    pub id: WebhookId,
    pub account: AccountId,
    pub zone: ZoneId,
    pub definition: Definition,
    /// The last event that was delivered or passed over.
    pub last_event: i64,
    /// How often the next delivery was tried in vain.
    pub attempts: i32,
    /// Not before then; the epoch when nothing failed.
    pub retry_on: DateTime<Utc>,
    /// Since when every delivery has failed. Of one that is switched off: since when it had, before it was.
    pub failing_since: Option<DateTime<Utc>>,
    pub created_on: DateTime<Utc>,
    pub updated_on: DateTime<Utc>,
}

/// What people say of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    pub name: String,
    pub url: String,
    pub kinds: Kinds,
    /// Whether it also hears of what belongs to the account as a whole: what whoever defined it may see.
    pub hears_account: bool,
    /// PEM of the CAs to verify the receiver by; empty for those of the system.
    pub trusted_ca: String,
    pub is_enabled: bool,
}

/// One attempt to tell a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub id: DeliveryId,
    pub webhook: WebhookId,
    /// The numbers of the first and last event in it; 0 for a test.
    pub first_event: i64,
    pub last_event: i64,
    pub event_count: i32,
    /// From 1, of these events.
    pub attempt: i32,
    pub at: DateTime<Utc>,
    pub duration_millis: i64,
    /// The status of the answer, if one came.
    pub status: Option<u16>,
    /// Why it does not count as delivered; none when it does.
    pub failure: Option<String>,
}

impl Webhook {
    /// Why the service switched it off by itself; none where it is on, or where somebody switched it off.
    pub fn disabled_reason(&self, last: Option<&Delivery>) -> Option<String> {
        let since = self.failing_since.filter(|_| !self.definition.is_enabled)?;
        if last.and_then(|last| last.status) == Some(GONE) {
            return Some("the receiver said that it is gone: it answered 410".into());
        }
        let failure = last.and_then(|last| last.failure.as_deref()).unwrap_or("nothing is known of the last one");
        Some(format!("every delivery had failed for three days, since {}: {failure}", timestamp(since)))
    }
}

impl Delivery {
    pub fn is_success(&self) -> bool {
        self.failure.is_none()
    }
}

/// How long to wait after so many failures in a row: 1 s, 2 s, 4 s … up to a quarter of an hour.
pub fn pause_after(failures: i32) -> TimeDelta {
    let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or_default().min(20);
    TimeDelta::seconds(1_i64 << doublings).min(LONGEST_PAUSE)
}

/// Whether a webhook whose deliveries have failed since then is to be switched off.
pub fn is_given_up(failing_since: DateTime<Utc>, status: Option<u16>, now: DateTime<Utc>) -> bool {
    status == Some(GONE) || now - failing_since >= GIVE_UP_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_quarter_of_an_hour() {
        let seconds: Vec<_> = (0..13).map(|failures| pause_after(failures).num_seconds()).collect();
        assert_eq!(seconds, [1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
        assert_eq!(pause_after(i32::MAX), LONGEST_PAUSE);
        assert_eq!(pause_after(i32::MIN).num_seconds(), 1);
    }

    #[test]
    fn who_is_gone_or_fails_for_three_days_is_given_up() {
        let since = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        assert!(!is_given_up(since, Some(500), since + TimeDelta::hours(71)));
        assert!(is_given_up(since, Some(500), since + TimeDelta::hours(72)));
        assert!(is_given_up(since, None, since + TimeDelta::days(9)));
        assert!(is_given_up(since, Some(410), since));
    }
}
