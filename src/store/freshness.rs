//! How fresh what relying parties see of many zones is, in a few queries for all of them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::dsl::{max, min};
use diesel::prelude::*;

use crate::domain::authority::AuthorityState;
use crate::domain::bulk::JobState;
use crate::domain::id::{AccountId, ZoneId};

use super::Store;
use super::connection::Connection;
use super::convert::{millis, time, zone_id};
use super::error::StoreError;
use super::publications::{self, Publication};
use super::schema::{authorities, bulk_jobs, ocsp_responders, transitions};

/// How fresh what relying parties see of a zone is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    /// Since when the oldest transition waits; where bulk jobs made it, since when the oldest of these was asked for.
    pub waiting_since: Option<DateTime<Utc>>,
    /// Where the authority that signs now has come to.
    pub publication: Option<Publication>,
    /// The end of the certificate that OCSP answers are signed with; none before the first answer.
    pub responder_until: Option<DateTime<Utc>>,
}

/// Jobs whose transitions may wait. What is left of one that was stopped is carried out at once.
const WAITING: [JobState; 2] = [JobState::Running, JobState::Publishing];

/// Zone, id, state, and when the first transition was asked for.
type AuthorityRow = (Option<Vec<u8>>, Vec<u8>, i16, Option<i64>);

struct Signing {
    zone: ZoneId,
    authority: Vec<u8>,
}

impl Store {
    /// How fresh these zones of the account are.
    pub async fn freshness(
        &self,
        account: AccountId,
        zones: Vec<ZoneId>,
        now: DateTime<Utc>,
    ) -> Result<BTreeMap<ZoneId, Freshness>, StoreError> {
        self.read(move |connection| {
            let ids: Vec<Vec<u8>> = zones.iter().map(|zone| zone.as_bytes().to_vec()).collect();
            let mut found: BTreeMap<ZoneId, Freshness> = BTreeMap::new();
            let signing = with_oldest_waiting(connection, account, &ids, &mut found)?;
            with_oldest_job(connection, account, &ids, &mut found)?;

            let active: Vec<&[u8]> = signing.iter().map(|signing| signing.authority.as_slice()).collect();
            let publications = publications::of(connection, &active)?;
            let responders = responders_until(connection, &active, now)?;
            for Signing { zone, authority } in &signing {
                let fresh = found.entry(*zone).or_default();
                fresh.publication =
                    publications.iter().find(|one| one.authority.as_bytes().as_slice() == authority).copied();
                fresh.responder_until = responders.get(authority).copied();
            }
            Ok(found)
        })
        .await
    }
}

/// Looks at each authority's first transition in the index, also of those that sign nothing new; gives those that do.
fn with_oldest_waiting(
    connection: &mut Connection,
    account: AccountId,
    zones: &[Vec<u8>],
    found: &mut BTreeMap<ZoneId, Freshness>,
) -> Result<Vec<Signing>, StoreError> {
    let oldest = transitions::table
        .filter(transitions::authority_id.eq(authorities::id))
        .filter(transitions::job_id.is_null())
        .order(transitions::requested_at)
        .select(transitions::requested_at)
        .single_value();
    let rows: Vec<AuthorityRow> = authorities::table
        .filter(authorities::account_id.eq(account.as_bytes().as_slice()))
        .filter(authorities::zone_id.eq_any(zones))
        .order((authorities::created_at, authorities::id))
        .select((authorities::zone_id, authorities::id, authorities::state, oldest))
        .load(connection)?;
    let mut signing = Vec::new();
    for (zone, authority, state, oldest) in rows {
        let Some(zone) = zone.as_deref().map(zone_id).transpose()? else { continue };
        wait(found.entry(zone).or_default(), oldest)?;
        if state == AuthorityState::Active.code() {
            signing.push(Signing { zone, authority });
        }
    }
    Ok(signing)
}

/// By the job, not by its transitions, of which there may be a million.
fn with_oldest_job(
    connection: &mut Connection,
    account: AccountId,
    zones: &[Vec<u8>],
    found: &mut BTreeMap<ZoneId, Freshness>,
) -> Result<(), StoreError> {
    let rows: Vec<(Vec<u8>, Option<i64>)> = bulk_jobs::table
        .filter(bulk_jobs::account_id.eq(account.as_bytes().as_slice()))
        .filter(bulk_jobs::zone_id.eq_any(zones))
        .filter(bulk_jobs::state.eq_any(WAITING.map(JobState::code)))
        .group_by(bulk_jobs::zone_id)
        .select((bulk_jobs::zone_id, min(bulk_jobs::created_at)))
        .load(connection)?;
    for (zone, oldest) in rows {
        wait(found.entry(zone_id(&zone)?).or_default(), oldest)?;
    }
    Ok(())
}

fn wait(fresh: &mut Freshness, since: Option<i64>) -> Result<(), StoreError> {
    let since = since.map(time).transpose()?;
    fresh.waiting_since = [fresh.waiting_since, since].into_iter().flatten().min();
    Ok(())
}

fn responders_until(
    connection: &mut Connection,
    authorities: &[&[u8]],
    now: DateTime<Utc>,
) -> Result<BTreeMap<Vec<u8>, DateTime<Utc>>, StoreError> {
    let rows: Vec<(Vec<u8>, Option<i64>)> = ocsp_responders::table
        .filter(ocsp_responders::authority_id.eq_any(authorities))
        .filter(ocsp_responders::not_before.le(millis(now)))
        .filter(ocsp_responders::not_after.gt(millis(now)))
        .group_by(ocsp_responders::authority_id)
        .select((ocsp_responders::authority_id, max(ocsp_responders::not_after)))
        .load(connection)?;
    let ends = rows.into_iter().filter_map(|(authority, end)| Some((authority, end?)));
    ends.map(|(authority, end)| Ok((authority, time(end)?))).collect()
}
