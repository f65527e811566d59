//! Sessions of the console: what a person gets in exchange for a token, and how long it is good for.

use chrono::{DateTime, TimeDelta, Utc};

use super::id::{AccountId, SessionId};

/// Without a sign of its owner for this long, a session is over.
const IDLE: TimeDelta = TimeDelta::hours(1);
/// And after this long in any case.
const LIFETIME: TimeDelta = TimeDelta::hours(12);
/// How exactly it is kept when the owner was last there: not every page costs a write.
const SEEN_EVERY: TimeDelta = TimeDelta::minutes(1);
/// What browsers call themselves can be long.
const MAX_AGENT: usize = 200;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub id: SessionId,
    pub account: AccountId,
    /// The address it was opened from.
    pub source: String,
    /// What the browser calls itself.
    pub agent: String,
    pub created_on: DateTime<Utc>,
    pub seen_on: DateTime<Utc>,
    pub expires_on: DateTime<Utc>,
}

impl Session {
    pub fn new(id: SessionId, account: AccountId, source: String, agent: &str, now: DateTime<Utc>) -> Self {
        let agent = agent.chars().filter(|character| !character.is_control()).take(MAX_AGENT).collect();
        Self { id, account, source, agent, created_on: now, seen_on: now, expires_on: now + LIFETIME }
    }

    /// Whether it is over. A clock that was set back ends it too: nobody knows how long it was away.
    pub fn is_over(&self, now: DateTime<Utc>) -> bool {
        now >= self.expires_on || now - self.seen_on >= IDLE || self.created_on - now > SEEN_EVERY
    }

    /// Whether it is to be written down that the owner is there.
    pub fn is_worth_noting(&self, now: DateTime<Utc>) -> bool {
        now - self.seen_on >= SEEN_EVERY
    }

    /// What was not seen since then is over.
    pub fn oldest_seen(now: DateTime<Utc>) -> DateTime<Utc> {
        now - IDLE
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_session_ends_by_idleness_and_by_age() {
        let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let mut session =
            Session::new(SessionId::new(Uuid::nil()), AccountId::new(Uuid::nil()), String::new(), "a\u{7}gent", start);
        assert_eq!(session.agent, "agent");
        assert!(!session.is_over(start) && !session.is_worth_noting(start));
        assert!(!session.is_over(start + IDLE - TimeDelta::seconds(1)));
        assert!(session.is_over(start + IDLE));
        assert!(session.is_over(start - IDLE));
        session.seen_on = start + LIFETIME - TimeDelta::seconds(1);
        assert!(!session.is_over(session.seen_on) && session.is_over(start + LIFETIME));
        assert!(session.is_worth_noting(session.seen_on + SEEN_EVERY));
    }
}
