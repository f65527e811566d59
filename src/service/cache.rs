//! A small cache of what nearly never changes: tokens and the issuing authorities of zones.
//!
//! An entry lives for a second, so that a change made by another process is seen within that time; a change made here
//! empties the cache at once. Unknown keys are never kept, so strangers cannot fill it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};

const LIFETIME: TimeDelta = TimeDelta::seconds(1);
const CAPACITY: usize = 10_000;

pub(super) struct Cache<Key, Value>(RwLock<HashMap<Key, Entry<Value>>>);

/// When it was kept, and what.
type Entry<Value> = (DateTime<Utc>, Arc<Value>);

impl<Key: Eq + Hash, Value> Cache<Key, Value> {
    pub(super) fn new() -> Self {
        Self(RwLock::new(HashMap::new()))
    }

    pub(super) fn find(&self, key: &Key, now: DateTime<Utc>) -> Option<Arc<Value>> {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (kept_on, value) = entries.get(key)?;
        // A clock that was set back makes entries look young for long: both ends are checked.
        let age = now - *kept_on;
        (TimeDelta::zero() <= age && age < LIFETIME).then(|| Arc::clone(value))
    }

    pub(super) fn keep(&self, key: Key, value: Value, now: DateTime<Utc>) -> Arc<Value> {
        let value = Arc::new(value);
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= CAPACITY {
            entries.clear();
        }
        entries.insert(key, (now, Arc::clone(&value)));
        value
    }

    pub(super) fn clear(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).clear();
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
}
