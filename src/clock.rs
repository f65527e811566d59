//! The only place that reads the wall clock or waits.
//!
//! Everything that depends on the time takes a [`Clock`], so that a test of expiry sets the hour instead of waiting for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Utc};

/// Tells the time. Clones of a fixed clock share its hands.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    /// Unix milliseconds.
    Fixed(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until it is set or advanced: for tests.
    pub fn fixed(now: DateTime<Utc>) -> Self {
        Self(Source::Fixed(Arc::new(AtomicI64::new(now.timestamp_millis()))))
    }

    /// The time in whole milliseconds, the resolution of the store.
    pub fn now(&self) -> DateTime<Utc> {
        let milliseconds = match &self.0 {
            Source::System => system_milliseconds(),
            Source::Fixed(hands) => hands.load(Ordering::SeqCst),
        };
        // Out of range only hundreds of thousands of years away.
        DateTime::from_timestamp_millis(milliseconds).unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// Moves a fixed clock to this time; the machine's clock is left alone.
    pub fn set(&self, now: DateTime<Utc>) {
        if let Source::Fixed(hands) = &self.0 {
            hands.store(now.timestamp_millis(), Ordering::SeqCst);
        }
    }

    /// Moves a fixed clock on by whole milliseconds; the machine's clock is left alone.
    pub fn advance(&self, by: Duration) {
        if let Source::Fixed(hands) = &self.0 {
            let milliseconds = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
            hands.fetch_add(milliseconds, Ordering::SeqCst);
        }
    }

    /// Waits by tokio's timer, also where the clock itself is fixed: a test that wants no waiting pauses tokio's time.
    #[expect(clippy::disallowed_methods, reason = "the one place that waits")]
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the one reading of the wall clock")]
fn system_milliseconds() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_clock_moves_only_when_told_and_with_all_its_clones() {
        let start = DateTime::from_timestamp_millis(1_700_000_000_123).unwrap();
        let clock = Clock::fixed(start);
        let other = clock.clone();
        assert_eq!(clock.now(), start);
        clock.advance(Duration::from_secs(86_400));
        assert_eq!(other.now(), start + chrono::Duration::days(1));
        other.set(start);
        assert_eq!(clock.now(), start);
    }

    #[test]
    fn the_time_has_whole_milliseconds() {
        assert_eq!(Clock::system().now().timestamp_subsec_nanos() % 1_000_000, 0);
        let nanoseconds = DateTime::from_timestamp(1_700_000_000, 123_456_789).unwrap();
        assert_eq!(Clock::fixed(nanoseconds).now().timestamp_subsec_nanos(), 123_000_000);
    }

    #[test]
    fn the_system_clock_cannot_be_moved() {
        let clock = Clock::system();
        clock.set(DateTime::UNIX_EPOCH);
        assert!(clock.now().timestamp() > 1_700_000_000);
    }
}
