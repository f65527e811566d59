//! Pages of the certificates of a zone, found in the indexes alone: the large rows before a page are never touched.

use chrono::{DateTime, Utc};
use diesel::Connection as _;
use diesel::prelude::*;

use crate::domain::certificate::{Certificate, CertificateFilter, CertificateOrder};
use crate::domain::id::ZoneId;

use super::certificates::of_ids;
use super::connection::{Connection, MultiBackend};
use super::convert::millis;
use super::error::StoreError;
use super::landmarks::{Landmarks, List, STEP};
use super::schema::{authorities, certificates};
use super::{Page, Store, Window, counters};

impl Store {
    /// Certificates of a zone.
    pub async fn certificates(
        &self,
        zone: ZoneId,
        filter: CertificateFilter,
        order: CertificateOrder,
        window: Window,
        now: DateTime<Utc>,
    ) -> Result<Page<Certificate>, StoreError> {
        let list = List { zone, status: filter.status };
        let landmarks = self.landmarks.clone();
        // One snapshot: a page counted from the end must not shift under a certificate issued meanwhile.
        let found = self.read(move |connection| {
            connection.transaction(|connection| page(connection, zone, &filter, order, window, &landmarks))
        });
        let (page, must_walk) = found.await?;
        if must_walk {
            self.begin_walk(list, now);
        }
        Ok(page)
    }
}

/// The page, and whether its list should be walked for those who come later.
fn page(
    connection: &mut Connection,
    zone: ZoneId,
    filter: &CertificateFilter,
    order: CertificateOrder,
    window: Window,
    landmarks: &Landmarks,
) -> Result<(Page<Certificate>, bool), StoreError> {
    let total = if filter.is_by_status_only() {
        counters::total(connection, zone, filter.status)?
    } else {
        filtered(zone, filter).count().get_result(connection)?
    };
    let place = Place::of(order, window, total);
    let (ids, must_walk) = if place.length <= 0 {
        (Vec::new(), false)
    } else if order.is_by_end() {
        (by_end(connection, zone, filter, &place, total)?, false)
    } else {
        by_id(connection, zone, filter, &place, total, landmarks)?
    };
    let mut items = of_ids(connection, zone, ids)?;
    if order.is_by_end() {
        items.sort_by_key(|certificate| (certificate.not_after, certificate.id));
    }
    if matches!(order, CertificateOrder::NewestFirst | CertificateOrder::LastToEnd) {
        items.reverse();
    }
    Ok((Page { items, total }, must_walk))
}

/// Where a page is, from whichever end of the list is nearer.
struct Place {
    order: CertificateOrder,
    offset: i64,
    length: i64,
}

impl Place {
    fn of(order: CertificateOrder, window: Window, total: i64) -> Self {
        let left = total.saturating_sub(window.offset);
        let length = window.length.min(left);
        if window.offset > total / 2 {
            Self { order: order.reversed(), offset: left - length, length }
        } else {
            Self { order, offset: window.offset, length }
        }
    }

    /// How many rows come before it when the oldest is the first.
    fn after_oldest(&self, total: i64) -> i64 {
        match self.order {
            CertificateOrder::NewestFirst | CertificateOrder::LastToEnd => total - self.offset - self.length,
            CertificateOrder::OldestFirst | CertificateOrder::FirstToEnd => self.offset,
        }
    }
}

/// In the order of the ids, and whether the list should be walked.
fn by_id(
    connection: &mut Connection,
    zone: ZoneId,
    filter: &CertificateFilter,
    place: &Place,
    total: i64,
    landmarks: &Landmarks,
) -> Result<(Vec<Vec<u8>>, bool), StoreError> {
    let ids = filtered(zone, filter).select(certificates::id).limit(place.length);
    let mut must_walk = false;
    if filter.is_by_status_only() && place.offset >= STEP {
        let list = List { zone, status: filter.status };
        let start = landmarks.nearest(connection, list, place.after_oldest(total), total)?;
        if let Some(after) = start.after.filter(|_| start.distance < place.offset) {
            let ids = ids.filter(certificates::id.gt(after.as_bytes().to_vec())).order(certificates::id);
            return Ok((ids.offset(start.distance).load(connection)?, start.must_walk));
        }
        must_walk = Landmarks::is_far(place.offset);
    }
    let ids = match place.order {
        CertificateOrder::NewestFirst => ids.order(certificates::id.desc()),
        _ => ids.order(certificates::id),
    };
    Ok((ids.offset(place.offset).load(connection)?, must_walk))
}

/// In the order of the ends.
///
/// No index has a status in that order: either the rows are looked at in it until enough have the status, or all that have
/// it are sorted. What is an expression leads to no index, so each way leaves only its own.
fn by_end(
    connection: &mut Connection,
    zone: ZoneId,
    filter: &CertificateFilter,
    place: &Place,
    total: i64,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let has_only_status = filter.status.is_some() && filter.is_by_status_only();
    let is_sorted = has_only_status && !is_walk_shorter(connection, zone, place.offset + place.length, total)?;
    let query = match filter.status {
        Some(status) if !is_sorted => {
            let rest = CertificateFilter { status: None, ..filter.clone() };
            filtered(zone, &rest).filter((certificates::status + 0_i16).eq(status.code()))
        }
        _ => filtered(zone, filter),
    };
    let ids = query.select(certificates::id).limit(place.length).offset(place.offset);
    let end = certificates::not_after + 0_i64;
    let is_last_first = place.order == CertificateOrder::LastToEnd;
    let ids = match (is_sorted, is_last_first) {
        (true, false) => ids.order((end, certificates::id)),
        (true, true) => ids.order((end.desc(), certificates::id.desc())),
        (false, false) => ids.order((certificates::not_after, certificates::id)),
        (false, true) => ids.order((certificates::not_after.desc(), certificates::id.desc())),
    };
    Ok(ids.load(connection)?)
}

/// Whether to find the first `count` certificates of a status, of which there are `total`, fewer rows are looked at in the
/// order of the ends than there are with that status.
fn is_walk_shorter(connection: &mut Connection, zone: ZoneId, count: i64, total: i64) -> Result<bool, StoreError> {
    let of_zone = counters::total(connection, zone, None)?;
    Ok(i128::from(count) * i128::from(of_zone) < i128::from(total) * i128::from(total))
}

type Filtered<'a> = certificates::BoxedQuery<'a, MultiBackend>;

pub(super) fn filtered(zone: ZoneId, filter: &CertificateFilter) -> Filtered<'static> {
    let mut query = certificates::table.into_boxed().filter(certificates::zone_id.eq(zone.as_bytes().to_vec()));
    if let Some(status) = filter.status {
        query = query.filter(certificates::status.eq(status.code()));
    }
    if let Some(prefix) = &filter.common_name {
        // A range instead of LIKE: it uses the index, and `%` and `_` in names stand for themselves.
        let end = format!("{prefix}{}", char::MAX);
        query = query.filter(certificates::common_name.ge(prefix.clone())).filter(certificates::common_name.lt(end));
    }
    if let Some(serial) = &filter.serial {
        query = query.filter(certificates::serial.eq(serial.as_bytes().to_vec())).filter(
            certificates::authority_id.eq_any(
                authorities::table.filter(authorities::zone_id.eq(zone.as_bytes().to_vec())).select(authorities::id),
            ),
        );
    }
    if let Some(fingerprint) = &filter.fingerprint_sha256 {
        query = query.filter(certificates::fingerprint_sha256.eq(fingerprint.clone()));
    }
    if let Some(end) = filter.expires_before {
        query = query.filter(certificates::not_after.lt(millis(end)));
    }
    if let Some(start) = filter.expires_after {
        query = query.filter(certificates::not_after.gt(millis(start)));
    }
    query
}
