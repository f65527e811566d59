//! Bulk jobs: making, showing and stopping them. Working on them is in `bulk_work`.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::dsl::{count_star, exists, select, sql};
use diesel::prelude::*;
use diesel::sql_types::Bool;
use serde_json::Value;

use crate::domain::audit::{Actor, ActorKind, AuditEvent};
use crate::domain::bulk::{Filter, Job, JobState, Progress, Selector, Wish};
use crate::domain::id::{JobId, ZoneId};
use crate::domain::reason::RevocationReason;

use super::certificates::{Page, Window};
use super::connection::Connection;
use super::convert::{account_id, damaged, from_json, job_id, millis, reason, time, token_id, zone_id};
use super::error::StoreError;
use super::schema::{bulk_jobs, transitions};
use super::{Store, audit};

const REVOKE: i16 = 0;
const REACTIVATE: i16 = 1;

/// A job to be stored.
#[derive(Clone)]
pub struct NewJob {
    pub job: Job,
    pub selector: Selector,
    pub event: AuditEvent,
}

/// A job with what is only known at the moment of looking.
#[derive(Clone, Debug)]
pub struct ShownJob {
    pub job: Job,
    /// What was selected, where a filter says it; long lists of ids are not read for this.
    pub filter: Option<Filter>,
    /// How many of its transitions wait for their CRL.
    pub waiting: i64,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = bulk_jobs)]
pub(super) struct JobRow {
    id: Vec<u8>,
    account_id: Vec<u8>,
    zone_id: Vec<u8>,
    action: i16,
    reason: Option<i16>,
    invalidity_at: Option<i64>,
    state: i16,
    total: i64,
    processed: i64,
    changed: i64,
    unchanged: i64,
    refused: i64,
    actor_token_id: Option<Vec<u8>>,
    actor_name: String,
    source: String,
    failure: Option<String>,
    created_at: i64,
    started_at: Option<i64>,
    finished_at: Option<i64>,
}

impl Store {
    /// Stores a job; `false` when the zone has as many unfinished ones as `limit` already.
    pub async fn create_job(&self, new: NewJob, limit: i64) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let unfinished: i64 = unfinished(new.job.zone).count().get_result(connection)?;
            if unfinished >= limit {
                return Ok(false);
            }
            insert(connection, &new)?;
            Ok(true)
        })
        .await
    }

    /// How many jobs of a zone have certificates left to look at.
    pub async fn unfinished_jobs(&self, zone: ZoneId) -> Result<i64, StoreError> {
        self.read(move |connection| Ok(unfinished(zone).count().get_result(connection)?)).await
    }

    /// Whether an unfinished job is about compromised keys.
    pub async fn is_spreading_compromise(&self, zone: ZoneId, id: JobId) -> Result<bool, StoreError> {
        self.read(move |connection| {
            let job = unfinished(zone).filter(bulk_jobs::id.eq(id.as_bytes().as_slice()));
            let about_keys = job.filter(bulk_jobs::selector.like(ABOUT_KEYS));
            Ok(select(exists(about_keys)).get_result(connection)?)
        })
        .await
    }

    /// Jobs of a zone, newest first.
    pub async fn jobs(&self, zone: ZoneId, window: Window) -> Result<Page<ShownJob>, StoreError> {
        self.read(move |connection| {
            let of_zone = || bulk_jobs::table.filter(bulk_jobs::zone_id.eq(zone.as_bytes().as_slice()));
            let rows: Vec<JobRow> = of_zone()
                .order(bulk_jobs::id.desc())
                .offset(window.offset)
                .limit(window.length)
                .select(JobRow::as_select())
                .load(connection)?;
            Ok(Page { items: shown(connection, zone, rows)?, total: of_zone().count().get_result(connection)? })
        })
        .await
    }

    /// One job of a zone.
    pub async fn job(&self, zone: ZoneId, id: JobId) -> Result<Option<ShownJob>, StoreError> {
        self.read(move |connection| {
            let row: Option<JobRow> = own(zone, id).select(JobRow::as_select()).first(connection).optional()?;
            Ok(shown(connection, zone, row.into_iter().collect())?.pop())
        })
        .await
    }

    /// Stops an unfinished job, also under whoever works on it: what is written under an older fence is refused. `false`
    /// when it is finished, or there is none.
    pub async fn cancel_job(
        &self,
        zone: ZoneId,
        id: JobId,
        now: DateTime<Utc>,
        event: AuditEvent,
    ) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let cancelled =
                diesel::update(own(zone, id).filter(bulk_jobs::state.eq_any(UNFINISHED.map(JobState::code))))
                    .set((
                        bulk_jobs::state.eq(JobState::Cancelled.code()),
                        bulk_jobs::finished_at.eq(millis(now)),
                        bulk_jobs::lease_until.eq(0),
                        bulk_jobs::fence.eq(bulk_jobs::fence + 1),
                    ))
                    .execute(connection)?;
            if cancelled == 1 {
                audit::insert(connection, &event)?;
            }
            Ok(cancelled == 1)
        })
        .await
    }

    /// Forgets jobs of all zones that ended before `oldest`.
    pub async fn forget_jobs(&self, oldest: DateTime<Utc>) -> Result<usize, StoreError> {
        self.write(move |connection| {
            let old = bulk_jobs::table.filter(bulk_jobs::finished_at.lt(millis(oldest)));
            Ok(diesel::delete(old).execute(connection)?)
        })
        .await
    }
}

/// How what a job for compromised keys selects is written.
pub(super) const ABOUT_KEYS: &str = "{\"keys\":%";
pub(super) const UNFINISHED: [JobState; 2] = [JobState::Queued, JobState::Running];

pub(super) fn insert(connection: &mut Connection, new: &NewJob) -> Result<(), StoreError> {
    let job = &new.job;
    let (action, reason, invalidity_date) = match job.wish {
        Wish::Revoke { reason, invalidity_date } => (REVOKE, reason, invalidity_date),
        Wish::Reactivate => (REACTIVATE, None, None),
    };
    let (token, name) = (job.actor.kind.token(), job.actor.kind.name());
    diesel::insert_into(bulk_jobs::table)
        .values((
            bulk_jobs::id.eq(job.id.as_bytes().as_slice()),
            bulk_jobs::account_id.eq(job.account.as_bytes().as_slice()),
            bulk_jobs::zone_id.eq(job.zone.as_bytes().as_slice()),
            (
                bulk_jobs::action.eq(action),
                bulk_jobs::reason.eq(reason.map(RevocationReason::code)),
                bulk_jobs::invalidity_at.eq(invalidity_date.map(millis)),
                bulk_jobs::selector.eq(new.selector.to_json().to_string()),
            ),
            (
                bulk_jobs::state.eq(job.state.code()),
                bulk_jobs::total.eq(job.total),
                bulk_jobs::processed.eq(0),
                bulk_jobs::changed.eq(0),
                bulk_jobs::unchanged.eq(0),
                bulk_jobs::refused.eq(0),
            ),
            (
                bulk_jobs::actor_token_id.eq(token.map(|id| id.as_bytes().to_vec())),
                bulk_jobs::actor_name.eq(name),
                bulk_jobs::source.eq(&job.actor.source),
            ),
            (
                bulk_jobs::attempts.eq(0),
                bulk_jobs::retry_at.eq(0),
                bulk_jobs::lease_until.eq(0),
                bulk_jobs::fence.eq(0),
                bulk_jobs::created_at.eq(millis(job.created_on)),
            ),
        ))
        .execute(connection)?;
    audit::insert(connection, &new.event)
}

/// The compromised keys of a zone that unfinished jobs are about.
pub(super) fn unfinished_keys(connection: &mut Connection, zone: ZoneId) -> Result<Vec<Vec<u8>>, StoreError> {
    let texts: Vec<String> =
        unfinished(zone).filter(bulk_jobs::selector.like(ABOUT_KEYS)).select(bulk_jobs::selector).load(connection)?;
    let mut known = Vec::new();
    for text in &texts {
        if let Selector::Keys(keys) = selector(text)? {
            known.extend(keys);
        }
    }
    Ok(known)
}

pub(super) fn selector(text: &str) -> Result<Selector, StoreError> {
    Selector::from_json(&from_json::<Value>(text)?).ok_or_else(|| damaged("what a job selects"))
}

#[diesel::dsl::auto_type(no_type_alias)]
pub(super) fn own(zone: ZoneId, id: JobId) -> _ {
    let zone: Vec<u8> = zone.as_bytes().to_vec();
    let id: Vec<u8> = id.as_bytes().to_vec();
    bulk_jobs::table.filter(bulk_jobs::zone_id.eq(zone)).filter(bulk_jobs::id.eq(id))
}

#[diesel::dsl::auto_type(no_type_alias)]
fn unfinished(zone: ZoneId) -> _ {
    let zone: Vec<u8> = zone.as_bytes().to_vec();
    let states: [i16; 2] = UNFINISHED.map(JobState::code);
    bulk_jobs::table.filter(bulk_jobs::zone_id.eq(zone)).filter(bulk_jobs::state.eq_any(states))
}

fn shown(connection: &mut Connection, zone: ZoneId, rows: Vec<JobRow>) -> Result<Vec<ShownJob>, StoreError> {
    let ids: Vec<Vec<u8>> = rows.iter().map(|row| row.id.clone()).collect();
    // Ten thousand ids are a long text, and nothing that a list shows.
    let short: Vec<(Vec<u8>, String)> = bulk_jobs::table
        .filter(bulk_jobs::zone_id.eq(zone.as_bytes().as_slice()))
        .filter(bulk_jobs::id.eq_any(&ids))
        .filter(sql::<Bool>("length(selector) < 4096"))
        .select((bulk_jobs::id, bulk_jobs::selector))
        .load(connection)?;
    let short: HashMap<Vec<u8>, String> = short.into_iter().collect();
    let waiting: Vec<(Option<Vec<u8>>, i64)> = transitions::table
        .filter(transitions::job_id.eq_any(&ids))
        .filter(transitions::zone_id.eq(zone.as_bytes().as_slice()))
        .group_by(transitions::job_id)
        .select((transitions::job_id, count_star()))
        .load(connection)?;
    let waiting: HashMap<Option<Vec<u8>>, i64> = waiting.into_iter().collect();
    let shown = rows.into_iter().map(|row| {
        let filter = short.get(&row.id).map(|text| selector(text)).transpose()?;
        let waiting = waiting.get(&Some(row.id.clone())).copied().unwrap_or_default();
        Ok(ShownJob { filter: filter.as_ref().and_then(Selector::filter), waiting, job: row.into_domain()? })
    });
    shown.collect()
}

impl JobRow {
    pub(super) fn into_domain(self) -> Result<Job, StoreError> {
        let wish = match self.action {
            REVOKE => Wish::Revoke {
                reason: self.reason.map(reason).transpose()?,
                invalidity_date: self.invalidity_at.map(time).transpose()?,
            },
            REACTIVATE => Wish::Reactivate,
            _ => return Err(damaged("what a job does")),
        };
        let token = self.actor_token_id.as_deref().map(token_id).transpose()?;
        let kind = ActorKind::of(token, self.actor_name).ok_or_else(|| damaged("who asked for a job"))?;
        Ok(Job {
            id: job_id(&self.id)?,
            account: account_id(&self.account_id)?,
            zone: zone_id(&self.zone_id)?,
            wish,
            state: JobState::from_code(self.state).ok_or_else(|| damaged("a job's state"))?,
            total: self.total,
            progress: Progress {
                processed: self.processed,
                changed: self.changed,
                unchanged: self.unchanged,
                refused: self.refused,
            },
            actor: Actor { kind, source: self.source },
            failure: self.failure,
            created_on: time(self.created_at)?,
            started_on: self.started_at.map(time).transpose()?,
            finished_on: self.finished_at.map(time).transpose()?,
        })
    }
}
