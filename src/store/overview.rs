//! Figures for people. Totals come from the counters; what is counted here is counted in an index alone, and no page waits
//! for it (`service::activity`).

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::dsl::count_star;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use diesel::{sql_query, sql_types};
use uuid::Uuid;

use crate::domain::id::{AccountId, AuthorityId, CertificateId, ZoneId};
use crate::domain::status::Status;

use super::Store;
use super::connection::Connection;
use super::convert::{certificate_id, millis, status, time, zone_id};
use super::error::StoreError;
use super::schema::{
    certificate_counters, certificates, identities, identity_associations, managed_identities, transitions,
};

/// How many certificates have each status.
pub type Totals = BTreeMap<Status, i64>;

/// A transition that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingChange {
    pub certificate: CertificateId,
    pub status: Status,
    pub requested_on: DateTime<Utc>,
}

/// An identity that presents one of our own certificates, and how many rely on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependant {
    pub name: String,
    pub uses: i64,
}

#[derive(QueryableByName)]
struct DayCount {
    #[diesel(sql_type = sql_types::BigInt)]
    day: i64,
    #[diesel(sql_type = sql_types::BigInt)]
    number: i64,
}

impl Store {
    /// The totals of these zones, as they are counted.
    pub async fn totals(&self, zones: Vec<ZoneId>) -> Result<BTreeMap<ZoneId, Totals>, StoreError> {
        self.read(move |connection| {
            let ids: Vec<Vec<u8>> = zones.iter().map(|zone| zone.as_bytes().to_vec()).collect();
            let rows: Vec<(Vec<u8>, i16, i64)> = certificate_counters::table
                .filter(certificate_counters::zone_id.eq_any(ids))
                .select((certificate_counters::zone_id, certificate_counters::status, certificate_counters::total))
                .load(connection)?;
            let mut totals: BTreeMap<ZoneId, Totals> = zones.iter().map(|zone| (*zone, Totals::new())).collect();
            for (zone, code, total) in rows {
                totals.entry(zone_id(&zone)?).or_default().insert(status(code)?, total);
            }
            Ok(totals)
        })
        .await
    }

    /// The oldest transitions that wait for a CRL of this authority and were asked for one by one.
    pub async fn oldest_waiting(&self, authority: AuthorityId, limit: i64) -> Result<Vec<WaitingChange>, StoreError> {
        self.read(move |connection| {
            let rows: Vec<(Vec<u8>, i16, i64)> = transitions::table
                .filter(transitions::authority_id.eq(authority.as_bytes().as_slice()))
                .filter(transitions::job_id.is_null())
                .order(transitions::requested_at)
                .limit(limit)
                .select((transitions::certificate_id, transitions::status, transitions::requested_at))
                .load(connection)?;
            let waiting = rows.into_iter().map(|(id, code, requested_at)| {
                Ok(WaitingChange {
                    certificate: certificate_id(&id)?,
                    status: status(code)?,
                    requested_on: time(requested_at)?,
                })
            });
            waiting.collect()
        })
        .await
    }

    /// The identity of the account that is kept renewed with this certificate of the zone.
    pub async fn dependant(
        &self,
        account: AccountId,
        zone: ZoneId,
        certificate: CertificateId,
    ) -> Result<Option<Dependant>, StoreError> {
        self.read(move |connection| {
            let found: Option<(Vec<u8>, String)> = managed_identities::table
                .inner_join(identities::table)
                .filter(managed_identities::certificate_id.eq(certificate.as_bytes().as_slice()))
                .filter(managed_identities::zone_id.eq(zone.as_bytes().as_slice()))
                .filter(managed_identities::account_id.eq(account.as_bytes().as_slice()))
                .select((identities::id, identities::name))
                .first(connection)
                .optional()?;
            let Some((id, name)) = found else { return Ok(None) };
            let uses = identity_associations::table
                .filter(identity_associations::identity_id.eq(id))
                .filter(identity_associations::account_id.eq(account.as_bytes().as_slice()))
                .count()
                .get_result(connection)?;
            Ok(Some(Dependant { name, uses }))
        })
        .await
    }

    /// How many certificates of the zone were made in a span of time, by their ids, which hold it.
    pub async fn count_made(&self, zone: ZoneId, from: DateTime<Utc>, until: DateTime<Utc>) -> Result<i64, StoreError> {
        self.read(move |connection| {
            let count = certificates::table
                .filter(certificates::zone_id.eq(zone.as_bytes().as_slice()))
                .filter(certificates::id.ge(first_id(from)))
                .filter(certificates::id.lt(first_id(until)))
                .count();
            Ok(count.get_result(connection)?)
        })
        .await
    }

    /// How many revocations of the zone became visible on each day since then, by days since 1970.
    pub async fn count_revoked(&self, zone: ZoneId, from: DateTime<Utc>) -> Result<BTreeMap<i64, i64>, StoreError> {
        // Letter for letter what the index says: a bound value would keep it from being used.
        const BY_DAY: &str = "SELECT at / 86400000 AS day, COUNT(*) AS number FROM audit_events \
             WHERE zone_id = $1 AND at >= $2 AND at < $3 AND action = 'certificate.revoked' GROUP BY 1";
        self.read(move |connection| by_day(connection, BY_DAY, zone, from, DateTime::<Utc>::MAX_UTC)).await
    }

    /// How many certificates of the zone end on each day of a span, by days since 1970, whatever their status.
    pub async fn count_ends(
        &self,
        zone: ZoneId,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<BTreeMap<i64, i64>, StoreError> {
        const BY_DAY: &str = "SELECT not_after / 86400000 AS day, COUNT(*) AS number FROM certificates \
             WHERE zone_id = $1 AND not_after >= $2 AND not_after < $3 GROUP BY 1";
        self.read(move |connection| by_day(connection, BY_DAY, zone, from, until)).await
    }

    /// How many certificates of each of these zones end in a span, whatever their status; none for those without any.
    /// `turn` is held until they are counted, though nobody may wait for it any more.
    pub async fn count_ends_of<T: Send + 'static>(
        &self,
        zones: Vec<ZoneId>,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
        turn: T,
    ) -> Result<BTreeMap<ZoneId, i64>, StoreError> {
        self.read(move |connection| {
            let _turn = turn;
            let ids: Vec<Vec<u8>> = zones.iter().map(|zone| zone.as_bytes().to_vec()).collect();
            let rows: Vec<(Vec<u8>, i64)> = certificates::table
                .filter(certificates::zone_id.eq_any(ids))
                .filter(certificates::not_after.ge(millis(from)))
                .filter(certificates::not_after.lt(millis(until)))
                .group_by(certificates::zone_id)
                .select((certificates::zone_id, count_star()))
                .load(connection)?;
            rows.into_iter().map(|(zone, count)| Ok((zone_id(&zone)?, count))).collect()
        })
        .await
    }
}

fn by_day(
    connection: &mut Connection,
    query: &str,
    zone: ZoneId,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<BTreeMap<i64, i64>, StoreError> {
    let query = sql_query(query)
        .bind::<sql_types::Binary, _>(zone.as_bytes().to_vec())
        .bind::<sql_types::BigInt, _>(millis(from))
        .bind::<sql_types::BigInt, _>(millis(until));
    let rows: Vec<DayCount> = match connection {
        Connection::Sqlite(connection) => RunQueryDsl::<SqliteConnection>::load(query, connection)?,
        Connection::Postgres(connection) => RunQueryDsl::<PgConnection>::load(query, connection)?,
    };
    Ok(rows.into_iter().map(|row| (row.day, row.number)).collect())
}

/// Before every id that is made at this time or later (RFC 9562, 5.7).
pub(super) fn first_id(time: DateTime<Utc>) -> Vec<u8> {
    let millis = u64::try_from(time.timestamp_millis()).unwrap_or_default();
    Uuid::from_u128(u128::from(millis) << 80).as_bytes().to_vec()
}
