//! Events: what others may want to hear of, numbered in the order in which it became durable.
//!
//! Their numbers are never given twice: the newest event is never forgotten.

use chrono::{DateTime, Utc};
use diesel::Connection as _;
use diesel::prelude::*;

use crate::domain::audit::AuditEvent;
use crate::domain::event::Event;
use crate::domain::event_stream::{Kinds, NumberedEvent};
use crate::domain::id::{AccountId, ZoneId};

use super::Store;
use super::bulk_insert::{self, Row, Value};
use super::connection::{Connection, MultiBackend};
use super::convert::{account_id, from_json, millis, time, zone_id};
use super::error::StoreError;
use super::schema::events;

/// How many events are looked through in one read for those of the kinds that are wanted.
const LOOKED_THROUGH: i64 = 10_000;

/// Whose events are read: a zone's, and with them what belongs to its account as a whole, if that is wanted too.
#[derive(Clone, Debug)]
pub struct EventChoice {
    pub account: AccountId,
    pub zone: ZoneId,
    pub with_account: bool,
    pub kinds: Kinds,
}

/// Some events in order.
#[derive(Clone, Debug)]
pub struct EventBatch {
    pub events: Vec<NumberedEvent>,
    /// Everything up to this number was looked through: go on after it.
    pub looked_until: i64,
    /// Whether there was nothing more to look through.
    pub is_end: bool,
}

/// The numbers of the oldest event that is kept and of the newest; 0 where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRange {
    pub oldest: i64,
    pub newest: i64,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = events)]
struct EventRow {
    number: i64,
    account_id: Vec<u8>,
    zone_id: Option<Vec<u8>>,
    at: i64,
    kind: String,
    body: String,
}

impl Store {
    /// The number of the newest event, of whatever account.
    pub async fn last_event(&self) -> Result<i64, StoreError> {
        self.read(newest).await
    }

    pub async fn event_range(&self) -> Result<EventRange, StoreError> {
        self.read(|connection| {
            connection.transaction(|connection| {
                let oldest: Option<i64> = events::table.select(diesel::dsl::min(events::number)).first(connection)?;
                Ok(EventRange { oldest: oldest.unwrap_or_default(), newest: newest(connection)? })
            })
        })
        .await
    }

    /// The next events after a number, at most `limit`.
    pub async fn events_after(&self, choice: EventChoice, after: i64, limit: i64) -> Result<EventBatch, StoreError> {
        // One snapshot: what is committed meanwhile comes with the next batch.
        self.read(move |connection| connection.transaction(|connection| batch(connection, &choice, after, limit))).await
    }

    /// Forgets events from before `oldest`, at most `limit`, but never the newest of all; how many there were.
    pub async fn forget_events(&self, oldest: DateTime<Utc>, limit: i64) -> Result<usize, StoreError> {
        self.write(move |connection| {
            let first: Vec<(i64, i64)> = events::table
                .order(events::number)
                .limit(limit)
                .select((events::number, events::at))
                .load(connection)?;
            let newest = newest(connection)?;
            let old = first.iter().take_while(|(number, at)| *at < millis(oldest) && *number < newest);
            let Some((last, _)) = old.last() else { return Ok(0) };
            Ok(diesel::delete(events::table.filter(events::number.le(last))).execute(connection)?)
        })
        .await
    }
}

/// Written with the audit events of the same acts, in their order.
pub(super) fn insert_all(connection: &mut Connection, all: &[&AuditEvent]) -> Result<(), StoreError> {
    let rows: Vec<Row<'_>> = all.iter().filter_map(|audit| row_of(audit)).collect();
    bulk_insert::insert::<events::table>(connection, "events", &rows)
}

/// What others hear of an act, as it is inserted into `events`.
pub(super) fn row_of(audit: &AuditEvent) -> Option<Row<'_>> {
    Some(row(&audit.account, audit.zone.as_ref(), audit.at, audit.news.as_ref()?))
}

/// Written by itself, in the transaction that makes it true.
pub(super) fn insert_news(
    connection: &mut Connection,
    account: AccountId,
    zone: Option<ZoneId>,
    at: DateTime<Utc>,
    news: &Event,
) -> Result<(), StoreError> {
    bulk_insert::insert::<events::table>(connection, "events", &[row(&account, zone.as_ref(), at, news)])
}

fn row<'a>(account: &'a AccountId, zone: Option<&'a ZoneId>, at: DateTime<Utc>, news: &Event) -> Row<'a> {
    vec![
        ("account_id", Value::binary(account.as_bytes())),
        ("zone_id", Value::Binary(zone.map(|id| id.as_bytes().as_slice()))),
        ("at", Value::BigInt(millis(at))),
        ("kind", Value::text(news.kind())),
        ("body", Value::Text(news.to_json().to_string().into())),
    ]
}

fn newest(connection: &mut Connection) -> Result<i64, StoreError> {
    let newest: Option<i64> = events::table.select(diesel::dsl::max(events::number)).first(connection)?;
    Ok(newest.unwrap_or_default())
}

fn batch(connection: &mut Connection, choice: &EventChoice, after: i64, limit: i64) -> Result<EventBatch, StoreError> {
    let newest = newest(connection)?;
    if after >= newest {
        return Ok(EventBatch { events: Vec::new(), looked_until: newest, is_end: true });
    }
    let places = [Some(choice.zone), None];
    let places: Vec<_> = places.into_iter().take(if choice.with_account { 2 } else { 1 }).collect();
    let mut end = newest;
    for place in &places {
        end = end.min(end_of_look(connection, choice, *place, after)?.unwrap_or(end));
    }
    let mut rows: Vec<EventRow> = Vec::new();
    for place in &places {
        let mut query =
            of_place(choice.account, *place).filter(events::number.gt(after)).filter(events::number.le(end));
        if !choice.kinds.is_every_kind() {
            query = query.filter(events::kind.eq_any(choice.kinds.words().map(str::to_owned).collect::<Vec<_>>()));
        }
        let found: Vec<EventRow> =
            query.order(events::number).limit(limit).select(EventRow::as_select()).load(connection)?;
        rows.extend(found);
    }
    rows.sort_by_key(|row| row.number);
    let length = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_full = rows.len() >= length;
    rows.truncate(length);
    let looked_until = if is_full { rows.last().map_or(end, |last| last.number) } else { end };
    let events = rows.into_iter().map(EventRow::into_domain).collect::<Result<_, _>>()?;
    Ok(EventBatch { events, looked_until, is_end: looked_until >= newest })
}

/// Where one look through a place ends, if there is more in it than that: found in the index alone.
fn end_of_look(
    connection: &mut Connection,
    choice: &EventChoice,
    place: Option<ZoneId>,
    after: i64,
) -> Result<Option<i64>, StoreError> {
    let end = of_place(choice.account, place)
        .filter(events::number.gt(after))
        .order(events::number)
        .offset(LOOKED_THROUGH - 1)
        .select(events::number)
        .first(connection);
    Ok(end.optional()?)
}

type OfPlace<'a> = events::BoxedQuery<'a, MultiBackend>;

/// The events of a zone, or those of the account as a whole.
fn of_place(account: AccountId, zone: Option<ZoneId>) -> OfPlace<'static> {
    let of_account = events::table.into_boxed().filter(events::account_id.eq(account.as_bytes().to_vec()));
    match zone {
        Some(zone) => of_account.filter(events::zone_id.eq(zone.as_bytes().to_vec())),
        None => of_account.filter(events::zone_id.is_null()),
    }
}

impl EventRow {
    fn into_domain(self) -> Result<NumberedEvent, StoreError> {
        Ok(NumberedEvent {
            number: self.number,
            account: account_id(&self.account_id)?,
            zone: self.zone_id.as_deref().map(zone_id).transpose()?,
            at: time(self.at)?,
            kind: self.kind,
            body: from_json(&self.body)?,
        })
    }
}
