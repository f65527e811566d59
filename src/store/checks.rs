//! API checks and their runs. Secret header values and bodies are sealed by the service before they come here.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;

use crate::domain::audit::AuditEvent;
use crate::domain::check::{Check, CheckBody, CheckHeader, CheckState, Definition, Selector};
use crate::domain::id::{AccountId, CheckId};
use crate::domain::run::{KEPT_RUNS, Report, Run};

use super::authorities::SealedKey;
use super::certificates::{Page, Window};
use super::connection::Connection;
use super::convert::{account_id, check_id, damaged, from_json, identity_id, millis, run_id, time, to_json};
use super::error::StoreError;
use super::schema::{check_runs, checks};
use super::{Store, audit};

const AUTO: i16 = 0;
const NONE: i16 = 1;
const EXPLICIT: i16 = 2;

/// A check with what of it is sealed.
#[derive(Clone)]
pub struct StoredCheck {
    pub check: Check,
    pub sealed_secrets: Option<SealedKey>,
    /// Counts claims and edits: an edit of what has changed since it was read is not stored.
    pub fence: i64,
}

/// A check that is being run, by us alone until the lease is over.
#[derive(Clone)]
pub struct ClaimedCheck {
    pub stored: StoredCheck,
    /// A run under an older fence is not recorded.
    pub fence: i64,
    /// Unix milliseconds. Tells the run's lease from later ones, when the check was edited meanwhile.
    lease_until: i64,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = checks)]
struct CheckRow {
    id: Vec<u8>,
    account_id: Vec<u8>,
    state: Option<i16>,
    state_since: Option<i64>,
    last_run_at: Option<i64>,
    next_run_at: Option<i64>,
    lease_until: i64,
    fence: i64,
    created_at: i64,
    updated_at: i64,
    #[diesel(embed)]
    definition: DefinitionRow,
}

/// What an edit replaces.
#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = checks, treat_none_as_null = true)]
struct DefinitionRow {
    name: String,
    url: String,
    method: String,
    headers: String,
    body: Option<String>,
    sealed_secrets: Option<Vec<u8>>,
    key_version: Option<i32>,
    expectations: String,
    identity_mode: i16,
    identity_id: Option<Vec<u8>>,
    trusted_ca_id: Option<Vec<u8>>,
    interval_seconds: Option<i64>,
    timeout_millis: i64,
    is_enabled: bool,
}

impl Store {
    /// The account's checks, of one state or of all, oldest first.
    pub async fn checks(
        &self,
        account: AccountId,
        state: Option<CheckState>,
        window: Window,
    ) -> Result<Page<Check>, StoreError> {
        self.read(move |connection| {
            let rows: Vec<CheckRow> = filtered(account, state)
                .order(checks::id)
                .offset(window.offset)
                .limit(window.length)
                .select(CheckRow::as_select())
                .load(connection)?;
            let items = rows.into_iter().map(|row| Ok(row.into_domain()?.check)).collect::<Result<_, StoreError>>()?;
            Ok(Page { items, total: filtered(account, state).count().get_result(connection)? })
        })
        .await
    }

    /// The names and addresses of the account's checks that choose their identity by host.
    pub async fn checks_by_host(&self, account: AccountId) -> Result<Vec<(String, String)>, StoreError> {
        self.read(move |connection| {
            let automatic = filtered(account, None).filter(checks::identity_mode.eq(AUTO));
            Ok(automatic.order(checks::id).select((checks::name, checks::url)).load(connection)?)
        })
        .await
    }

    pub async fn check_by_id(&self, account: AccountId, id: CheckId) -> Result<Option<StoredCheck>, StoreError> {
        self.read(move |connection| find(connection, account, id)).await
    }

    /// Stores a check; `false` when the account has as many as `limit` already.
    pub async fn create_check(&self, new: StoredCheck, limit: i64, event: AuditEvent) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let of_account = checks::table.filter(checks::account_id.eq(new.check.account.as_bytes().as_slice()));
            let count: i64 = of_account.count().get_result(connection)?;
            if count >= limit {
                return Ok(false);
            }
            diesel::insert_into(checks::table).values(CheckRow::of(&new)?).execute(connection)?;
            audit::insert(connection, &event)?;
            Ok(true)
        })
        .await
    }

    /// Replaces a check's definition and its next run, if it still stands as it was read; a run that is under way is not
    /// recorded any more. `false` when it does not.
    pub async fn edit_check(&self, edited: StoredCheck, event: AuditEvent) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let check = &edited.check;
            let updated = diesel::update(own(check.account, check.id).filter(checks::fence.eq(edited.fence)))
                .set((
                    DefinitionRow::of(&edited)?,
                    checks::next_run_at.eq(check.next_run_on.map(millis)),
                    checks::updated_at.eq(millis(check.updated_on)),
                    checks::fence.eq(checks::fence + 1),
                ))
                .execute(connection)?;
            if updated == 1 {
                audit::insert(connection, &event)?;
            }
            Ok(updated == 1)
        })
        .await
    }

    /// Deletes a check with its runs; `false` when there is no such check.
    pub async fn delete_check(&self, account: AccountId, id: CheckId, event: AuditEvent) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let runs = check_runs::table
                .filter(check_runs::check_id.eq(id.as_bytes().as_slice()))
                .filter(check_runs::account_id.eq(account.as_bytes().as_slice()));
            diesel::delete(runs).execute(connection)?;
            let deleted = diesel::delete(own(account, id)).execute(connection)?;
            if deleted == 1 {
                audit::insert(connection, &event)?;
            }
            Ok(deleted == 1)
        })
        .await
    }

    /// Checks of all accounts whose time has come and that nobody is running, the longest overdue first.
    pub async fn checks_due(&self, now: DateTime<Utc>, limit: i64) -> Result<Vec<(AccountId, CheckId)>, StoreError> {
        self.read(move |connection| {
            let rows: Vec<(Vec<u8>, Vec<u8>)> = checks::table
                .filter(checks::next_run_at.le(millis(now)))
                .filter(checks::lease_until.le(millis(now)))
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
            let free = || own(account, id).filter(checks::lease_until.le(millis(now)));
            let until = checks::timeout_millis + millis(now + margin);
            let lease = (checks::lease_until.eq(until), checks::fence.eq(checks::fence + 1));
            let claimed = if asked.is_none() {
                diesel::update(free().filter(checks::next_run_at.le(millis(now)))).set(lease).execute(connection)?
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

/// Ends the leases of a process that is gone.
pub(super) fn release_all(connection: &mut Connection) -> Result<(), StoreError> {
    diesel::update(checks::table.filter(checks::lease_until.gt(0)))
        .set(checks::lease_until.eq(0))
        .execute(connection)?;
    Ok(())
}

type Filtered<'a> = checks::BoxedQuery<'a, diesel::sqlite::Sqlite>;

fn filtered(account: AccountId, state: Option<CheckState>) -> Filtered<'static> {
    let query = checks::table.into_boxed().filter(checks::account_id.eq(account.as_bytes().to_vec()));
    match state {
        Some(state) => query.filter(checks::state.eq(state.code())),
        None => query,
    }
}

#[diesel::dsl::auto_type(no_type_alias)]
fn own(account: AccountId, id: CheckId) -> _ {
    let id: Vec<u8> = id.as_bytes().to_vec();
    let account: Vec<u8> = account.as_bytes().to_vec();
    checks::table.filter(checks::account_id.eq(account)).filter(checks::id.eq(id))
}

fn find(connection: &mut Connection, account: AccountId, id: CheckId) -> Result<Option<StoredCheck>, StoreError> {
    let row = own(account, id).select(CheckRow::as_select()).first(connection).optional()?;
    row.map(CheckRow::into_domain).transpose()
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
        .order(check_runs::id.desc())
        .offset(KEPT_RUNS - 1)
        .select(check_runs::id)
        .first(connection)
        .optional()?;
    if let Some(oldest) = oldest_kept {
        let older = check_runs::table
            .filter(check_runs::check_id.eq(run.check.as_bytes().as_slice()))
            .filter(check_runs::id.lt(oldest));
        diesel::delete(older).execute(connection)?;
    }
    Ok(())
}

impl CheckRow {
    fn of(stored: &StoredCheck) -> Result<Self, StoreError> {
        let check = &stored.check;
        Ok(Self {
            id: check.id.as_bytes().to_vec(),
            account_id: check.account.as_bytes().to_vec(),
            state: check.state.map(CheckState::code),
            state_since: check.state_since.map(millis),
            last_run_at: check.last_run_on.map(millis),
            next_run_at: check.next_run_on.map(millis),
            lease_until: 0,
            fence: 0,
            created_at: millis(check.created_on),
            updated_at: millis(check.updated_on),
            definition: DefinitionRow::of(stored)?,
        })
    }

    fn into_domain(self) -> Result<StoredCheck, StoreError> {
        let (definition, sealed_secrets) = self.definition.into_domain()?;
        let check = Check {
            id: check_id(&self.id)?,
            account: account_id(&self.account_id)?,
            definition,
            state: self.state.map(state).transpose()?,
            state_since: self.state_since.map(time).transpose()?,
            last_run_on: self.last_run_at.map(time).transpose()?,
            next_run_on: self.next_run_at.map(time).transpose()?,
            created_on: time(self.created_at)?,
            updated_on: time(self.updated_at)?,
        };
        Ok(StoredCheck { check, sealed_secrets, fence: self.fence })
    }
}

impl DefinitionRow {
    fn of(stored: &StoredCheck) -> Result<Self, StoreError> {
        let definition = &stored.check.definition;
        let headers: Vec<_> = definition.headers.iter().map(|header| (&header.name, &header.value)).collect();
        let (mode, identity) = match definition.identity {
            Selector::Auto => (AUTO, None),
            Selector::None => (NONE, None),
            Selector::Explicit(id) => (EXPLICIT, Some(id.as_bytes().to_vec())),
        };
        Ok(Self {
            name: definition.name.clone(),
            url: definition.url.clone(),
            method: definition.method.clone(),
            headers: to_json(&headers)?,
            body: match &definition.body {
                CheckBody::None => None,
                // A sealed body is marked by an empty one: a body that is shown has at least one character.
                CheckBody::Secret => Some(String::new()),
                CheckBody::Shown(text) => Some(text.clone()),
            },
            sealed_secrets: stored.sealed_secrets.as_ref().map(|sealed| sealed.bytes.clone()),
            key_version: stored.sealed_secrets.as_ref().map(|sealed| sealed.version),
            expectations: to_json(&definition.expectations)?,
            identity_mode: mode,
            identity_id: identity,
            trusted_ca_id: definition.trusted_ca.map(|id| id.as_bytes().to_vec()),
            interval_seconds: definition.interval_seconds,
            timeout_millis: definition.timeout_millis,
            is_enabled: definition.is_enabled,
        })
    }

    fn into_domain(self) -> Result<(Definition, Option<SealedKey>), StoreError> {
        let headers: Vec<(String, Option<String>)> = from_json(&self.headers)?;
        let sealed = self.key_version.zip(self.sealed_secrets).map(|(version, bytes)| SealedKey { version, bytes });
        let identity = match (self.identity_mode, self.identity_id) {
            (AUTO, None) => Selector::Auto,
            (NONE, None) => Selector::None,
            (EXPLICIT, Some(id)) => Selector::Explicit(identity_id(&id)?),
            _ => return Err(damaged("a check's choice of identity")),
        };
        let definition = Definition {
            name: self.name,
            url: self.url,
            method: self.method,
            headers: headers.into_iter().map(|(name, value)| CheckHeader { name, value }).collect(),
            body: match self.body {
                None => CheckBody::None,
                Some(text) if text.is_empty() => CheckBody::Secret,
                Some(text) => CheckBody::Shown(text),
            },
            expectations: from_json(&self.expectations)?,
            identity,
            trusted_ca: self.trusted_ca_id.as_deref().map(identity_id).transpose()?,
            interval_seconds: self.interval_seconds,
            timeout_millis: self.timeout_millis,
            is_enabled: self.is_enabled,
        };
        Ok((definition, sealed))
    }
}

fn state(code: i16) -> Result<CheckState, StoreError> {
    CheckState::from_code(code).ok_or_else(|| damaged("a check's state"))
}
