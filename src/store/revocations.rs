//! What is revoked under each authority, and what each CRL number changed.
//!
//! The rows that are listed are exactly what the authority's last complete CRL lists. They change only in
//! [`Store::publish`](super::Store::publish), together with the statuses that the CRL makes visible; each change is
//! also written down under the CRL's number, so that whoever holds the list before need not read it anew.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::Connection as _;
use diesel::connection::DefaultLoadingMode;
use diesel::pg::{PgConnection, PgRowByRowLoadingMode};
use diesel::prelude::*;
use diesel::query_dsl::LoadQuery;
use diesel::sqlite::SqliteConnection;

use crate::domain::id::AuthorityId;
use crate::domain::revocation::{Changes, RevokedEntry};
use crate::domain::serial::SerialNumber;
use crate::domain::transition::Transition;

use super::bulk_insert::{Row, Value};
use super::connection::Connection;
use super::convert::{damaged, millis, reason, serial, time};
use super::error::StoreError;
use super::schema::{crl_changes, publications, revocations};
use super::{Store, bulk_insert};

/// Revocations whose place on the list is not where their certificates' ends put it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Misplaced {
    /// Listed, though they have been on a CRL past their end and may leave it (RFC 5280, 3.3).
    pub ended: Vec<SerialNumber>,
    /// Not listed, though their certificates live: the clock ran ahead when they left.
    pub alive: Vec<RevokedEntry>,
}

impl Misplaced {
    pub fn count(&self) -> usize {
        self.ended.len() + self.alive.len()
    }
}

type EntryColumns = (Vec<u8>, i16, i64, Option<i64>);

impl Store {
    /// Goes over all that the authority's last complete CRL lists, by shard and serial number, with `visit` handing on what
    /// it gathers. Returns it with the number of that CRL.
    pub async fn gather_revocations<T, F>(
        &self,
        authority: AuthorityId,
        mut gathered: T,
        mut visit: F,
    ) -> Result<(i64, T), StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut T, i32, RevokedEntry) -> Result<(), StoreError> + Send + 'static,
    {
        self.read(move |connection| {
            connection.transaction(|connection| {
                let number = number(connection, authority)?;
                let list = revocations::table
                    .filter(revocations::authority_id.eq(authority.as_bytes().as_slice()))
                    .filter(revocations::is_listed.eq(true))
                    .order((revocations::shard, revocations::serial))
                    .select((
                        revocations::shard,
                        (revocations::serial, revocations::reason, revocations::revoked_at, revocations::invalidity_at),
                    ));
                one_by_one(connection, list, |(shard, columns): (i32, EntryColumns)| {
                    visit(&mut gathered, shard, entry(columns)?)
                })?;
                Ok((number, gathered))
            })
        })
        .await
    }

    /// The number of the authority's last CRL and all changes that came after the CRL numbered `after`; `None` where they
    /// are no longer known.
    pub async fn crl_changes(&self, authority: AuthorityId, after: i64) -> Result<(i64, Option<Changes>), StoreError> {
        self.read(move |connection| {
            connection.transaction(|connection| {
                let (number, base): (i64, i64) = publications::table
                    .find(authority.as_bytes().as_slice())
                    .select((publications::number, publications::base_number))
                    .first(connection)?;
                if after < base {
                    return Ok((number, None));
                }
                Ok((number, Some(changes_after(connection, authority, after)?)))
            })
        })
        .await
    }

    /// Revocations that are to leave the list, or to come back to it, when certificates that ended before `ended_before`
    /// are off it; at most so many of each.
    pub async fn misplaced_revocations(
        &self,
        authority: AuthorityId,
        ended_before: DateTime<Utc>,
        limit: i64,
    ) -> Result<Misplaced, StoreError> {
        self.read(move |connection| {
            let of_authority = revocations::authority_id.eq(authority.as_bytes().as_slice());
            let ended: Vec<Vec<u8>> = revocations::table
                .filter(of_authority)
                .filter(revocations::is_listed.eq(true))
                .filter(revocations::not_after.lt(millis(ended_before)))
                .order(revocations::not_after)
                .limit(limit)
                .select(revocations::serial)
                .load(connection)?;
            let alive: Vec<EntryColumns> = revocations::table
                .filter(of_authority)
                .filter(revocations::is_listed.eq(false))
                .filter(revocations::not_after.ge(millis(ended_before)))
                .order(revocations::not_after)
                .limit(limit)
                .select((revocations::serial, revocations::reason, revocations::revoked_at, revocations::invalidity_at))
                .load(connection)?;
            Ok(Misplaced {
                ended: ended.iter().map(|octets| serial(octets)).collect::<Result<_, _>>()?,
                alive: alive.into_iter().map(entry).collect::<Result<_, _>>()?,
            })
        })
        .await
    }
}

/// Hands rows on as they come: a million of them at once would take more than a hundred megabytes, and that is what
/// libpq holds where it is not told otherwise.
fn one_by_one<'query, T, Q>(
    connection: &mut Connection,
    query: Q,
    mut visit: impl FnMut(T) -> Result<(), StoreError>,
) -> Result<(), StoreError>
where
    Q: LoadQuery<'query, SqliteConnection, T, DefaultLoadingMode>
        + LoadQuery<'query, PgConnection, T, PgRowByRowLoadingMode>,
{
    match connection {
        Connection::Sqlite(connection) => {
            let mut rows = RunQueryDsl::<SqliteConnection>::load_iter::<T, DefaultLoadingMode>(query, connection)?;
            rows.try_for_each(|row| visit(row?))
        }
        Connection::Postgres(connection) => {
            let mut rows = RunQueryDsl::<PgConnection>::load_iter::<T, PgRowByRowLoadingMode>(query, connection)?;
            rows.try_for_each(|row| visit(row?))
        }
    }
}

/// Of the upsert of a revocation: what a transition can change of one that is known already.
const AS_LISTED: &str = "ON CONFLICT (authority_id, shard, serial) DO UPDATE SET reason = excluded.reason, \
     revoked_at = excluded.revoked_at, invalidity_at = excluded.invalidity_at, is_listed = excluded.is_listed";

/// Brings the list in line with what the CRL says of the certificates of an authority's transitions, whether or not these
/// still stand: each with its shard and its entry, if it has one.
pub(super) fn relist<'a>(
    connection: &mut Connection,
    authority: AuthorityId,
    carried_out: impl Iterator<Item = (&'a Transition, i32, Option<&'a RevokedEntry>)>,
) -> Result<(), StoreError> {
    let mut listed: Vec<Row<'_>> = Vec::new();
    let mut gone: BTreeMap<i32, Vec<&[u8]>> = BTreeMap::new();
    for (transition, shard, entry) in carried_out {
        let Some(entry) = entry else {
            gone.entry(shard).or_default().push(transition.serial.as_bytes());
            continue;
        };
        listed.push(vec![
            ("authority_id", Value::binary(transition.authority.as_bytes())),
            ("shard", Value::Integer(shard)),
            ("serial", Value::binary(transition.serial.as_bytes())),
            ("certificate_id", Value::binary(transition.certificate.as_bytes())),
            ("zone_id", Value::binary(transition.zone.as_bytes())),
            ("not_after", Value::BigInt(millis(transition.not_after))),
            ("reason", Value::SmallInt(entry.reason.code())),
            ("revoked_at", Value::BigInt(millis(entry.revoked_on))),
            ("invalidity_at", Value::MaybeBigInt(entry.invalidity_date.map(millis))),
            ("is_listed", Value::Bool(true)),
        ]);
    }
    bulk_insert::upsert::<revocations::table>(connection, "revocations", &listed, AS_LISTED)?;
    for (shard, serials) in gone {
        let of_shard = revocations::table
            .filter(revocations::authority_id.eq(authority.as_bytes().as_slice()))
            .filter(revocations::shard.eq(shard));
        diesel::delete(of_shard.filter(revocations::serial.eq_any(serials))).execute(connection)?;
    }
    Ok(())
}

/// Says of revocations whether they are listed: shard, serial number, and whether. They stay known either way.
pub(super) fn place(
    connection: &mut Connection,
    authority: AuthorityId,
    placed: &[(i32, SerialNumber, bool)],
) -> Result<(), StoreError> {
    let mut groups: BTreeMap<(i32, bool), Vec<&[u8]>> = BTreeMap::new();
    for (shard, serial, is_listed) in placed {
        groups.entry((*shard, *is_listed)).or_default().push(serial.as_bytes());
    }
    for ((shard, is_listed), serials) in groups {
        let of_shard = revocations::table
            .filter(revocations::authority_id.eq(authority.as_bytes().as_slice()))
            .filter(revocations::shard.eq(shard));
        diesel::update(of_shard.filter(revocations::serial.eq_any(serials)))
            .set(revocations::is_listed.eq(is_listed))
            .execute(connection)?;
    }
    Ok(())
}

/// Writes down what a CRL number changed, and forgets what came up to the base of the deltas.
pub(super) fn record_changes<'a>(
    connection: &mut Connection,
    authority: &'a AuthorityId,
    number: i64,
    changes: &'a Changes,
    base: i64,
) -> Result<(), StoreError> {
    let change = |serial: &'a SerialNumber, entry: Option<&RevokedEntry>| -> Row<'a> {
        vec![
            ("authority_id", Value::binary(authority.as_bytes())),
            ("number", Value::BigInt(number)),
            ("serial", Value::binary(serial.as_bytes())),
            ("reason", Value::MaybeSmallInt(entry.map(|entry| entry.reason.code()))),
            ("revoked_at", Value::MaybeBigInt(entry.map(|entry| millis(entry.revoked_on)))),
            ("invalidity_at", Value::MaybeBigInt(entry.and_then(|entry| entry.invalidity_date).map(millis))),
        ]
    };
    let rows: Vec<Row<'_>> = changes.iter().map(|(serial, entry)| change(serial, entry.as_ref())).collect();
    bulk_insert::insert::<crl_changes::table>(connection, "crl_changes", &rows)?;
    let forgotten = crl_changes::table
        .filter(crl_changes::authority_id.eq(authority.as_bytes().as_slice()))
        .filter(crl_changes::number.le(base));
    diesel::delete(forgotten).execute(connection)?;
    Ok(())
}

fn changes_after(connection: &mut Connection, authority: AuthorityId, after: i64) -> Result<Changes, StoreError> {
    type Columns = (Vec<u8>, Option<i16>, Option<i64>, Option<i64>);
    let rows: Vec<Columns> = crl_changes::table
        .filter(crl_changes::authority_id.eq(authority.as_bytes().as_slice()))
        .filter(crl_changes::number.gt(after))
        .order(crl_changes::number)
        .select((crl_changes::serial, crl_changes::reason, crl_changes::revoked_at, crl_changes::invalidity_at))
        .load(connection)?;
    let mut changes = Changes::new();
    for (octets, reason, revoked_at, invalidity_at) in rows {
        // The later one counts.
        let change = match (reason, revoked_at) {
            (Some(reason), Some(revoked_at)) => Some(entry((octets.clone(), reason, revoked_at, invalidity_at))?),
            (None, None) => None,
            _ => return Err(damaged("a change of a CRL")),
        };
        changes.insert(serial(&octets)?, change);
    }
    Ok(changes)
}

fn number(connection: &mut Connection, authority: AuthorityId) -> Result<i64, StoreError> {
    let number =
        publications::table.find(authority.as_bytes().as_slice()).select(publications::number).first(connection);
    Ok(number?)
}

fn entry((octets, code, revoked_at, invalidity_at): EntryColumns) -> Result<RevokedEntry, StoreError> {
    Ok(RevokedEntry {
        serial: serial(&octets)?,
        revoked_on: time(revoked_at)?,
        reason: reason(code)?,
        invalidity_date: invalidity_at.map(time).transpose()?,
    })
}
