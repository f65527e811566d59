//! Compromised keys: blocked, and whatever else in the account holds one is revoked too, by a bulk job for each zone. All in
//! the transaction that records the compromise.

use std::collections::BTreeSet;

use diesel::prelude::*;

use crate::domain::audit::AuditEvent;
use crate::domain::bulk::{Job, Selector};
use crate::domain::id::{AccountId, ZoneId};
use crate::domain::reason::RevocationReason;

use super::blocked_keys::{self, BlockedKey};
use super::bulk_jobs::{self, NewJob};
use super::connection::Connection;
use super::convert::zone_id;
use super::error::StoreError;
use super::schema::{certificates, zones};
use super::{Store, audit, bulk_selection};

/// Keys of an account that were reported compromised.
#[derive(Clone)]
pub struct Compromise {
    pub account: AccountId,
    pub keys: Vec<BlockedKey>,
    /// One for each zone of the account: what revokes the other certificates there, if there are any.
    pub jobs: Vec<KeyJob>,
}

/// A job that still lacks its keys.
#[derive(Clone)]
pub struct KeyJob {
    pub job: Job,
    pub event: AuditEvent,
}

impl Store {
    /// Records a compromise that changes no certificate's status, without an event where it was known before; `false`, and
    /// nothing written, when the account has got another zone since the jobs were made.
    pub async fn note_compromise(&self, compromise: Compromise, event: Option<AuditEvent>) -> Result<bool, StoreError> {
        self.write(move |connection| {
            if !reach_all_zones(connection, &compromise)? {
                return Ok(false);
            }
            insert(connection, &compromise)?;
            event.iter().try_for_each(|event| audit::insert(connection, event))?;
            Ok(true)
        })
        .await
    }
}

/// Whether there is a job for every zone that the account has now. To be asked before anything is written.
pub(super) fn reach_all_zones(connection: &mut Connection, compromise: &Compromise) -> Result<bool, StoreError> {
    let ids: Vec<Vec<u8>> = zones::table
        .filter(zones::account_id.eq(compromise.account.as_bytes().as_slice()))
        .select(zones::id)
        .load(connection)?;
    let reached: BTreeSet<ZoneId> = compromise.jobs.iter().map(|prepared| prepared.job.zone).collect();
    let now = ids.iter().map(|id| zone_id(id)).collect::<Result<BTreeSet<_>, _>>()?;
    Ok(now.is_subset(&reached))
}

/// Blocks the keys, and queues the jobs of those zones where a certificate that is not finally revoked holds one of them.
/// To be called after the certificates that were reported have been changed.
pub(super) fn insert(connection: &mut Connection, compromise: &Compromise) -> Result<(), StoreError> {
    for key in &compromise.keys {
        blocked_keys::insert(connection, key)?;
    }
    for prepared in &compromise.jobs {
        let zone = prepared.job.zone;
        let mut keys = held(connection, zone, &compromise.keys)?;
        if keys.is_empty() {
            continue;
        }
        for known in bulk_jobs::unfinished_keys(connection, zone)? {
            keys.remove(&known);
        }
        if keys.is_empty() {
            continue;
        }
        let selector = Selector::Keys(keys.into_iter().collect());
        let job = Job { total: bulk_selection::count(connection, zone, &selector)?, ..prepared.job.clone() };
        bulk_jobs::insert(connection, &NewJob { job, selector, event: prepared.event.clone() })?;
    }
    Ok(())
}

/// Which of the keys a certificate of the zone holds that could still be relied on, now or after a hold.
fn held(connection: &mut Connection, zone: ZoneId, keys: &[BlockedKey]) -> Result<BTreeSet<Vec<u8>>, StoreError> {
    let keys: Vec<&[u8]> = keys.iter().map(|key| key.spki_sha256.as_slice()).collect();
    let held: Vec<Vec<u8>> = certificates::table
        .filter(certificates::zone_id.eq(zone.as_bytes().as_slice()))
        .filter(certificates::spki_sha256.eq_any(keys))
        .filter(
            certificates::revocation_reason
                .is_null()
                .or(certificates::revocation_reason.eq(RevocationReason::CertificateHold.code())),
        )
        .select(certificates::spki_sha256)
        .distinct()
        .load(connection)?;
    Ok(held.into_iter().collect())
}
