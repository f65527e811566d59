//! Reading the audit log: the latest first, in stretches that each end, however few events of it are wanted.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;

use crate::domain::audit::{AuditFilter, AuditResult, What, Who};
use crate::domain::id::{AccountId, CertificateId, TokenId, ZoneId};

use super::Store;
use super::connection::{Connection, MultiBackend};
use super::convert::{millis, time, token_id, zone_id};
use super::error::StoreError;
use super::schema::audit_events;

/// How many events one reading looks through. What is wanted may be rare, and nobody waits for a search of everything.
const LOOKED_THROUGH: i64 = 20_000;

/// Whose log: an account's, or that part of it which belongs to one of its zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditPlace {
    pub account: AccountId,
    pub zone: Option<ZoneId>,
}

/// An event as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedAct {
    position: AuditPosition,
    pub at: DateTime<Utc>,
    pub zone: Option<ZoneId>,
    pub actor_name: String,
    /// The token they used.
    pub token: Option<TokenId>,
    pub source: String,
    pub action: String,
    pub subject: String,
    pub is_refused: bool,
    pub detail: String,
}

/// A place between two events: those before it are older.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPosition {
    millis: i64,
    id: Vec<u8>,
}

/// Some events, the latest first, and where those before them begin.
#[derive(Clone, Debug)]
pub struct AuditStretch {
    pub acts: Vec<LoggedAct>,
    /// None at the log's beginning.
    pub next: Option<AuditPosition>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = audit_events)]
struct Row {
    id: Vec<u8>,
    at: i64,
    zone_id: Option<Vec<u8>>,
    actor_token_id: Option<Vec<u8>>,
    actor_name: String,
    source: String,
    action: String,
    subject: String,
    result: i16,
    detail: String,
}

impl Store {
    /// At most `length` events before a position, or the latest ones. A stretch may hold fewer, or none, and go on all the
    /// same: then so many were looked through without finding more.
    /// `turn` is held until it is read, though nobody may wait for it any more.
    pub async fn audit_log<T: Send + 'static>(
        &self,
        place: AuditPlace,
        filter: AuditFilter,
        before: Option<AuditPosition>,
        length: i64,
        turn: T,
    ) -> Result<AuditStretch, StoreError> {
        self.read(move |connection| {
            let _turn = turn;
            match &filter.subject {
                Some(subject) => about_subject(connection, place, &filter, subject, before.as_ref(), length),
                None => in_order(connection, place, &filter, before.as_ref(), length),
            }
        })
        .await
    }
}

/// By time: each reading knows its earliest event before it begins, from the index alone.
fn in_order(
    connection: &mut Connection,
    place: AuditPlace,
    filter: &AuditFilter,
    before: Option<&AuditPosition>,
    length: i64,
) -> Result<AuditStretch, StoreError> {
    let account = place.account.as_bytes().as_slice();
    let latest = before.map_or(i64::MAX, AuditPosition::latest);
    let latest = filter.until.map_or(latest, |until| latest.min(millis(until)));
    let floor: Option<i64> = audit_events::table
        .filter(audit_events::account_id.eq(account))
        .filter(audit_events::at.le(latest))
        .order(audit_events::at.desc())
        .offset(LOOKED_THROUGH)
        .limit(1)
        .select(audit_events::at)
        .first(connection)
        .optional()?;
    let mut query = filtered(place, filter, before);
    if let Some(floor) = floor {
        query = query.filter(audit_events::at.ge(floor));
    }
    let rows = query
        .order((audit_events::at.desc(), audit_events::id.desc()))
        .limit(length)
        .select(Row::as_select())
        .load(connection)?;
    // Everything of the floor's own instant has been looked at, so what comes next is older.
    let is_over = |floor: i64| filter.from.is_some_and(|from| floor < millis(from));
    let older = floor.filter(|floor| !is_over(*floor)).map(|floor| AuditPosition { millis: floor, id: Vec::new() });
    stretch(rows, length, older)
}

/// Everything that was done to one thing is found by an index of its own, which leaves issuances out: they are found by the
/// time in the certificate's id.
fn about_subject(
    connection: &mut Connection,
    place: AuditPlace,
    filter: &AuditFilter,
    subject: &str,
    before: Option<&AuditPosition>,
    length: i64,
) -> Result<AuditStretch, StoreError> {
    let mut rows: Vec<Row> = filtered(place, filter, before)
        .filter(audit_events::subject.eq(subject.to_owned()))
        // Letter for letter what the index says: a bound value would keep it from being used.
        .filter(sql::<Bool>("action <> 'certificate.issue'"))
        .order((audit_events::at.desc(), audit_events::id.desc()))
        .limit(length)
        .select(Row::as_select())
        .load(connection)?;
    if let Some(made) = CertificateId::parse(subject).map(|id| id.made_on()) {
        let issued: Vec<Row> = filtered(place, filter, before)
            .filter(audit_events::at.ge(millis(made)))
            .filter(audit_events::at.le(millis(made + super::history::ISSUED_WITHIN)))
            .filter(audit_events::subject.eq(subject.to_owned()))
            .filter(audit_events::action.eq("certificate.issue"))
            .order((audit_events::at.desc(), audit_events::id.desc()))
            .limit(length)
            .select(Row::as_select())
            .load(connection)?;
        rows.extend(issued);
        rows.sort_by(|first, second| (second.at, &second.id).cmp(&(first.at, &first.id)));
        rows.truncate(usize::try_from(length).unwrap_or_default());
    }
    stretch(rows, length, None)
}

type Filtered<'a> = audit_events::BoxedQuery<'a, MultiBackend>;

fn filtered(place: AuditPlace, filter: &AuditFilter, before: Option<&AuditPosition>) -> Filtered<'static> {
    let mut query =
        audit_events::table.into_boxed().filter(audit_events::account_id.eq(place.account.as_bytes().to_vec()));
    if let Some(zone) = place.zone {
        query = query.filter(audit_events::zone_id.eq(zone.as_bytes().to_vec()));
    }
    if let Some(position) = before {
        let is_older = audit_events::at.lt(position.millis).or(audit_events::id.lt(position.id.clone()));
        query = query.filter(audit_events::at.le(position.millis)).filter(is_older);
    }
    if let Some(from) = filter.from {
        query = query.filter(audit_events::at.ge(millis(from)));
    }
    if let Some(until) = filter.until {
        query = query.filter(audit_events::at.lt(millis(until)));
    }
    query = match &filter.who {
        Some(Who::Token(id)) => query.filter(audit_events::actor_token_id.eq(id.as_bytes().to_vec())),
        Some(Who::Named(name)) => {
            query.filter(audit_events::actor_name.eq(name.clone()).or(audit_events::source.eq(name.clone())))
        }
        None => query,
    };
    query = match &filter.what {
        Some(What::Action(action)) => query.filter(audit_events::action.eq(action.clone())),
        // A range instead of LIKE, in which some letters stand for others: `/` follows `.`.
        Some(What::Noun(noun)) => query
            .filter(audit_events::action.ge(format!("{noun}.")))
            .filter(audit_events::action.lt(format!("{noun}/"))),
        None => query,
    };
    match filter.result {
        Some(result) => query.filter(audit_events::result.eq(result.code())),
        None => query,
    }
}

fn stretch(rows: Vec<Row>, length: i64, older: Option<AuditPosition>) -> Result<AuditStretch, StoreError> {
    let is_full = i64::try_from(rows.len()).is_ok_and(|count| count >= length);
    let acts = rows.into_iter().map(Row::into_domain).collect::<Result<Vec<_>, _>>()?;
    let next = if is_full { acts.last().map(|act| act.position.clone()) } else { older };
    Ok(AuditStretch { acts, next })
}

impl AuditPosition {
    /// As it stands in an address.
    pub fn written(&self) -> String {
        format!("{}.{}", self.millis, hex::encode(&self.id))
    }

    /// Reads what [`AuditPosition::written`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (millis, id) = text.split_once('.')?;
        let id = hex::decode(id).ok().filter(|id| matches!(id.len(), 0 | 16))?;
        Some(Self { millis: millis.parse().ok().filter(|millis| *millis >= 0)?, id })
    }

    /// When the event before it happened at the latest.
    fn latest(&self) -> i64 {
        if self.id.is_empty() { self.millis - 1 } else { self.millis }
    }

    /// The time until which the log was looked through.
    pub fn time(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.millis).unwrap_or(DateTime::UNIX_EPOCH)
    }
}

impl Row {
    fn into_domain(self) -> Result<LoggedAct, StoreError> {
        Ok(LoggedAct {
            at: time(self.at)?,
            position: AuditPosition { millis: self.at, id: self.id },
            zone: self.zone_id.as_deref().map(zone_id).transpose()?,
            actor_name: self.actor_name,
            token: self.actor_token_id.as_deref().map(token_id).transpose()?,
            source: self.source,
            action: self.action,
            subject: self.subject,
            is_refused: self.result == AuditResult::Refused.code(),
            detail: self.detail,
        })
    }
}
