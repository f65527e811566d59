//! CRLs: what they list, the leases of those who publish them, and the one transaction that publishes.
//!
//! The `revocations` of an authority are exactly what its last stored CRL lists (but for entries that have left it
//! after their end). Both change only in [`Store::publish`], together with the statuses that the CRL makes visible.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use crate::domain::audit::AuditEvent;
use crate::domain::authority::Crl;
use crate::domain::id::{AuthorityId, CertificateId, ZoneId};
use crate::domain::reason::RevocationReason;
use crate::domain::serial::SerialNumber;
use crate::domain::status::settled;
use crate::domain::transition::Transition;

use super::connection::Connection;
use super::convert::{authority_id, certificate_id, millis, reason, serial, time, zone_id};
use super::error::StoreError;
use super::schema::{certificates, crl_changes, crls, publications, revocations, transitions};
use super::{Store, audit, check_runs, counters};

/// Where an authority's publishing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publication {
    pub authority: AuthorityId,
    /// The number of its last CRL.
    pub number: i64,
    pub this_update: DateTime<Utc>,
    pub next_update: DateTime<Utc>,
    /// How often publishing has failed in a row.
    pub attempts: i32,
    /// Not to be tried again before.
    pub retry_at: DateTime<Utc>,
}

/// The right to publish for an authority, as long as nobody else has taken a higher fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub authority: AuthorityId,
    /// Grows with every claim; a publication under an older one is refused.
    pub fence: i64,
    pub until: DateTime<Utc>,
}

/// One entry of an authority's revocations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedRevocation {
    pub serial: SerialNumber,
    pub certificate: CertificateId,
    pub zone: ZoneId,
    pub reason: RevocationReason,
    pub revoked_on: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
}

/// A transition that a CRL carries out.
#[derive(Clone, Debug)]
pub struct CarriedOut {
    pub transition: Transition,
    /// The revocationDate on the CRL; none when it is listed no more.
    pub revoked_on: Option<DateTime<Utc>>,
    pub event: AuditEvent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    /// The CRL is durable, and every transition that still stood is finished.
    Published { finished: usize },
    /// The lease was lost or another CRL was stored meanwhile. Nothing was written.
    LeaseLost,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = publications)]
struct PublicationRow {
    authority_id: Vec<u8>,
    number: i64,
    this_update: i64,
    next_update: i64,
    attempts: i32,
    retry_at: i64,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = revocations)]
struct RevocationRow {
    serial: Vec<u8>,
    certificate_id: Vec<u8>,
    zone_id: Vec<u8>,
    reason: i16,
    revoked_at: i64,
    not_after: i64,
}

impl Store {
    /// The last CRL of an authority.
    pub async fn latest_crl(&self, authority: AuthorityId) -> Result<Option<Crl>, StoreError> {
        self.read(move |connection| {
            let row: Option<(i64, i64, i64, Vec<u8>)> = crls::table
                .filter(crls::authority_id.eq(authority.as_bytes().as_slice()))
                .order(crls::number.desc())
                .select((crls::number, crls::this_update, crls::next_update, crls::head))
                .first(connection)
                .optional()?;
            let crl = |(number, this_update, next_update, der)| {
                Ok(Crl { authority, number, this_update: time(this_update)?, next_update: time(next_update)?, der })
            };
            row.map(crl).transpose()
        })
        .await
    }

    /// Where publishing stands, for one authority.
    pub async fn publication(&self, authority: AuthorityId) -> Result<Option<Publication>, StoreError> {
        self.read(move |connection| {
            let row = publications::table
                .find(authority.as_bytes().as_slice())
                .select(PublicationRow::as_select())
                .first(connection);
            row.optional()?.map(into_publication).transpose()
        })
        .await
    }

    /// Where publishing stands, for all authorities.
    pub async fn publications(&self) -> Result<Vec<Publication>, StoreError> {
        self.read(|connection| {
            let rows: Vec<PublicationRow> = publications::table.select(PublicationRow::as_select()).load(connection)?;
            rows.into_iter().map(into_publication).collect()
        })
        .await
    }

    /// Claims or prolongs the lease; `None` while somebody else holds it.
    pub async fn claim_lease(
        &self,
        authority: AuthorityId,
        owner: Uuid,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Option<Lease>, StoreError> {
        self.write(move |connection| {
            // A lease that reaches further than leases do was made before the clock was set back.
            let is_over = publications::lease_until.lt(millis(now)).or(publications::lease_until.gt(millis(until)));
            let free_or_ours = publications::table
                .find(authority.as_bytes().as_slice())
                .filter(is_over.or(publications::lease_owner.eq(owner.as_bytes().as_slice())));
            let fence: Option<i64> = diesel::update(free_or_ours)
                .set((
                    publications::lease_owner.eq(Some(owner.as_bytes().as_slice())),
                    publications::lease_until.eq(millis(until)),
                    publications::fence.eq(publications::fence + 1),
                ))
                .returning(publications::fence)
                .get_result(connection)
                .optional()?;
            Ok(fence.map(|fence| Lease { authority, fence, until }))
        })
        .await
    }

    /// Frees every lease. Only for whoever holds the database alone: leases of a killed process then need not run out.
    pub async fn release_leases(&self) -> Result<(), StoreError> {
        self.write(|connection| {
            diesel::update(publications::table).set(publications::lease_until.eq(0)).execute(connection)?;
            check_runs::release_all(connection)
        })
        .await
    }

    /// Notes a failed attempt: nobody tries again before `retry_at`.
    pub async fn postpone_publication(
        &self,
        authority: AuthorityId,
        retry_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.write(move |connection| {
            diesel::update(publications::table.find(authority.as_bytes().as_slice()))
                .set((
                    publications::attempts.eq(publications::attempts + 1),
                    publications::retry_at.eq(millis(retry_at)),
                ))
                .execute(connection)?;
            Ok(())
        })
        .await
    }

    /// What the authority's last CRL lists, without entries whose certificates ended before `listed_past_end`:
    /// they have been on a CRL after their end and may leave it (RFC 5280, 3.3).
    pub async fn revocations(
        &self,
        authority: AuthorityId,
        listed_past_end: DateTime<Utc>,
    ) -> Result<Vec<PublishedRevocation>, StoreError> {
        self.read(move |connection| {
            let rows: Vec<RevocationRow> = revocations::table
                .filter(revocations::authority_id.eq(authority.as_bytes().as_slice()))
                .filter(revocations::not_after.ge(millis(listed_past_end)))
                .order(revocations::serial)
                .select(RevocationRow::as_select())
                .load(connection)?;
            rows.into_iter().map(into_revocation).collect()
        })
        .await
    }

    /// Stores a CRL and, in the same transaction, everything that it makes visible: the revocations it lists or lists
    /// no more, the statuses, receipts and audit events of the transitions it carries out.
    ///
    /// A transition that was replaced while the CRL was being signed stays queued, and its certificate keeps its
    /// newer pending status; the next CRL brings it.
    pub async fn publish(
        &self,
        lease: Lease,
        crl: Crl,
        carried_out: Vec<CarriedOut>,
        event: AuditEvent,
    ) -> Result<PublishOutcome, StoreError> {
        self.write(move |connection| {
            if !advance(connection, &lease, &crl)? {
                return Ok(PublishOutcome::LeaseLost);
            }
            diesel::delete(crls::table.filter(crls::authority_id.eq(crl.authority.as_bytes().as_slice())))
                .execute(connection)?;
            insert(connection, &crl)?;
            let mut finished = 0;
            for done in &carried_out {
                relist(connection, done, crl.number)?;
                if settle(connection, done, &crl)? {
                    audit::insert(connection, &done.event)?;
                    finished += 1;
                }
            }
            audit::insert(connection, &event)?;
            Ok(PublishOutcome::Published { finished })
        })
        .await
    }
}

/// An authority's very first CRL, made with the authority itself.
pub(super) fn insert_first(connection: &mut Connection, crl: &Crl) -> Result<(), StoreError> {
    diesel::insert_into(publications::table)
        .values((
            publications::authority_id.eq(crl.authority.as_bytes().as_slice()),
            publications::number.eq(crl.number),
            publications::this_update.eq(millis(crl.this_update)),
            publications::next_update.eq(millis(crl.next_update)),
            publications::lease_until.eq(0),
            publications::fence.eq(0),
            publications::attempts.eq(0),
            publications::retry_at.eq(0),
        ))
        .execute(connection)?;
    insert(connection, crl)
}

fn insert(connection: &mut Connection, crl: &Crl) -> Result<(), StoreError> {
    diesel::insert_into(crls::table)
        .values((
            crls::authority_id.eq(crl.authority.as_bytes().as_slice()),
            crls::number.eq(crl.number),
            crls::this_update.eq(millis(crl.this_update)),
            crls::next_update.eq(millis(crl.next_update)),
            crls::scope.eq(-1),
            crls::is_whole.eq(true),
            crls::head.eq(&crl.der),
            crls::tail.eq(Vec::new()),
            crls::entries_length.eq(0),
            crls::entries_sha256.eq(Vec::new()),
        ))
        .execute(connection)?;
    Ok(())
}

/// Moves the authority on to this CRL, if the lease still holds and the number is the next one.
fn advance(connection: &mut Connection, lease: &Lease, crl: &Crl) -> Result<bool, StoreError> {
    let still_ours = publications::table
        .find(lease.authority.as_bytes().as_slice())
        .filter(publications::fence.eq(lease.fence))
        .filter(publications::number.eq(crl.number - 1));
    let updated = diesel::update(still_ours)
        .set((
            publications::number.eq(crl.number),
            publications::this_update.eq(millis(crl.this_update)),
            publications::next_update.eq(millis(crl.next_update)),
            publications::attempts.eq(0),
            publications::retry_at.eq(0),
        ))
        .execute(connection)?;
    Ok(updated == 1)
}

/// Brings the list in line with what the CRL says, whether or not the transition still stands.
fn relist(connection: &mut Connection, done: &CarriedOut, number: i64) -> Result<(), StoreError> {
    let transition = &done.transition;
    diesel::insert_into(crl_changes::table)
        .values((
            crl_changes::authority_id.eq(transition.authority.as_bytes().as_slice()),
            crl_changes::number.eq(number),
            crl_changes::serial.eq(transition.serial.as_bytes()),
            crl_changes::reason.eq(done.revoked_on.map(|_| transition.reason.code())),
            crl_changes::revoked_at.eq(done.revoked_on.map(millis)),
        ))
        .execute(connection)?;
    let key = (transition.authority.as_bytes().as_slice(), 0, transition.serial.as_bytes());
    let Some(revoked_on) = done.revoked_on else {
        diesel::delete(revocations::table.find(key)).execute(connection)?;
        return Ok(());
    };
    let as_listed = (revocations::reason.eq(transition.reason.code()), revocations::revoked_at.eq(millis(revoked_on)));
    diesel::insert_into(revocations::table)
        .values((
            revocations::authority_id.eq(key.0),
            revocations::shard.eq(0),
            revocations::serial.eq(key.2),
            revocations::is_listed.eq(true),
            revocations::certificate_id.eq(transition.certificate.as_bytes().as_slice()),
            revocations::zone_id.eq(transition.zone.as_bytes().as_slice()),
            revocations::not_after.eq(millis(transition.not_after)),
            as_listed,
        ))
        .on_conflict((revocations::authority_id, revocations::shard, revocations::serial))
        .do_update()
        .set(as_listed)
        .execute(connection)?;
    Ok(())
}

/// Gives the certificate its settled status and its receipt, and ends the transition, unless it was replaced.
fn settle(connection: &mut Connection, done: &CarriedOut, crl: &Crl) -> Result<bool, StoreError> {
    let transition = &done.transition;
    let status = settled(transition.status);
    let as_requested = certificates::table
        .filter(certificates::zone_id.eq(transition.zone.as_bytes().as_slice()))
        .filter(certificates::id.eq(transition.certificate.as_bytes().as_slice()))
        .filter(certificates::status.eq(transition.status.code()))
        .filter(certificates::version.eq(transition.version));
    let receipt = (
        certificates::status.eq(status.code()),
        certificates::version.eq(certificates::version + 1),
        certificates::receipt_status.eq(Some(status.code())),
        certificates::receipt_crl_number.eq(Some(crl.number)),
        certificates::receipt_published_at.eq(Some(millis(crl.this_update))),
    );
    let updated = if let Some(revoked_on) = done.revoked_on {
        diesel::update(as_requested)
            .set((
                receipt,
                certificates::revoked_at.eq(Some(millis(revoked_on))),
                certificates::revocation_crl_number.eq(Some(crl.number)),
            ))
            .execute(connection)?
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
            .execute(connection)?
    };
    if updated == 0 {
        return Ok(false);
    }
    counters::shift(connection, transition.zone, transition.status, status)?;
    let done = transitions::table
        .find(transition.certificate.as_bytes().as_slice())
        .filter(transitions::version.eq(transition.version));
    diesel::delete(done).execute(connection)?;
    Ok(true)
}

fn into_publication(row: PublicationRow) -> Result<Publication, StoreError> {
    Ok(Publication {
        authority: authority_id(&row.authority_id)?,
        number: row.number,
        this_update: time(row.this_update)?,
        next_update: time(row.next_update)?,
        attempts: row.attempts,
        retry_at: time(row.retry_at)?,
    })
}

fn into_revocation(row: RevocationRow) -> Result<PublishedRevocation, StoreError> {
    Ok(PublishedRevocation {
        serial: serial(&row.serial)?,
        certificate: certificate_id(&row.certificate_id)?,
        zone: zone_id(&row.zone_id)?,
        reason: reason(row.reason)?,
        revoked_on: time(row.revoked_at)?,
        not_after: time(row.not_after)?,
    })
}
