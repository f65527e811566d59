//! Which certificates a bulk job means: counting them, showing some, and taking the next ones.

use chrono::{DateTime, Utc};
use diesel::Connection as _;
use diesel::dsl::{self, count_star};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Integer};

use crate::domain::bulk::{Filter, Selector, first_id_of};
use crate::domain::certificate::Certificate;
use crate::domain::id::{CertificateId, ZoneId};
use crate::domain::reason::RevocationReason;
use crate::domain::status::{Standing, Status};

use super::connection::{Connection, MultiBackend};
use super::convert::{certificate_id, millis, reason, status};
use super::error::StoreError;
use super::schema::certificates::{self, table as AllCertificates};
use super::{Store, certificates as stored_certificates};

/// How many certificates stand alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    pub standing: Standing,
    pub profile: String,
    pub count: i64,
}

/// What a selection holds, without changing anything.
#[derive(Clone, Debug)]
pub struct Survey {
    pub tallies: Vec<Tally>,
    /// The first of them, by id.
    pub samples: Vec<Certificate>,
}

impl Store {
    /// Which of the named certificates the zone has.
    pub async fn known_certificates(
        &self,
        zone: ZoneId,
        ids: Vec<CertificateId>,
    ) -> Result<Vec<CertificateId>, StoreError> {
        self.read(move |connection| {
            let known: Vec<Vec<u8>> = selected(zone, &Selector::Ids(ids.clone()))
                .order(certificates::id)
                .select(certificates::id)
                .load(connection)?;
            known.iter().map(|id| certificate_id(id)).collect()
        })
        .await
    }

    /// A filter as it selects now: none that is issued later is among them.
    pub async fn fix_selection(&self, zone: ZoneId, filter: Filter) -> Result<Selector, StoreError> {
        self.read(move |connection| {
            let last: Option<Vec<u8>> = certificates::table
                .filter(certificates::zone_id.eq(zone.as_bytes().as_slice()))
                .order(certificates::id.desc())
                .select(certificates::id)
                .first(connection)
                .optional()?;
            let nothing = || Ok(CertificateId::new(uuid::Uuid::nil()));
            let up_to = last.as_deref().map_or_else(nothing, certificate_id)?;
            Ok(Selector::Filter { filter, up_to })
        })
        .await
    }

    /// How many certificates are selected. `turn` is held until they are counted, also when nobody waits for it any more.
    pub async fn count_selected<T: Send + 'static>(
        &self,
        zone: ZoneId,
        selector: Selector,
        turn: T,
    ) -> Result<i64, StoreError> {
        self.read(move |connection| {
            let _turn = turn;
            count(connection, zone, &selector)
        })
        .await
    }

    /// How the selected certificates stand. `turn` is held as in [`Store::count_selected`].
    pub async fn survey<T: Send + 'static>(
        &self,
        zone: ZoneId,
        selector: Selector,
        samples: i64,
        now: DateTime<Utc>,
        turn: T,
    ) -> Result<Survey, StoreError> {
        self.read(move |connection| {
            let _turn = turn;
            connection.transaction(|connection| {
                let ids = selected(zone, &selector).order(certificates::id).limit(samples);
                let ids: Vec<Vec<u8>> = ids.select(certificates::id).load(connection)?;
                let samples = stored_certificates::of_ids(connection, zone, ids)?;
                Ok(Survey { tallies: tally(connection, zone, &selector, now)?, samples })
            })
        })
        .await
    }
}

pub(super) fn count(connection: &mut Connection, zone: ZoneId, selector: &Selector) -> Result<i64, StoreError> {
    Ok(selected(zone, selector).count().get_result(connection)?)
}

/// The selected certificates after this one, in the order of their ids.
pub(super) fn next(
    connection: &mut Connection,
    zone: ZoneId,
    selector: &Selector,
    after: Option<CertificateId>,
    limit: usize,
) -> Result<Vec<Certificate>, StoreError> {
    let ids = match selector {
        Selector::Ids(ids) => {
            let left = ids.iter().filter(|id| after.is_none_or(|after| **id > after));
            left.take(limit).map(|id| id.as_bytes().to_vec()).collect()
        }
        Selector::Keys(_) => {
            // Few hold a key: found by it, and put in order here. Asked for in order, they would be sought in the whole zone.
            let mut ids: Vec<Vec<u8>> = selected(zone, selector).select(certificates::id).load(connection)?;
            ids.retain(|id| after.is_none_or(|after| id.as_slice() > after.as_bytes().as_slice()));
            ids.sort_unstable();
            ids.truncate(limit);
            ids
        }
        Selector::Filter { .. } => {
            let mut left = selected(zone, selector).order(certificates::id);
            if let Some(after) = after {
                left = left.filter(certificates::id.gt(after.as_bytes().to_vec()));
            }
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            left.limit(limit).select(certificates::id).load(connection)?
        }
    };
    stored_certificates::of_ids(connection, zone, ids)
}

/// Status, reason, profile, how many, and how many of these have ended.
type TallyRow = (i16, Option<i16>, String, i64, Option<i64>);

fn tally(
    connection: &mut Connection,
    zone: ZoneId,
    selector: &Selector,
    now: DateTime<Utc>,
) -> Result<Vec<Tally>, StoreError> {
    let one = 1_i32.into_sql::<Integer>();
    // One pass, however many there are.
    let rows: Vec<TallyRow> = certificates::table
        .filter(certificates::zone_id.eq(zone.as_bytes().to_vec()))
        .filter(is_selected(zone, selector))
        .group_by((certificates::status, certificates::revocation_reason, certificates::profile))
        .select((
            certificates::status,
            certificates::revocation_reason,
            certificates::profile,
            count_star(),
            dsl::sum(dsl::case_when(certificates::not_after.lt(millis(now)), one).otherwise(0)),
        ))
        .load(connection)?;
    let mut tallies = Vec::new();
    for (code, recorded, profile, all, expired) in rows {
        let recorded: Option<RevocationReason> = recorded.map(reason).transpose()?;
        let expired = expired.unwrap_or_default();
        for (is_expired, count) in [(false, all - expired), (true, expired)] {
            let standing = Standing { status: status(code)?, reason: recorded, is_expired };
            tallies.push(Tally { standing, profile: profile.clone(), count });
        }
    }
    tallies.retain(|tally| tally.count > 0);
    Ok(tallies)
}

type Condition = Box<dyn BoxableExpression<AllCertificates, MultiBackend, SqlType = Bool>>;
type Selected = certificates::BoxedQuery<'static, MultiBackend>;

fn selected(zone: ZoneId, selector: &Selector) -> Selected {
    certificates::table
        .filter(certificates::zone_id.eq(zone.as_bytes().to_vec()))
        .filter(is_selected(zone, selector))
        .into_boxed()
}

fn is_selected(zone: ZoneId, selector: &Selector) -> Condition {
    let of_zone = certificates::zone_id.eq(zone.as_bytes().to_vec());
    match selector {
        Selector::Ids(ids) => {
            let ids: Vec<Vec<u8>> = ids.iter().map(|id| id.as_bytes().to_vec()).collect();
            Box::new(of_zone.and(certificates::id.eq_any(ids)))
        }
        Selector::Keys(keys) => Box::new(of_zone.and(certificates::spki_sha256.eq_any(keys.clone()))),
        Selector::Filter { filter, up_to } => {
            matching(zone, Box::new(of_zone.and(certificates::id.le(up_to.as_bytes().to_vec()))), filter)
        }
    }
}

fn matching(zone: ZoneId, mut condition: Condition, filter: &Filter) -> Condition {
    if let Some(prefix) = &filter.common_name {
        // A range, as lists have it: `%` and `_` in names stand for themselves.
        let end = format!("{prefix}{}", char::MAX);
        let in_range = certificates::common_name.ge(prefix.clone()).and(certificates::common_name.lt(end));
        condition = Box::new(condition.and(in_range));
    }
    if let Some(end) = filter.issued_before {
        condition = Box::new(condition.and(certificates::id.lt(first_id_of(end).as_bytes().to_vec())));
    }
    if let Some(start) = filter.issued_after {
        let next_moment = start + chrono::TimeDelta::milliseconds(1);
        condition = Box::new(condition.and(certificates::id.ge(first_id_of(next_moment).as_bytes().to_vec())));
    }
    if let Some(authority) = filter.authority {
        condition = Box::new(condition.and(certificates::authority_id.eq(authority.as_bytes().to_vec())));
    }
    if let Some(key) = &filter.spki_sha256 {
        // Apart, so that it is found by its index and not by looking at every certificate of the zone.
        let holders = diesel::alias!(certificates as holders);
        let of_zone = holders.field(certificates::zone_id).eq(zone.as_bytes().to_vec());
        let holds = holders.field(certificates::spki_sha256).eq(key.clone());
        let holders = holders.filter(of_zone).filter(holds).select(holders.field(certificates::id));
        condition = Box::new(condition.and(certificates::id.eq_any(holders)));
    }
    if let Some(status) = filter.status {
        condition = Box::new(condition.and(certificates::status.eq(Status::code(status))));
    }
    condition
}
