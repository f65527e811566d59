//! Requested changes of status: one small row each, until the worker has carried them out.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::domain::audit::AuditEvent;
use crate::domain::certificate::Certificate;
use crate::domain::id::AuthorityId;
use crate::domain::transition::Transition;

use super::compromises::{self, Compromise};
use super::connection::{Connection, on_either};
use super::convert::{authority_id, certificate_id, job_id, millis, reason, serial, status, time, zone_id};
use super::error::StoreError;
use super::schema::{certificates, transitions};
use super::{Store, audit, counters, managed_identities};

/// A change that was decided on: the certificate as it was read, and as it is to be.
#[derive(Clone)]
pub struct RequestedChange {
    pub was: Certificate,
    pub requested: Certificate,
    pub transition: Transition,
    pub event: AuditEvent,
}

/// What became of a requested change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeOutcome {
    /// The new status is durable, and the worker has a row to work on.
    Changed,
    /// Somebody else changed the certificate since it was read. Nothing was written: read again and decide anew.
    Overtaken,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = transitions)]
struct TransitionRow {
    certificate_id: Vec<u8>,
    zone_id: Vec<u8>,
    authority_id: Vec<u8>,
    serial: Vec<u8>,
    status: i16,
    version: i32,
    reason: i16,
    requested_at: i64,
    not_after: i64,
    job_id: Option<Vec<u8>>,
    invalidity_at: Option<i64>,
}

impl Store {
    /// Stores what was asked of a certificate, if it still stands as it was read, and queues the transition in place of an
    /// older one. After a compromise the account gets no further certificate for the same key, and loses those it has.
    pub async fn request_change(
        &self,
        change: RequestedChange,
        compromise: Option<Compromise>,
    ) -> Result<ChangeOutcome, StoreError> {
        self.write(move |connection| {
            if let Some(compromise) = &compromise
                && !compromises::reach_all_zones(connection, compromise)?
            {
                return Ok(ChangeOutcome::Overtaken);
            }
            if !request(connection, &change)? {
                return Ok(ChangeOutcome::Overtaken);
            }
            counters::shift(connection, change.was.zone, change.was.status, change.requested.status)?;
            if let Some(compromise) = &compromise {
                compromises::insert(connection, compromise)?;
            }
            Ok(ChangeOutcome::Changed)
        })
        .await
    }

    /// Authorities that have transitions waiting.
    pub async fn authorities_with_transitions(&self) -> Result<Vec<AuthorityId>, StoreError> {
        self.read(|connection| {
            // From one to the next in the index: there may be very many transitions, and few authorities that have them.
            let mut found = Vec::new();
            let mut last = Vec::new();
            loop {
                let next: Option<Vec<u8>> = transitions::table
                    .filter(transitions::authority_id.gt(&last))
                    .order(transitions::authority_id)
                    .select(transitions::authority_id)
                    .first(connection)
                    .optional()?;
                let Some(next) = next else { return Ok(found) };
                found.push(authority_id(&next)?);
                last = next;
            }
        })
        .await
    }

    /// The transitions of an authority that wait, at most `limit`: those that were asked for one by one come first, the oldest
    /// request before the others, then those of bulk jobs.
    pub async fn transitions(&self, authority: AuthorityId, limit: i64) -> Result<Vec<Transition>, StoreError> {
        self.read(move |connection| {
            let of_authority = transitions::authority_id.eq(authority.as_bytes().as_slice());
            let mut rows: Vec<TransitionRow> = transitions::table
                .filter(of_authority)
                .filter(transitions::job_id.is_null())
                .order(transitions::requested_at)
                .limit(limit)
                .select(TransitionRow::as_select())
                .load(connection)?;
            let room = limit - i64::try_from(rows.len()).unwrap_or(limit);
            let of_jobs: Vec<TransitionRow> = transitions::table
                .filter(of_authority)
                .filter(transitions::job_id.is_not_null())
                .order((transitions::job_id, transitions::requested_at))
                .limit(room)
                .select(TransitionRow::as_select())
                .load(connection)?;
            rows.extend(of_jobs);
            rows.into_iter().map(into_domain).collect()
        })
        .await
    }

    /// How many transitions wait, and since when the oldest does.
    pub async fn waiting_transitions(&self) -> Result<(i64, Option<DateTime<Utc>>), StoreError> {
        self.read(|connection| {
            let (count, oldest): (i64, Option<i64>) = transitions::table
                .select((diesel::dsl::count_star(), diesel::dsl::min(transitions::requested_at)))
                .first(connection)?;
            Ok((count, oldest.map(time).transpose()?))
        })
        .await
    }
}

/// Everything that belongs to one change but its place in the counters; `false`, and nothing written, when the certificate
/// has changed since it was read.
pub(super) fn request(connection: &mut Connection, change: &RequestedChange) -> Result<bool, StoreError> {
    let RequestedChange { was, requested, transition, event } = change;
    if !move_to_pending(connection, was, requested)? {
        return Ok(false);
    }
    enqueue(connection, transition)?;
    if !transition.reason.is_hold() {
        managed_identities::renew_at_once(connection, was, transition.requested_on)?;
    }
    audit::insert(connection, event)?;
    Ok(true)
}

fn move_to_pending(
    connection: &mut Connection,
    was: &Certificate,
    requested: &Certificate,
) -> Result<bool, StoreError> {
    let as_it_was_read = certificates::table
        .filter(certificates::zone_id.eq(was.zone.as_bytes().as_slice()))
        .filter(certificates::id.eq(was.id.as_bytes().as_slice()))
        .filter(certificates::status.eq(was.status.code()))
        .filter(certificates::version.eq(was.version));
    let revocation = requested.revocation.as_ref();
    let updated = diesel::update(as_it_was_read)
        .set((
            certificates::status.eq(requested.status.code()),
            certificates::version.eq(requested.version),
            certificates::revocation_reason.eq(revocation.map(|revocation| revocation.reason.code())),
            certificates::revocation_requested_at.eq(revocation.map(|revocation| millis(revocation.requested_on))),
            certificates::revoked_at.eq(revocation.and_then(|revocation| revocation.revoked_on).map(millis)),
            certificates::revocation_crl_number.eq(revocation.and_then(|revocation| revocation.crl_number)),
            certificates::invalidity_at.eq(revocation.and_then(|revocation| revocation.invalidity_date).map(millis)),
        ))
        .execute(connection)?;
    Ok(updated == 1)
}

fn enqueue(connection: &mut Connection, transition: &Transition) -> Result<(), StoreError> {
    let request = (
        transitions::status.eq(transition.status.code()),
        transitions::version.eq(transition.version),
        transitions::reason.eq(transition.reason.code()),
        transitions::requested_at.eq(millis(transition.requested_on)),
        transitions::job_id.eq(transition.job.map(|id| id.as_bytes().to_vec())),
        transitions::invalidity_at.eq(transition.invalidity_date.map(millis)),
    );
    let upsert = diesel::insert_into(transitions::table)
        .values((
            transitions::certificate_id.eq(transition.certificate.as_bytes().as_slice()),
            transitions::zone_id.eq(transition.zone.as_bytes().as_slice()),
            transitions::authority_id.eq(transition.authority.as_bytes().as_slice()),
            transitions::serial.eq(transition.serial.as_bytes()),
            transitions::not_after.eq(millis(transition.not_after)),
            request.clone(),
        ))
        .on_conflict(transitions::certificate_id)
        .do_update()
        .set(request);
    on_either!(connection, |connection| upsert.execute(connection))?;
    Ok(())
}

fn into_domain(row: TransitionRow) -> Result<Transition, StoreError> {
    Ok(Transition {
        certificate: certificate_id(&row.certificate_id)?,
        zone: zone_id(&row.zone_id)?,
        authority: authority_id(&row.authority_id)?,
        serial: serial(&row.serial)?,
        status: status(row.status)?,
        version: row.version,
        reason: reason(row.reason)?,
        requested_on: time(row.requested_at)?,
        not_after: time(row.not_after)?,
        job: row.job_id.as_deref().map(job_id).transpose()?,
        invalidity_date: row.invalidity_at.map(time).transpose()?,
    })
}
