//! CRLs: the last one of each scope, and the one transaction that publishes.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::Connection as _;
use diesel::prelude::*;

use crate::domain::audit::AuditEvent;
use crate::domain::authority::{Crl, CrlBody, CrlScope};
use crate::domain::id::{AuthorityId, CertificateId, ZoneId};
use crate::domain::revocation::{Changes, RevokedEntry};
use crate::domain::serial::SerialNumber;
use crate::domain::status::{Status, settled};
use crate::domain::transition::Transition;

use super::bulk_insert::{self, Row, Value};
use super::connection::Connection;
use super::convert::{authority_id, certificate_id, damaged, millis, time};
use super::error::StoreError;
use super::publications::{Lease, Publication};
use super::schema::{certificates, crls, publications, revocations, transitions};
use super::{Store, audit, counters, publications as publications_store, revocations as revocations_store};

/// Everything that one publication changes.
#[derive(Clone, Debug)]
pub struct Publishing {
    /// Where publishing stands after it.
    pub next: Publication,
    /// The CRLs that are new with it, all under its number.
    pub crls: Vec<Crl>,
    /// What it changes in the list.
    pub changes: Changes,
    /// Of those, what leaves the list or comes back because of the certificates' ends: shard, serial number, whether it is
    /// listed now.
    pub placed: Vec<(i32, SerialNumber, bool)>,
    pub carried_out: Vec<CarriedOut>,
    pub event: AuditEvent,
}

/// A transition that a CRL carries out.
#[derive(Clone, Debug)]
pub struct CarriedOut {
    pub transition: Transition,
    pub shard: i32,
    /// The entry on the CRL; none when it is listed no more.
    pub entry: Option<RevokedEntry>,
    pub event: AuditEvent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    /// The CRLs are durable, and every transition that still stood is finished.
    Published { finished: usize },
    /// The lease was lost or another CRL was stored meanwhile. Nothing was written.
    LeaseLost,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = crls)]
struct CrlRow {
    scope: i32,
    number: i64,
    this_update: i64,
    next_update: i64,
    distribution_point: Option<String>,
    is_whole: bool,
    head: Vec<u8>,
    tail: Vec<u8>,
    entries_length: i64,
}

impl Store {
    /// The number of the last CRL of a scope.
    pub async fn crl_number(&self, authority: AuthorityId, scope: CrlScope) -> Result<Option<i64>, StoreError> {
        self.read(move |connection| {
            let number = crls::table
                .find((authority.as_bytes().as_slice(), scope.code()))
                .select(crls::number)
                .first(connection);
            Ok(number.optional()?)
        })
        .await
    }

    /// The last CRL of a scope, and the number that the authority's publishing has come to at the same moment.
    pub async fn crl(&self, authority: AuthorityId, scope: CrlScope) -> Result<Option<(Crl, i64)>, StoreError> {
        self.read(move |connection| {
            connection.transaction(|connection| {
                let row: Option<CrlRow> = crls::table
                    .find((authority.as_bytes().as_slice(), scope.code()))
                    .select(CrlRow::as_select())
                    .first(connection)
                    .optional()?;
                let Some(row) = row else { return Ok(None) };
                let number = publications::table
                    .find(authority.as_bytes().as_slice())
                    .select(publications::number)
                    .first(connection)?;
                Ok(Some((into_domain(authority, row)?, number)))
            })
        })
        .await
    }

    /// Authorities whose complete CRL has entries of at least so many octets.
    pub async fn authorities_with_long_crls(&self, octets: i64) -> Result<Vec<AuthorityId>, StoreError> {
        self.read(move |connection| {
            let ids: Vec<Vec<u8>> = crls::table
                .filter(crls::scope.eq(CrlScope::Complete.code()))
                .filter(crls::entries_length.ge(octets))
                .select(crls::authority_id)
                .load(connection)?;
            ids.iter().map(|id| authority_id(id)).collect()
        })
        .await
    }

    /// When the last CRL of each scope was signed.
    pub async fn crl_updates(&self, authority: AuthorityId) -> Result<Vec<(CrlScope, DateTime<Utc>)>, StoreError> {
        self.read(move |connection| {
            let rows: Vec<(i32, i64)> = crls::table
                .filter(crls::authority_id.eq(authority.as_bytes().as_slice()))
                .select((crls::scope, crls::this_update))
                .load(connection)?;
            rows.into_iter().map(|(code, update)| Ok((scope(code)?, time(update)?))).collect()
        })
        .await
    }

    /// Stores the CRLs of a publication and, in the same transaction, everything that they make visible: the revocations
    /// they list or list no more, the statuses, receipts and audit events of the transitions they carry out.
    ///
    /// A transition that was replaced while the CRLs were being signed stays queued, and its certificate keeps its
    /// newer pending status; the next publication brings it. Fails, and changes nothing, when a CRL's number is not larger
    /// than that of the one before in its scope, or its issuingDistributionPoint is another.
    pub async fn publish(&self, lease: Lease, publishing: Publishing) -> Result<PublishOutcome, StoreError> {
        self.write(move |connection| {
            let (authority, next) = (lease.authority, &publishing.next);
            if !publications_store::advance(connection, &lease, next)? {
                return Ok(PublishOutcome::LeaseLost);
            }
            put_all(connection, &authority, &publishing.crls)?;
            revocations_store::record_changes(
                connection,
                &authority,
                next.number,
                &publishing.changes,
                next.base.number,
            )?;
            revocations_store::place(connection, authority, &publishing.placed)?;
            let lines = publishing.carried_out.iter();
            let lines = lines.map(|done| (&done.transition, done.shard, done.entry.as_ref()));
            revocations_store::relist(connection, authority, lines)?;
            let finished = settle(connection, &publishing.carried_out, next)?;
            let carried_out =
                publishing.carried_out.iter().filter(|done| finished.contains(&done.transition.certificate));
            let events: Vec<&AuditEvent> = carried_out.map(|done| &done.event).chain([&publishing.event]).collect();
            audit::insert_all(connection, &events)?;
            Ok(PublishOutcome::Published { finished: finished.len() })
        })
        .await
    }
}

/// An authority's very first CRLs, made with the authority itself.
pub(super) fn insert_first(connection: &mut Connection, first: &Publication, crls: &[Crl]) -> Result<(), StoreError> {
    publications_store::insert(connection, first)?;
    put_all(connection, &first.authority, crls)
}

/// Puts an authority's CRLs in the place of those before them.
fn put_all(connection: &mut Connection, authority: &AuthorityId, crls: &[Crl]) -> Result<(), StoreError> {
    let before: Vec<(i32, i64, Option<String>)> = crls::table
        .filter(crls::authority_id.eq(authority.as_bytes().as_slice()))
        .filter(crls::scope.eq_any(crls.iter().map(|crl| crl.scope.code())))
        .select((crls::scope, crls::number, crls::distribution_point))
        .load(connection)?;
    let before: HashMap<i32, (i64, Option<String>)> =
        before.into_iter().map(|(scope, number, distribution_point)| (scope, (number, distribution_point))).collect();
    for crl in crls {
        if let Some((number, distribution_point)) = before.get(&crl.scope.code())
            && (*number >= crl.number || *distribution_point != crl.distribution_point)
        {
            return Err(StoreError::Damaged(format!(
                "authority {authority} has published CRL {number} at {distribution_point:?}: number {} at {:?} must not \
                 follow it",
                crl.number, crl.distribution_point
            )));
        }
    }
    let rows: Vec<Row<'_>> = crls.iter().map(|crl| row(authority, crl)).collect();
    bulk_insert::upsert::<crls::table>(connection, "crls", &rows, IN_PLACE)
}

/// Of the upsert of a CRL: the one before it in its scope is gone.
const IN_PLACE: &str = "ON CONFLICT (authority_id, scope) DO UPDATE SET number = excluded.number, \
     this_update = excluded.this_update, next_update = excluded.next_update, \
     distribution_point = excluded.distribution_point, is_whole = excluded.is_whole, head = excluded.head, \
     tail = excluded.tail, entries_length = excluded.entries_length";

fn row<'a>(authority: &'a AuthorityId, crl: &'a Crl) -> Row<'a> {
    let (is_whole, head, tail, entries_length) = match &crl.body {
        CrlBody::Whole(der) => (true, der.as_slice(), [].as_slice(), 0),
        CrlBody::Around { head, tail, entries_length } => (false, head.as_slice(), tail.as_slice(), *entries_length),
    };
    vec![
        ("authority_id", Value::binary(authority.as_bytes())),
        ("scope", Value::Integer(crl.scope.code())),
        ("number", Value::BigInt(crl.number)),
        ("this_update", Value::BigInt(millis(crl.this_update))),
        ("next_update", Value::BigInt(millis(crl.next_update))),
        ("distribution_point", Value::MaybeText(crl.distribution_point.as_deref())),
        ("is_whole", Value::Bool(is_whole)),
        ("head", Value::binary(head)),
        ("tail", Value::binary(tail)),
        ("entries_length", Value::BigInt(entries_length)),
    ]
}

/// What the certificates of several transitions become alike, so that one statement does it: on PostgreSQL each is a journey
/// during which everybody's writes wait. Their dates differ, and are in the rows of their revocations by then.
#[derive(PartialEq, Eq, Hash)]
struct Alike {
    zone: ZoneId,
    requested: Status,
    version: i32,
    /// Where their revocations are listed; none for those that come back.
    listed: Option<(AuthorityId, i32)>,
}

impl Alike {
    fn of(done: &CarriedOut) -> Self {
        let Transition { zone, status, version, authority, .. } = done.transition;
        let listed = done.entry.as_ref().map(|_| (authority, done.shard));
        Self { zone, requested: status, version, listed }
    }
}

/// Gives the certificates their settled status and their receipts, and ends the transitions, but for those that were
/// replaced. Returns the certificates.
fn settle(
    connection: &mut Connection,
    carried_out: &[CarriedOut],
    published: &Publication,
) -> Result<HashSet<CertificateId>, StoreError> {
    let mut groups: HashMap<Alike, Vec<&[u8]>> = HashMap::new();
    for done in carried_out {
        groups.entry(Alike::of(done)).or_default().push(done.transition.certificate.as_bytes().as_slice());
    }
    let mut finished = HashSet::new();
    let mut counts: HashMap<(ZoneId, Status), i64> = HashMap::new();
    for (alike, ids) in groups {
        for octets in settle_alike(connection, &alike, ids, published)? {
            finished.insert(certificate_id(&octets)?);
            *counts.entry((alike.zone, alike.requested)).or_default() += 1;
        }
    }
    for ((zone, requested), count) in counts {
        counters::shift_many(connection, zone, requested, settled(requested), count)?;
    }
    Ok(finished)
}

fn settle_alike(
    connection: &mut Connection,
    alike: &Alike,
    ids: Vec<&[u8]>,
    published: &Publication,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let status = settled(alike.requested);
    let as_requested = certificates::table
        .filter(certificates::zone_id.eq(alike.zone.as_bytes().as_slice()))
        .filter(certificates::id.eq_any(ids))
        .filter(certificates::status.eq(alike.requested.code()))
        .filter(certificates::version.eq(alike.version));
    let receipt = (
        certificates::status.eq(status.code()),
        certificates::version.eq(certificates::version + 1),
        certificates::receipt_status.eq(Some(status.code())),
        certificates::receipt_crl_number.eq(Some(published.number)),
        certificates::receipt_published_at.eq(Some(millis(published.this_update))),
    );
    let finished: Vec<Vec<u8>> = if let Some((authority, shard)) = alike.listed {
        let listed = revocations::table
            .filter(revocations::authority_id.eq(authority.as_bytes().as_slice()))
            .filter(revocations::shard.eq(shard))
            .filter(revocations::serial.eq(certificates::serial));
        diesel::update(as_requested)
            .set((
                receipt,
                certificates::revoked_at.eq(listed.select(revocations::revoked_at).single_value()),
                certificates::revocation_crl_number.eq(Some(published.number)),
                certificates::invalidity_at.eq(listed.select(revocations::invalidity_at).single_value()),
            ))
            .returning(certificates::id)
            .get_results(connection)?
    } else {
        diesel::update(as_requested)
            .set((
                receipt,
                certificates::revocation_reason.eq(None::<i16>),
                certificates::revocation_requested_at.eq(None::<i64>),
                certificates::revoked_at.eq(None::<i64>),
                certificates::revocation_crl_number.eq(None::<i64>),
                certificates::invalidity_at.eq(None::<i64>),
            ))
            .returning(certificates::id)
            .get_results(connection)?
    };
    if !finished.is_empty() {
        let done = transitions::table
            .filter(transitions::certificate_id.eq_any(&finished))
            .filter(transitions::version.eq(alike.version));
        diesel::delete(done).execute(connection)?;
    }
    Ok(finished)
}

fn scope(code: i32) -> Result<CrlScope, StoreError> {
    CrlScope::from_code(code).ok_or_else(|| damaged("the scope of a CRL"))
}

fn into_domain(authority: AuthorityId, row: CrlRow) -> Result<Crl, StoreError> {
    Ok(Crl {
        authority,
        scope: scope(row.scope)?,
        number: row.number,
        this_update: time(row.this_update)?,
        next_update: time(row.next_update)?,
        distribution_point: row.distribution_point,
        body: if row.is_whole {
            CrlBody::Whole(row.head)
        } else {
            CrlBody::Around { head: row.head, tail: row.tail, entries_length: row.entries_length }
        },
    })
}
