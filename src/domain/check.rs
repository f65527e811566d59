//! API checks: a call that is made at intervals with an identity, and what is expected of the answer.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};

use super::expectation::Expectations;
use super::id::{AccountId, CheckId, IdentityId};

pub const MIN_INTERVAL_SECONDS: i64 = 30;
pub const MAX_INTERVAL_SECONDS: i64 = 86_400;
pub const MIN_TIMEOUT_MILLIS: i64 = 100;
pub const MAX_TIMEOUT_MILLIS: i64 = 60_000;
pub const DEFAULT_TIMEOUT_MILLIS: i64 = 10_000;
pub const MAX_HEADERS: usize = 50;
/// Of the request, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

#[derive(Clone, Debug)]
pub struct Check {
    pub id: CheckId,
    pub account: AccountId,
    pub definition: Definition,
    /// `None` before the first run.
    pub state: Option<CheckState>,
    pub state_since: Option<DateTime<Utc>>,
    pub last_run_on: Option<DateTime<Utc>>,
    /// `None` for one that is run by hand, or switched off.
    pub next_run_on: Option<DateTime<Utc>>,
    pub created_on: DateTime<Utc>,
    pub updated_on: DateTime<Utc>,
}

/// What a check does.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    pub name: String,
    /// An https address.
    pub url: String,
    pub method: String,
    pub headers: Vec<CheckHeader>,
    pub body: CheckBody,
    pub expectations: Expectations,
    pub identity: Selector,
    /// A CA bundle of the store to verify the server by, where the identity has no CAs of its own.
    pub trusted_ca: Option<IdentityId>,
    /// 30 s to a day; by hand without.
    pub interval_seconds: Option<i64>,
    pub timeout_millis: i64,
    pub is_enabled: bool,
}

/// A header of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckHeader {
    pub name: String,
    /// `None` for a secret one, whose value is sealed.
    pub value: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckBody {
    None,
    Shown(String),
    /// Sealed, and not shown.
    Secret,
}

/// Which identity is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    /// By the host, else the primary, else none.
    Auto,
    None,
    Explicit(IdentityId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckState {
    Passing,
    /// The answer is right, but slow, or the server's certificate ends soon.
    Degraded,
    Failing,
}

impl fmt::Display for Selector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => formatter.write_str("auto"),
            Self::None => formatter.write_str("none"),
            Self::Explicit(id) => fmt::Display::fmt(id, formatter),
        }
    }
}

impl CheckState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Degraded => "degraded",
            Self::Failing => "failing",
        }
    }

    pub fn code(self) -> i16 {
        match self {
            Self::Passing => 0,
            Self::Degraded => 1,
            Self::Failing => 2,
        }
    }

    pub fn from_code(code: i16) -> Option<Self> {
        [Self::Passing, Self::Degraded, Self::Failing].into_iter().find(|state| state.code() == code)
    }

    pub fn parse(word: &str) -> Option<Self> {
        [Self::Passing, Self::Degraded, Self::Failing].into_iter().find(|state| state.as_str() == word)
    }
}

impl Definition {
    /// For the audit log: what is called and with what. What stands behind the path may be a secret.
    pub fn described(&self) -> String {
        let address = self.url.split(['?', '#']).next().unwrap_or_default();
        let mut words = format!("{:?}: {} {address}, identity {}", self.name, self.method, self.identity);
        if let Some(id) = self.trusted_ca {
            words.push_str(&format!(", CA bundle {id}"));
        }
        match self.interval_seconds.filter(|_| self.is_enabled) {
            Some(seconds) => words.push_str(&format!(", every {seconds} s")),
            None => words.push_str(", by hand"),
        }
        words
    }

    pub fn is_scheduled(&self) -> bool {
        self.is_enabled && self.interval_seconds.is_some()
    }
}

/// When a check that runs now runs next. Each check has a place of its own inside the interval, made from its id, so
/// that those with the same interval do not all run at once, also after a restart; the first gap may be shorter than
/// the interval, but not than half of it.
pub fn next_run(id: CheckId, interval_seconds: i64, now: DateTime<Utc>) -> DateTime<Utc> {
    let interval = interval_seconds.clamp(MIN_INTERVAL_SECONDS, MAX_INTERVAL_SECONDS) * 1000;
    // The last octets of a UUID of version 7 are random, the first ones are its time.
    let random = id.as_bytes().iter().skip(8).fold(0_i64, |sum, octet| ((sum << 8) | i64::from(*octet)) & 0xffff_ffff);
    let place = random % interval;
    let earliest = now.timestamp_millis() + interval / 2;
    let next = earliest + (place - earliest).rem_euclid(interval);
    DateTime::from_timestamp_millis(next).unwrap_or(now + TimeDelta::milliseconds(interval))
}

/// Whether a header's value is nobody's to read, where its sender did not say.
pub fn is_secret_by_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["authorization", "cookie", "token", "secret", "api-key", "apikey", "password", "signature", "session"]
        .iter()
        .any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn runs_are_spread_over_the_interval_and_keep_their_place() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let mut places = std::collections::BTreeSet::new();
        for number in 0..100_u128 {
            let id = CheckId::new(Uuid::from_u128(number * 0x9e37_79b9_7f4a_7c15));
            let first = next_run(id, 60, now);
            assert!(first - now >= TimeDelta::seconds(30) && first - now < TimeDelta::seconds(90), "{first}");
            assert_eq!(next_run(id, 60, first) - first, TimeDelta::seconds(60));
            places.insert(first.timestamp() % 60);
        }
        assert!(places.len() > 30, "{} places of 60", places.len());
    }

    #[test]
    fn credentials_are_secret_unless_told_otherwise() {
        for name in ["Authorization", "Cookie", "X-API-Key", "X-Auth-Token"] {
            assert!(is_secret_by_name(name), "{name}");
        }
        assert!(!is_secret_by_name("Accept") && !is_secret_by_name("Content-Type"));
    }

    #[test]
    fn states_have_codes_and_words() {
        for state in [CheckState::Passing, CheckState::Degraded, CheckState::Failing] {
            assert_eq!(CheckState::from_code(state.code()), Some(state));
            assert_eq!(CheckState::parse(state.as_str()), Some(state));
        }
    }
}
