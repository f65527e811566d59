//! Working on bulk jobs: claims with a lease and a fence, and batches that are written whole or not at all, together with
//! the job's place in its selection. Whatever is interrupted goes on where the last batch ended.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::dsl::{case_when, count_star, exists, select};
use diesel::prelude::*;

use crate::domain::audit::AuditEvent;
use crate::domain::bulk::{Job, JobState, Progress, Selector};
use crate::domain::certificate::Certificate;
use crate::domain::id::{AccountId, CertificateId, JobId, ZoneId};
use crate::domain::reason::RevocationReason;
use crate::domain::status::Status;

use super::bulk_jobs::{ABOUT_KEYS, JobRow, UNFINISHED, own, selector};
use super::compromises::{self, Compromise};
use super::connection::Connection;
use super::convert::{account_id, certificate_id, job_id, millis, status, zone_id};
use super::error::StoreError;
use super::schema::{authorities, bulk_jobs, certificates, transitions};
use super::transitions::{self as requests, RequestedChange};
use super::{Store, audit, bulk_selection, counters};

/// A job that may be gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueJob {
    pub account: AccountId,
    pub zone: ZoneId,
    pub id: JobId,
    /// Whether it is about compromised keys.
    pub spreads_compromise: bool,
    /// How often it was taken up until now.
    pub claims: i64,
}

/// Account, zone, id, whether it is about compromised keys, and its fence.
type DueRow = (Vec<u8>, Vec<u8>, Vec<u8>, bool, i64);

/// A job that we alone work on until the lease is over.
#[derive(Clone)]
pub struct ClaimedJob {
    pub job: Job,
    pub selector: Selector,
    /// How often in a row it could not be gone on with.
    pub attempts: i32,
    /// The certificate that was looked at last.
    last: Option<CertificateId>,
    /// What is written under an older one is refused.
    fence: i64,
}

/// What was decided about the next certificates of a job.
#[derive(Clone, Default)]
pub struct Batch {
    /// As they were read, in order: the decision holds only while they stand so.
    pub read: Vec<(CertificateId, Status, i32)>,
    pub changes: Vec<RequestedChange>,
    /// Further acts: refusals, and compromises noted of what is revoked already.
    pub events: Vec<AuditEvent>,
    pub compromise: Option<Compromise>,
    pub progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Done,
    /// A certificate was changed by somebody else since it was read. Nothing was written: read again and decide anew.
    Overtaken,
    /// The job was cancelled, or somebody else has taken it over. Nothing was written.
    Lost,
}

impl Store {
    /// Unfinished jobs of all zones that may be gone on with and that nobody is at, oldest first. Zones where more than
    /// `most_waiting` transitions of jobs wait for their CRLs are passed over. No lease and no pause reaches beyond
    /// `latest`: what does was set by a clock that ran ahead.
    pub async fn jobs_due(
        &self,
        now: DateTime<Utc>,
        latest: DateTime<Utc>,
        most_waiting: i64,
    ) -> Result<Vec<DueJob>, StoreError> {
        self.read(move |connection| {
            let behind: Vec<Vec<u8>> = transitions::table
                .filter(transitions::job_id.is_not_null())
                .group_by(transitions::zone_id)
                .having(count_star().gt(most_waiting))
                .select(transitions::zone_id)
                .load(connection)?;
            let lease_is_over = bulk_jobs::lease_until.le(millis(now)).or(bulk_jobs::lease_until.gt(millis(latest)));
            let pause_is_over = bulk_jobs::retry_at.le(millis(now)).or(bulk_jobs::retry_at.gt(millis(latest)));
            // The reason is looked at first: what others select may be a long text.
            let compromise = bulk_jobs::reason.eq(RevocationReason::KeyCompromise.code());
            let is_about_keys = case_when(compromise, bulk_jobs::selector.like(ABOUT_KEYS)).otherwise(false);
            let rows: Vec<DueRow> = bulk_jobs::table
                .filter(bulk_jobs::state.eq_any(UNFINISHED.map(JobState::code)))
                .filter(bulk_jobs::zone_id.ne_all(behind))
                .filter(lease_is_over)
                .filter(pause_is_over)
                .order(bulk_jobs::id)
                .select((bulk_jobs::account_id, bulk_jobs::zone_id, bulk_jobs::id, is_about_keys, bulk_jobs::fence))
                .load(connection)?;
            let due = rows.iter().map(|(account, zone, id, spreads_compromise, claims)| {
                Ok(DueJob {
                    account: account_id(account)?,
                    zone: zone_id(zone)?,
                    id: job_id(id)?,
                    spreads_compromise: *spreads_compromise,
                    claims: *claims,
                })
            });
            due.collect()
        })
        .await
    }

    /// How many transitions that jobs asked for wait for a CRL of the zone's authorities.
    pub async fn waiting_of_jobs(&self, zone: ZoneId) -> Result<i64, StoreError> {
        self.read(move |connection| {
            let of_zone: Vec<Vec<u8>> = authorities::table
                .filter(authorities::zone_id.eq(zone.as_bytes().as_slice()))
                .select(authorities::id)
                .load(connection)?;
            Ok(transitions::table
                .filter(transitions::authority_id.eq_any(of_zone))
                .filter(transitions::job_id.is_not_null())
                .select(count_star())
                .first(connection)?)
        })
        .await
    }

    /// Takes a job until `until`; `None` when somebody is at it, or it is not to be worked on any more.
    pub async fn claim_job(
        &self,
        zone: ZoneId,
        id: JobId,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Option<ClaimedJob>, StoreError> {
        self.write(move |connection| {
            let is_free = bulk_jobs::lease_until.le(millis(now)).or(bulk_jobs::lease_until.gt(millis(until)));
            let free = own(zone, id).filter(bulk_jobs::state.eq_any(UNFINISHED.map(JobState::code))).filter(is_free);
            let claimed = diesel::update(free)
                .set((
                    bulk_jobs::state.eq(JobState::Running.code()),
                    bulk_jobs::lease_until.eq(millis(until)),
                    bulk_jobs::fence.eq(bulk_jobs::fence + 1),
                ))
                .execute(connection)?;
            if claimed == 0 {
                return Ok(None);
            }
            let is_new = own(zone, id).filter(bulk_jobs::started_at.is_null());
            diesel::update(is_new).set(bulk_jobs::started_at.eq(millis(now))).execute(connection)?;
            let columns = (
                JobRow::as_select(),
                bulk_jobs::selector,
                bulk_jobs::attempts,
                bulk_jobs::last_certificate,
                bulk_jobs::fence,
            );
            let (row, text, attempts, last, fence): (JobRow, String, i32, Option<Vec<u8>>, i64) =
                own(zone, id).select(columns).first(connection)?;
            let last = last.as_deref().map(certificate_id).transpose()?;
            Ok(Some(ClaimedJob { job: row.into_domain()?, selector: selector(&text)?, attempts, last, fence }))
        })
        .await
    }

    /// The next certificates of a job; none when it has come to the end of its selection.
    pub async fn next_of_job(&self, claimed: ClaimedJob, limit: usize) -> Result<Vec<Certificate>, StoreError> {
        self.read(move |connection| {
            bulk_selection::next(connection, claimed.job.zone, &claimed.selector, claimed.last, limit)
        })
        .await
    }

    /// Stores a batch, moves the job on behind it, and lets the job go.
    pub async fn advance_job(&self, claimed: ClaimedJob, batch: Batch) -> Result<Step, StoreError> {
        self.write(move |connection| {
            if !stand_as_read(connection, claimed.job.zone, &batch.read)? {
                return Ok(Step::Overtaken);
            }
            if let Some(compromise) = &batch.compromise
                && !compromises::reach_all_zones(connection, compromise)?
            {
                return Ok(Step::Overtaken);
            }
            if !move_on(connection, &claimed, &batch)? {
                return Ok(Step::Lost);
            }
            for change in &batch.changes {
                if !requests::request(connection, change)? {
                    // Not after they were compared in this very transaction; an error takes back the whole batch.
                    return Err(StoreError::Unavailable("a certificate was changed under a batch".into()));
                }
            }
            for ((from, to), count) in shifts(&batch.changes) {
                counters::shift_many(connection, claimed.job.zone, from, to, count)?;
            }
            if let Some(compromise) = &batch.compromise {
                compromises::insert(connection, compromise)?;
            }
            batch.events.iter().try_for_each(|event| audit::insert(connection, event))?;
            Ok(Step::Done)
        })
        .await
    }

    /// Ends the work on a job whose selection has come to its end; its transitions may still wait. A status in a filter is
    /// that of the moment, so only now it is certain how many there were.
    pub async fn end_job(&self, claimed: ClaimedJob) -> Result<(), StoreError> {
        self.write(move |connection| {
            diesel::update(ours(&claimed))
                .set((
                    bulk_jobs::state.eq(JobState::Publishing.code()),
                    bulk_jobs::total.eq(bulk_jobs::processed),
                    bulk_jobs::lease_until.eq(0),
                    bulk_jobs::attempts.eq(0),
                ))
                .execute(connection)?;
            Ok(())
        })
        .await
    }

    /// Lets a job go that could not be gone on with: until `retry_on`, or for good where `failure` says why.
    pub async fn postpone_job(
        &self,
        claimed: ClaimedJob,
        retry_on: DateTime<Utc>,
        failure: Option<(String, DateTime<Utc>)>,
    ) -> Result<(), StoreError> {
        self.write(move |connection| {
            diesel::update(ours(&claimed))
                .set((
                    bulk_jobs::attempts.eq(claimed.attempts.saturating_add(1)),
                    bulk_jobs::retry_at.eq(millis(retry_on)),
                    bulk_jobs::lease_until.eq(0),
                ))
                .execute(connection)?;
            if let Some((why, now)) = &failure {
                diesel::update(ours(&claimed))
                    .set((
                        bulk_jobs::state.eq(JobState::Failed.code()),
                        bulk_jobs::failure.eq(why),
                        bulk_jobs::finished_at.eq(millis(*now)),
                    ))
                    .execute(connection)?;
            }
            Ok(())
        })
        .await
    }

    /// Jobs of all zones whose certificates were all asked, and of which nothing waits for a CRL any more.
    pub async fn published_jobs(&self) -> Result<Vec<(ZoneId, JobId)>, StoreError> {
        self.read(|connection| {
            let rows: Vec<(Vec<u8>, Vec<u8>)> = bulk_jobs::table
                .filter(bulk_jobs::state.eq(JobState::Publishing.code()))
                .select((bulk_jobs::zone_id, bulk_jobs::id))
                .load(connection)?;
            let mut published = Vec::new();
            for (zone, id) in &rows {
                let waits = transitions::table.filter(transitions::job_id.eq(id));
                if !select(exists(waits)).get_result::<bool>(connection)? {
                    published.push((zone_id(zone)?, job_id(id)?));
                }
            }
            Ok(published)
        })
        .await
    }

    /// Notes that relying parties can see all that a job did.
    pub async fn complete_job(&self, zone: ZoneId, id: JobId, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.write(move |connection| {
            diesel::update(own(zone, id).filter(bulk_jobs::state.eq(JobState::Publishing.code())))
                .set((bulk_jobs::state.eq(JobState::Completed.code()), bulk_jobs::finished_at.eq(millis(now))))
                .execute(connection)?;
            Ok(())
        })
        .await
    }
}

/// Frees every job. Only for whoever holds the database alone.
pub(super) fn release_all(connection: &mut Connection) -> Result<(), StoreError> {
    diesel::update(bulk_jobs::table).set(bulk_jobs::lease_until.eq(0)).execute(connection)?;
    Ok(())
}

#[diesel::dsl::auto_type(no_type_alias)]
fn ours(claimed: &ClaimedJob) -> _ {
    let zone: Vec<u8> = claimed.job.zone.as_bytes().to_vec();
    let id: Vec<u8> = claimed.job.id.as_bytes().to_vec();
    let fence: i64 = claimed.fence;
    let running: i16 = JobState::code(JobState::Running);
    bulk_jobs::table
        .filter(bulk_jobs::zone_id.eq(zone))
        .filter(bulk_jobs::id.eq(id))
        .filter(bulk_jobs::fence.eq(fence))
        .filter(bulk_jobs::state.eq(running))
}

fn stand_as_read(
    connection: &mut Connection,
    zone: ZoneId,
    read: &[(CertificateId, Status, i32)],
) -> Result<bool, StoreError> {
    let ids: Vec<&[u8]> = read.iter().map(|(id, ..)| id.as_bytes().as_slice()).collect();
    let rows: Vec<(Vec<u8>, i16, i32)> = certificates::table
        .filter(certificates::zone_id.eq(zone.as_bytes().as_slice()))
        .filter(certificates::id.eq_any(ids))
        .order(certificates::id)
        .select((certificates::id, certificates::status, certificates::version))
        .load(connection)?;
    let now: Result<Vec<_>, StoreError> =
        rows.iter().map(|(id, code, version)| Ok((certificate_id(id)?, status(*code)?, *version))).collect();
    Ok(now? == read)
}

fn move_on(connection: &mut Connection, claimed: &ClaimedJob, batch: &Batch) -> Result<bool, StoreError> {
    let progress = batch.progress;
    let last = batch.read.last().map(|(id, ..)| *id).or(claimed.last);
    let updated = diesel::update(ours(claimed))
        .set((
            bulk_jobs::processed.eq(bulk_jobs::processed + progress.processed),
            bulk_jobs::changed.eq(bulk_jobs::changed + progress.changed),
            bulk_jobs::unchanged.eq(bulk_jobs::unchanged + progress.unchanged),
            bulk_jobs::refused.eq(bulk_jobs::refused + progress.refused),
            bulk_jobs::last_certificate.eq(last.map(|id| id.as_bytes().to_vec())),
            bulk_jobs::lease_until.eq(0),
            bulk_jobs::attempts.eq(0),
        ))
        .execute(connection)?;
    Ok(updated == 1)
}

fn shifts(changes: &[RequestedChange]) -> HashMap<(Status, Status), i64> {
    let mut shifts = HashMap::new();
    for change in changes {
        *shifts.entry((change.was.status, change.requested.status)).or_default() += 1;
    }
    shifts
}
