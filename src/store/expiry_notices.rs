//! Which certificates have been told of before their end: a place in the zone's list by end, for each notice, instead of a
//! mark on each of a million certificates.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;

use crate::domain::event::{Event, Subject};
use crate::domain::id::{AccountId, ZoneId};
use crate::domain::status::Status;

use super::connection::{Connection, on_either};
use super::convert::{account_id, authority_id, certificate_id, millis, serial, status, time, zone_id};
use super::error::StoreError;
use super::schema::{certificates, expiry_notices, zones};
use super::{Store, events};

/// A notice to be given: so many days before the end, but not to those that the next, nearer notice is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpiryNotice {
    pub within_days: i16,
    /// The next nearer notice; 0 for the end itself.
    pub nearer_days: i16,
}

/// Where the last notice stopped: a moment, and a certificate among those that end at it; none: after all of them.
type Place = (i64, Option<Vec<u8>>);

#[derive(Queryable, Selectable)]
#[diesel(table_name = certificates)]
struct EndingRow {
    id: Vec<u8>,
    authority_id: Vec<u8>,
    serial: Vec<u8>,
    common_name: String,
    not_after: i64,
    created_at: i64,
    status: i16,
}

impl Store {
    /// The zones, of all accounts, in which certificates have come so near to their end that the notice may be due.
    pub async fn zones_with_ending_certificates(
        &self,
        notice: ExpiryNotice,
        now: DateTime<Utc>,
    ) -> Result<Vec<(AccountId, ZoneId)>, StoreError> {
        self.read(move |connection| {
            let zones: Vec<(Vec<u8>, Vec<u8>)> =
                zones::table.order(zones::id).select((zones::account_id, zones::id)).load(connection)?;
            let mut due = Vec::new();
            for (account, zone) in zones {
                let zone = zone_id(&zone)?;
                let place = begin(connection, zone, notice, now)?;
                if !next(connection, zone, &place, end(notice, now), 1)?.is_empty() {
                    due.push((account_id(&account)?, zone));
                }
            }
            Ok(due)
        })
        .await
    }

    /// Tells of the next certificates of a zone that the notice is due for, at most `limit`, and notes how far it came, in
    /// one transaction; `true` when there may be more.
    ///
    /// Only the event is written: what the service says by itself of a million certificates is no act of anybody's, and
    /// would bury those of people in the audit log.
    pub async fn tell_of_ending_certificates(
        &self,
        account: AccountId,
        zone: ZoneId,
        notice: ExpiryNotice,
        now: DateTime<Utc>,
        limit: i64,
    ) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let place = begin(connection, zone, notice, now)?;
            let until = end(notice, now);
            let found = next(connection, zone, &place, until, limit)?;
            let is_full = i64::try_from(found.len()).is_ok_and(|length| length >= limit);
            let told_until = match found.last() {
                Some(last) if is_full => (last.not_after, Some(last.id.clone())),
                _ => (until, None),
            };
            for row in found {
                if let Some(event) = row.into_event(notice)? {
                    events::insert_news(connection, account, Some(zone), now, &event)?;
                }
            }
            note(connection, zone, notice, told_until)?;
            Ok(is_full)
        })
        .await
    }
}

fn end(notice: ExpiryNotice, now: DateTime<Utc>) -> i64 {
    millis(now + TimeDelta::days(notice.within_days.into()))
}

/// Where the notice goes on: after what was told, and after those that are a nearer notice's.
fn begin(
    connection: &mut Connection,
    zone: ZoneId,
    notice: ExpiryNotice,
    now: DateTime<Utc>,
) -> Result<Place, StoreError> {
    let told: Option<Place> = expiry_notices::table
        .filter(expiry_notices::zone_id.eq(zone.as_bytes().as_slice()))
        .filter(expiry_notices::within_days.eq(notice.within_days))
        .select((expiry_notices::told_until, expiry_notices::told_certificate))
        .first(connection)
        .optional()?;
    let nearer = millis(now + TimeDelta::days(notice.nearer_days.into()));
    Ok(told.filter(|(until, _)| *until >= nearer).unwrap_or((nearer, None)))
}

/// The next certificates after a place, by their end, whatever their status: so each look is bounded.
fn next(
    connection: &mut Connection,
    zone: ZoneId,
    (from, after): &Place,
    until: i64,
    limit: i64,
) -> Result<Vec<EndingRow>, StoreError> {
    let mut found: Vec<EndingRow> = Vec::new();
    if let Some(after) = after {
        found = certificates::table
            .filter(certificates::zone_id.eq(zone.as_bytes().as_slice()))
            .filter(certificates::not_after.eq(from))
            .filter(certificates::id.gt(after))
            .order(certificates::id)
            .limit(limit)
            .select(EndingRow::as_select())
            .load(connection)?;
    }
    let left = limit - i64::try_from(found.len()).unwrap_or(limit);
    let later: Vec<EndingRow> = certificates::table
        .filter(certificates::zone_id.eq(zone.as_bytes().as_slice()))
        .filter(certificates::not_after.gt(from))
        .filter(certificates::not_after.le(until))
        .order((certificates::not_after, certificates::id))
        .limit(left)
        .select(EndingRow::as_select())
        .load(connection)?;
    found.extend(later);
    Ok(found)
}

fn note(
    connection: &mut Connection,
    zone: ZoneId,
    notice: ExpiryNotice,
    (until, certificate): Place,
) -> Result<(), StoreError> {
    let place = (expiry_notices::told_until.eq(until), expiry_notices::told_certificate.eq(certificate));
    let upsert = diesel::insert_into(expiry_notices::table)
        .values((
            expiry_notices::zone_id.eq(zone.as_bytes().as_slice()),
            expiry_notices::within_days.eq(notice.within_days),
            place.clone(),
        ))
        .on_conflict((expiry_notices::zone_id, expiry_notices::within_days))
        .do_update()
        .set(place);
    on_either!(connection, |connection| upsert.execute(connection))?;
    Ok(())
}

impl EndingRow {
    /// What is to be said of it: nothing of one that is revoked or about to be, nor of one that was made for no longer than
    /// the notice, whose maker has just been told its end.
    fn into_event(self, notice: ExpiryNotice) -> Result<Option<Event>, StoreError> {
        let is_alive = matches!(status(self.status)?, Status::Active | Status::PendingReactivation);
        let life = TimeDelta::milliseconds(self.not_after - self.created_at);
        if !is_alive || life <= TimeDelta::days(notice.within_days.into()) {
            return Ok(None);
        }
        Ok(Some(Event::CertificateExpiring {
            certificate: Subject {
                id: certificate_id(&self.id)?,
                authority: authority_id(&self.authority_id)?,
                serial: serial(&self.serial)?,
            },
            common_name: self.common_name,
            expires_on: time(self.not_after)?,
            within_days: notice.within_days,
        }))
    }
}
