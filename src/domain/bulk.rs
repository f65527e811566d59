//! Changes asked of many certificates at once: what is asked, of which, and how far it has come.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::audit::Actor;
use super::id::{AccountId, AuthorityId, CertificateId, JobId, ZoneId};
use super::reason::RevocationReason;
use super::status::Status;
use super::text::parse_timestamp;

/// How many certificates can be named one by one.
pub const MAX_IDS: usize = 10_000;
/// In characters; a common name has at most 64 (X.520), several of them may stand together.
const MAX_PREFIX: usize = 256;

/// A change asked of many certificates, as far as it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub id: JobId,
    pub account: AccountId,
    pub zone: ZoneId,
    pub wish: Wish,
    pub state: JobState,
    /// How many certificates were selected when it was asked for.
    pub total: i64,
    pub progress: Progress,
    /// Who asked for it, and is named in the audit log for each certificate.
    pub actor: Actor,
    /// Why it was given up, in words for the caller.
    pub failure: Option<String>,
    pub created_on: DateTime<Utc>,
    pub started_on: Option<DateTime<Utc>>,
    pub finished_on: Option<DateTime<Utc>>,
}

/// What became of the certificates that were looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub processed: i64,
    pub changed: i64,
    /// Those that were as was asked already.
    pub unchanged: i64,
    pub refused: i64,
}

/// What is asked of each certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Revoke {
        /// Without one the revocation is a hold, where the certificate's profile allows that.
        reason: Option<RevocationReason>,
        /// Since when the key is believed to be in wrong hands (RFC 5280, 5.3.2).
        invalidity_date: Option<DateTime<Utc>>,
    },
    Reactivate,
}

impl Wish {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revoke { .. } => "revoke",
            Self::Reactivate => "reactivate",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    Queued,
    Running,
    /// Every certificate was asked; the CRLs that say so are not all out yet.
    Publishing,
    /// Relying parties can see all of it.
    Completed,
    Failed,
    /// Somebody stopped it; what was asked until then stands.
    Cancelled,
}

impl JobState {
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Publishing, Self::Completed, Self::Failed, Self::Cancelled];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Publishing => "publishing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub fn code(self) -> i16 {
        self as i16
    }

    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }

    /// Whether certificates are still to be looked at.
    pub fn is_unfinished(self) -> bool {
        matches!(self, Self::Queued | Self::Running)
    }
}

/// Which certificates of a zone, as it was fixed when they were selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// Those named, in order and each once.
    Ids(Vec<CertificateId>),
    /// Those that match among what there was: ids are ordered by the time of their making.
    Filter { filter: Filter, up_to: CertificateId },
    /// Whatever holds one of these keys, by the SHA-256 of its SubjectPublicKeyInfo. They are compromised and blocked, so
    /// that nothing can be added.
    Keys(Vec<Vec<u8>>),
}

/// Conditions that all hold together. One without any is refused: whoever means every certificate says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Every certificate of the zone; stands alone.
    pub all: bool,
    /// The common name starts with this.
    pub common_name: Option<String>,
    pub issued_before: Option<DateTime<Utc>>,
    pub issued_after: Option<DateTime<Utc>>,
    pub authority: Option<AuthorityId>,
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub spki_sha256: Option<Vec<u8>>,
    /// The status a certificate has when its turn comes.
    pub status: Option<Status>,
}

impl Filter {
    /// What is wrong with it and what would be right, if anything is.
    pub fn fault(&self) -> Option<&'static str> {
        let is_empty = Self { all: false, ..self.clone() } == Self::default();
        if is_empty && !self.all {
            return Some("a filter needs a condition; write {\"all\": true} to mean every certificate of the zone");
        }
        if self.all && !is_empty {
            return Some("all stands alone: leave it out, or leave the other conditions out");
        }
        let length = self.common_name.as_ref().map(|prefix| prefix.chars().count());
        if length.is_some_and(|length| !(1..=MAX_PREFIX).contains(&length)) {
            return Some("common_name must have 1 to 256 characters: what the names begin with");
        }
        if self.common_name.as_ref().is_some_and(|prefix| prefix.contains('\0')) {
            return Some("common_name must not have NUL characters; no name begins with what has one");
        }
        match (self.issued_after, self.issued_before) {
            (Some(after), Some(before)) if after >= before => {
                Some("issued_after must be earlier than issued_before; nothing lies between them")
            }
            _ => None,
        }
    }

    /// As callers write it; the times with as many decimals as they have.
    pub fn to_json(&self) -> Value {
        let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let given = [
            ("all", self.all.then_some(Value::Bool(true))),
            ("common_name", self.common_name.clone().map(Value::from)),
            ("issued_before", self.issued_before.map(|moment| time(moment).into())),
            ("issued_after", self.issued_after.map(|moment| time(moment).into())),
            ("authority", self.authority.map(|id| id.to_string().into())),
            ("spki_sha256", self.spki_sha256.as_ref().map(|key| hex::encode(key).into())),
            ("status", self.status.map(|status| status.as_str().into())),
        ];
        let given = given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(given.collect::<Map<_, _>>())
    }

    fn from_json(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        // A condition that is there and cannot be read must not be taken for one that is not there.
        fn read<T>(text: Option<&str>, read: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
            text.map_or(Some(None), |text| read(text).map(Some))
        }
        Some(Self {
            all: value.get("all").and_then(Value::as_bool).unwrap_or_default(),
            common_name: text("common_name").map(str::to_owned),
            issued_before: read(text("issued_before"), parse_timestamp)?,
            issued_after: read(text("issued_after"), parse_timestamp)?,
            authority: read(text("authority"), AuthorityId::parse)?,
            spki_sha256: read(text("spki_sha256"), parse_key)?,
            status: read(text("status"), Status::parse)?,
        })
    }
}

impl Selector {
    /// As it is stored.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Ids(ids) => json!({"ids": ids.iter().map(ToString::to_string).collect::<Vec<_>>()}),
            Self::Filter { filter, up_to } => json!({"filter": filter.to_json(), "up_to": up_to.to_string()}),
            Self::Keys(keys) => json!({"keys": keys.iter().map(hex::encode).collect::<Vec<_>>()}),
        }
    }

    pub fn from_json(value: &Value) -> Option<Self> {
        let texts = |name: &str| value.get(name)?.as_array()?.iter().map(Value::as_str).collect::<Option<Vec<_>>>();
        if let Some(ids) = texts("ids") {
            return ids.into_iter().map(CertificateId::parse).collect::<Option<_>>().map(Self::Ids);
        }
        if let Some(keys) = texts("keys") {
            return keys.into_iter().map(parse_key).collect::<Option<_>>().map(Self::Keys);
        }
        let up_to = CertificateId::parse(value.get("up_to")?.as_str()?)?;
        Some(Self::Filter { filter: Filter::from_json(value.get("filter")?)?, up_to })
    }

    /// It as a filter, where it can be said as one.
    pub fn filter(&self) -> Option<Filter> {
        match self {
            Self::Filter { filter, .. } => Some(filter.clone()),
            Self::Keys(keys) => match keys.as_slice() {
                [only] => Some(Filter { spki_sha256: Some(only.clone()), ..Filter::default() }),
                _ => None,
            },
            Self::Ids(_) => None,
        }
    }
}

/// The SHA-256 of a SubjectPublicKeyInfo in hex, in any case, with or without colons.
pub fn parse_key(text: &str) -> Option<Vec<u8>> {
    hex::decode(text.replace(':', "")).ok().filter(|bytes| bytes.len() == 32)
}

/// The bound between what was issued before this millisecond and what was issued from it on: ids are UUIDs of version 7,
/// which begin with the milliseconds of their making (RFC 9562, 5.7).
pub fn first_id_of(moment: DateTime<Utc>) -> CertificateId {
    const LAST: i64 = (1 << 48) - 1;
    let millis = u128::try_from(moment.timestamp_millis().clamp(0, LAST)).unwrap_or_default();
    CertificateId::new(Uuid::from_u128(millis << 80))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(millis).unwrap()
    }

    fn full() -> Filter {
        Filter {
            all: false,
            common_name: Some("device-%\"".into()),
            issued_before: Some(at(1_800_000_000_123)),
            issued_after: Some(at(1_700_000_000_000)),
            authority: AuthorityId::parse("0d89c70d-ad9f-4843-b99f-6cc0252067e9"),
            spki_sha256: Some(vec![0xab; 32]),
            status: Some(Status::Active),
        }
    }

    #[test]
    fn selectors_survive_being_stored() {
        let id = CertificateId::parse("0d89c70d-ad9f-4843-b99f-6cc0252067e9").unwrap();
        for selector in [
            Selector::Ids(vec![id]),
            Selector::Filter { filter: full(), up_to: id },
            Selector::Filter { filter: Filter { all: true, ..Filter::default() }, up_to: id },
            Selector::Keys(vec![vec![1; 32], vec![2; 32]]),
        ] {
            assert_eq!(Selector::from_json(&selector.to_json()), Some(selector));
        }
    }

    #[test]
    fn a_damaged_condition_does_not_widen_the_selection() {
        for (name, wrong) in [("issued_before", "soon"), ("authority", "x"), ("spki_sha256", "ab"), ("status", "x")] {
            let id = "0d89c70d-ad9f-4843-b99f-6cc0252067e9";
            assert_eq!(
                Selector::from_json(&json!({"filter": {name: wrong, "all": true}, "up_to": id})),
                None,
                "{name}"
            );
        }
    }

    #[test]
    fn a_filter_says_what_it_means() {
        let all = Filter { all: true, ..Filter::default() };
        assert_eq!((all.fault(), full().fault()), (None, None));
        assert!(Filter::default().fault().unwrap().contains("\"all\": true"));
        assert!(Filter { all: true, ..full() }.fault().is_some());
        for prefix in [String::new(), "x".repeat(257), "a\0".into()] {
            assert!(Filter { common_name: Some(prefix), ..Filter::default() }.fault().is_some());
        }
        assert!(Filter { issued_before: full().issued_after, ..full() }.fault().is_some());
    }

    #[test]
    fn ids_are_told_apart_by_the_millisecond() {
        let id = |millis: u64| {
            let moment = uuid::Timestamp::from_unix(uuid::NoContext, millis / 1000, (millis % 1000) as u32 * 1_000_000);
            CertificateId::new(Uuid::new_v7(moment))
        };
        let moment = first_id_of(at(1_800_000_000_123));
        assert!(id(1_800_000_000_122) < moment && moment < id(1_800_000_000_123));
        assert!(first_id_of(at(-5)) == first_id_of(at(0)));
    }

    #[test]
    fn states_have_codes_and_words() {
        for state in JobState::ALL {
            assert_eq!(JobState::from_code(state.code()), Some(state));
        }
        assert_eq!(JobState::ALL.into_iter().filter(|state| state.is_unfinished()).count(), 2);
    }
}
