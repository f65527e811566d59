//! A small cache of what nearly never changes: tokens and the issuing authorities of zones.
//!
//! An entry lives for a second, so that a change made by another process is seen within that time; a change made here
//! empties the cache at once, and what was read before it is not kept any more. Unknown keys are never kept, so strangers
//! cannot fill it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};

const LIFETIME: TimeDelta = TimeDelta::seconds(1);
const CAPACITY: usize = 10_000;

pub(super) struct Cache<Key, Value> {
    entries: RwLock<HashMap<Key, Entry<Value>>>,
    /// How often it was emptied.
    emptied: AtomicU64,
}

/// The moment before something is read to be kept: it is kept only if the cache was not emptied meanwhile.
#[derive(Clone, Copy)]
pub(super) struct Before(u64);

/// When it was kept, and what.
type Entry<Value> = (DateTime<Utc>, Arc<Value>);

impl<Key: Eq + Hash, Value> Cache<Key, Value> {
    pub(super) fn new() -> Self {
        Self { entries: RwLock::new(HashMap::new()), emptied: AtomicU64::new(0) }
    }

    pub(super) fn before(&self) -> Before {
        Before(self.emptied.load(Ordering::Acquire))
    }

    pub(super) fn find(&self, key: &Key, now: DateTime<Utc>) -> Option<Arc<Value>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let (kept_on, value) = entries.get(key)?;
        // A clock that was set back makes entries look young for long: both ends are checked.
        let age = now - *kept_on;
        (TimeDelta::zero() <= age && age < LIFETIME).then(|| Arc::clone(value))
    }

    /// Keeps what no change empties the cache for, and hands it out.
    pub(super) fn keep(&self, key: Key, value: Value, now: DateTime<Utc>) -> Arc<Value> {
        self.keep_since(key, value, now, self.before())
    }

    /// Keeps what was read since then, and hands it out.
    pub(super) fn keep_since(&self, key: Key, value: Value, now: DateTime<Utc>, Before(emptied): Before) -> Arc<Value> {
        let value = Arc::new(value);
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        // It may be from before the change for which the cache was emptied.
        if self.emptied.load(Ordering::Acquire) != emptied {
            return value;
        }
        if entries.len() >= CAPACITY {
            entries.clear();
        }
        entries.insert(key, (now, Arc::clone(&value)));
        value
    }

    pub(super) fn clear(&self) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        self.emptied.fetch_add(1, Ordering::AcqRel);
        entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_live_for_a_second_whichever_way_the_clock_jumps() {
        let cache = Cache::new();
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        cache.keep("key", 1, now);
        assert_eq!(cache.find(&"key", now + TimeDelta::milliseconds(999)).as_deref(), Some(&1));
        assert_eq!(cache.find(&"key", now + TimeDelta::seconds(1)), None);
        assert_eq!(cache.find(&"key", now - TimeDelta::hours(1)), None);
        cache.clear();
        assert_eq!(cache.find(&"key", now), None);
    }

    #[test]
    fn what_was_read_before_a_change_is_not_kept_after_it() {
        let cache = Cache::new();
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let before = cache.before();
        cache.clear();
        assert_eq!(*cache.keep_since("key", 1, now, before), 1);
        assert_eq!(cache.find(&"key", now), None);
    }
}
