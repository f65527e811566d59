//! Totals of certificates by zone and status, kept in the transaction of every change.

use diesel::prelude::*;

use crate::domain::id::ZoneId;
use crate::domain::status::Status;

use super::bulk_insert::{Row, Value};
use super::connection::{Connection, on_either};
use super::error::StoreError;
use super::schema::certificate_counters::dsl;

/// A certificate goes from one status to another.
pub(super) fn shift(connection: &mut Connection, zone: ZoneId, from: Status, to: Status) -> Result<(), StoreError> {
    shift_many(connection, zone, from, to, 1)
}

/// As many certificates go from one status to another.
pub(super) fn shift_many(
    connection: &mut Connection,
    zone: ZoneId,
    from: Status,
    to: Status,
    count: i64,
) -> Result<(), StoreError> {
    if from == to {
        return Ok(());
    }
    diesel::update(dsl::certificate_counters.find((zone.as_bytes().as_slice(), from.code())))
        .set(dsl::total.eq(dsl::total - count))
        .execute(connection)?;
    add_many(connection, zone, to, count)
}

/// What the insertion of [`row`] ends with.
pub(super) const ADD: &str =
    "ON CONFLICT (zone_id, status) DO UPDATE SET total = certificate_counters.total + excluded.total";

/// So many more certificates with this status, as it is inserted into `certificate_counters`.
pub(super) fn row(zone: &ZoneId, status: Status, count: i64) -> Row<'_> {
    vec![
        ("zone_id", Value::binary(zone.as_bytes())),
        ("status", Value::SmallInt(status.code())),
        ("total", Value::BigInt(count)),
    ]
}

/// So many more certificates with this status.
pub(super) fn add_many(
    connection: &mut Connection,
    zone: ZoneId,
    status: Status,
    count: i64,
) -> Result<(), StoreError> {
    let upsert = diesel::insert_into(dsl::certificate_counters)
        .values((dsl::zone_id.eq(zone.as_bytes().as_slice()), dsl::status.eq(status.code()), dsl::total.eq(count)))
        .on_conflict((dsl::zone_id, dsl::status))
        .do_update()
        .set(dsl::total.eq(dsl::total + count));
    on_either!(connection, |connection| upsert.execute(connection))?;
    Ok(())
}

/// How many certificates of the zone have this status, or any.
pub(super) fn total(connection: &mut Connection, zone: ZoneId, status: Option<Status>) -> Result<i64, StoreError> {
    let rows: Vec<(i16, i64)> = dsl::certificate_counters
        .filter(dsl::zone_id.eq(zone.as_bytes().as_slice()))
        .select((dsl::status, dsl::total))
        .load(connection)?;
    let counted = rows.iter().filter(|(code, _)| status.is_none_or(|status| status.code() == *code));
    Ok(counted.map(|(_, total)| total).sum())
}
