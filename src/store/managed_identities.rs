//! Identities whose certificate one of our own zones issues: when each is to be renewed, and which replaced certificates
//! are still to be revoked.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::domain::audit::AuditEvent;
use crate::domain::certificate::Certificate;
use crate::domain::id::{AccountId, CertificateId, IdentityId, ZoneId};
use crate::domain::identity::{Identity, Managed, ManagedPlan};
use crate::domain::reason::RevocationReason;

use super::connection::{Connection, on_either};
use super::convert::{certificate_id, from_json, millis, reason, time, to_json, zone_id};
use super::error::StoreError;
use super::identities::{self, IdentityRow, Replacement};
use super::schema::{identities as identities_table, managed_identities, supersessions};
use super::{Store, audit};

/// A certificate that was replaced, and when it is to be revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supersession {
    pub zone: ZoneId,
    pub certificate: CertificateId,
    pub revoke_on: DateTime<Utc>,
    pub reason: RevocationReason,
}

/// A renewal as it is stored: the replacement, and what becomes of the certificate before.
#[derive(Clone)]
pub struct Renewal {
    pub replacement: Replacement,
    pub certificate: CertificateId,
    pub renew_on: DateTime<Utc>,
    pub supersession: Supersession,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = managed_identities)]
pub(super) struct ManagedRow {
    zone_id: Vec<u8>,
    certificate_id: Vec<u8>,
    plan: String,
    renew_at: i64,
}

impl ManagedRow {
    pub(super) fn into_domain(self) -> Result<Managed, StoreError> {
        Ok(Managed {
            zone: zone_id(&self.zone_id)?,
            certificate: certificate_id(&self.certificate_id)?,
            renew_on: time(self.renew_at)?,
            plan: from_json::<ManagedPlan>(&self.plan)?,
        })
    }
}

impl Store {
    /// Managed identities of all accounts whose renewal is due, and which nobody is at; each with how often it was tried.
    pub async fn renewals_due(&self, now: DateTime<Utc>, limit: i64) -> Result<Vec<(Identity, i32)>, StoreError> {
        self.read(move |connection| {
            let rows: Vec<(IdentityRow, ManagedRow, i32)> = managed_identities::table
                .inner_join(identities_table::table)
                .filter(managed_identities::renew_at.le(millis(now)))
                .filter(managed_identities::retry_at.le(millis(now)))
                .order(managed_identities::renew_at)
                .limit(limit)
                .select((IdentityRow::as_select(), ManagedRow::as_select(), managed_identities::attempts))
                .load(connection)?;
            rows.into_iter().map(|(row, managed, attempts)| Ok((row.into_domain(Some(managed))?, attempts))).collect()
        })
        .await
    }

    /// Keeps others, and ourselves, from trying again before `retry_on`; `false` when somebody was faster.
    pub async fn claim_renewal(
        &self,
        account: AccountId,
        id: IdentityId,
        attempts: i32,
        now: DateTime<Utc>,
        retry_on: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let unchanged = managed_identities::table
                .filter(managed_identities::identity_id.eq(id.as_bytes().as_slice()))
                .filter(managed_identities::account_id.eq(account.as_bytes().as_slice()))
                .filter(managed_identities::attempts.eq(attempts))
                // Somebody may have renewed it since it was read, which begins to count anew.
                .filter(managed_identities::renew_at.le(millis(now)))
                .filter(managed_identities::retry_at.le(millis(now)));
            let claimed = diesel::update(unchanged)
                .set((
                    managed_identities::attempts.eq(attempts.saturating_add(1)),
                    managed_identities::retry_at.eq(millis(retry_on)),
                ))
                .execute(connection)?;
            Ok(claimed == 1)
        })
        .await
    }

    /// Puts a renewed certificate in the place of the old one, which is noted for revocation, if the identity still is
    /// of this version; `false` when it is not.
    pub async fn renew_identity(
        &self,
        account: AccountId,
        id: IdentityId,
        version: i32,
        renewal: Renewal,
        event: AuditEvent,
    ) -> Result<bool, StoreError> {
        self.write(move |connection| {
            if !identities::replace(connection, account, id, version, &renewal.replacement)? {
                return Ok(false);
            }
            let managed = managed_identities::table
                .filter(managed_identities::identity_id.eq(id.as_bytes().as_slice()))
                .filter(managed_identities::account_id.eq(account.as_bytes().as_slice()));
            diesel::update(managed)
                .set((
                    managed_identities::certificate_id.eq(renewal.certificate.as_bytes().as_slice()),
                    managed_identities::renew_at.eq(millis(renewal.renew_on)),
                    managed_identities::retry_at.eq(0),
                    managed_identities::attempts.eq(0),
                ))
                .execute(connection)?;
            supersede(connection, &renewal.supersession)?;
            audit::insert(connection, &event)?;
            Ok(true)
        })
        .await
    }

    /// Notes a certificate of a managed identity that nobody presents any more.
    pub async fn supersede(&self, supersession: Supersession) -> Result<(), StoreError> {
        self.write(move |connection| supersede(connection, &supersession)).await
    }

    /// Replaced certificates whose time has come.
    pub async fn supersessions_due(&self, now: DateTime<Utc>, limit: i64) -> Result<Vec<Supersession>, StoreError> {
        self.read(move |connection| {
            let rows: Vec<(Vec<u8>, Vec<u8>, i64, i16)> = supersessions::table
                .filter(supersessions::revoke_at.le(millis(now)))
                .order(supersessions::revoke_at)
                .limit(limit)
                .select((
                    supersessions::zone_id,
                    supersessions::certificate_id,
                    supersessions::revoke_at,
                    supersessions::reason,
                ))
                .load(connection)?;
            let read = |(zone, certificate, revoke_at, code): (Vec<u8>, Vec<u8>, i64, i16)| {
                Ok(Supersession {
                    zone: zone_id(&zone)?,
                    certificate: certificate_id(&certificate)?,
                    revoke_on: time(revoke_at)?,
                    reason: reason(code)?,
                })
            };
            rows.into_iter().map(read).collect()
        })
        .await
    }

    /// Forgets a replaced certificate whose revocation is requested.
    pub async fn forget_supersession(&self, supersession: Supersession) -> Result<(), StoreError> {
        self.write(move |connection| {
            let done = supersessions::table
                .filter(supersessions::certificate_id.eq(supersession.certificate.as_bytes().as_slice()))
                .filter(supersessions::zone_id.eq(supersession.zone.as_bytes().as_slice()));
            diesel::delete(done).execute(connection)?;
            Ok(())
        })
        .await
    }
}

pub(super) fn insert(connection: &mut Connection, identity: &Identity, managed: &Managed) -> Result<(), StoreError> {
    diesel::insert_into(managed_identities::table)
        .values((
            managed_identities::identity_id.eq(identity.id.as_bytes().as_slice()),
            managed_identities::account_id.eq(identity.account.as_bytes().as_slice()),
            managed_identities::zone_id.eq(managed.zone.as_bytes().as_slice()),
            managed_identities::certificate_id.eq(managed.certificate.as_bytes().as_slice()),
            managed_identities::plan.eq(to_json(&managed.plan)?),
            managed_identities::renew_at.eq(millis(managed.renew_on)),
            managed_identities::retry_at.eq(0),
            managed_identities::attempts.eq(0),
        ))
        .execute(connection)?;
    Ok(())
}

/// The plans of an account's managed identities, by the identity's stored id.
pub(super) fn of_account(
    connection: &mut Connection,
    account: AccountId,
) -> Result<HashMap<Vec<u8>, ManagedRow>, StoreError> {
    let rows: Vec<(Vec<u8>, ManagedRow)> = managed_identities::table
        .filter(managed_identities::account_id.eq(account.as_bytes().as_slice()))
        .select((managed_identities::identity_id, ManagedRow::as_select()))
        .load(connection)?;
    Ok(rows.into_iter().collect())
}

/// An identity that goes leaves a certificate that nobody presents any more: it is revoked.
pub(super) fn forget(connection: &mut Connection, identity: &Identity, now: DateTime<Utc>) -> Result<(), StoreError> {
    let Some(plan) = &identity.managed else { return Ok(()) };
    let (account, id) = (identity.account, identity.id);
    let managed = managed_identities::table
        .filter(managed_identities::identity_id.eq(id.as_bytes().as_slice()))
        .filter(managed_identities::account_id.eq(account.as_bytes().as_slice()));
    diesel::delete(managed).execute(connection)?;
    let reason = RevocationReason::CessationOfOperation;
    supersede(connection, &Supersession { zone: plan.zone, certificate: plan.certificate, revoke_on: now, reason })
}

/// An identity must not go on with a certificate that is revoked for good: it is due for another.
pub(super) fn renew_at_once(
    connection: &mut Connection,
    certificate: &Certificate,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let presented = managed_identities::table
        .filter(managed_identities::certificate_id.eq(certificate.id.as_bytes().as_slice()))
        .filter(managed_identities::zone_id.eq(certificate.zone.as_bytes().as_slice()));
    // Whatever kept it waiting is no reason any more.
    let at_once = (
        managed_identities::renew_at.eq(millis(now)),
        managed_identities::retry_at.eq(0),
        managed_identities::attempts.eq(0),
    );
    diesel::update(presented).set(at_once).execute(connection)?;
    Ok(())
}

fn supersede(connection: &mut Connection, supersession: &Supersession) -> Result<(), StoreError> {
    let upsert = diesel::insert_into(supersessions::table)
        .values((
            supersessions::certificate_id.eq(supersession.certificate.as_bytes().as_slice()),
            supersessions::zone_id.eq(supersession.zone.as_bytes().as_slice()),
            supersessions::revoke_at.eq(millis(supersession.revoke_on)),
            supersessions::reason.eq(supersession.reason.code()),
        ))
        .on_conflict_do_nothing();
    on_either!(connection, |connection| upsert.execute(connection))?;
    Ok(())
}
