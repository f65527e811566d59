//! The numbered events as others see them: each with its number, its time and its place, chosen by kind.

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::event::Event;
use super::id::{AccountId, ZoneId};

/// The kinds of what belongs to an account as a whole, not to one of its zones.
pub const ACCOUNT_KINDS: [&str; 2] = ["identity.expiring", "check.state"];

/// An event that happened, with its place in the order of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberedEvent {
    pub number: i64,
    pub account: AccountId,
    /// None for what belongs to the account as a whole.
    pub zone: Option<ZoneId>,
    pub at: DateTime<Utc>,
    pub kind: String,
    /// What [`Event::to_json`] said when it happened.
    pub body: Map<String, Value>,
}

impl NumberedEvent {
    /// The event with `number`, `at` (RFC 3339 with milliseconds) and its place: `zone_id`, which is null where there is
    /// an `account_id` instead.
    pub fn to_json(&self) -> Value {
        let mut told = self.body.clone();
        told.insert("number".into(), json!(self.number));
        told.insert("at".into(), json!(self.at.to_rfc3339_opts(SecondsFormat::Millis, true)));
        told.insert("zone_id".into(), json!(self.zone.map(|zone| zone.to_string())));
        if self.zone.is_none() {
            told.insert("account_id".into(), json!(self.account.to_string()));
        }
        Value::Object(told)
    }
}

/// Which kinds somebody wants to hear of; an empty choice is every kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kinds(BTreeSet<&'static str>);

impl Kinds {
    /// Reads words; the error names the first that is no kind, and what would be right.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let known = |word: &str| Event::KINDS.into_iter().find(|kind| *kind == word);
        let read = |word: &str| {
            known(word).ok_or_else(|| {
                let shown: String = word.chars().take(60).collect();
                format!("{shown:?} is no kind of event; the kinds are {}", Event::KINDS.join(", "))
            })
        };
        words.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    pub fn is_every_kind(&self) -> bool {
        self.0.is_empty()
    }

    pub fn words(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().copied()
    }

    /// Whether it names a kind that only accounts have.
    pub fn names_account_kind(&self) -> bool {
        self.words().any(|word| ACCOUNT_KINDS.contains(&word))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_event_is_told_with_its_number_time_and_place() {
        let mut event = NumberedEvent {
            number: 7,
            account: AccountId::new(Uuid::nil()),
            zone: Some(ZoneId::new(Uuid::nil())),
            at: DateTime::from_timestamp_millis(1_800_000_000_042).unwrap(),
            kind: "crl.published".into(),
            body: json!({"event": "crl.published"}).as_object().unwrap().clone(),
        };
        let nil = "0".repeat(32);
        assert_eq!(
            event.to_json(),
            json!({"event": "crl.published", "number": 7, "at": "2027-01-15T08:00:00.042Z", "zone_id": nil})
        );
        event.zone = None;
        let told = event.to_json();
        assert_eq!((&told["zone_id"], &told["account_id"]), (&Value::Null, &json!(nil)));
    }

    #[test]
    fn kinds_are_known_words() {
        assert!(Kinds::parse([]).unwrap().is_every_kind());
        let kinds = Kinds::parse(["crl.published", "check.state", "crl.published"]).unwrap();
        assert_eq!(kinds.words().collect::<Vec<_>>(), ["check.state", "crl.published"]);
        assert!(kinds.names_account_kind());
        assert!(!Kinds::parse(["crl.published"]).unwrap().names_account_kind());
        let why = Kinds::parse(["certificate.*"]).unwrap_err();
        assert!(why.contains("certificate.*") && why.contains("certificate.issued"), "{why}");
        assert!(ACCOUNT_KINDS.iter().all(|kind| Event::KINDS.contains(kind)));
    }
}
