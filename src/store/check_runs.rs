//! Running checks: claims with a fence and a lease, and the runs that are kept.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Nullable};

use crate::domain::audit::AuditEvent;
use crate::domain::check::{CheckState, MAX_TIMEOUT_MILLIS};
use crate::domain::id::{AccountId, CheckId};
use crate::domain::run::{KEPT_RUNS, Report, Run};

use super::any_connection::MultiBackend;
use super::checks::{CheckRow, StoredCheck, find, own, state};
use super::connection::Connection;
use super::convert::{account_id, check_id, from_json, millis, run_id, to_json};
use super::error::StoreError;
use super::schema::{check_runs, checks};
use super::{Store, audit};

/// A check that is being run, by us alone until the lease is over.
#[derive(Clone)]
pub struct ClaimedCheck {
    pub stored: StoredCheck,
    /// A run under an older fence is not recorded.
    pub fence: i64,
    /// Unix milliseconds. Tells the run's lease from later ones, when the check was edited meanwhile.
    lease_until: i64,
}

/// Two intervals, in milliseconds for each second of one.
const TWO_INTERVALS: i64 = 2000;
/// Clocks of processes may differ by so many milliseconds: what one puts off, the others must not take for an error.
const SKEW: i64 = 5 * 60 * 1000;

impl Store {
    /// Checks of all accounts whose time has come and that nobody is running, the longest overdue first. `margin` is what
    /// leases reach beyond time-outs.
    pub async fn checks_due(
        &self,
        now: DateTime<Utc>,
        margin: TimeDelta,
        limit: i64,
    ) -> Result<Vec<(AccountId, CheckId)>, StoreError> {
        self.read(move |connection| {
            let rows: Vec<(Vec<u8>, Vec<u8>)> = checks::table
                .filter(its_time_has_come(now))
                .filter(is_free(now, margin))
                .order(checks::next_run_at)
                .limit(limit)
                .select((checks::account_id, checks::id))
                .load(connection)?;
            rows.iter().map(|(account, id)| Ok((account_id(account)?, check_id(id)?))).collect()
        })
        .await
    }

    /// Takes a check for one run: nobody else runs it before its own time-out and `margin` are over. Where somebody asked
    /// for it, that is recorded with the claim. `None` when somebody is at it, or it is gone, or nobody asked and its time
    /// has not come.
    pub async fn claim_check(
        &self,
        account: AccountId,
        id: CheckId,
        now: DateTime<Utc>,
        margin: TimeDelta,
        asked: Option<AuditEvent>,
    ) -> Result<Option<ClaimedCheck>, StoreError> {
        self.write(move |connection| {
            let free = || own(account, id).filter(is_free(now, margin));
            let until = checks::timeout_millis + millis(now + margin);
            let lease = (checks::lease_until.eq(until), checks::fence.eq(checks::fence + 1));
            let claimed = if asked.is_none() {
                diesel::update(free().filter(its_time_has_come(now))).set(lease).execute(connection)?
            } else {
                diesel::update(free()).set(lease).execute(connection)?
            };
            if claimed == 0 {
                return Ok(None);
            }
            let row: CheckRow = own(account, id).select(CheckRow::as_select()).first(connection)?;
            if let Some(event) = &asked {
                audit::insert(connection, event)?;
            }
            Ok(Some(ClaimedCheck { fence: row.fence, lease_until: row.lease_until, stored: row.into_domain()? }))
        })
        .await
    }

    /// Records a run, ends its lease, and drops the runs beyond those that are kept; `false` when the lease was lost.
    pub async fn record_run(
        &self,
        claimed: ClaimedCheck,
        run: Run,
        next_run: Option<DateTime<Utc>>,
        change: Option<(CheckState, DateTime<Utc>, AuditEvent)>,
    ) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let account = claimed.stored.check.account;
            let ours = || own(account, run.check).filter(checks::fence.eq(claimed.fence));
            let updated = diesel::update(ours())
                .set((
                    checks::last_run_at.eq(millis(run.report.started_on)),
                    checks::next_run_at.eq(next_run.map(millis)),
                    checks::lease_until.eq(0),
                ))
                .execute(connection)?;
            if updated == 0 {
                end_lease(connection, &claimed)?;
                return Ok(false);
            }
            if let Some((state, since, event)) = &change {
                let state = (checks::state.eq(state.code()), checks::state_since.eq(millis(*since)));
                diesel::update(ours()).set(state).execute(connection)?;
                audit::insert(connection, event)?;
            }
            insert_run(connection, account, &run)?;
            Ok(true)
        })
        .await
    }

    /// Lets a check go that was claimed and could not be run; its time comes again at `next_run`.
    pub async fn release_check(
        &self,
        claimed: ClaimedCheck,
        next_run: Option<DateTime<Utc>>,
    ) -> Result<(), StoreError> {
        self.write(move |connection| {
            let check = &claimed.stored.check;
            let ours = own(check.account, check.id).filter(checks::fence.eq(claimed.fence));
            diesel::update(ours).set(checks::next_run_at.eq(next_run.map(millis))).execute(connection)?;
            end_lease(connection, &claimed)
        })
        .await
    }

    /// The last runs of a check, the newest first; `None` when there is no such check.
    pub async fn runs(&self, account: AccountId, id: CheckId) -> Result<Option<Vec<Run>>, StoreError> {
        self.read(move |connection| {
            if find(connection, account, id)?.is_none() {
                return Ok(None);
            }
            let rows: Vec<(Vec<u8>, i16, String)> = check_runs::table
                .filter(check_runs::check_id.eq(id.as_bytes().as_slice()))
                .filter(check_runs::account_id.eq(account.as_bytes().as_slice()))
                .order(check_runs::id.desc())
                .limit(KEPT_RUNS)
                .select((check_runs::id, check_runs::state, check_runs::report))
                .load(connection)?;
            let read = |(run, code, report): (Vec<u8>, i16, String)| {
                Ok(Run { id: run_id(&run)?, check: id, state: state(code)?, report: from_json::<Report>(&report)? })
            };
            rows.into_iter().map(read).collect::<Result<_, _>>().map(Some)
        })
        .await
    }
}

/// Whether it is due. A time further off than two intervals was written before the clock was set back.
fn its_time_has_come(
    now: DateTime<Utc>,
) -> Box<dyn BoxableExpression<checks::table, MultiBackend, SqlType = Nullable<Bool>>> {
    let furthest = checks::interval_seconds * TWO_INTERVALS + (millis(now) + SKEW);
    Box::new(checks::next_run_at.le(millis(now)).or(checks::next_run_at.gt(furthest)))
}

/// Whether nobody is running it. A lease longer than any was made before the clock was set back; the time-out may have been
/// shortened under it.
#[diesel::dsl::auto_type(no_type_alias)]
fn is_free(now: DateTime<Utc>, margin: TimeDelta) -> _ {
    let longest: i64 = millis(now + margin) + MAX_TIMEOUT_MILLIS;
    let now: i64 = millis(now);
    checks::lease_until.le(now).or(checks::lease_until.gt(longest))
}

/// Ends the leases of a process that is gone.
pub(super) fn release_all(connection: &mut Connection) -> Result<(), StoreError> {
    diesel::update(checks::table.filter(checks::lease_until.gt(0)))
        .set(checks::lease_until.eq(0))
        .execute(connection)?;
    Ok(())
}

/// Ends the lease of a run, also of one that an edit has disowned, and of no later one.
fn end_lease(connection: &mut Connection, claimed: &ClaimedCheck) -> Result<(), StoreError> {
    let check = &claimed.stored.check;
    let ours = own(check.account, check.id).filter(checks::lease_until.eq(claimed.lease_until));
    diesel::update(ours).set(checks::lease_until.eq(0)).execute(connection)?;
    Ok(())
}

fn insert_run(connection: &mut Connection, account: AccountId, run: &Run) -> Result<(), StoreError> {
    diesel::insert_into(check_runs::table)
        .values((
            check_runs::check_id.eq(run.check.as_bytes().as_slice()),
            check_runs::id.eq(run.id.as_bytes().as_slice()),
            check_runs::account_id.eq(account.as_bytes().as_slice()),
            check_runs::state.eq(run.state.code()),
            check_runs::report.eq(to_json(&run.report)?),
        ))
        .execute(connection)?;
    let oldest_kept: Option<Vec<u8>> = check_runs::table
        .filter(check_runs::check_id.eq(run.check.as_bytes().as_slice()))
        .filter(check_runs::account_id.eq(account.as_bytes().as_slice()))
        .order(check_runs::id.desc())
        .offset(KEPT_RUNS - 1)
        .select(check_runs::id)
        .first(connection)
        .optional()?;
    if let Some(oldest) = oldest_kept {
        let older = check_runs::table
            .filter(check_runs::check_id.eq(run.check.as_bytes().as_slice()))
            .filter(check_runs::account_id.eq(account.as_bytes().as_slice()))
            .filter(check_runs::id.lt(oldest));
        diesel::delete(older).execute(connection)?;
    }
    Ok(())
}
